#include "launcher/run/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "base/utc.h"

/* Children that ended and were not the supervisor: QEMU, and helpers of a supervisor that was killed. */
#define WORDS_MAX 16

struct keeper {
        pid_t supervisor;
        int socket, lock, log; /* -1: none */
        int signals;
        char **adopt;
        struct keeper_word words[WORDS_MAX];
        unsigned n_words;
        time_t restarts[KEEPER_RESTARTS]; /* CLOCK_MONOTONIC, 0: none */
};

int keeper_prepare(int ret_sockets[2], struct error **err)
{
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return error_os(err, errno, "become the parent of what a supervisor leaves");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_sockets) < 0)
                return error_os(err, errno, "make a socket for the keeper");
        return 0;
}

void keeper_become(pid_t supervisor, int supervisor_fd, char *const *adopt, char *const *env)
{
        char pid[16], *argv[16] = { "vmlaunch", "__keeper", pid };
        size_t n = 3;

        snprintf(pid, sizeof(pid), "%d", (int)supervisor);
        while (*adopt && n + 1 < sizeof(argv) / sizeof(*argv))
                argv[n++] = *adopt++;
        /* Above the place it goes to, so that dup2() clears its close-on-exec flag. */
        supervisor_fd = fcntl(supervisor_fd, F_DUPFD_CLOEXEC, KEEPER_LOCK_FD + 1);
        if (*adopt || supervisor_fd < 0 || dup2(supervisor_fd, KEEPER_SOCKET_FD) < 0)
                return;
        execve("/proc/self/exe", argv, env);
}

static time_t now_s(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec;
}

/* A line as base/log writes it. */
static void say(const struct keeper *keeper, const char *text)
{
        char line[512], stamp[UTC_STAMP_SIZE];
        ssize_t n;

        if (keeper->log < 0)
                return;
        utc_stamp_now(stamp);
        snprintf(line, sizeof(line), "%s warning: keeper: %s\n", stamp, text);
        n = write(keeper->log, line, strlen(line));
        (void)n;
}

/* uid 0 gets its capabilities back at the exec of a supervisor; between two of them nothing needs any. */
static void lower_capabilities(void)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct sets[2] = { 0 };

        if (syscall(SYS_capget, &header, sets) < 0)
                return;
        sets[0].effective = sets[1].effective = 0;
        syscall(SYS_capset, &header, sets);
}

static void send_word(const struct keeper *keeper, const struct keeper_word *word)
{
        if (keeper->socket >= 0)
                send(keeper->socket, word, sizeof(*word), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void close_fd(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

/* The first message with fds counts; a later one's are closed. */
static void hear_supervisor(struct keeper *keeper)
{
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(2 * sizeof(int))];
        } control;
        char byte;
        struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        ssize_t n = recvmsg(keeper->socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

        if (n <= 0) {
                if (n == 0 || (errno != EAGAIN && errno != EINTR))
                        close_fd(&keeper->socket);
                return;
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
                int fds[2] = { -1, -1 };

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                memcpy(fds, CMSG_DATA(c),
                       c->cmsg_len - CMSG_LEN(0) < sizeof(fds) ? sizeof(int) : sizeof(fds));
                if (keeper->lock < 0) {
                        keeper->lock = fds[0];
                        keeper->log = fds[1];
                } else {
                        close_fd(&fds[0]);
                        close_fd(&fds[1]);
                }
        }
}

/* In the child: the new supervisor, which finds everything else by itself. */
static void __attribute__((noreturn)) exec_supervisor(const struct keeper *keeper, int socket_fd)
{
        int high[] = { fcntl(socket_fd, F_DUPFD_CLOEXEC, KEEPER_LOCK_FD + 1),
                       fcntl(keeper->lock, F_DUPFD_CLOEXEC, KEEPER_LOCK_FD + 1) };

        if (high[0] < 0 || high[1] < 0 || dup2(high[0], KEEPER_SOCKET_FD) < 0 ||
            dup2(high[1], KEEPER_LOCK_FD) < 0)
                _exit(KEEPER_TRY_AGAIN);
        process_signals_default();
        execve("/proc/self/exe", keeper->adopt, environ);
        _exit(KEEPER_TRY_AGAIN);
}

/* The oldest restart makes room, if it is long ago. */
static bool may_restart(struct keeper *keeper)
{
        time_t now = now_s();

        if (keeper->restarts[0] && now - keeper->restarts[0] < KEEPER_WINDOW_S)
                return false;
        memmove(keeper->restarts, keeper->restarts + 1, sizeof(keeper->restarts) - sizeof(*keeper->restarts));
        keeper->restarts[KEEPER_RESTARTS - 1] = now;
        return true;
}

static bool restart(struct keeper *keeper)
{
        int sockets[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0)
                return false;
        close_fd(&keeper->socket);
        keeper->socket = sockets[0];
        for (unsigned i = 0; i < keeper->n_words; i++)
                send_word(keeper, &keeper->words[i]);
        keeper->supervisor = fork();
        if (keeper->supervisor == 0)
                exec_supervisor(keeper, sockets[1]);
        close(sockets[1]);
        return keeper->supervisor > 0;
}

static void note_word(struct keeper *keeper, pid_t pid, int status)
{
        const struct keeper_word word = { .pid = pid, .wait_status = status };

        if (keeper->n_words == WORDS_MAX)
                memmove(keeper->words, keeper->words + 1, --keeper->n_words * sizeof(word));
        keeper->words[keeper->n_words++] = word;
        send_word(keeper, &word);
}

/* -1: go on; else the exit status. */
static int supervisor_ended(struct keeper *keeper, int status)
{
        char text[160];

        if (WIFEXITED(status) && WEXITSTATUS(status) != KEEPER_TRY_AGAIN)
                return WEXITSTATUS(status);
        /* What it sent before it died. */
        if (keeper->lock < 0 && keeper->socket >= 0)
                hear_supervisor(keeper);
        /* It never had the VM. */
        if (keeper->lock < 0)
                return 1;
        snprintf(text, sizeof(text), "the supervisor (pid %d) %s %d, starting it again",
                 (int)keeper->supervisor, WIFSIGNALED(status) ? "was ended by signal" : "ended with status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        if (!may_restart(keeper)) {
                snprintf(text, sizeof(text),
                         "the supervisor ended %d times in %d s: giving up, QEMU goes on without one",
                         KEEPER_RESTARTS + 1, KEEPER_WINDOW_S);
                say(keeper, text);
                return 1;
        }
        say(keeper, text);
        if (restart(keeper))
                return -1;
        say(keeper, "the supervisor cannot be started: giving up, QEMU goes on without one");
        return 1;
}

/* Every child that has ended; the supervisor last, so that its successor hears of the others. -1: go on. */
static int reap(struct keeper *keeper)
{
        int status, supervisor_status = 0;
        bool ended = false;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                if (pid == keeper->supervisor) {
                        ended = true;
                        supervisor_status = status;
                } else {
                        note_word(keeper, pid, status);
                }
        }
        return ended ? supervisor_ended(keeper, supervisor_status) : -1;
}

static void take_signals(struct keeper *keeper)
{
        struct signalfd_siginfo info;

        while (read(keeper->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
                /* Whoever means the VM may say it to either of us. */
                if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
                        kill(keeper->supervisor, (int)info.ssi_signo);
}

int keeper_main(char **argv)
{
        struct keeper keeper = { .socket = KEEPER_SOCKET_FD, .lock = -1, .log = -1 };
        sigset_t mask;
        int status;

        if (!argv[0] || !argv[1] || fcntl(KEEPER_SOCKET_FD, F_SETFD, FD_CLOEXEC) < 0)
                return 2;
        keeper.supervisor = (pid_t)atoi(argv[0]);
        keeper.adopt = argv + 1;
        prctl(PR_SET_NAME, "vmlaunch-keeper");
        lower_capabilities();
        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        signal(SIGHUP, SIG_IGN);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        keeper.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        if (keeper.signals < 0)
                return 1;
        /* Whatever ended before the signal was blocked. */
        while ((status = reap(&keeper)) < 0) {
                struct pollfd fds[] = { { .fd = keeper.signals, .events = POLLIN },
                                        { .fd = keeper.socket, .events = POLLIN } };

                /* No time limit: it waits for its child's end, which the kernel tells. */
                /* waits: for the end of its children, which is what it is for */
                if (poll(fds, 2, -1) < 0 && errno != EINTR)
                        return 1;
                if (fds[1].revents) {
                        hear_supervisor(&keeper);
                        /* It says so once, and then nothing happens for days. */
                        mem_give_back();
                }
                take_signals(&keeper);
        }
        return status;
}

int keeper_give(int keeper_fd, int lock_fd, int log_fd, struct error **err)
{
        const int fds[] = { lock_fd, log_fd };

        if (fd_send(keeper_fd, "L", 1, fds, log_fd < 0 ? 1 : 2, err) < 0)
                return error_wrap(err, "give the keeper the VM's lock");
        return 0;
}

int keeper_hear(int keeper_fd, struct keeper_word *ret)
{
        struct keeper_word word;
        ssize_t n = recv(keeper_fd, &word, sizeof(word), MSG_DONTWAIT);

        if (n == (ssize_t)sizeof(word)) {
                *ret = word;
                return 1;
        }
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}
