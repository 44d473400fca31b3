#include "launcher/run/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "launcher/run/confine.h"

/* How long exec may take: a program on a network that does not answer. */
#define EXEC_DEADLINE_MS 30000
/* How long SIGKILL may take. */
#define KILL_DEADLINE_MS 5000
/* Without close_range() (before Linux 5.9): fds above are close-on-exec anyway, all of ours are born so. */
#define CLOSE_BY_HAND_MAX 65536

/* What the child says when it cannot run the program, or that it has its namespaces and wants its ids. */
struct report {
        int os_errno;
        bool wants_ids;
        char what[60];
};

static void __attribute__((noreturn)) give_up(int sock, const char *what)
{
        struct report report = { .os_errno = errno };

        strncpy(report.what, what, sizeof(report.what) - 1);
        /* A parent that is gone needs no answer. */
        (void)!send(sock, &report, sizeof(report), MSG_NOSIGNAL | MSG_DONTWAIT);
        _exit(127);
}

/* first..last, or to the end when last is UINT_MAX; only_mark: close-on-exec instead. */
static void close_fds(unsigned first, unsigned last, bool only_mark)
{
        if (first > last)
                return;
        if (syscall(SYS_close_range, first, last, only_mark ? CLOSE_RANGE_CLOEXEC : 0) == 0)
                return;
        if (last > CLOSE_BY_HAND_MAX)
                last = CLOSE_BY_HAND_MAX;
        for (unsigned fd = first; fd <= last; fd++) {
                if (only_mark)
                        fcntl((int)fd, F_SETFD, FD_CLOEXEC);
                else
                        close((int)fd);
        }
}

/* One fd out of its message; -1. */
static int receive_fd(int sock)
{
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        char byte;
        struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        const struct cmsghdr *c;
        int fd = -1;

        if (recvmsg(sock, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1)
                return -1;
        c = CMSG_FIRSTHDR(&message);
        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
                memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        return fd;
}

/* Each goes where it is used, and all above the table: closing one on the way might hang. null_fd fills what is below. */
static void receive_fds(const struct spawn_request *request, int sock, int above, int null_fd, int *tmp)
{
        while (request->n_waiting) {
                int filler = fcntl(null_fd, F_DUPFD_CLOEXEC, 3);

                if (filler < 0)
                        give_up(sock, "arrange the fds");
                if (filler >= above)
                        break;
        }
        for (unsigned n = 0; n < request->n_waiting; n++) {
                int fd = receive_fd(request->waiting_sock);

                if (fd < 0)
                        give_up(sock, "receive the files that were opened");
                for (size_t i = 0; i < request->n_fds; i++)
                        if (request->fds[i].fd < 0 && request->fds[i].received == (int)n)
                                tmp[i] = fd;
        }
}

/* Ours, or a copy where ours is below; sock says that there is none. */
static int moved_above(int fd, int above, int sock)
{
        int moved = fd >= above ? fd : fcntl(fd, F_DUPFD_CLOEXEC, above);

        if (moved < 0)
                give_up(sock, "arrange the fds");
        return moved;
}

/*
 * All sources are above the highest number of the table, or go there first: no source is overwritten before it was
 * used. tmp has n_fds places. *sock may move too.
 */
static void arrange_fds(const struct spawn_request *request, int *sock, int *tmp)
{
        int above = request->directory ? request->directory_fd + 1 : 3, null_fd;

        for (size_t i = 0; i < request->n_fds; i++)
                if (request->fds[i].child_fd >= above)
                        above = request->fds[i].child_fd + 1;
        *sock = moved_above(*sock, above, *sock);
        if (request->hold_fd >= 0)
                moved_above(request->hold_fd, above, *sock);
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null_fd < 0)
                give_up(*sock, "open /dev/null");
        /* Ours may have been started without 0, 1 or 2. */
        null_fd = moved_above(null_fd, above, *sock);
        for (size_t i = 0; i < request->n_fds; i++)
                tmp[i] = request->fds[i].fd < 0 ? -1 : moved_above(request->fds[i].fd, above, *sock);
        receive_fds(request, *sock, above, null_fd, tmp);
        /* 2 before 0 and 1: its source may be one of them. */
        if (dup2(request->stderr_fd >= 0 ? request->stderr_fd : null_fd, 2) < 0)
                give_up(*sock, "arrange the fds");
        for (int fd = 0; fd < 2; fd++)
                if (dup2(null_fd, fd) < 0)
                        give_up(*sock, "arrange the fds");
        close_fds(3, (unsigned)above - 1, false);
        close_fds((unsigned)above, ~0u, true);
        for (size_t i = 0; i < request->n_fds; i++)
                if (dup2(tmp[i], request->fds[i].child_fd) < 0)
                        give_up(*sock, "arrange the fds");
}

/* The mount of the directory, read-only with all that is mounted below (open_tree(2): a mount that nobody else sees). */
static int readonly_tree(int dirfd)
{
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
        int tree = (int)syscall(SYS_open_tree, dirfd, "",
                                OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);

        if (tree < 0 ||
            syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
                return -1;
        return tree;
}

/* The parent writes the ids: from inside only one of them could be had. */
static void make_namespaces(int sock)
{
        const struct report wish = { .wants_ids = true };
        char go;

        if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) < 0)
                give_up(sock, "make namespaces");
        /* The first of its messages: it finds room. */
        if (send(sock, &wish, sizeof(wish), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                _exit(127);
        /* waits: for a parent that only writes the ids; its end reads as the end of the socket */
        if (recv(sock, &go, 1, 0) != 1)
                _exit(127);
        if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
                give_up(sock, "become root of its namespace");
}

/* As root: what is above it need not be open to whoever it becomes. */
static void open_directory(const struct spawn_request *request, int sock)
{
        int dirfd;

        /* Only mounts of one's own mount namespace can be cloned. */
        if (request->readonly && unshare(CLONE_NEWNS) < 0)
                give_up(sock, "make a mount namespace");
        dirfd = open(request->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dirfd < 0)
                give_up(sock, "open its directory");
        if (request->readonly)
                dirfd = readonly_tree(dirfd);
        if (dirfd < 0)
                give_up(sock, "mount its directory read-only (Linux 5.12)");
        if (dirfd == request->directory_fd ? fcntl(dirfd, F_SETFD, 0) < 0
                                           : dup2(dirfd, request->directory_fd) < 0)
                give_up(sock, "arrange the fds");
}

/* Until exec the child is a copy of a process with every right: only system calls, no allocation. */
static void __attribute__((noreturn)) child(const struct spawn_request *request, int sock, int *tmp)
{
        const char *what = NULL;
        char go;

        if (setsid() < 0)
                give_up(sock, "make a session");
        if (cgroup_entry_enter(request->cgroup) < 0)
                give_up(sock, "enter the control group");
        arrange_fds(request, &sock, tmp);
        if (process_signals_default() < 0)
                give_up(sock, "unblock the signals");
        umask(077);
        if (chdir("/") < 0)
                give_up(sock, "change to directory /");
        if (request->directory)
                open_directory(request, sock);
        if (request->namespaces)
                make_namespaces(sock);
        if (request->namespaces ? prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
                                : confine_child(request->confine, &what) < 0)
                give_up(sock, what ? what : "set no_new_privs");
        /* waits: for a parent that only writes the journal; its end reads as the end of the socket */
        if (recv(sock, &go, 1, 0) != 1)
                _exit(127);
        execve(request->program, request->argv, request->env);
        give_up(sock, "");
}

/* The next thing that the child says: 0 and *ret, or 1 when exec closed the socket. */
static int hear_report(const struct spawn_request *request, int sock, struct report *ret, struct error **err)
{
        int ready = fd_wait(sock, POLLIN, fd_now_ms() + EXEC_DEADLINE_MS);
        ssize_t n = ready > 0 ? recv(sock, ret, sizeof(*ret), MSG_DONTWAIT) : -1;

        /* A child that gave up before it read our word: the kernel says so first, then comes what it said. */
        if (n < 0 && errno == ECONNRESET)
                n = recv(sock, ret, sizeof(*ret), MSG_DONTWAIT);
        if (ready == 0)
                return error_set(err, ERROR_DEADLINE, "'%s' could not be run within %d s", request->program,
                                 EXEC_DEADLINE_MS / 1000);
        if (n == 0)
                return 1;
        if (n != (ssize_t)sizeof(*ret))
                return error_os(err, n < 0 ? errno : EIO, "hear from the child that runs '%s'",
                                request->program);
        ret->what[sizeof(ret->what) - 1] = '\0';
        return 0;
}

static int failed(const struct spawn_request *request, const struct report *report, struct error **err)
{
        if (report->what[0])
                return error_os(err, report->os_errno, "run '%s': %s", request->program, report->what);
        return error_os(err, report->os_errno, "run '%s' as uid %u", request->program,
                        (unsigned)request->confine->uid);
}

/* 0 when the program runs. */
static int hear(const struct spawn_request *request, int sock, struct error **err)
{
        struct report report = { 0 };
        int heard = hear_report(request, sock, &report, err);

        return heard < 0 ? -1 : heard == 0 ? failed(request, &report, err) : 0;
}

static int write_ids(pid_t pid, const char *file, unsigned first, unsigned n, struct error **err)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/%s", (int)pid, file);
        _cleanup_free_ char *line = xasprintf("0 %u %u", first, n);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        /* One write, which is all that the kernel takes (user_namespaces(7)). */
        if (fd < 0 || write(fd, line, strlen(line)) < 0)
                return error_os(err, errno, "map the ids from %u to %u for a helper process", first,
                                first + (n - 1));
        return 0;
}

static int give_ids(const struct spawn_request *request, int sock, pid_t pid, struct error **err)
{
        const struct spawn_namespaces *namespaces = request->namespaces;
        struct report report = { 0 };
        int heard = hear_report(request, sock, &report, err);

        if (heard < 0)
                return -1;
        if (heard > 0)
                return error_set(err, ERROR_FAILED, "the child that runs '%s' has ended", request->program);
        if (!report.wants_ids)
                return failed(request, &report, err);
        if (write_ids(pid, "uid_map", namespaces->uid, namespaces->ids, err) < 0 ||
            write_ids(pid, "gid_map", namespaces->gid, namespaces->ids, err) < 0)
                return -1;
        (void)!send(sock, "i", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        return 0;
}

int spawn(const struct spawn_request *request, spawn_born_fn *born, void *data, pid_t *ret_pid,
          int *ret_pidfd, struct error **err)
{
        _cleanup_free_ int *tmp = xcalloc(request->n_fds + 1, sizeof(*tmp));
        _cleanup_close_ int pidfd = -1, ours = -1, theirs = -1;
        sigset_t all, before;
        int pair[2];
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_os(err, errno, "prepare to run '%s'", request->program);
        ours = pair[0];
        theirs = pair[1];
        /* No handler of ours may run in the child. */
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        pid = cgroup_entry_fork(request->cgroup, &pidfd);
        if (pid == 0) {
                /* Otherwise the child would itself keep open what tells it of the parent's end. */
                close(ours);
                child(request, theirs, tmp);
        }
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (pid < 0)
                return error_os(err, errno, "fork for '%s'", request->program);
        fd_close(&theirs);
        if ((!request->namespaces || give_ids(request, ours, pid, err) == 0) && born(pid, data, err) == 0) {
                /* A child that has failed already says so below. */
                (void)!send(ours, "g", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
                hear(request, ours, err);
        }
        if (*err) {
                fd_close(&ours);
                fd_pidfd_send_signal(pidfd, SIGKILL);
                /* One that a kernel call holds is left for init. */
                if (fd_wait(pidfd, POLLIN, fd_now_ms() + KILL_DEADLINE_MS) > 0)
                        waitpid(pid, NULL, WNOHANG);
                return -1;
        }
        *ret_pid = pid;
        *ret_pidfd = TAKE_FD(pidfd);
        return 0;
}
