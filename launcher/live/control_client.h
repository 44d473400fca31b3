/*
 * control_client - a verb's connection to the supervisor of one running VM.
 *
 * Synchronous for its caller: each call runs a private loop until its answer, its event or its deadline. Speaks
 * docs/control-socket.md. Deadlines are in milliseconds of fd_now_ms().
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "conf/site.h"

struct control_client;

/*
 * ERROR_NO_SUCH_VM: no VM of this name has run here. ERROR_NOT_RUNNING: it has, but does not run now (or its
 * supervisor is gone, which the message says).
 */
int control_client_open(const struct paths *paths, const char *vm, struct control_client **ret,
                        struct error **err);
/* How long the supervisor has to take the connection and to greet: it does so at once unless its host is in trouble. */
#define CONTROL_GREETING_MS 3000u
/* The same with a time of its own. ERROR_DEADLINE: it has passed. */
int control_client_open_within(const struct paths *paths, const char *vm, unsigned wait_ms,
                               struct control_client **ret, struct error **err);
/* The same up to a moment of fd_now_ms(), or CONTROL_GREETING_MS if that is sooner. */
int control_client_open_until(const struct paths *paths, const char *vm, long long deadline_ms,
                              struct control_client **ret, struct error **err);
/*
 * In two steps, for a caller who has something else to do meanwhile: connect, and then, before anything else, wait for the
 * greeting. A refused negotiation is an error of the first call.
 */
int control_client_connect(const struct paths *paths, const char *vm, struct control_client **ret,
                           struct error **err);
int control_client_greet(struct control_client *client, struct error **err);
void control_client_free(struct control_client *client);
DEFINE_FREEP(struct control_client, control_client_free)

/*
 * arguments is stolen and may be NULL; *ret_reply is owned by the caller and may be NULL. The supervisor's own refusals
 * have the code that they had there (docs/control-socket.md), QEMU's are ERROR_QMP.
 */
int control_client_call(struct control_client *client, const char *command, json_t *arguments,
                        json_t **ret_reply, struct error **err);

/* The same for what the supervisor is given another time than 5 s for; waits a moment longer than it, so that its own
 * words win. */
int control_client_call_within(struct control_client *client, const char *command, json_t *arguments,
                               unsigned wait_ms, json_t **ret_reply, struct error **err);

/* The same with fds, which are borrowed. */
int control_client_call_fds(struct control_client *client, const char *command, json_t *arguments,
                            const int *fds, size_t n_fds, unsigned wait_ms, json_t **ret_reply,
                            struct error **err);

/* In two steps, for a caller who has something else to do meanwhile; one at a time. arguments is stolen. */
void control_client_ask(struct control_client *client, const char *command, json_t *arguments);
int control_client_answer(struct control_client *client, json_t **ret_reply, struct error **err);

/* A whole command object as it is: *ret_reply is the whole reply, an error of QEMU's too, without id. */
int control_client_raw(struct control_client *client, const json_t *command, json_t **ret_reply,
                       struct error **err);
/* The exit status for such a reply: 0 for a return, 1 for QEMU's errors, that of the code for the supervisor's. */
int control_client_reply_status(const json_t *reply);
/* The next event, whole: 1 and *ret_event (new reference); 0: the connection has ended; -1: ERROR_DEADLINE. */
int control_client_next(struct control_client *client, long long deadline_ms, json_t **ret_event,
                        struct error **err);

/* Data of an event, borrowed until the next wait, name NULL: the connection has ended. Return true to stop. */
typedef bool control_event_fn(const char *name, json_t *event_data, void *data);
/* Runs until fn returns true (0), control_client_wake() was called (-1, ERROR_CANCELLED), or the deadline passes
 * (-1, ERROR_DEADLINE). */
int control_client_wait(struct control_client *client, long long deadline_ms, control_event_fn *fn,
                        void *data, struct error **err);
/* For sources of the caller's own, which run during the wait, and how they end it. */
struct loop *control_client_loop(struct control_client *client);
void control_client_wake(struct control_client *client);
