#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

#define STDERR_MAX  8192
#define HELPER_PATH "/usr/sbin:/usr/bin:/sbin:/bin"

void process_result_done(struct process_result *result)
{
        free(result->output);
        free(result->stderr_text);
        *result = (struct process_result){ 0 };
}

static void __attribute__((noreturn))
child(const struct process_options *options, int in, int out, int err_fd, pid_t parent)
{
        static char *const env[] = { "PATH=" HELPER_PATH, "LC_ALL=C", NULL };
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        for (int sig = 1; sig < NSIG; sig++)
                signal(sig, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(127);
        if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err_fd, 2) < 0)
                _exit(127);
        for (size_t i = 0; i < options->n_fds; i++)
                fcntl(options->fds[i], F_SETFD, 0);
        environ = (char **)env;
        execvpe(options->argv[0], (char *const *)options->argv, env);
        dprintf(2, "cannot run '%s': %s\n", options->argv[0], strerror(errno));
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

static void feed(int *fd, const char **input)
{
        ssize_t n = write(*fd, *input, strlen(*input));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0)
                *input += n;
        if (n < 0 || !**input)
                fd_close(fd);
}

/* Talks to the child until it has closed its outputs and ended. 0, or -1 with *err. */
static int attend(const struct process_options *options, int pidfd, int *in, struct stream *out,
                  struct stream *err_stream, struct error **err)
{
        long long deadline = fd_now_ms() + options->deadline_ms;
        const char *input = options->input;

        for (bool ended = false; !ended;) {
                struct pollfd fds[] = { { .fd = pidfd, .events = POLLIN },
                                        { .fd = out->fd, .events = POLLIN },
                                        { .fd = err_stream->fd, .events = POLLIN },
                                        { .fd = *in, .events = POLLOUT } };
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
                if (input && fds[3].revents)
                        feed(in, &input);
                if (out->overflow)
                        return error_set(err, ERROR_FAILED, "'%s' wrote more than %zu bytes",
                                         options->argv[0], out->max);
                /* Its end counts once nothing is left to read: a grandchild that keeps the pipe open does
                 * not hold us beyond what is there now. */
                ended = fds[0].revents && !(fds[1].revents & POLLIN) && !(fds[2].revents & POLLIN);
        }
        return 0;
}

int process_run(const struct process_options *options, struct process_result *ret, struct error **err)
{
        _cleanup_close_ int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), pidfd = -1;
        int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err_pipe[2] = { -1, -1 }, status = 0;
        struct stream out_stream = { .fd = -1, .max = options->output_max },
                      err_stream = { .fd = -1, .max = STDERR_MAX, .keep_quiet = true };
        pid_t parent = getpid(), pid = -1;

        if (null_fd < 0 || (options->input && pipe2(in, O_CLOEXEC) < 0) ||
            (options->output_max && pipe2(out, O_CLOEXEC) < 0) || pipe2(err_pipe, O_CLOEXEC) < 0) {
                error_os(err, errno, "prepare to run '%s'", options->argv[0]);
                goto finish;
        }
        pid = fork();
        if (pid == 0)
                child(options, in[0] >= 0 ? in[0] : null_fd, out[1] >= 0 ? out[1] : null_fd, err_pipe[1],
                      parent);
        if (pid < 0) {
                error_os(err, errno, "fork for '%s'", options->argv[0]);
                goto finish;
        }
        fd_close(&in[0]);
        fd_close(&out[1]);
        fd_close(&err_pipe[1]);
        out_stream.fd = TAKE_FD(out[0]);
        err_stream.fd = TAKE_FD(err_pipe[0]);
        if (in[1] >= 0)
                fcntl(in[1], F_SETFL, O_NONBLOCK);
        pidfd = fd_pidfd_open(pid);
        if (pidfd < 0)
                error_os(err, errno, "watch '%s'", options->argv[0]);
        else
                attend(options, pidfd, &in[1], &out_stream, &err_stream, err);
        if (*err)
                kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
finish:
        for (size_t i = 0; i < 2; i++) {
                fd_close(&in[i]);
                fd_close(&out[i]);
                fd_close(&err_pipe[i]);
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
