#include "base/process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

#define STDERR_MAX   8192
#define FDS_BOUND    4096
#define KILL_WAIT_MS 1000
#define REAP_STEP_MS 2
#define HELPER_PATH  "/usr/sbin:/usr/bin:/sbin:/bin"

void process_result_done(struct process_result *result)
{
        free(result->output);
        free(result->stderr_text);
        *result = (struct process_result){ 0 };
}

bool process_has_program(const char *name)
{
        for (const char *dir = HELPER_PATH; *dir;) {
                int length = (int)strcspn(dir, ":");
                _cleanup_free_ char *path = xasprintf("%.*s/%s", length, dir, name);

                if (access(path, X_OK) == 0)
                        return true;
                dir += length;
                dir += *dir == ':';
        }
        return false;
}

/* As rt_sigaction(2) takes it: all zeros is SIG_DFL without flags. */
struct kernel_sigaction {
        unsigned long handler, flags, restorer, mask;
};

/*
 * By the system call: glibc keeps two signals for itself, refuses to touch them in sigaction(), and has them ignored
 * in every program that posix_spawn() started (GNU make's children, say), from where they would be inherited.
 */
int process_signals_default(void)
{
        const struct kernel_sigaction dfl = { 0 };
        sigset_t none;

        for (int sig = 1; sig < NSIG; sig++)
                syscall(SYS_rt_sigaction, sig, &dfl, NULL, sizeof(dfl.mask));
        sigemptyset(&none);
        return sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Every fd from 3 on is closed at exec, also what we inherited ourselves; for kernels before 5.11 up to a bound. */
static void mark_close_on_exec(void)
{
        if (syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
                for (int fd = 3; fd < FDS_BOUND; fd++)
                        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* The three streams are all from 3 on. Writes errno to exec_fd when the program cannot be run. */
static void __attribute__((noreturn))
child(const struct process_options *options, int in, int out, int err_fd, int exec_fd, pid_t parent)
{
        static char *const env[] = { "PATH=" HELPER_PATH, "LC_ALL=C", NULL };
        ssize_t n;
        int why;

        process_signals_default();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(127);
        if (options->memory_max)
                setrlimit(RLIMIT_AS, &(struct rlimit){ options->memory_max, options->memory_max });
        mark_close_on_exec();
        for (size_t i = 0; i < options->n_fds; i++)
                fcntl(options->fds[i], F_SETFD, 0);
        if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(err_fd, 2) >= 0) {
                environ = (char **)env;
                execvpe(options->argv[0], (char *const *)options->argv, env);
        }
        why = errno;
        n = write(exec_fd, &why, sizeof(why));
        (void)n;
        _exit(127);
}

struct stream {
        int fd;
        size_t max;
        bool keep_quiet; /* drop what exceeds max instead of failing */
        bool overflow;
        struct text text;
};

static void take(struct stream *stream)
{
        char buffer[4096];
        ssize_t n = read(stream->fd, buffer, sizeof(buffer));
        size_t room = stream->max - stream->text.length;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                fd_close(&stream->fd);
                return;
        }
        if ((size_t)n > room) {
                stream->overflow = !stream->keep_quiet;
                n = (ssize_t)room;
        }
        text_add_bytes(&stream->text, buffer, (size_t)n);
}

/* Talks to the child until it has closed its outputs and ended. 0, or -1 with *err. */
static int attend(const struct process_options *options, int pidfd, struct stream *out,
                  struct stream *err_stream, struct error **err)
{
        long long deadline = fd_now_ms() + options->deadline_ms;

        for (bool ended = false; !ended;) {
                struct pollfd fds[] = { { .fd = pidfd, .events = POLLIN },
                                        { .fd = out->fd, .events = POLLIN },
                                        { .fd = err_stream->fd, .events = POLLIN } };
                long long left = deadline - fd_now_ms();

                if (left <= 0)
                        return error_set(err, ERROR_DEADLINE, "'%s' did not end within %d ms",
                                         options->argv[0], options->deadline_ms);
                if (poll(fds, ARRAY_SIZE(fds), (int)left) < 0 && errno != EINTR)
                        return error_os(err, errno, "wait for '%s'", options->argv[0]);
                if (fds[1].revents)
                        take(out);
                if (fds[2].revents)
                        take(err_stream);
                if (out->overflow)
                        return error_set(err, ERROR_FAILED, "'%s' wrote more than %zu bytes",
                                         options->argv[0], out->max);
                /* Its end counts once nothing is left to read: a grandchild that keeps the pipe open does
                 * not hold us beyond what is there now. */
                ended = fds[0].revents && !(fds[1].revents & POLLIN) && !(fds[2].revents & POLLIN);
        }
        return 0;
}

/* A close-on-exec copy from 3 on: the child may then put its streams at 0, 1 and 2 in any order. */
static int above_2(int fd_consume)
{
        int fd = fd_consume < 0 ? -1 : fcntl(fd_consume, F_DUPFD_CLOEXEC, 3);

        fd_close(&fd_consume);
        return fd;
}

static int pipe_above_2(int ret[2])
{
        if (pipe2(ret, O_CLOEXEC) < 0)
                return -1;
        ret[0] = above_2(ret[0]);
        ret[1] = above_2(ret[1]);
        return ret[0] < 0 || ret[1] < 0 ? -1 : 0;
}

/* What the helper reads: a file in memory, so that one that does not read cannot hold us, nor SIGPIPE. */
static int open_input(const char *input, struct error **err)
{
        _cleanup_close_ int fd =
                above_2(input ? memfd_create("input", MFD_CLOEXEC) : open("/dev/null", O_RDONLY | O_CLOEXEC));

        if (fd < 0)
                return error_os(err, errno, "open the input of a helper");
        if (input && (fd_write_all(fd, "input of a helper", input, strlen(input), err) < 0))
                return -1;
        if (input && lseek(fd, 0, SEEK_SET) < 0)
                return error_os(err, errno, "rewind the input of a helper");
        return TAKE_FD(fd);
}

bool process_reap(pid_t pid, int wait_ms, int *ret_status)
{
        const long long deadline = fd_now_ms() + wait_ms;
        _cleanup_close_ int pidfd = -1;

        for (;;) {
                pid_t ended = waitpid(pid, ret_status, WNOHANG);

                if (ended == pid)
                        return true;
                if ((ended < 0 && errno != EINTR) || fd_now_ms() >= deadline)
                        return false;
                if (pidfd < 0)
                        pidfd = fd_pidfd_open(pid);
                /* Before Linux 5.3 there is none. */
                if (pidfd >= 0)
                        fd_wait(pidfd, POLLIN, deadline);
                else
                        poll(NULL, 0, REAP_STEP_MS);
        }
}

/* Kills the child. One stuck in the kernel is left behind: it dies when it can. */
static void put_down(pid_t pid)
{
        kill(pid, SIGKILL);
        process_reap(pid, KILL_WAIT_MS, NULL);
}

/* Attends to the running child to its end. 0, or -1 with *err and the child gone. */
static int see_through(const struct process_options *options, pid_t pid, int exec_fd, struct stream *out,
                       struct stream *err_stream, int *ret_status, struct error **err)
{
        _cleanup_close_ int pidfd = fd_pidfd_open(pid);
        int why;

        if (pidfd < 0)
                error_os(err, errno, "watch '%s'", options->argv[0]);
        else
                attend(options, pidfd, out, err_stream, err);
        if (*err) {
                put_down(pid);
                return -1;
        }
        /* waits: not at all, its pidfd says that it has ended */
        while (waitpid(pid, ret_status, 0) < 0)
                if (errno != EINTR)
                        return error_os(err, errno, "wait for '%s'", options->argv[0]);
        if (read(exec_fd, &why, sizeof(why)) == sizeof(why))
                return error_os(err, why, "run '%s'", options->argv[0]);
        return 0;
}

int process_run(const struct process_options *options, struct process_result *ret, struct error **err)
{
        _cleanup_close_ int in = open_input(options->input, err);
        int out[2] = { -1, -1 }, err_pipe[2] = { -1, -1 }, exec_pipe[2] = { -1, -1 }, status = 0;
        struct stream out_stream = { .fd = -1, .max = options->output_max },
                      err_stream = { .fd = -1, .max = STDERR_MAX, .keep_quiet = true };
        pid_t parent = getpid(), pid = -1;

        assert(options->deadline_ms > 0);
        if (in < 0)
                return -1;
        if (!options->output_max)
                out[1] = above_2(open("/dev/null", O_WRONLY | O_CLOEXEC));
        if ((options->output_max ? pipe_above_2(out) : out[1]) < 0 || pipe_above_2(err_pipe) < 0 ||
            pipe_above_2(exec_pipe) < 0) {
                error_os(err, errno, "prepare to run '%s'", options->argv[0]);
                goto finish;
        }
        pid = fork();
        if (pid == 0)
                child(options, in, out[1], err_pipe[1], exec_pipe[1], parent);
        if (pid < 0) {
                error_os(err, errno, "fork for '%s'", options->argv[0]);
                goto finish;
        }
        fd_close(&out[1]);
        fd_close(&err_pipe[1]);
        fd_close(&exec_pipe[1]);
        out_stream.fd = TAKE_FD(out[0]);
        err_stream.fd = TAKE_FD(err_pipe[0]);
        see_through(options, pid, exec_pipe[0], &out_stream, &err_stream, &status, err);
finish:
        for (size_t i = 0; i < 2; i++) {
                fd_close(&out[i]);
                fd_close(&err_pipe[i]);
                fd_close(&exec_pipe[i]);
        }
        fd_close(&out_stream.fd);
        fd_close(&err_stream.fd);
        while (err_stream.text.length && err_stream.text.data[err_stream.text.length - 1] == '\n')
                err_stream.text.data[--err_stream.text.length] = '\0';
        if (*err) {
                text_done(&out_stream.text);
                text_done(&err_stream.text);
                return -1;
        }
        ret->status = status;
        ret->output = options->output_max ? text_take(&out_stream.text) : NULL;
        ret->stderr_text = text_take(&err_stream.text);
        return 0;
}

int process_check(const struct process_options *options, struct process_result *ret, struct error **err)
{
        struct process_result result = { 0 };

        if (process_run(options, &result, err) < 0)
                return -1;
        if (!WIFEXITED(result.status) || WEXITSTATUS(result.status) != 0) {
                _cleanup_free_ char *words = text_printable(result.stderr_text);

                if (WIFSIGNALED(result.status))
                        error_set(err, ERROR_FAILED, "'%s' was killed by signal %d%s%s", options->argv[0],
                                  WTERMSIG(result.status), *words ? ": " : "", words);
                else
                        error_set(err, ERROR_FAILED, "'%s' ended with status %d%s%s", options->argv[0],
                                  WEXITSTATUS(result.status), *words ? ": " : "", words);
        }
        if (ret && !*err) {
                *ret = result;
                return 0;
        }
        process_result_done(&result);
        return *err ? -1 : 0;
}
