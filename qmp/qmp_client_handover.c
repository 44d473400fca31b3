#include "qmp/qmp_client.h"

#include <assert.h>
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "qmp/json_stream.h"
#include "qmp/qmp_client_parts.h"

/* Of a message that is half here when another process goes on. */
#define HALF_MAX (8u << 20)

json_t *qmp_client_state(const struct qmp_client *client, int *ret_fd, struct error **err)
{
        _cleanup_free_ char *hex = NULL;
        const char *half;
        json_t *late;
        size_t n;

        assert(!client->busy);
        if (client->state != READY || client->n_waiting || !json_stream_is_open(client->stream) ||
            json_stream_unsent(client->stream)) {
                error_set(err, ERROR_BUSY, "a command waits for its answer");
                return NULL;
        }
        half = json_stream_half(client->stream, &n);
        if (n > HALF_MAX) {
                error_set(err, ERROR_BUSY, "a long answer is half here");
                return NULL;
        }
        hex = text_to_hex(half, n);
        late = json_array();
        for (const struct call *call = client->calls; call; call = call->next)
                json_array_append_new(late,
                                      json_pack("{s:I, s:s}", "id", call->id, "command", call->command));
        *ret_fd = json_stream_fd(client->stream);
        return json_pack("{s:I, s:o, s:s}", "last_id", client->last_id, "late", late, "half", hex);
}

static void nobody_waits(json_t *reply, const struct error *error, void *data)
{
        (void)reply;
        (void)error;
        (void)data;
}

static int take_late(struct qmp_client *client, const json_t *late, struct error **err)
{
        json_int_t last = client->last_id;
        json_t *each;
        size_t i;

        if (!json_is_array(late) || json_array_size(late) > LATE_MAX)
                return error_set(err, ERROR_FAILED, "late is no list of calls");
        json_array_foreach ((json_t *)late, i, each) {
                const char *command = json_member_string(each, "command");
                json_int_t id = json_member_integer(each, "id");
                struct call *call;

                if (!command || id <= 0 || id > last)
                        return error_set(err, ERROR_FAILED, "late has an entry that is no call");
                call = qmp_client_add_call(client, command, nobody_waits, NULL);
                call->id = id;
                call->late = true;
                client->n_waiting--;
                client->n_late++;
        }
        client->last_id = last;
        return 0;
}

struct qmp_client *qmp_client_resume(struct loop *loop, int fd_consume, const json_t *state,
                                     const struct qmp_client_handlers *handlers, void *data,
                                     struct error **err)
{
        _cleanup_(qmp_client_freep) struct qmp_client *client =
                qmp_client_make(loop, fd_consume, handlers, data);
        const json_t *last_id = json_object_get(state, "last_id");
        const char *hex = json_member_string(state, "half");
        _cleanup_free_ char *half = NULL;
        struct json_stream_rest rest = { 0 };

        client->state = READY;
        client->last_id = json_integer_value(last_id);
        if (!json_is_integer(last_id) || client->last_id <= 0 || !hex ||
            !text_from_hex(hex, &half, &rest.n_half)) {
                error_set(err, ERROR_FAILED, "last_id or half is missing");
                return NULL;
        }
        rest.half = half;
        if (take_late(client, json_object_get(state, "late"), err) < 0 ||
            json_stream_resume(client->stream, &rest, err) < 0)
                return NULL;
        return TAKE_PTR(client);
}
