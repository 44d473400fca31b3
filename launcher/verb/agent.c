/* agent: the guest agent by way of the supervisor; a freeze that ends with whoever asked for it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/loop.h"
#include "base/text.h"
#include "launcher/live/control_client.h"
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"

/* The conversation is queued behind others and begins with a sync. */
#define ASK_GRACE_MS 15000
#define ASK_S        5.0
#define FSTRIM_S     300.0
#define FREEZE_S     60.0
/* For the thaw and its proof. */
#define THAW_MS 20000

struct agent_verb {
        struct verb_context *context;
        char *name;
        struct control_client *client;
        double timeout_s;
};

static void agent_verb_done(struct agent_verb *verb)
{
        control_client_free(verb->client);
        free(verb->name);
}

static int say(const struct agent_verb *verb, const char *text, json_t *details_consume)
{
        if (verb->context->output != OUTPUT_TABLE) {
                json_t *document = json_pack("{s:i, s:s}", "schema", 1, "name", verb->name);

                json_object_update(document, details_consume);
                output_object(document, verb->context->output);
        } else if (!verb->context->quiet) {
                printf("%s: %s\n", verb->name, text);
        }
        fflush(stdout);
        json_decref(details_consume);
        return 0;
}

static double timeout_of(const struct agent_verb *verb, double default_s)
{
        return verb->context->timeout_s > 0 ? verb->context->timeout_s : default_s;
}

static int ask(struct agent_verb *verb, const char *command, json_t *arguments_consume, double default_s,
               json_t **ret_reply, struct error **err)
{
        double timeout_s = timeout_of(verb, default_s);
        json_t *arguments = json_pack("{s:s, s:f, s:o*}", "command", command, "timeout", timeout_s,
                                      "arguments", arguments_consume);

        if (!arguments)
                return error_set(err, ERROR_USAGE, "agent: '%s' is no command", command);
        if (control_client_call_within(verb->client, "vmlaunch-agent", arguments,
                                       (unsigned)(timeout_s * 1000) + ASK_GRACE_MS, ret_reply, err) < 0)
                return error_wrap(err, "agent of '%s'", verb->name);
        return 0;
}

static int ping(struct agent_verb *verb, struct error **err)
{
        long long begin = fd_now_ms();

        if (ask(verb, "guest-ping", NULL, ASK_S, NULL, err) < 0)
                return -1;
        return say(verb, "the guest agent answers",
                   json_pack("{s:s, s:I}", "result", "answers", "ms", (json_int_t)(fd_now_ms() - begin)));
}

static int info(struct agent_verb *verb, struct error **err)
{
        static const char *const headers[] = { "COMMAND", "ENABLED" };
        json_auto_t *reply = NULL;
        const json_t *commands, *command;
        const char *version;
        size_t i;

        if (ask(verb, "guest-info", NULL, ASK_S, &reply, err) < 0)
                return -1;
        if (verb->context->output == OUTPUT_JSON)
                return say(verb, "", json_pack("{s:O}", "info", reply));
        commands = json_object_get(reply, "supported_commands");
        version = json_member_string(reply, "version");
        if (verb->context->output == OUTPUT_TABLE) {
                _cleanup_free_ char *shown = text_printable(version ? version : "unknown");

                printf("%s: guest agent %s\n", verb->name, shown);
        }
        struct table *table = table_new(headers, ARRAY_SIZE(headers));

        json_array_foreach ((json_t *)commands, i, command) {
                const char *name = json_member_string(command, "name");
                _cleanup_free_ char *shown = text_printable(name ? name : "-");
                const char *cells[] = { shown, json_member_is_true(command, "enabled") ? "yes" : "no" };

                table_row(table, cells);
        }
        table_print(table, verb->context->output);
        table_free(table);
        return 0;
}

static int fstrim(struct agent_verb *verb, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        json_auto_t *reply = NULL;
        json_int_t trimmed = 0;
        const json_t *paths, *path;
        size_t i;

        if (ask(verb, "guest-fstrim", NULL, FSTRIM_S, &reply, err) < 0)
                return -1;
        paths = json_object_get(reply, "paths");
        json_array_foreach ((json_t *)paths, i, path)
                trimmed += json_member_integer(path, "trimmed");
        text = xasprintf("trimmed %lld bytes of %zu file systems", (long long)trimmed,
                         json_array_size(paths));
        return say(verb, text,
                   json_pack("{s:s, s:I, s:O}", "result", "trimmed", "bytes", trimmed, "reply", reply));
}

static int set_time(struct agent_verb *verb, struct error **err)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        if (ask(verb, "guest-set-time",
                json_pack("{s:I}", "time", (json_int_t)now.tv_sec * 1000000000 + now.tv_nsec), ASK_S, NULL,
                err) < 0)
                return -1;
        return say(verb, "the guest's clock is set to the host's", json_pack("{s:s}", "result", "set"));
}

/* raw COMMAND [ARGUMENTS], or raw {"execute": ..., "arguments": ...} */
static int raw(struct agent_verb *verb, struct error **err)
{
        struct verb_context *context = verb->context;
        const char *command = context->n_args > 2 ? context->args[2] : NULL;
        json_auto_t *whole = NULL, *reply = NULL;
        json_t *arguments = NULL;
        _cleanup_free_ char *text = NULL;
        json_error_t why;

        if (!command)
                return error_set(err, ERROR_USAGE, "agent raw: a command is needed");
        if (*command == '{') {
                whole = json_loads(command, JSON_REJECT_DUPLICATES, &why);
                if (!whole || json_unpack_ex(whole, &why, 0, "{s:s, s?:o!}", "execute", &command, "arguments",
                                             &arguments) < 0)
                        return error_set(err, ERROR_USAGE, "agent raw: %s", why.text);
                json_incref(arguments);
        } else if (context->n_args > 3) {
                arguments = json_loads(context->args[3], JSON_REJECT_DUPLICATES, &why);
                if (!arguments)
                        return error_set(err, ERROR_USAGE, "agent raw: the arguments: %s", why.text);
        }
        if (ask(verb, command, arguments, ASK_S, &reply, err) < 0)
                return -1;
        text = json_dumps(reply, JSON_COMPACT | JSON_ENCODE_ANY);
        printf("%s\n", text);
        return 0;
}

static int thaw(struct agent_verb *verb, struct error **err)
{
        json_auto_t *reply = NULL;
        _cleanup_free_ char *text = NULL;
        json_int_t n;

        if (control_client_call_within(verb->client, "vmlaunch-lease",
                                       json_pack("{s:s, s:s}", "action", "end", "kind", "freeze"), THAW_MS,
                                       &reply, err) < 0)
                return error_wrap(err, "thaw '%s'", verb->name);
        n = json_member_integer(reply, "thawed");
        text = xasprintf("thawed %lld file systems", (long long)n);
        return say(verb, text, json_pack("{s:s, s:I}", "result", "thawed", "filesystems", n));
}

/* Until somebody or something ends the freeze. */
struct hold {
        struct agent_verb *verb;
        bool stop; /* by us: a signal, or the end of stdin */
        bool ended;
        char *reason;
};

static bool on_event(const char *name, json_t *data, void *user)
{
        struct hold *hold = user;
        const char *kind = json_member_string(data, "kind");
        const char *state = json_member_string(data, "state");
        const char *reason = json_member_string(data, "reason");

        if (!name) {
                hold->ended = true;
                return true;
        }
        if (strcmp(name, "VMLAUNCH_LEASE") != 0 || !kind || !state || strcmp(kind, "freeze") != 0 ||
            strcmp(state, "held") == 0)
                return false;
        if (reason && !hold->reason)
                hold->reason = xstrdup(reason);
        hold->ended = strcmp(state, "ended") == 0;
        return hold->ended;
}

static void on_signal(const struct signalfd_siginfo *signal_info, void *data)
{
        struct hold *hold = data;

        (void)signal_info;
        hold->stop = true;
        control_client_wake(hold->verb->client);
}

static void on_stdin(struct loop_source *source, uint32_t events, void *data)
{
        struct hold *hold = data;
        char buffer[4096];

        (void)events;
        if (read(STDIN_FILENO, buffer, sizeof(buffer)) > 0)
                return;
        hold->stop = true;
        loop_remove(control_client_loop(hold->verb->client), source);
        control_client_wake(hold->verb->client);
}

/* Only what a parent holds open on purpose: /dev/null is at its end at once, and a terminal has Ctrl-C. */
static bool stdin_has_an_end(void)
{
        struct stat st;

        return fstat(STDIN_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

/* Says that it is frozen and waits. Who reads that may end us: its signals are taken before. */
static int hold_on(struct agent_verb *verb, const char *text, json_t *details_consume, struct error **err)
{
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP, 0 };
        struct loop *loop = control_client_loop(verb->client);
        struct hold hold = { .verb = verb };
        _cleanup_free_ char *reason = NULL;

        loop_add_signals(loop, signals, on_signal, &hold);
        say(verb, text, details_consume);
        if (stdin_has_an_end())
                loop_add_fd(loop, STDIN_FILENO, EPOLLIN, on_stdin, &hold);
        /* The supervisor keeps the limit. */
        while (!hold.stop && !hold.ended)
                if (control_client_wait(verb->client, fd_now_ms() + 3600000, on_event, &hold, err) < 0)
                        error_free(TAKE_PTR(*err));
        reason = TAKE_PTR(hold.reason);
        if (!hold.ended)
                return thaw(verb, err);
        if (!reason)
                return error_set(err, ERROR_DISCONNECTED,
                                 "freeze '%s': the connection to the supervisor has ended", verb->name);
        say(verb, "thawed", json_pack("{s:s, s:s}", "result", "thawed", "reason", reason));
        return error_set(err, text_starts_with(reason, "its limit") ? ERROR_DEADLINE : ERROR_CANCELLED,
                         "freeze '%s' has ended: %s", verb->name, reason);
}

static int freeze(struct agent_verb *verb, struct error **err)
{
        bool detach = verb_flag(verb->context, "detach");
        double timeout_s = timeout_of(verb, FREEZE_S);
        json_t *arguments = json_pack("{s:s, s:s, s:f, s:b}", "action", "begin", "kind", "freeze", "timeout",
                                      timeout_s, "detach", detach);
        json_auto_t *reply = NULL;
        _cleanup_free_ char *text = NULL;
        json_t *details;
        json_int_t n;

        if (control_client_call_within(verb->client, "vmlaunch-lease", arguments,
                                       (unsigned)(timeout_s * 1000) + ASK_GRACE_MS, &reply, err) < 0)
                return error_wrap(err, "freeze '%s'", verb->name);
        n = json_member_integer(reply, "filesystems");
        text = xasprintf("frozen %lld file systems, for at most %g s%s", (long long)n, timeout_s,
                         detach                                          ? " or until 'agent VM thaw'"
                         : isatty(STDIN_FILENO) && !verb->context->quiet ? "; Ctrl-C thaws"
                                                                         : "");
        details = json_pack("{s:s, s:I, s:f}", "result", "frozen", "filesystems", n, "timeout", timeout_s);
        return detach ? say(verb, text, details) : hold_on(verb, text, details, err);
}

int verb_agent(struct verb_context *context, struct error **err)
{
        static const struct {
                const char *name;
                size_t max_args;
                int (*run)(struct agent_verb *verb, struct error **err);
        } actions[] = {
                { "ping", 2, ping }, { "info", 2, info },     { "freeze", 2, freeze },
                { "thaw", 2, thaw }, { "fstrim", 2, fstrim }, { "set-time", 2, set_time },
                { "raw", 4, raw },
        };
        _cleanup_(agent_verb_done) struct agent_verb verb = { .context = context };
        size_t i = 0;

        while (i < ARRAY_SIZE(actions) && strcmp(actions[i].name, context->args[1]) != 0)
                i++;
        if (i == ARRAY_SIZE(actions))
                return error_set(err, ERROR_USAGE,
                                 "agent: '%s' is not one of ping, info, freeze, thaw, fstrim, set-time, raw",
                                 context->args[1]);
        if (context->n_args > actions[i].max_args)
                return error_set(err, ERROR_USAGE, "agent %s: too many arguments", actions[i].name);
        if (verb_flag(context, "detach") && actions[i].run != freeze)
                return error_set(err, ERROR_USAGE, "agent: --detach goes with freeze only");
        if (vm_find(&context->site->paths, context->args[0], &verb.name, err) < 0 ||
            control_client_open(&context->site->paths, verb.name, &verb.client, err) < 0)
                return -1;
        return actions[i].run(&verb, err);
}
