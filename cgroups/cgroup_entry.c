#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "cgroups/cgroup_apply.h"
#include "cgroups/cgroup_places.h"

/* Before its exec a child waits for nobody but the kernel. */
#define KILL_WAIT_MS 1000

/* *ret is -1 when there is no such file. */
static int open_in(const char *dir, const char *file, int flags, int *ret, struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s%s%s", dir, *file ? "/" : "", file);

        *ret = open(path, flags | O_CLOEXEC);
        if (*ret < 0 && errno != ENOENT)
                return error_os(err, errno, "open '%s'", path);
        return 0;
}

static int open_entry(const struct cgroup_place *place, struct cgroup_entry *entry, struct error **err)
{
        int fd;

        if (place->v2)
                return open_in(place->dir, "", O_PATH | O_DIRECTORY, &entry->v2_dir_fd, err);
        if (open_in(place->dir, "tasks", O_WRONLY, &fd, err) < 0)
                return -1;
        if (fd >= 0)
                entry->task_fds[entry->n++] = fd;
        return 0;
}

int cgroup_entry_open(const struct cgroup_host *host, const char *path, struct cgroup_entry *ret,
                      struct error **err)
{
        _cleanup_cgroup_places_ struct cgroup_places places = { 0 };
        struct cgroup_entry entry = CGROUP_ENTRY_INIT;

        if (cgroup_places_find(host, path, &places, err) < 0)
                return -1;
        for (size_t i = 0; i < places.n && !*err; i++)
                open_entry(&places.at[i], &entry, err);
        if (!*err && entry.n == 0 && entry.v2_dir_fd < 0)
                error_set(err, ERROR_FAILED, "there is no control group '%s'", path);
        if (*err) {
                cgroup_entry_done(&entry);
                return -1;
        }
        *ret = entry;
        return 0;
}

void cgroup_entry_done(struct cgroup_entry *entry)
{
        while (entry->n)
                fd_close(&entry->task_fds[--entry->n]);
        fd_close(&entry->v2_dir_fd);
}

pid_t cgroup_entry_fork(struct cgroup_entry *entry, int *ret_pidfd)
{
        pid_t pid;

        if (entry->v2_dir_fd >= 0) {
                int pidfd = -1;
                struct clone_args args = { .flags = CLONE_INTO_CGROUP | CLONE_PIDFD,
                                           .pidfd = (uint64_t)(uintptr_t)&pidfd,
                                           .exit_signal = SIGCHLD,
                                           .cgroup = (uint64_t)entry->v2_dir_fd };

                pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
                if (pid == 0)
                        entry->inside_v2 = true;
                if (pid > 0 && ret_pidfd)
                        *ret_pidfd = pidfd;
                else if (pid > 0)
                        close(pidfd);
                /* An old kernel: the child moves itself, at the price of a grace period. */
                if (pid >= 0 || (errno != ENOSYS && errno != E2BIG && errno != EINVAL))
                        return pid;
        }
        pid = fork();
        if (pid > 0 && ret_pidfd) {
                int pidfd = fd_pidfd_open(pid);

                if (pidfd < 0) {
                        int why = errno;

                        kill(pid, SIGKILL);
                        process_reap(pid, KILL_WAIT_MS, NULL);
                        errno = why;
                        return -1;
                }
                *ret_pidfd = pidfd;
        }
        return pid;
}

static int write_own(int fd)
{
        return fd >= 0 && write(fd, "0", 1) == 1 ? 0 : -1;
}

int cgroup_entry_enter(const struct cgroup_entry *entry)
{
        for (size_t i = 0; i < entry->n; i++)
                if (write_own(entry->task_fds[i]) < 0)
                        return -1;
        if (entry->v2_dir_fd < 0 || entry->inside_v2)
                return 0;
        /* Closed at exec. */
        return write_own(openat(entry->v2_dir_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC));
}
