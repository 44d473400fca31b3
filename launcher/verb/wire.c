/* events and qmp: the control socket for people and scripts. */
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "base/utc.h"
#include "launcher/live/control_client.h"
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"

/* The control socket takes no more of an admin. */
#define COMMAND_MAX (1024u * 1024)

static int connect_to(struct verb_context *context, long long deadline, struct control_client **ret,
                      struct error **err)
{
        _cleanup_free_ char *name = NULL;

        if (vm_find(&context->site->paths, context->args[0], &name, err) < 0)
                return -1;
        return control_client_open_until(&context->site->paths, name, deadline, ret, err);
}

static void print_event(const json_t *event, enum output_format format)
{
        const json_t *stamp = json_object_get(event, "timestamp"), *data = json_object_get(event, "data");
        const char *name = json_member_string(event, "event");
        _cleanup_free_ char *whole = json_dumps(event, JSON_COMPACT), *shown = NULL;
        char time[UTC_STAMP_SIZE];

        if (format == OUTPUT_JSON) {
                printf("%s\n", whole);
                return;
        }
        shown = data ? json_dumps(data, JSON_COMPACT) : xstrdup("");
        utc_stamp(time, (time_t)json_member_integer(stamp, "seconds"),
                  (long)json_member_integer(stamp, "microseconds") % 1000000 * 1000);
        printf("%s %s %s\n", time, name ? name : "-", shown);
}

int verb_events(struct verb_context *context, struct error **err)
{
        long long deadline = context->timeout_s < 0 ? INT64_MAX : fd_now_ms() + verb_timeout_ms(context, 0);
        _cleanup_(control_client_freep) struct control_client *client = NULL;

        if (connect_to(context, deadline, &client, err) < 0)
                return -1;
        for (;;) {
                _cleanup_error_ struct error *late = NULL;
                json_auto_t *event = NULL;

                /* Who asked for some seconds of events has got them. */
                if (control_client_next(client, deadline, &event, &late) <= 0)
                        return 0;
                print_event(event, context->output);
                if (fflush(stdout) != 0)
                        return 0; /* whoever read us has gone */
        }
}

/* The exit status: 1 when QEMU's answer was an error, that of our own error when it was the supervisor's. */
static int ask(struct control_client *client, const char *text, struct error **err)
{
        json_error_t why;
        json_auto_t *command = json_loads(text, JSON_REJECT_DUPLICATES, &why), *reply = NULL;
        _cleanup_free_ char *line = NULL;

        if (!json_is_object(command))
                return error_set(err, ERROR_USAGE,
                                 "not a QMP command: %s (try '{\"execute\": \"query-status\"}')",
                                 command ? "it is no JSON object" : why.text);
        if (control_client_raw(client, command, &reply, err) < 0)
                return -1;
        /* The id is the caller's, and ours came back to us. */
        if (json_object_get(command, "id"))
                json_object_set(reply, "id", json_object_get(command, "id"));
        line = json_dumps(reply, JSON_COMPACT);
        printf("%s\n", line);
        fflush(stdout);
        return control_client_reply_status(reply);
}

int verb_qmp(struct verb_context *context, struct error **err)
{
        _cleanup_(control_client_freep) struct control_client *client = NULL;
        _cleanup_free_ char *line = NULL;
        size_t capacity = 0;
        int result = 0;

        if (connect_to(context, INT64_MAX, &client, err) < 0)
                return -1;
        if (context->n_args > 1) {
                result = ask(client, context->args[1], err);
        } else {
                while (result >= 0 && getline(&line, &capacity, stdin) > 0) {
                        int one;

                        if (strlen(line) > COMMAND_MAX)
                                return error_set(err, ERROR_USAGE, "a command is longer than 1 MiB");
                        if (line[strspn(line, " \t\r\n")] == '\0')
                                continue;
                        one = ask(client, line, err);
                        /* The first that went wrong. */
                        result = one < 0 || !result ? one : result;
                }
        }
        return result < 0 ? -1 : result;
}
