/* What clients of the control socket say: checked, and done or sent on to QEMU. */
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/run/control_parts.h"
#include "launcher/state/crash_point.h"

/* QEMU's list: what this role may use of it, and ours. */
static json_t *commands_for(enum control_role role, const json_t *list)
{
        json_t *allowed = json_array(), *each;
        const struct control_command *row;
        size_t i;

        for (size_t n = 0; (row = control_command_at(n)); n++)
                if (row->kind == CONTROL_OWN && role >= row->role)
                        json_array_append_new(allowed, json_pack("{s:s}", "name", row->name));
        json_array_foreach (list, i, each) {
                const char *name = json_member_string(each, "name");
                struct control_command command;

                if (name && control_command_classify(name, NULL, &command) && role >= command.role)
                        json_array_append(allowed, each);
        }
        return allowed;
}

static void pass_reply(struct control_call *call, json_t *reply)
{
        json_auto_t *copy = json_copy(reply);

        if (call->lists_commands && json_is_array(json_object_get(reply, "return")))
                json_object_set_new(copy, "return",
                                    commands_for(call->role, json_object_get(reply, "return")));
        if (call->id)
                json_object_set(copy, "id", call->id);
        control_send_answer(call->client, call->id, copy);
}

/* The deadline has ended the waiting only. */
static void pass_deadline(struct control_call *call, const struct error *error)
{
        _cleanup_free_ char *text = error_text(error), *more = NULL;

        more = xasprintf("%s%s", text,
                         call->command.changes
                                 ? "; whether it was done is unknown: a query will show, or the "
                                   "event VMLAUNCH_LATE"
                                 : "");
        control_send_error(call->client, call->id, control_error_class(error), more);
}

static void on_reply(json_t *reply, const struct error *error, void *data)
{
        struct control_call *call = data;
        struct control *control = call->control;
        struct client *client = call->client;
        bool too_late = !reply && error->code == ERROR_DEADLINE;

        if (control && too_late && call->keys)
                unsettled_add(&control->unsettled, call->qemu_id, &call->command, call->keys);
        if (control && reply && call->command.shows != SHOWS_NOTHING && json_object_get(reply, "return"))
                unsettled_shown(&control->unsettled, call->command.shows, call->mark);
        if (client) {
                client->in_flight--;
                if (reply)
                        pass_reply(call, reply);
                else if (too_late)
                        pass_deadline(call, error);
                else
                        control_send_our_error(client, call->id, error);
        }
        control_forget_call(call);
        if (control && control->handlers.on_answer && (reply || too_late))
                control->handlers.on_answer(!too_late, control->data);
}

/* Is what the command would change known? */
static int check_settled(const struct control *control, const struct control_command *command,
                         const json_t *keys, struct error **err)
{
        const char *first = unsettled_blocks(&control->unsettled, keys);

        if (!first)
                return 0;
        error_set(err, ERROR_BUSY,
                  "'%s' was not answered in its time and what it did is not known: ask with %s first", first,
                  command->run_state ? "query-status" : "a query that shows it");
        return -1;
}

static bool is_too_busy(struct client *client, const json_t *id)
{
        if (client->in_flight < CONTROL_IN_FLIGHT)
                return false;
        control_send_error(client, id, "Busy", "too many commands of this client wait for their answers");
        return true;
}

/* What clients that have gone meanwhile had asked counts too. */
static bool are_others_too_busy(struct client *client, const json_t *id)
{
        unsigned n = 0;

        if (client->peer.role == ROLE_ADMIN)
                return false;
        for (const struct control_call *call = client->control->calls; call; call = call->next)
                n += call->name && call->role != ROLE_ADMIN;
        if (n < CONTROL_OTHERS_IN_FLIGHT)
                return false;
        control_send_error(client, id, "Busy", "too many commands of all clients wait for QEMU's answers");
        return true;
}

static void forward(struct client *client, const struct control_command *command, json_t *message,
                    const json_t *id, const int *fds, size_t n_fds)
{
        struct control *control = client->control;
        const json_t *arguments = json_object_get(message, "arguments");
        json_auto_t *keys = command->changes ? control_command_keys(command, arguments) : NULL;
        json_auto_t *renamed = NULL, *changed = NULL;
        _cleanup_error_ struct error *err = NULL;
        struct qmp_client *qmp;
        struct control_call *call;

        if (is_too_busy(client, id) || are_others_too_busy(client, id))
                return;
        if ((keys && check_settled(control, command, keys, &err) < 0) ||
            (keys && control->handlers.on_keys && control->handlers.on_keys(keys, control->data, &err) < 0) ||
            !(qmp = control->handlers.on_forward(command, &client->peer, control->data, &err)) ||
            fd_names_rewrite(&client->fd_names, command->name, arguments, &renamed, &err) < 0) {
                control_send_our_error(client, id, err);
                return;
        }
        if (renamed) {
                changed = json_copy(message);
                json_object_set(changed, "arguments", renamed);
        }
        call = control_add_call(client, id);
        call->command = *command;
        call->command.name = call->name = xstrdup(command->name);
        call->role = client->peer.role;
        call->lists_commands = strcmp(command->name, "query-commands") == 0;
        call->keys = json_incref(keys);
        call->mark = unsettled_mark(&control->unsettled);
        call->qemu_id = qmp_client_forward(qmp, changed ? changed : message, command->class, fds, n_fds,
                                           on_reply, call);
        crash_point(CRASH_COMMAND_SENT);
}

static void run_own(struct client *client, const struct control_command *command, json_t *arguments,
                    const json_t *id, int *fds, size_t n_fds)
{
        struct control *control = client->control;
        _cleanup_error_ struct error *err = NULL;
        json_t *value;

        if (is_too_busy(client, id))
                return;
        control->asking = client;
        control->asking_id = id;
        value = control->handlers.on_own(command, arguments, fds, n_fds, &client->peer, control->data, &err);
        control->asking = NULL;
        if (value)
                control_send_return(client, id, value, command->changes);
        else if (err)
                control_send_our_error(client, id, err);
}

static void negotiate(struct client *client, const json_t *arguments, const json_t *id)
{
        const json_t *enable = json_object_get(arguments, "enable");

        if (client->negotiated) {
                control_send_error(client, id, "CommandNotFound",
                                   "Capabilities negotiation is already complete, command ignored");
        } else if (enable && (!json_is_array(enable) || json_array_size(enable) > 0)) {
                control_send_error(client, id, "GenericError",
                                   "no capability is offered that could be enabled");
        } else {
                client->negotiated = true;
                control_send_return(client, id, json_object(), false);
        }
}

/* Of what a client may say, what changes something; a query that is passed on is told by QEMU's side of the wire. */
static bool is_told(const struct client *client, const char *name, const json_t *arguments)
{
        struct control_command command;

        if (!name || !client->negotiated)
                return !name || strcmp(name, "qmp_capabilities") != 0;
        return !control_command_classify(name, arguments, &command) || client->peer.role < command.role ||
               command.changes;
}

void control_on_message(json_t *message, int *fds, size_t n_fds, void *data)
{
        struct client *client = data;
        const json_t *id = json_object_get(message, "id");
        json_t *arguments = json_object_get(message, "arguments");
        const char *name = json_member_string(message, "execute");
        struct control_command command;
        const char *key;
        json_t *value;

        if (client->dead || client->control->finished)
                return;
        if (is_told(client, name, arguments))
                control_tell_wire(client, false, message);
        json_object_foreach (message, key, value) {
                if (strcmp(key, "execute") != 0 && strcmp(key, "arguments") != 0 && strcmp(key, "id") != 0) {
                        _cleanup_free_ char *shown = text_printable(key);
                        _cleanup_free_ char *desc = xasprintf("QMP input member '%s' is unexpected", shown);

                        control_send_error(client, id, "GenericError", desc);
                        return;
                }
        }
        if (!name) {
                control_send_error(client, id, "GenericError", "QMP input lacks member 'execute'");
                return;
        }
        if (arguments && !json_is_object(arguments)) {
                control_send_error(client, id, "GenericError",
                                   "QMP input member 'arguments' must be an object");
                return;
        }
        if (strcmp(name, "qmp_capabilities") == 0) {
                negotiate(client, arguments, id);
                return;
        }
        if (!client->negotiated) {
                control_send_error(client, id, "CommandNotFound",
                                   "Expecting capabilities negotiation with 'qmp_capabilities'");
                return;
        }
        if (!control_command_classify(name, arguments, &command)) {
                _cleanup_free_ char *shown = text_printable(name);
                _cleanup_free_ char *desc = xasprintf("The command %s has not been found", shown);

                control_send_error(client, id, "CommandNotFound", desc);
        } else if (client->peer.role < command.role) {
                _cleanup_free_ char *shown = text_printable(name);
                _cleanup_free_ char *desc =
                        xasprintf("%s needs the role %s, and this connection's is %s", shown,
                                  control_role_name(command.role), control_role_name(client->peer.role));

                control_send_error(client, id, "NotPermitted", desc);
        } else if (command.kind == CONTROL_OWN) {
                run_own(client, &command, arguments, id, fds, n_fds);
        } else {
                forward(client, &command, message, id, fds, n_fds);
        }
}
