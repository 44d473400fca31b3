#include "qmp/qga_client.h"

#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "qmp/json_stream.h"
#include "qmp/reply.h"

#define REPLY_MAX    (1u << 20)
#define QUEUE_MAX    (1u << 20)
#define REQUESTS_MAX 16

struct request {
        struct request *next;
        char *command;
        json_t *arguments;
        unsigned timeout_ms;
        bool silent; /* no reply when it works */
        bool urgent; /* written behind its sync at once; timeout_ms is for both */
        struct qga_outcome outcome;
        qga_reply_fn *fn;
        void *data;
        struct error *error; /* decided outside of the loop; both NULL: silence was the answer */
};

enum qga_state { IDLE, SYNCING, ASKED, GONE };

struct qga_client {
        struct loop *loop;
        struct json_stream *stream;
        void (*on_disconnect)(const struct error *error, void *data);
        void *data;
        enum qga_state state;
        bool port_closed;
        uint32_t number;                          /* of the last sync */
        struct request *requests, **requests_end; /* the first one is under way unless IDLE */
        struct request *decided, **decided_end;   /* their callbacks come from the loop */
        unsigned n_requests;
        struct loop_source *deadline, *kick;
        struct qga_outcome outcome; /* of the request whose callback runs */
        bool freed;                 /* memory goes when the callback that did it has returned */
        unsigned busy;              /* callbacks of ours on the stack */
};

static void request_free(struct request *request)
{
        free(request->command);
        json_decref(request->arguments);
        error_free(request->error);
        free(request);
}

static void leave(struct qga_client *client)
{
        if (--client->busy == 0 && client->freed)
                free(client);
}

static void set_deadline(struct qga_client *client, unsigned ms);

static struct request *take_first(struct request **first, struct request ***last)
{
        struct request *request = *first;

        *first = request->next;
        if (!*first)
                *last = first;
        request->next = NULL;
        return request;
}

static void append(struct request ***last, struct request *request)
{
        **last = request;
        *last = &request->next;
}

static void send_command(struct qga_client *client, const char *command, json_t *arguments)
{
        json_t *message = json_pack("{s:s, s:O*}", "execute", command, "arguments", arguments);
        struct error *error = NULL;

        /* What cannot be sent is not answered: the deadline or the end of the stream speaks for it. */
        json_stream_send(client->stream, message, NULL, 0, &error);
        error_free(error);
        json_decref(message);
}

static void send_sync(struct qga_client *client, const char *command)
{
        json_t *arguments = json_pack("{s:I}", "id", (json_int_t)++client->number);

        send_command(client, command, arguments);
        json_decref(arguments);
}

static void send_request(struct qga_client *client, struct request *request)
{
        request->outcome.sent = true;
        send_command(client, request->command, request->arguments);
        if (request->silent)
                send_sync(client, "guest-sync");
}

static void call_back(struct qga_client *client, struct request *request, json_t *reply,
                      const struct error *error)
{
        client->outcome = request->outcome;
        request->fn(reply, error, request->data);
        request_free(request);
}

/* Begins the conversation of the first request, or rests. */
static void start(struct qga_client *client)
{
        struct request *request = client->requests;
        struct error *error = NULL;

        set_deadline(client, 0);
        if (client->state == GONE)
                return;
        /* A half request that the agent did not take is repaired by the 0xFF of the next one. */
        json_stream_drop_unsent(client->stream);
        json_stream_set_reading(client->stream, request != NULL);
        client->state = request ? SYNCING : IDLE;
        if (!request)
                return;
        json_stream_send_bytes(client->stream, "\xff", 1, &error);
        error_free(error);
        json_stream_skip_to_ff(client->stream);
        send_sync(client, "guest-sync-delimited");
        if (request->urgent)
                send_request(client, request);
        set_deadline(client, request->timeout_ms < QGA_SYNC_MS || request->urgent ? request->timeout_ms
                                                                                  : QGA_SYNC_MS);
}

/* Ends the first request and goes on with the next. From the loop only. */
static void finish(struct qga_client *client, json_t *reply, const struct error *error)
{
        struct request *request = take_first(&client->requests, &client->requests_end);

        client->n_requests--;
        if (client->state != GONE)
                client->state = IDLE;
        set_deadline(client, 0);
        call_back(client, request, reply, error);
        if (!client->freed && client->state == IDLE)
                start(client);
}

static void finish_with(struct qga_client *client, enum error_code code, const char *why)
{
        struct error *error = NULL;

        error_set(&error, code, "guest agent: %s: %s", client->requests->command, why);
        finish(client, NULL, error);
        error_free(error);
}

static void acknowledge(struct qga_client *client)
{
        json_t *null = json_null();

        finish(client, null, NULL);
}

static void deadline_passed(void *data)
{
        struct qga_client *client = data;

        client->deadline = NULL;
        client->busy++;
        if (client->state == SYNCING)
                finish_with(client, ERROR_DEADLINE, "it does not answer guest-sync-delimited");
        else
                finish_with(client, ERROR_DEADLINE, "no answer in time");
        leave(client);
}

/* 0: none. */
static void set_deadline(struct qga_client *client, unsigned ms)
{
        loop_remove(client->loop, client->deadline);
        client->deadline = ms ? loop_add_deadline(client->loop, ms, deadline_passed, client) : NULL;
}

/* Calls what has been decided outside of the loop. */
static void finish_decided(struct qga_client *client)
{
        struct request *last = NULL;

        /* Up to the last one of now: a callback that asks again waits for the next round. */
        for (struct request *r = client->decided; r; r = r->next)
                last = r;
        while (client->decided && last) {
                struct request *request = take_first(&client->decided, &client->decided_end);

                if (request == last)
                        last = NULL;
                call_back(client, request, request->error ? NULL : json_null(), request->error);
        }
}

static void kicked(void *data)
{
        struct qga_client *client = data;

        client->kick = NULL;
        client->busy++;
        finish_decided(client);
        if (!client->freed && client->state == IDLE && client->requests)
                start(client);
        leave(client);
}

static void kick(struct qga_client *client)
{
        if (!client->kick)
                client->kick = loop_add_deadline(client->loop, 0, kicked, client);
}

static void decide(struct qga_client *client, struct request *request, enum error_code code, const char *why)
{
        error_set(&request->error, code, "guest agent: %s: %s", request->command, why);
        append(&client->decided_end, request);
        kick(client);
}

/* The first request was a shutdown that the agent has been told: its silence is an answer. */
static bool end_is_answer(const struct qga_client *client)
{
        return client->state == ASKED && client->requests->silent && !json_stream_unsent(client->stream);
}

/* Fails whatever waits, the first as acknowledged if its end is the answer. Callbacks come later. */
static void decide_all(struct qga_client *client, enum error_code code, const char *why)
{
        bool answered = end_is_answer(client);

        while (client->requests) {
                struct request *request = take_first(&client->requests, &client->requests_end);

                client->n_requests--;
                if (answered)
                        append(&client->decided_end, request);
                else
                        decide(client, request, code, why);
                answered = false;
        }
}

/*
 * While its guest is frozen the agent refuses all but a few commands, with the class of a command that it does not have
 * (qga/main.c, ga_disable_not_allowed_freeze()). Only the text tells them apart.
 */
static bool is_frozen(const json_t *refusal)
{
        const char *class = json_member_string(refusal, "class");
        const char *desc = json_member_string(refusal, "desc");

        return class && desc && strcmp(class, "CommandNotFound") == 0 && strstr(desc, "frozen");
}

static void take_answer(struct qga_client *client, json_t *message)
{
        json_t *result = json_object_get(message, "return");
        const json_t *refusal = json_object_get(message, "error");
        struct error *error = NULL;

        if (refusal && is_frozen(refusal)) {
                client->requests->outcome.frozen = true;
                finish_with(client, ERROR_BUSY, "the guest's file systems are frozen");
        } else if (refusal) {
                reply_error(&error, client->requests->command, refusal);
                error_wrap(&error, "guest agent");
                finish(client, NULL, error);
                error_free(error);
        } else if (!result) {
                finish_with(client, ERROR_GUEST, "what it sent is no answer");
        } else if (client->requests->silent) {
                acknowledge(client);
        } else {
                finish(client, result, NULL);
        }
}

static void on_message(json_t *message, int *fds, size_t n_fds, void *data)
{
        struct qga_client *client = data;
        const json_t *number = json_object_get(message, "return");
        struct request *request = client->requests;

        (void)fds;
        (void)n_fds;
        client->busy++;
        if (client->state == ASKED) {
                take_answer(client, message);
        } else if (client->state == SYNCING) {
                if (!json_is_integer(number) || json_integer_value(number) != client->number) {
                        /* The answer to an earlier sync, ours or another client's. */
                        json_stream_skip_to_ff(client->stream);
                } else {
                        client->state = ASKED;
                        if (!request->outcome.sent) {
                                send_request(client, request);
                                set_deadline(client, request->timeout_ms);
                        }
                }
        }
        leave(client);
}

static void on_garbage(const struct error *error, void *data)
{
        struct qga_client *client = data;

        client->busy++;
        if (client->state == ASKED) {
                _cleanup_free_ char *why = error_text(error);

                finish_with(client, ERROR_GUEST, why);
        }
        leave(client);
}

static void close_wire(struct qga_client *client)
{
        json_stream_free(client->stream);
        client->stream = NULL;
        set_deadline(client, 0);
        client->state = GONE;
}

static void on_closed(const struct error *error, void *data)
{
        struct qga_client *client = data;

        client->busy++;
        decide_all(client, ERROR_DISCONNECTED, "the connection was closed");
        close_wire(client);
        finish_decided(client);
        if (!client->freed && client->on_disconnect)
                client->on_disconnect(error, client->data);
        leave(client);
}

struct qga_client *qga_client_new(struct loop *loop, int fd_consume,
                                  void (*on_disconnect)(const struct error *error, void *data), void *data)
{
        /* A half message is over when its request is: the stream's own limit only has to be later. */
        static const struct json_stream_options options = {
                .max_message = REPLY_MAX, .message_ms = 600000, .max_queue = QUEUE_MAX, .lenient = true
        };
        static const struct json_stream_handlers handlers = { .on_message = on_message,
                                                              .on_garbage = on_garbage,
                                                              .on_closed = on_closed };
        struct qga_client *client = xcalloc(1, sizeof(*client));

        client->loop = loop;
        client->on_disconnect = on_disconnect;
        client->data = data;
        client->requests_end = &client->requests;
        client->decided_end = &client->decided;
        /* Not to be guessed by what an earlier client may have left behind; no secret. */
        if (getrandom(&client->number, sizeof(client->number), GRND_NONBLOCK) < 0)
                client->number = (uint32_t)fd_now_ms();
        client->stream = json_stream_new(loop, fd_consume, &options, &handlers, client);
        json_stream_set_reading(client->stream, false);
        return client;
}

int qga_client_fd(const struct qga_client *client)
{
        return client->stream ? json_stream_fd(client->stream) : -1;
}

void qga_client_set_tap(struct qga_client *client, json_stream_tap_fn *fn, void *data)
{
        json_stream_set_tap(client->stream, fn, data);
}

void qga_client_free(struct qga_client *client)
{
        if (!client || client->freed)
                return;
        client->busy++;
        client->freed = true;
        if (client->state != GONE) {
                decide_all(client, ERROR_DISCONNECTED, "the connection was closed");
                close_wire(client);
        }
        finish_decided(client);
        loop_remove(client->loop, client->kick);
        client->kick = NULL;
        leave(client);
}

void qga_client_set_open(struct qga_client *client, bool open)
{
        client->port_closed = !open;
        if (open || client->state == GONE)
                return;
        decide_all(client, ERROR_GUEST, "it is not running");
        if (client->decided)
                kick(client);
        client->state = IDLE;
        start(client);
}

/* A freeze that waits for its turn would come after the thaw that undoes it. */
static void give_up_waiting_freezes(struct qga_client *client)
{
        struct request **at = &client->requests;

        /* The first one is under way, unless IDLE. */
        if (client->state != IDLE && *at)
                at = &(*at)->next;
        while (*at) {
                struct request *request = *at;

                if (strcmp(request->command, "guest-fsfreeze-freeze") != 0) {
                        at = &request->next;
                        continue;
                }
                *at = request->next;
                request->next = NULL;
                client->n_requests--;
                decide(client, request, ERROR_BUSY, "given up, the guest is to be thawed");
        }
        client->requests_end = at;
}

/* Before all that wait; what is under way is given up. */
static void begin_now(struct qga_client *client, struct request *request)
{
        give_up_waiting_freezes(client);
        if (client->state != IDLE && client->requests) {
                struct request *given_up = take_first(&client->requests, &client->requests_end);

                client->n_requests--;
                decide(client, given_up, ERROR_BUSY, "given up, the guest is to be thawed");
        }
        request->next = client->requests;
        client->requests = request;
        if (!request->next)
                client->requests_end = &request->next;
        client->n_requests++;
        start(client);
}

static void submit(struct qga_client *client, struct request *request)
{
        if (client->freed) {
                error_set(&request->error, ERROR_DISCONNECTED, "guest agent: %s: the connection was closed",
                          request->command);
                call_back(client, request, NULL, request->error);
        } else if (client->state == GONE) {
                decide(client, request, ERROR_DISCONNECTED, "the connection was closed");
        } else if (client->port_closed) {
                decide(client, request, ERROR_GUEST, "it is not running");
        } else if (request->urgent) {
                begin_now(client, request);
        } else if (client->n_requests >= REQUESTS_MAX) {
                decide(client, request, ERROR_BUSY, "too many requests wait");
        } else {
                append(&client->requests_end, request);
                client->n_requests++;
                kick(client);
        }
}

static struct request *request_new(const char *command, json_t *arguments_consume, unsigned timeout_ms,
                                   qga_reply_fn *fn, void *data)
{
        struct request *request = xcalloc(1, sizeof(*request));

        request->command = xstrdup(command);
        request->arguments = arguments_consume;
        request->timeout_ms = timeout_ms ? timeout_ms : 1;
        request->fn = fn;
        request->data = data;
        return request;
}

void qga_client_call(struct qga_client *client, const char *command, json_t *arguments_consume,
                     unsigned timeout_ms, qga_reply_fn *fn, void *data)
{
        struct request *request = request_new(command, arguments_consume, timeout_ms, fn, data);

        request->silent = qga_command_is_silent(command);
        submit(client, request);
}

bool qga_command_is_silent(const char *command)
{
        return strcmp(command, "guest-shutdown") == 0 || text_starts_with(command, "guest-suspend-");
}

const struct qga_outcome *qga_client_outcome(const struct qga_client *client)
{
        return &client->outcome;
}

void qga_client_ping(struct qga_client *client, unsigned timeout_ms, qga_reply_fn *fn, void *data)
{
        qga_client_call(client, "guest-ping", NULL, timeout_ms, fn, data);
}

void qga_client_shutdown(struct qga_client *client, const char *mode, qga_reply_fn *fn, void *data)
{
        qga_client_call(client, "guest-shutdown", json_pack("{s:s}", "mode", mode), QGA_COMMAND_MS, fn, data);
}

void qga_client_freeze(struct qga_client *client, unsigned timeout_ms, qga_reply_fn *fn, void *data)
{
        qga_client_call(client, "guest-fsfreeze-freeze", NULL, timeout_ms, fn, data);
}

void qga_client_thaw(struct qga_client *client, unsigned timeout_ms, qga_reply_fn *fn, void *data)
{
        struct request *request = request_new("guest-fsfreeze-thaw", NULL, timeout_ms, fn, data);

        request->urgent = true;
        submit(client, request);
}

void qga_client_freeze_status(struct qga_client *client, unsigned timeout_ms, qga_reply_fn *fn, void *data)
{
        qga_client_call(client, "guest-fsfreeze-status", NULL, timeout_ms, fn, data);
}

void qga_client_sync_time(struct qga_client *client, unsigned timeout_ms, qga_reply_fn *fn, void *data)
{
        qga_client_call(client, "guest-set-time", NULL, timeout_ms, fn, data);
}
