#include "qmp/qmp_client.h"

#include "qmp/qmp_client_parts.h"

static int wait_for_state(struct qmp_client *client, enum client_state state, struct error **err)
{
        while (client->state < state)
                loop_step(client->loop, -1); /* waits: the greeting has a deadline in this loop */
        if (client->state != GONE)
                return 0;
        *err = error_copy(client->gone);
        return -1;
}

int qmp_client_wait_greeting(struct qmp_client *client, struct error **err)
{
        return wait_for_state(client, NEGOTIATING, err);
}

int qmp_client_wait_ready(struct qmp_client *client, struct error **err)
{
        return wait_for_state(client, READY, err);
}

struct waiting {
        bool done;
        json_t *reply;
        struct error *error;
};

static void waited(json_t *reply, const struct error *error, void *data)
{
        struct waiting *waiting = data;

        waiting->done = true;
        waiting->reply = json_incref(reply);
        waiting->error = error_copy(error);
}

int qmp_client_call_wait(struct qmp_client *client, const char *command, json_t *arguments,
                         enum qmp_class class, json_t **ret_reply, struct error **err)
{
        return qmp_client_call_within(client, command, arguments, qmp_class_ms(class), ret_reply, err);
}

int qmp_client_call_within(struct qmp_client *client, const char *command, json_t *arguments,
                           unsigned wait_ms, json_t **ret_reply, struct error **err)
{
        return qmp_client_call_fds_within(client, command, arguments, NULL, 0, wait_ms, ret_reply, err);
}

int qmp_client_call_fds_within(struct qmp_client *client, const char *command, json_t *arguments,
                               const int *fds, size_t n_fds, unsigned wait_ms, json_t **ret_reply,
                               struct error **err)
{
        struct waiting waiting = { 0 };
        struct loop *loop = client->loop;

        qmp_client_send(client, command, arguments, wait_ms, fds, n_fds, waited, &waiting);
        while (!waiting.done)
                loop_step(loop, -1); /* waits: the call has a deadline in this loop */
        if (waiting.error) {
                *err = waiting.error;
                return -1;
        }
        if (ret_reply)
                *ret_reply = waiting.reply;
        else
                json_decref(waiting.reply);
        return 0;
}
