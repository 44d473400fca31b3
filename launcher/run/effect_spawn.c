#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "launcher/run/confine.h"
#include "launcher/run/effects.h"
#include "launcher/run/generation.h"
#include "launcher/run/spawn.h"
#include "launcher/run/stuck.h"
#include "launcher/state/crash_point.h"

#define KILL_DEADLINE_MS 5000
/* How long a child between fork and exec may take to go one way or the other, and how often that is looked at. */
#define SETTLE_DEADLINE_MS 5000
#define SETTLE_STEP_MS     2
/* The kernel's limit of one argument is 128 KiB, of all of them a quarter of the stack limit. */
#define CMDLINE_MAX (8u << 20)
#define STATUS_MAX  16384

struct born {
        struct effect_run *run;
};

static int write_down(pid_t pid, void *data, struct error **err)
{
        struct born *born = data;

        if (born->run->forked)
                born->run->forked();
        crash_point(CRASH_SPAWN_FORKED);
        born->run->qemu_start = process_start_time(pid);
        return effect_learn(born->run,
                            json_pack("{s:i, s:I, s:I}", "pid", (int)pid, "start",
                                      (json_int_t)born->run->qemu_start, "uid",
                                      (json_int_t)born->run->plan->confine.uid),
                            err);
}

int journal_hold(int vm_dirfd, int *ret_fd, struct error **err)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
        _cleanup_close_ int fd = openat(vm_dirfd, "journal", O_RDWR | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0)
                return error_os(err, errno, "open the journal");
        for (long long deadline = fd_now_ms() + SETTLE_DEADLINE_MS; fcntl(fd, F_OFD_SETLK, &lock) < 0;) {
                if (errno != EAGAIN && errno != EACCES)
                        return error_os(err, errno, "lock the journal");
                if (fd_now_ms() >= deadline)
                        return error_set(err, ERROR_DEADLINE,
                                         "a process of this run works on its journal for more than %d s",
                                         SETTLE_DEADLINE_MS / 1000);
                poll(NULL, 0, SETTLE_STEP_MS);
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int spawn_wait_settled(int vm_dirfd, struct error **err)
{
        _cleanup_close_ int fd = -1;

        return journal_hold(vm_dirfd, &fd, err);
}

static int collect_fds(const struct effect_run *run, struct spawn_fd *fds, size_t *ret_n, int *ret_stderr,
                       struct error **err)
{
        const struct launch_plan *plan = run->plan;
        size_t n = 0;

        for (size_t i = 0; i < plan->n_fds; i++) {
                const struct named_fd *found = effect_find(run, plan->fds[i].source);

                if (!found || (found->fd < 0 && found->received < 0))
                        return error_set(err, ERROR_FAILED, "no step opens '%s' for fd %d",
                                         plan->fds[i].source, plan->fds[i].child_fd);
                if (plan->fds[i].child_fd == STDERR_FILENO && found->fd >= 0)
                        *ret_stderr = found->fd;
                else if (plan->fds[i].child_fd > STDERR_FILENO)
                        fds[n++] = (struct spawn_fd){ .child_fd = plan->fds[i].child_fd,
                                                      .fd = found->fd,
                                                      .received = found->received };
                else
                        return error_set(err, ERROR_FAILED, "fd %d of QEMU is /dev/null",
                                         plan->fds[i].child_fd);
        }
        *ret_n = n;
        return 0;
}

int spawn_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        const struct launch_plan *plan = run->plan;
        _cleanup_free_ struct spawn_fd *fds = xcalloc(plan->n_fds + 1, sizeof(*fds));
        _cleanup_cgroup_entry_ struct cgroup_entry cgroup = CGROUP_ENTRY_INIT;
        _cleanup_argv_ struct argv argv = ARGV_INIT, env = ARGV_INIT;
        static char *const no_env[] = { NULL };
        struct spawn_request request = { .program = plan->emulator,
                                         .fds = fds,
                                         .stderr_fd = -1,
                                         .waiting_sock = run->opened.sock,
                                         .n_waiting = run->opened.n,
                                         .confine = &plan->confine,
                                         .cgroup = &cgroup };
        _cleanup_close_ int spawning = -1;
        struct born born = { .run = run };

        (void)args;
        for (size_t i = 0; i < plan->n_args; i++) {
                _cleanup_free_ char *filled = generation_fill(plan->args[i].text, run->generation);
                bool is_clock = i && strcmp(plan->args[i - 1].text, "-rtc") == 0;

                argv_add_take(&argv, is_clock ? rtc_fill(filled, time(NULL)) : TAKE_PTR(filled));
        }
        for (size_t i = 0; plan->env && plan->env[i]; i++)
                argv_add_take(&env, generation_fill(plan->env[i], run->generation));
        request.argv = argv.items;
        request.env = env.n ? env.items : no_env;
        if (collect_fds(run, fds, &request.n_fds, &request.stderr_fd, err) < 0)
                return -1;
        if (plan->qemu_group && cgroup_entry_open(run->cgroup, plan->qemu_group, &cgroup, err) < 0)
                return -1;
        if (journal_hold(run->vm->fd, &spawning, err) < 0)
                return -1;
        request.hold_fd = spawning;
        return spawn(&request, write_down, &born, &run->qemu_pid, &run->qemu_pidfd, err);
}

bool process_has_uid(pid_t pid, uid_t uid)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/status", (int)pid), *text = NULL;
        struct error *ignored = NULL;
        unsigned real, effective, saved;
        const char *line;

        if (fd_read_file_at(AT_FDCWD, path, STATUS_MAX, &text, NULL, &ignored) < 0) {
                error_free(ignored);
                return false;
        }
        line = strstr(text, "\nUid:");
        return line && sscanf(line, "\nUid: %u %u %u", &real, &effective, &saved) == 3 && real == uid &&
               effective == uid && saved == uid;
}

static bool process_has_generation(pid_t pid, const char *generation)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/cmdline", (int)pid), *text = NULL;
        struct error *ignored = NULL;
        size_t n = 0;

        if (fd_read_file_at(AT_FDCWD, path, CMDLINE_MAX, &text, &n, &ignored) < 0) {
                error_free(ignored);
                return false;
        }
        return memmem(text, n, generation, strlen(generation)) != NULL;
}

static bool has_ended(int pidfd, int wait_ms)
{
        return fd_wait(pidfd, POLLIN, fd_now_ms() + wait_ms) > 0;
}

int qemu_prove(const json_t *learned, const char *generation, int *ret_pidfd, struct error **err)
{
        json_int_t number = 0, start = 0, uid = -1;
        _cleanup_close_ int pidfd = -1;
        pid_t pid;

        if (json_unpack((json_t *)learned, "{s:I, s:I, s:I}", "pid", &number, "start", &start, "uid", &uid) <
            0)
                return 0;
        pid = (pid_t)number;
        if (pid <= 0 || start <= 0)
                return 0;
        pidfd = fd_pidfd_open(pid);
        if (pidfd < 0)
                return errno == ESRCH ? 0 : error_os(err, errno, "look at process %d", (int)pid);
        /* The pidfd was opened first: what it names cannot become another process below. */
        if (process_start_time(pid) != (unsigned long long)start || has_ended(pidfd, 0))
                return 0;
        /* uid 0 says nothing: many have it. */
        if (!(uid > 0 && process_has_uid(pid, (uid_t)uid)) && !process_has_generation(pid, generation))
                return 0;
        if (ret_pidfd)
                *ret_pidfd = TAKE_FD(pidfd);
        return 1;
}

int spawn_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        _cleanup_close_ int pidfd = -1;
        int alive;

        (void)args;
        if (spawn_wait_settled(undo->vm_dirfd, err) < 0)
                return -1;
        alive = qemu_prove(learned, undo->generation, &pidfd, err);
        if (alive <= 0)
                return alive;
        if (confine_send_signal(pidfd, SIGKILL, err) < 0)
                return -1;
        if (!has_ended(pidfd, KILL_DEADLINE_MS)) {
                int pid = (int)json_member_integer(learned, "pid");
                _cleanup_free_ char *where = stuck_where(pid);

                return error_set(err, ERROR_DEADLINE,
                                 "stuck-in-kernel: process %d does not end %d s after SIGKILL: %s", pid,
                                 KILL_DEADLINE_MS / 1000,
                                 where ? where : "a kernel call holds it (dead storage?)");
        }
        return 1;
}
