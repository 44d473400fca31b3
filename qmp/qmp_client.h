/*
 * qmp_client - one QMP connection: greeting, calls with ids and deadlines, events.
 *
 * On the loop; never blocks but in the two _wait functions. Also speaks to vmlaunch's control socket, which
 * is QMP. Ids are integers of our own. Every call ends in exactly one call of its callback, from the loop
 * (or from qmp_client_free()), never from inside the call itself:
 *
 *   reply, NULL       QEMU's answer, borrowed
 *   NULL, ERROR_QMP   QEMU's error: qmp_class
 *   NULL, ERROR_DEADLINE      no answer in the time of its class. This ends the waiting, not the command:
 *                     its effect is unknown, a late answer goes to on_late and never to another call
 *   NULL, ERROR_DISCONNECTED  the connection ended, or the client was freed
 *   NULL, ERROR_BUSY  not ready yet, or too many calls or bytes are waiting; nothing was sent
 *
 * Calls before on_ready fail with ERROR_BUSY. Callbacks may make calls and may free the client. Events may
 * come before the reply of the command that caused them.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"
#include "qmp/json_stream.h"

/* How long an answer may take (DESIGN section 6): 0.5 s, 5 s, 30 s. */
enum qmp_class { QMP_QUERY, QMP_MUTATE, QMP_HEAVY };
unsigned qmp_class_ms(enum qmp_class class);

typedef void qmp_reply_fn(json_t *reply, const struct error *error, void *data);

/* All may be NULL; everything lent. */
struct qmp_client_handlers {
        /* Capabilities are negotiated. greeting: the whole {"QMP": ...}. */
        void (*on_ready)(json_t *greeting, void *data);
        /* event_data may be NULL; event is the whole object. */
        void (*on_event)(const char *name, json_t *event_data, json_t *event, void *data);
        /* The answer (whole, without id) to a call whose deadline had passed. id: qmp_client_forward()'s. */
        void (*on_late)(const char *command, json_int_t id, json_t *reply, void *data);
        /* Once, after every pending call had its error; no event comes after it. ERROR_DEADLINE when
         * the greeting did not come: a monitor serves one client, the next one hangs. */
        void (*on_disconnect)(const struct error *error, void *data);
};

struct qmp_client;

/* greeting_ms: for greeting and negotiation together. */
struct qmp_client *qmp_client_new(struct loop *loop, int fd_consume, unsigned greeting_ms,
                                  const struct qmp_client_handlers *handlers, void *data);
/* Pending calls get ERROR_DISCONNECTED before it returns; on_disconnect is not called. */
void qmp_client_free(struct qmp_client *client);
DEFINE_FREEP(struct qmp_client, qmp_client_free)

/*
 * For a process that takes this one's place: the connection as it is between two calls, {"last_id", "late": the calls
 * whose answers may still come, "half": what has come of a message}; its socket, lent. New reference; NULL and ERROR_BUSY
 * while it is not ready, a call waits or something is not sent. From the loop's deadlines only, not from a callback of
 * the connection: the rest of what was just read would be lost.
 */
json_t *qmp_client_state(const struct qmp_client *client, int *ret_fd, struct error **err);
/* Goes on with it: ready at once, on_ready is not called. NULL and ERROR_FAILED when that is no such state. */
struct qmp_client *qmp_client_resume(struct loop *loop, int fd_consume, const json_t *state,
                                     const struct qmp_client_handlers *handlers, void *data,
                                     struct error **err);

/* As json_stream_set_tap(). */
void qmp_client_set_tap(struct qmp_client *client, json_stream_tap_fn *fn, void *data);

/*
 * After a burst of so many events they are read at that pace (give or take those of one read): a peer gone wild
 * waits, its replies too. 0 per second, the default: no limit.
 */
void qmp_client_limit_events(struct qmp_client *client, unsigned burst, unsigned per_second);
bool qmp_client_is_ready(const struct qmp_client *client);

/* arguments is stolen and may be NULL; fds are borrowed and travel with the command. */
void qmp_client_call(struct qmp_client *client, const char *command, json_t *arguments, enum qmp_class class,
                     const int *fds, size_t n_fds, qmp_reply_fn *fn, void *data);
/*
 * Passes on somebody's command object with an id of our own in place of theirs. The callback gets the whole
 * reply object without id, "return" or "error". Returns the id, which is never 0.
 */
json_int_t qmp_client_forward(struct qmp_client *client, const json_t *message, enum qmp_class class,
                              const int *fds, size_t n_fds, qmp_reply_fn *fn, void *data);
/* The same with a time of its own. */
json_int_t qmp_client_forward_within(struct qmp_client *client, const json_t *message, unsigned wait_ms,
                                     const int *fds, size_t n_fds, qmp_reply_fn *fn, void *data);

/*
 * Run the loop until ready, or until the reply. Not from a callback. *ret_reply is owned by the caller;
 * ret_reply may be NULL. Handlers run meanwhile and must not free the client.
 */
int qmp_client_wait_ready(struct qmp_client *client, struct error **err);
/* Only until calls are taken, which is when the greeting has come: a refused negotiation is an error of the first one. */
int qmp_client_wait_greeting(struct qmp_client *client, struct error **err);
int qmp_client_call_wait(struct qmp_client *client, const char *command, json_t *arguments,
                         enum qmp_class class, json_t **ret_reply, struct error **err);
/* The same with a time of its own. */
int qmp_client_call_within(struct qmp_client *client, const char *command, json_t *arguments,
                           unsigned wait_ms, json_t **ret_reply, struct error **err);
int qmp_client_call_fds_within(struct qmp_client *client, const char *command, json_t *arguments,
                               const int *fds, size_t n_fds, unsigned wait_ms, json_t **ret_reply,
                               struct error **err);

/* How many commands were sent that are no mere queries. */
unsigned long long qmp_client_changes(const struct qmp_client *client);
