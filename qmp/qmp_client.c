#include "qmp/qmp_client.h"

#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "qmp/json_stream.h"
#include "qmp/qmp_client_parts.h"
#include "qmp/reply.h"

/* The largest reply is query-qmp-schema, 200 KiB; query-named-block-nodes grows with disks and snapshots. */
#define MESSAGE_MAX (16u << 20)
#define MESSAGE_MS  10000
#define QUEUE_MAX   (1u << 20)
#define CALLS_MAX   256

static const unsigned class_ms[] = { [QMP_QUERY] = 500, [QMP_MUTATE] = 5000, [QMP_HEAVY] = 30000 };

unsigned qmp_class_ms(enum qmp_class class)
{
        return class_ms[class];
}

static void call_free(struct call *call)
{
        error_free(call->error);
        free(call->command);
        free(call);
}

static void leave(struct qmp_client *client)
{
        if (--client->busy)
                return;
        if (client->freed) {
                json_decref(client->greeting);
                error_free(client->gone);
                free(client);
        }
}

static void unlink_call(struct qmp_client *client, struct call *call)
{
        for (struct call **at = &client->calls; *at; at = &(*at)->next)
                if (*at == call) {
                        *at = call->next;
                        if (!*at)
                                client->calls_end = at;
                        break;
                }
        loop_remove(client->loop, call->deadline);
        call->deadline = NULL;
        if (call->late)
                client->n_late--;
        else
                client->n_waiting--;
}

/* The call's only callback, and its end. */
static void finish(struct qmp_client *client, struct call *call, json_t *reply, const struct error *error)
{
        unlink_call(client, call);
        call->fn(reply, error, call->data);
        call_free(call);
}

static void finish_disconnected(struct qmp_client *client, struct call *call, const char *why)
{
        struct error *error = NULL;

        error_set(&error, ERROR_DISCONNECTED, "%s: %s", call->command, why);
        finish(client, call, NULL, error);
        error_free(error);
}

static void forget_late(struct qmp_client *client, struct call *call)
{
        unlink_call(client, call);
        call_free(call);
}

/* Every call up to the newest one of now: a callback that asks again gets its answer from the loop. */
static void finish_all(struct qmp_client *client, const char *why)
{
        json_int_t newest = client->last_id;

        while (client->calls && client->calls->id <= newest) {
                if (client->calls->late)
                        forget_late(client, client->calls);
                else
                        finish_disconnected(client, client->calls, why);
        }
}

static void close_wire(struct qmp_client *client)
{
        json_stream_free(client->stream);
        client->stream = NULL;
        loop_remove(client->loop, client->greeting_deadline);
        loop_remove(client->loop, client->pause);
        client->greeting_deadline = client->pause = NULL;
        client->state = GONE;
}

/* The connection has ended. Steals the error. */
static void disconnect(struct qmp_client *client, struct error *error)
{
        _cleanup_free_ char *why = error_text(error);

        close_wire(client);
        client->gone = error;
        finish_all(client, why);
        if (!client->freed && client->handlers.on_disconnect)
                client->handlers.on_disconnect(error, client->data);
}

static void greeting_deadline_passed(void *data)
{
        struct qmp_client *client = data;
        struct error *error = NULL;

        client->greeting_deadline = NULL;
        if (client->state == GREETING)
                error_set(&error, ERROR_DEADLINE,
                          "no QMP greeting within %u ms (a monitor serves one client at a time)",
                          client->greeting_ms);
        else
                error_set(&error, ERROR_DEADLINE, "qmp_capabilities: no answer within %u ms",
                          client->greeting_ms);
        client->busy++;
        disconnect(client, error);
        leave(client);
}

static void call_deadline_passed(void *data)
{
        struct call *call = data;
        struct qmp_client *client = call->client;
        struct error *error = NULL;
        qmp_reply_fn *fn = call->fn;
        void *fn_data = call->data;

        call->deadline = NULL;
        client->busy++;
        if (call->error) {
                finish(client, call, NULL, call->error);
                leave(client);
                return;
        }
        error_set(&error, ERROR_DEADLINE, "%s: no answer within %u ms", call->command, call->wait_ms);
        call->late = true;
        client->n_waiting--;
        if (++client->n_late > LATE_MAX) {
                struct call *oldest = client->calls;

                while (!oldest->late)
                        oldest = oldest->next;
                forget_late(client, oldest);
        }
        fn(NULL, error, fn_data);
        error_free(error);
        leave(client);
}

struct call *qmp_client_add_call(struct qmp_client *client, const char *command, qmp_reply_fn *fn, void *data)
{
        struct call *call = xcalloc(1, sizeof(*call));

        call->client = client;
        call->id = ++client->last_id;
        call->command = text_printable(command);
        call->fn = fn;
        call->data = data;
        *client->calls_end = call;
        client->calls_end = &call->next;
        client->n_waiting++;
        if (strncmp(command, "query-", strlen("query-")) != 0 && strcmp(command, "qom-list") != 0)
                client->changes++;
        return call;
}

/* Sends message (stolen), which has the id of call. wait_ms 0: somebody else sees to the deadline. */
static void submit(struct qmp_client *client, struct call *call, json_t *message, unsigned wait_ms,
                   const int *fds, size_t n_fds)
{
        if (client->freed) {
                finish_disconnected(client, call, "the connection was closed");
                json_decref(message);
                return;
        }
        if (client->state == GONE)
                error_set(&call->error, ERROR_DISCONNECTED, "the connection was closed");
        else if (client->state == GREETING)
                error_set(&call->error, ERROR_BUSY, "the connection is not ready yet");
        else if (client->n_waiting > CALLS_MAX)
                error_set(&call->error, ERROR_BUSY, "%u commands wait for an answer", CALLS_MAX);
        else
                json_stream_send(client->stream, message, fds, n_fds, &call->error);
        if (call->error) {
                error_wrap(&call->error, "%s", call->command);
                wait_ms = 0;
        }
        call->wait_ms = wait_ms;
        if (call->error || wait_ms)
                call->deadline = loop_add_deadline(client->loop, wait_ms, call_deadline_passed, call);
        json_decref(message);
}

void qmp_client_send(struct qmp_client *client, const char *command, json_t *arguments, unsigned wait_ms,
                     const int *fds, size_t n_fds, qmp_reply_fn *fn, void *data)
{
        struct call *call = qmp_client_add_call(client, command, fn, data);

        submit(client, call,
               json_pack("{s:s, s:o*, s:I}", "execute", command, "arguments", arguments, "id", call->id),
               wait_ms, fds, n_fds);
}

void qmp_client_call(struct qmp_client *client, const char *command, json_t *arguments, enum qmp_class class,
                     const int *fds, size_t n_fds, qmp_reply_fn *fn, void *data)
{
        qmp_client_send(client, command, arguments, class_ms[class], fds, n_fds, fn, data);
}

json_int_t qmp_client_forward(struct qmp_client *client, const json_t *message, enum qmp_class class,
                              const int *fds, size_t n_fds, qmp_reply_fn *fn, void *data)
{
        return qmp_client_forward_within(client, message, class_ms[class], fds, n_fds, fn, data);
}

json_int_t qmp_client_forward_within(struct qmp_client *client, const json_t *message, unsigned wait_ms,
                                     const int *fds, size_t n_fds, qmp_reply_fn *fn, void *data)
{
        const char *command = json_member_string(message, "execute");
        struct call *call =
                qmp_client_add_call(client, command ? command : "a command without name", fn, data);
        json_t *copy = json_copy((json_t *)message);
        json_int_t id = call->id;

        call->whole = true;
        json_object_set_new(copy, "id", json_integer(id));
        submit(client, call, copy, wait_ms, fds, n_fds);
        return id;
}

static void negotiated(json_t *reply, const struct error *error, void *data)
{
        struct qmp_client *client = data;

        (void)reply;
        if (client->freed || client->state == GONE)
                return;
        if (error) {
                disconnect(client, error_copy(error));
                return;
        }
        loop_remove(client->loop, client->greeting_deadline);
        client->greeting_deadline = NULL;
        client->state = READY;
        if (client->handlers.on_ready)
                client->handlers.on_ready(client->greeting, client->data);
}

static void take_greeting(struct qmp_client *client, json_t *message)
{
        struct call *call;

        if (!json_is_object(json_object_get(message, "QMP"))) {
                const json_t *refusal = json_object_get(message, "error");
                struct error *error = NULL;

                if (json_is_object(refusal))
                        reply_error(&error, "connect", refusal);
                else
                        error_set(&error, ERROR_FAILED,
                                  "what answers is not QMP: its first message is no greeting");
                disconnect(client, error);
                return;
        }
        client->greeting = json_incref(message);
        client->state = NEGOTIATING;
        call = qmp_client_add_call(client, "qmp_capabilities", negotiated, client);
        submit(client, call, json_pack("{s:s, s:I}", "execute", "qmp_capabilities", "id", call->id), 0, NULL,
               0);
}

static struct call *find_call(struct qmp_client *client, const json_t *message)
{
        const json_t *id = json_object_get(message, "id");

        for (struct call *call = client->calls; call && json_is_integer(id); call = call->next)
                if (call->id == json_integer_value(id) && !call->error)
                        return call;
        return NULL;
}

static void take_reply(struct qmp_client *client, json_t *message)
{
        json_t *result = json_object_get(message, "return");
        const json_t *refusal = json_object_get(message, "error");
        struct call *call = result || refusal ? find_call(client, message) : NULL;
        struct error *error = NULL;

        /* Without id, or with one that nobody waits for. */
        if (!call)
                return;
        if (call->late) {
                _cleanup_free_ char *command = TAKE_PTR(call->command);
                json_int_t id = call->id;

                forget_late(client, call);
                json_object_del(message, "id");
                if (client->handlers.on_late)
                        client->handlers.on_late(command, id, message, client->data);
        } else if (call->whole) {
                json_object_del(message, "id");
                finish(client, call, message, NULL);
        } else if (refusal) {
                reply_error(&error, call->command, refusal);
                finish(client, call, NULL, error);
                error_free(error);
        } else {
                finish(client, call, result, NULL);
        }
}

static void fill_bucket(struct qmp_client *client)
{
        long long now = fd_now_ms(), filled = (now - client->events_ms) * client->events_per_second / 1000;

        if (filled > 0) {
                client->events_left += filled;
                client->events_ms = now;
        }
        if (client->events_left > client->events_burst)
                client->events_left = client->events_burst;
}

static void read_on(void *data)
{
        struct qmp_client *client = data;
        long long wait_ms;

        client->pause = NULL;
        fill_bucket(client);
        /* What one read brought beyond the bucket is waited for. */
        if (client->events_left > 0) {
                json_stream_set_reading(client->stream, true);
                return;
        }
        wait_ms = (1 - client->events_left) * 1000 / client->events_per_second + 1;
        client->pause = loop_add_deadline(client->loop, (uint64_t)wait_ms, read_on, client);
}

/* A bucket that holds a burst and fills at the pace. */
static void count_event(struct qmp_client *client)
{
        if (!client->events_per_second)
                return;
        fill_bucket(client);
        if (--client->events_left > 0 || client->pause)
                return;
        json_stream_set_reading(client->stream, false);
        client->pause = loop_add_deadline(client->loop, 0, read_on, client);
}

static void on_message(json_t *message, int *fds, size_t n_fds, void *data)
{
        struct qmp_client *client = data;
        const char *event = json_member_string(message, "event");

        (void)fds;
        (void)n_fds;
        client->busy++;
        if (client->state == GREETING)
                take_greeting(client, message);
        else if (!event)
                take_reply(client, message);
        else {
                count_event(client);
                if (client->handlers.on_event)
                        client->handlers.on_event(event, json_object_get(message, "data"), message,
                                                  client->data);
        }
        leave(client);
}

static void on_closed(const struct error *error, void *data)
{
        struct qmp_client *client = data;

        client->busy++;
        disconnect(client, error_copy(error));
        leave(client);
}

struct qmp_client *qmp_client_make(struct loop *loop, int fd_consume,
                                   const struct qmp_client_handlers *handlers, void *data)
{
        static const struct json_stream_options options = { .max_message = MESSAGE_MAX,
                                                            .message_ms = MESSAGE_MS,
                                                            .max_queue = QUEUE_MAX };
        static const struct json_stream_handlers stream_handlers = { .on_message = on_message,
                                                                     .on_closed = on_closed };
        struct qmp_client *client = xcalloc(1, sizeof(*client));

        client->loop = loop;
        client->handlers = *handlers;
        client->data = data;
        client->calls_end = &client->calls;
        client->stream = json_stream_new(loop, fd_consume, &options, &stream_handlers, client);
        return client;
}

struct qmp_client *qmp_client_new(struct loop *loop, int fd_consume, unsigned greeting_ms,
                                  const struct qmp_client_handlers *handlers, void *data)
{
        struct qmp_client *client = qmp_client_make(loop, fd_consume, handlers, data);

        client->greeting_ms = greeting_ms;
        client->greeting_deadline = loop_add_deadline(loop, greeting_ms, greeting_deadline_passed, client);
        return client;
}

void qmp_client_free(struct qmp_client *client)
{
        if (!client || client->freed)
                return;
        client->busy++;
        client->freed = true;
        close_wire(client);
        finish_all(client, "the connection was closed");
        leave(client);
}

void qmp_client_set_tap(struct qmp_client *client, json_stream_tap_fn *fn, void *data)
{
        json_stream_set_tap(client->stream, fn, data);
}

void qmp_client_limit_events(struct qmp_client *client, unsigned burst, unsigned per_second)
{
        client->events_burst = burst;
        client->events_per_second = per_second;
        client->events_left = burst;
        client->events_ms = fd_now_ms();
}

bool qmp_client_is_ready(const struct qmp_client *client)
{
        return client->state == READY;
}

unsigned long long qmp_client_changes(const struct qmp_client *client)
{
        return client->changes;
}
