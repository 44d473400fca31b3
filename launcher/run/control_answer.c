/* What clients of the control socket are sent. */
#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "launcher/run/control_parts.h"

/* False: it is larger than what any client may leave unread, which is not this one's fault, and not sent. */
bool control_send(struct client *client, const json_t *message)
{
        _cleanup_error_ struct error *err = NULL;

        if (client->dead || json_stream_send(client->stream, message, NULL, 0, &err) == 0)
                return true;
        if (err->code == ERROR_BUSY && json_dumpb(message, NULL, 0, JSON_COMPACT) >= CONTROL_MAX_QUEUE)
                return false;
        control_cut_off(client, err->code == ERROR_BUSY ? "it does not read what it is sent" : NULL);
        return true;
}

void control_tell_wire(const struct client *client, bool sent, const json_t *message)
{
        const struct control *control = client->control;

        if (control->handlers.on_wire && !client->dead)
                control->handlers.on_wire(&client->peer, sent, message, control->data);
}

void control_send_answer(struct client *client, const json_t *id, const json_t *reply)
{
        _cleanup_free_ char *why = NULL;

        if (control_send(client, reply))
                return;
        why = xasprintf("the answer is larger than %u bytes", CONTROL_MAX_QUEUE);
        control_send_error(client, id, "GenericError", why);
}

/* told: the recorder is. Who asks for the status every second would leave nothing else in it. */
void control_send_return(struct client *client, const json_t *id, json_t *value_consume, bool told)
{
        json_auto_t *reply = json_object();

        json_object_set_new(reply, "return", value_consume);
        if (id)
                json_object_set(reply, "id", (json_t *)id);
        if (told)
                control_tell_wire(client, true, reply);
        control_send_answer(client, id, reply);
}

json_t *control_error_message(const char *class, const char *desc, const json_t *id)
{
        json_t *reply = json_object(), *body = json_object();
        json_t *text = json_string(desc);

        json_object_set_new(body, "class", json_string(class));
        /* What came from outside may be no UTF-8. */
        json_object_set_new(body, "desc", text ? text : json_string("an error whose text is no UTF-8"));
        json_object_set_new(reply, "error", body);
        if (id)
                json_object_set(reply, "id", (json_t *)id);
        return reply;
}

void control_send_error(struct client *client, const json_t *id, const char *class, const char *desc)
{
        json_auto_t *reply = control_error_message(class, desc, id);

        control_tell_wire(client, true, reply);
        control_send(client, reply);
}

/* QEMU's classes where they fit, ours where a client has to tell (docs/control-socket.md). */
const char *control_error_class(const struct error *error)
{
        switch (error->code) {
        case ERROR_QMP:
                /* None: it came by way of a helper process. */
                return error->qmp_class ? error->qmp_class : "GenericError";
        case ERROR_GUEST:
                return "GuestRefused";
        case ERROR_NOT_PERMITTED:
                return "NotPermitted";
        case ERROR_BUSY:
                return "Busy";
        case ERROR_DEADLINE:
                return "DeadlinePassed";
        case ERROR_NOT_RUNNING:
        case ERROR_DISCONNECTED:
                return "NotRunning";
        case ERROR_INVALID:
                return "TemplateInvalid";
        case ERROR_HOST:
                return "HostCannot";
        default:
                return "GenericError";
        }
}

void control_send_our_error(struct client *client, const json_t *id, const struct error *error)
{
        _cleanup_free_ char *text = error_text(error);

        assert(error);
        control_send_error(client, id, control_error_class(error), text);
}

void control_forget_call(struct control_call *call)
{
        if (call->control)
                for (struct control_call **at = &call->control->calls; *at; at = &(*at)->next)
                        if (*at == call) {
                                *at = call->next;
                                break;
                        }
        json_decref(call->id);
        json_decref(call->keys);
        free(call->name);
        free(call);
}

struct control_call *control_add_call(struct client *client, const json_t *id)
{
        struct control *control = client->control;
        struct control_call *call = xcalloc(1, sizeof(*call));

        call->control = control;
        call->client = client;
        call->id = json_incref((json_t *)id);
        call->next = control->calls;
        control->calls = call;
        client->in_flight++;
        return call;
}

struct control_call *control_answer_later(struct control *control)
{
        assert(control->asking);
        return control_add_call(control->asking, control->asking_id);
}

void control_answer(struct control_call *call, json_t *value_consume, const struct error *error)
{
        struct client *client = call->client;

        if (client) {
                client->in_flight--;
                if (value_consume)
                        control_send_return(client, call->id, value_consume, true);
                else
                        control_send_our_error(client, call->id, error);
        } else {
                json_decref(value_consume);
        }
        control_forget_call(call);
}
