#include "base/bus.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bus_parts.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/text.h"

#define PROGRAM    "busctl"
#define ANSWER_MAX 65536
#define REAP_MS    200
#define USER_BUS   "DBUS_SESSION_BUS_ADDRESS"

char *bus_path_escape(const char *name)
{
        struct text out = TEXT_INIT;

        for (const char *c = name; *c; c++)
                if (isalpha((unsigned char)*c) || (c > name && isdigit((unsigned char)*c)))
                        text_add_bytes(&out, c, 1);
                else
                        text_addf(&out, "_%02x", (unsigned char)*c);
        return text_take(&out);
}

/* What busctl prints of a reply: the signature, then the value; of a variant once more: v s "running". */
static char *read_value(const char *printed)
{
        struct text out = TEXT_INIT;
        const char *at = printed;

        while (*at && !strchr("\"\n", *at) && strchr(at, ' ')) {
                bool is_variant = *at == 'v';

                at = strchr(at, ' ') + 1;
                if (!is_variant)
                        break;
        }
        if (*at != '"') {
                text_add_bytes(&out, at, strcspn(at, "\n"));
                return text_take(&out);
        }
        for (at++; *at && *at != '"'; at++) {
                if (*at == '\\' && at[1])
                        at++;
                text_add_bytes(&out, at, 1);
        }
        return text_take(&out);
}

/* Where the user's own systemd listens, whatever else calls itself the session's bus (sd_bus_open_user(3)). */
static char *user_address(void)
{
        const char *runtime = getenv("XDG_RUNTIME_DIR");

        return runtime ? xasprintf("unix:path=%s/bus", runtime)
                       : xasprintf("unix:path=/run/user/%u/bus", (unsigned)geteuid());
}

static int program_call(const struct bus_call *call, int deadline_ms, char **ret_text, struct error **err)
{
        _cleanup_free_ char *timeout = xasprintf("--timeout=%dms", deadline_ms);
        const char *address = getenv(call->user ? USER_BUS : "DBUS_SYSTEM_BUS_ADDRESS");
        _cleanup_argv_ struct argv argv = ARGV_INIT;
        struct process_result result = { 0 };
        struct process_options options = { .deadline_ms = deadline_ms + 1000, .output_max = ANSWER_MAX };

        argv_add(&argv, PROGRAM);
        /* It gets no environment. */
        if (address)
                argv_addf(&argv, "--address=%s", address);
        else
                argv_add(&argv, call->user ? "--user" : "--system");
        argv_add(&argv, timeout);
        if (!call->may_start)
                argv_add(&argv, "--auto-start=no");
        argv_add(&argv, "call");
        argv_add(&argv, call->destination);
        argv_add(&argv, call->path);
        argv_add(&argv, call->interface);
        argv_add(&argv, call->member);
        if (*call->signature) {
                argv_add(&argv, "--");
                argv_add(&argv, call->signature);
        }
        for (size_t i = 0; call->words && i < call->words->n; i++)
                argv_add(&argv, call->words->items[i]);
        options.argv = (const char *const *)argv.items;
        if (process_run(&options, &result, err) < 0) {
                if ((*err)->code == ERROR_OS)
                        (*err)->code = ERROR_HOST;
                error_wrap(err, "neither libsystemd nor busctl can talk to D-Bus");
        } else if (!WIFEXITED(result.status) || WEXITSTATUS(result.status) != 0) {
                const char *said =
                        result.stderr_text && *result.stderr_text ? result.stderr_text : "busctl failed";

                error_set(err, strstr(said, "connect to bus") ? ERROR_HOST : ERROR_FAILED, "%s",
                          text_starts_with(said, "Call failed: ") ? said + strlen("Call failed: ") : said);
        } else if (ret_text) {
                *ret_text = read_value(result.output);
        }
        process_result_done(&result);
        return *err ? -1 : 0;
}

/* In the child: its answer is a byte, 'y' and the reply's text or the error's code and its words. */
static void __attribute__((noreturn)) child(const struct bus_call *call, int deadline_ms, int sock)
{
        _cleanup_error_ struct error *err = NULL;
        struct text answer = TEXT_INIT;
        char *reply = NULL;
        int done;

        for (int sig = 1; sig < NSIG; sig++)
                signal(sig, SIG_DFL);
        prctl(PR_SET_NAME, "vmlaunch-bus");
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* Locks and what others wait for the end of are not kept by a call that hangs. */
        if (dup2(sock, 3) < 0)
                _exit(1);
        fd_close_from(4);
        if (call->user) {
                _cleanup_free_ char *address = user_address();

                setenv(USER_BUS, address, 1);
        }
        done = bus_library_call(call, deadline_ms, &reply, &err);
        if (done > 0)
                text_addf(&answer, "y%s", reply ? reply : "");
        else if (done < 0)
                text_addf(&answer, "%c%s", 'A' + (int)err->code, err->message);
        else
                text_add(&answer, "n");
        if (answer.length > ANSWER_MAX)
                answer.length = ANSWER_MAX;
        (void)!send(3, text_str(&answer), answer.length, MSG_NOSIGNAL | MSG_DONTWAIT);
        _exit(0);
}

/* 1 answered, 0: the library is not there, -1: *err. */
static int hear(int sock, int deadline_ms, char **ret_text, struct error **err)
{
        int ready = fd_wait(sock, POLLIN, fd_now_ms() + deadline_ms);
        _cleanup_free_ char *answer = xmalloc(ANSWER_MAX + 1);
        ssize_t n;

        if (ready == 0)
                return error_set(err, ERROR_DEADLINE, "D-Bus has not answered within %d ms", deadline_ms);
        n = ready < 0 ? -1 : recv(sock, answer, ANSWER_MAX, MSG_DONTWAIT);
        if (n <= 0)
                return error_set(err, ERROR_FAILED, "the process that talks to D-Bus was killed");
        answer[n] = '\0';
        if (*answer == 'n')
                return 0;
        if (*answer != 'y')
                return error_set(err, (enum error_code)(*answer - 'A'), "%s", answer + 1);
        if (ret_text)
                *ret_text = xstrdup(answer + 1);
        return 1;
}

bool bus_has_client(void)
{
        return process_has_program(PROGRAM) || bus_has_library();
}

int bus_call(const struct bus_call *call, int deadline_ms, char **ret_text, struct error **err)
{
        int pair[2], done = -1;
        sigset_t all, before;
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_os(err, errno, "prepare to talk to D-Bus");
        /* No handler of ours may run in the child. */
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        pid = fork();
        if (pid == 0)
                child(call, deadline_ms, pair[1]);
        sigprocmask(SIG_SETMASK, &before, NULL);
        close(pair[1]);
        if (pid < 0) {
                error_os(err, errno, "fork to talk to D-Bus");
        } else {
                done = hear(pair[0], deadline_ms + 500, ret_text, err);
                if (done < 0)
                        kill(pid, SIGKILL);
                process_reap(pid, REAP_MS, NULL);
        }
        close(pair[0]);
        if (done == 0)
                return program_call(call, deadline_ms, ret_text, err);
        return done < 0 ? -1 : 0;
}

char *bus_get(const struct bus_call *of, const char *property, int deadline_ms, struct error **err)
{
        _cleanup_argv_ struct argv words = ARGV_INIT;
        struct bus_call call = *of;
        char *value = NULL;

        argv_add(&words, of->interface);
        argv_add(&words, property);
        call.interface = "org.freedesktop.DBus.Properties";
        call.member = "Get";
        call.signature = "ss";
        call.words = &words;
        return bus_call(&call, deadline_ms, &value, err) < 0 ? NULL : value;
}
