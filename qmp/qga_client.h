/*
 * qga_client - the guest agent, which may be absent, hung, half-dead or hostile.
 *
 * On the loop; never blocks. The agent has no ids, so requests go one at a time, and before each one the
 * channel is synchronised: 0xFF, guest-sync-delimited with a fresh number, everything up to 0xFF in the
 * answer dropped, number compared. So stale answers (requests written while the agent was absent are
 * answered later, also those of an earlier client) never reach anybody, and half a request left behind by an
 * agent that stopped reading is repaired by the next 0xFF. Between requests nothing is read: an agent that
 * babbles costs nothing.
 *
 * Every request ends in exactly one call of its callback, from the loop or from qga_client_free():
 * reply, NULL: the "return" value, borrowed · ERROR_GUEST: the agent is absent, or what it sent is no answer ·
 * ERROR_QMP: it refused · ERROR_DEADLINE · ERROR_BUSY: too many requests wait, it was given up for a thaw, or the
 * guest's file systems are frozen (the agent says CommandNotFound then, which elsewhere means: too old) ·
 * ERROR_DISCONNECTED: the socket ended, or the client was freed. Callbacks may make requests
 * and may free the client.
 *
 * Time: at most QGA_SYNC_MS (or timeout_ms, when that is less) to synchronise, from the moment the request's
 * turn comes, and then timeout_ms for the answer.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"
#include "qmp/json_stream.h"

#define QGA_SYNC_MS    3000u
#define QGA_COMMAND_MS 5000u

typedef void qga_reply_fn(json_t *reply, const struct error *error, void *data);

struct qga_client;

/*
 * fd_consume: connected to the chardev of the agent's port. on_disconnect (may be NULL) comes once, after
 * every request had its error; QEMU keeps this socket open whatever the agent does, so it means QEMU's end.
 */
struct qga_client *qga_client_new(struct loop *loop, int fd_consume,
                                  void (*on_disconnect)(const struct error *error, void *data), void *data);
void qga_client_free(struct qga_client *client);
DEFINE_FREEP(struct qga_client, qga_client_free)

/*
 * The socket, lent, -1 once it has ended: for a process that takes this one's place. It makes a new client of it, open or
 * not as this one was told; what this one was asked it asks again, and what is on its way to either side is dropped by
 * the next sync.
 */
int qga_client_fd(const struct qga_client *client);

/* As json_stream_set_tap(). */
void qga_client_set_tap(struct qga_client *client, json_stream_tap_fn *fn, void *data);

/*
 * What VSERPORT_CHANGE says of the agent's port (the port needs an id for that event). false fails all
 * requests, the present one and those waiting, with ERROR_GUEST, and new ones until it is true again.
 * At first unknown, and tried.
 */
void qga_client_set_open(struct qga_client *client, bool open);

/* What is known of a request beyond its reply or error. */
struct qga_outcome {
        bool sent;   /* the command was written: without an answer nobody knows what it did or will yet do */
        bool frozen; /* refused because the guest's file systems are frozen */
};
/* Of the request whose callback runs; inside it only. */
const struct qga_outcome *qga_client_outcome(const struct qga_client *client);

/* Any command; command is copied, arguments may be NULL. */
void qga_client_call(struct qga_client *client, const char *command, json_t *arguments_consume,
                     unsigned timeout_ms, qga_reply_fn *fn, void *data);
/*
 * Commands that have no reply when they work, only an error when they do not (qga's schema: success-response
 * false). A guest-sync is sent behind them: its answer with no error before it, the port's closing or the socket's
 * end is the acknowledgement, and the callback gets JSON null.
 */
bool qga_command_is_silent(const char *command);

void qga_client_ping(struct qga_client *client, unsigned timeout_ms, qga_reply_fn *fn, void *data);
/*
 * mode: "powerdown", "reboot" or "halt". A silent command: JSON null says that the guest was told, not that it stops:
 * wait for QEMU's SHUTDOWN event, with a deadline. No sign within QGA_COMMAND_MS is ERROR_DEADLINE: ask by ACPI
 * then.
 */
void qga_client_shutdown(struct qga_client *client, const char *mode, qga_reply_fn *fn, void *data);
/* Reply: how many file systems are frozen. May take long: the guest writes out what it has not written. */
void qga_client_freeze(struct qga_client *client, unsigned timeout_ms, qga_reply_fn *fn, void *data);
/*
 * Reply: how many were thawed. Goes before everything: what is under way is given up with ERROR_BUSY, and the command
 * is written at once, behind its sync and without waiting for it. An agent that is still freezing reads it right
 * after, also when nobody listens any more. timeout_ms is for sync and answer together.
 */
void qga_client_thaw(struct qga_client *client, unsigned timeout_ms, qga_reply_fn *fn, void *data);
/* Reply: "frozen" or "thawed". */
void qga_client_freeze_status(struct qga_client *client, unsigned timeout_ms, qga_reply_fn *fn, void *data);
/* Sets the guest's clock by its hardware clock, which QEMU keeps with the host's. */
void qga_client_sync_time(struct qga_client *client, unsigned timeout_ms, qga_reply_fn *fn, void *data);
