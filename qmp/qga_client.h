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
 * ERROR_QMP: it refused (while frozen even with CommandNotFound) · ERROR_DEADLINE · ERROR_BUSY: too many
 * requests wait · ERROR_DISCONNECTED: the socket ended, or the client was freed. Callbacks may make requests
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
 * What VSERPORT_CHANGE says of the agent's port (the port needs an id for that event). false fails all
 * requests, the present one and those waiting, with ERROR_GUEST, and new ones until it is true again.
 * At first unknown, and tried.
 */
void qga_client_set_open(struct qga_client *client, bool open);

void qga_client_ping(struct qga_client *client, unsigned timeout_ms, qga_reply_fn *fn, void *data);
/* Reply: version and supported_commands of guest-info. */
void qga_client_info(struct qga_client *client, unsigned timeout_ms, qga_reply_fn *fn, void *data);
/*
 * mode: "powerdown", "reboot" or "halt". guest-shutdown has no reply when it works (qga's schema:
 * success-response false), only an error when it does not. So a guest-sync is sent behind it: its answer
 * with no error before it, the port's closing or the socket's end is the acknowledgement, and the callback
 * gets JSON null. It says that the guest was told, not that it stops: wait for QEMU's SHUTDOWN event, with a
 * deadline. No sign within QGA_COMMAND_MS is ERROR_DEADLINE: ask by ACPI then.
 */
void qga_client_shutdown(struct qga_client *client, const char *mode, qga_reply_fn *fn, void *data);
