/* run and start: a plan carried out, in the foreground or by a supervisor left behind. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "launcher/run/supervisor.h"
#include "launcher/verb/output.h"
#include "launcher/verb/prepare.h"
#include "launcher/verb/verbs.h"

/* What a supervisor says when it is ready or has failed is one line. */
#define READY_MAX 65536

static int need_root(struct error **err)
{
        if (geteuid() == 0)
                return 0;
        error_set(err, ERROR_NOT_PERMITTED, "starting a VM of the system's instance needs root");
        return error_hint(err, "run it as root; plan, explain and validate work as any user");
}

int verb_run(struct verb_context *context, struct error **err)
{
        _cleanup_prepared_ struct prepared prepared = { 0 };
        struct supervisor_options options = {
                .site = context->site, .ready_fd = -1, .foreground = true, .fail_step = -1
        };

        if (need_root(err) < 0 || prepare(context, context->args[0], true, &prepared, err) < 0)
                return -1;
        output_warnings(prepared.plan->warnings, context);
        output_finish(context);
        options.host = prepared.host;
        return supervisor_run(prepared.plan, &options);
}

/* In the child of start: a process of its own, with nothing of the caller's terminal. */
static void __attribute__((noreturn))
become_supervisor(struct verb_context *context, struct prepared *prepared, int ready_fd)
{
        struct supervisor_options options = {
                .site = context->site, .host = prepared->host, .ready_fd = ready_fd, .fail_step = -1
        };
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        setsid();
        if (chdir("/") < 0 || null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 ||
            dup2(null_fd, 2) < 0)
                _exit(1);
        close(null_fd);
        log_set_stderr(false);
        _exit(supervisor_run(prepared->plan, &options));
}

/* The supervisor's {"error": {...}} as an error of ours: the same exit status, words and hint. */
static int take_error(const char *vm, const json_t *json, struct error **err)
{
        const char *message = json_string_value(json_object_get(json, "message"));
        const char *hint = json_string_value(json_object_get(json, "hint"));
        const char *name = json_string_value(json_object_get(json, "code"));
        enum error_code code = ERROR_FAILED;

        for (enum error_code each = ERROR_FAILED; name && each <= ERROR_CANCELLED; each++)
                if (strcmp(error_code_name(each), name) == 0 && each != ERROR_OS && each != ERROR_QMP)
                        code = each;
        error_set(err, code, "%s", message ? message : "no reason given");
        if (hint)
                error_hint(err, "%s", hint);
        return error_wrap(err, "start '%s'", vm);
}

/*
 * Until the supervisor has spoken. The first signal is passed on to it, which then takes everything back; the second
 * leaves it to itself. Blocked from before the fork: the supervisor takes them by signalfd, whenever they come.
 */
static int await_word(const char *vm, int fd, int signal_fd, pid_t supervisor, long long deadline,
                      enum error_code *ret_cancelled, struct error **err)
{
        struct pollfd polled[] = { { .fd = fd, .events = POLLIN }, { .fd = signal_fd, .events = POLLIN } };
        struct signalfd_siginfo info;

        for (;;) {
                long long left = deadline - fd_now_ms();
                int wait_ms = *ret_cancelled || left > INT_MAX ? -1 : left < 0 ? 0 : (int)left;
                int n = poll(polled, ARRAY_SIZE(polled), wait_ms);

                if (n < 0 && errno != EINTR)
                        return error_os(err, errno, "wait for the supervisor");
                if (n > 0 && polled[0].revents)
                        return 0;
                if (n == 0) {
                        *ret_cancelled = ERROR_DEADLINE;
                        kill(supervisor, SIGTERM);
                        continue;
                }
                if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
                        continue;
                if (*ret_cancelled) {
                        error_set(err, ERROR_CANCELLED, "start '%s': not waiting for it to be taken back",
                                  vm);
                        return error_hint(err, "'vmlaunch status %s' shows what becomes of it", vm);
                }
                *ret_cancelled = ERROR_CANCELLED;
                kill(supervisor, SIGTERM);
                log_notice("start '%s': cancelling; once more to leave it in the background", vm);
        }
}

static int await_ready(const char *vm, int fd, int signal_fd, pid_t supervisor, long long deadline,
                       long long *ret_qemu_pid, struct error **err)
{
        _cleanup_free_ char *line = NULL;
        json_auto_t *json = NULL;
        enum error_code cancelled = 0;
        int status = 0;

        if (await_word(vm, fd, signal_fd, supervisor, deadline, &cancelled, err) < 0)
                return -1;
        if (fd_read_all(fd, "the supervisor's word", READY_MAX, &line, NULL, err) < 0)
                return -1;
        json = json_loads(line, 0, NULL);
        if (!json) {
                while (waitpid(supervisor, &status, 0) < 0 && errno == EINTR)
                        ;
                return error_set(err, ERROR_FAILED,
                                 "start '%s': the supervisor ended without a word (status %#x)", vm,
                                 (unsigned)status);
        }
        if (json_object_get(json, "error")) {
                while (waitpid(supervisor, &status, 0) < 0 && errno == EINTR)
                        ;
                take_error(vm, json_object_get(json, "error"), err);
                if (cancelled)
                        (*err)->code = cancelled;
                return -1;
        }
        if (cancelled)
                return error_set(err, cancelled,
                                 "start '%s': cancelled when the guest ran already: it is being shut down",
                                 vm);
        *ret_qemu_pid = json_integer_value(json_object_get(json, "pid"));
        return 0;
}

int verb_start(struct verb_context *context, struct error **err)
{
        _cleanup_prepared_ struct prepared prepared = { 0 };
        _cleanup_close_ int reader = -1, signal_fd = -1;
        sigset_t signals;
        long long qemu_pid = 0;
        int ready[2];
        pid_t pid;

        if (need_root(err) < 0 || prepare(context, context->args[0], true, &prepared, err) < 0)
                return -1;
        output_warnings(prepared.plan->warnings, context);
        if (pipe2(ready, O_CLOEXEC) < 0)
                return error_os(err, errno, "start '%s': make a pipe", prepared.plan->name);
        sigemptyset(&signals);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGTERM);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        fflush(stdout);
        pid = fork();
        if (pid == 0) {
                close(ready[0]);
                fd_close(&signal_fd);
                become_supervisor(context, &prepared, ready[1]);
        }
        close(ready[1]);
        reader = ready[0];
        if (pid < 0)
                return error_os(err, errno, "start '%s': fork", prepared.plan->name);
        if (await_ready(prepared.plan->name, reader, signal_fd, pid,
                        context->timeout_s < 0 ? INT64_MAX : fd_now_ms() + verb_timeout_ms(context, 0),
                        &qemu_pid, err) < 0)
                return -1;
        if (context->output != OUTPUT_TABLE)
                output_object(json_pack("{s:i, s:s, s:s, s:s, s:I, s:i}", "schema", 1, "name",
                                        prepared.plan->name, "uuid", prepared.plan->uuid, "state", "running",
                                        "pid", (json_int_t)qemu_pid, "supervisor_pid", (int)pid),
                              context->output);
        else if (!context->quiet)
                printf("%s is running, QEMU pid %lld\n", prepared.plan->name, qemu_pid);
        return 0;
}
