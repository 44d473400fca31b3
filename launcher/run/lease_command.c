#include "launcher/run/lease_parts.h"

#include <string.h>

#include "launcher/state/crash_point.h"
#include "qmp/ops_machine.h"

static void set_error(struct lease *lease, const struct error *error)
{
        error_free(lease->error);
        lease->error = error_copy(error);
}

/* A command on its way. */
struct turn {
        struct lease *lease;
        unsigned number;
        const struct qga_client *agent; /* asked; for its outcome, inside the callback */
};

static struct turn *next_turn(struct lease *lease, const struct qga_client *agent)
{
        struct turn *turn = xmalloc(sizeof(*turn));

        *turn = (struct turn){ .lease = lease, .number = ++lease->turn, .agent = agent };
        return turn;
}

/* The lease whose newest command this is, or NULL. */
static struct lease *take_turn(struct turn *turn)
{
        struct lease *lease = turn->number == turn->lease->turn ? turn->lease : NULL;

        free(turn);
        return lease;
}

struct error *lease_nobody(const struct lease *lease)
{
        struct error *error = NULL;

        if (lease->kind == LEASE_FREEZE)
                error_set(&error, ERROR_GUEST, "the guest agent is absent");
        else
                error_set(&error, ERROR_BUSY, "QEMU does not answer");
        return error;
}

static void on_frozen(json_t *reply, const struct error *error, void *data)
{
        const struct qga_client *agent = ((struct turn *)data)->agent;
        const struct qga_outcome outcome = *qga_client_outcome(agent);
        struct lease *lease = take_turn(data);

        if (!lease)
                return;
        if (json_is_integer(reply) && json_integer_value(reply) > 0) {
                lease->taken = json_integer_value(reply);
                lease_feed(lease, LEASE_TAKEN);
                return;
        }
        if (reply) {
                struct error *none = NULL;

                error_set(&none, ERROR_GUEST,
                          json_is_integer(reply) ? "the guest has no file system to freeze"
                                                 : "what the guest agent sent is no answer");
                set_error(lease, none);
                error_free(none);
                lease_feed(lease, LEASE_REFUSED);
                return;
        }
        set_error(lease, error);
        if (outcome.frozen)
                lease->leases->frozen = FROZEN_YES;
        if (outcome.frozen || !outcome.sent)
                lease_feed(lease, LEASE_NEVER);
        else if (error->code == ERROR_QMP)
                lease_feed(lease,
                           strcmp(error->qmp_class, "CommandNotFound") == 0 ? LEASE_NEVER : LEASE_REFUSED);
        else
                lease_feed(lease, LEASE_LOST);
}

static void on_stopped(json_t *reply, const struct error *error, void *data)
{
        struct lease *lease = take_turn(data);

        if (!lease)
                return;
        if (reply) {
                lease_feed(lease, LEASE_TAKEN);
                return;
        }
        set_error(lease, error);
        lease_feed(lease, error->code == ERROR_BUSY  ? LEASE_NEVER
                          : error->code == ERROR_QMP ? LEASE_REFUSED
                                                     : LEASE_LOST);
}

void lease_take(struct lease *lease)
{
        struct leases *leases = lease->leases;
        struct qga_client *agent;

        if (lease->stay) {
                lease_feed(lease, LEASE_TAKEN);
        } else if (lease->kind == LEASE_FREEZE) {
                agent = leases->host.agent(leases->data);
                leases->frozen = FROZEN_UNKNOWN;
                lease->uncertain = true;
                qga_client_freeze(agent, lease->timeout_ms, on_frozen, next_turn(lease, agent));
                crash_point(CRASH_FREEZE_ASKED);
        } else {
                ops_stop(leases->host.qemu(leases->data), on_stopped, next_turn(lease, NULL));
                crash_point(CRASH_PAUSE_ASKED);
        }
}

static void failed(struct lease *lease, const struct error *error, enum lease_event event)
{
        set_error(lease, error);
        lease_feed(lease, lease->obliged ? event : LEASE_NEVER);
}

static void on_undone(json_t *reply, const struct error *error, void *data)
{
        struct lease *lease = take_turn(data);

        if (!lease)
                return;
        if (!reply) {
                failed(lease, error, LEASE_NOT_UNDONE);
                return;
        }
        /* Agents answer in order: what was asked before has been done, or will never be. */
        lease->uncertain = false;
        lease->undone = json_integer_value(reply);
        crash_point(CRASH_LEASE_UNDONE);
        lease_feed(lease, LEASE_UNDONE);
}

void lease_undo(struct lease *lease)
{
        struct leases *leases = lease->leases;
        struct qga_client *agent = lease->kind == LEASE_FREEZE ? leases->host.agent(leases->data) : NULL;
        struct qmp_client *qemu = lease->kind == LEASE_PAUSE ? leases->host.qemu(leases->data) : NULL;

        if (lease->kind == LEASE_FREEZE)
                leases->frozen = FROZEN_UNKNOWN;
        if (lease->stay) {
                lease_feed(lease, LEASE_OVER);
        } else if (agent) {
                qga_client_thaw(agent, leases->times.undo, on_undone, next_turn(lease, NULL));
                crash_point(CRASH_THAW_ASKED);
        } else if (qemu) {
                ops_cont(qemu, on_undone, next_turn(lease, NULL));
                crash_point(CRASH_UNPAUSE_ASKED);
        } else {
                struct error *error = lease_nobody(lease);

                failed(lease, error, LEASE_NOT_UNDONE);
                error_free(error);
        }
}

static void on_status(json_t *reply, const struct error *error, void *data)
{
        struct lease *lease = take_turn(data);
        enum run_state run_state = RUN_STATE_UNKNOWN;
        struct error *bad = NULL;

        if (!lease)
                return;
        if (!reply) {
                failed(lease, error, LEASE_NO_PROOF);
        } else if (lease->kind == LEASE_FREEZE) {
                const char *status = json_string_value(reply);

                if (status && strcmp(status, "thawed") == 0) {
                        lease_feed(lease, LEASE_PROVEN);
                        return;
                }
                error_set(&bad, ERROR_GUEST, "the guest's file systems are %s",
                          status && strcmp(status, "frozen") == 0 ? "still frozen" : "in an unknown state");
                if (status && strcmp(status, "frozen") == 0)
                        lease->leases->frozen = FROZEN_YES;
                failed(lease, bad, LEASE_STILL_THERE);
                error_free(bad);
        } else if (ops_status_read(reply, &run_state, &bad) < 0) {
                failed(lease, bad, LEASE_NO_PROOF);
                error_free(bad);
        } else {
                /* Neither running nor paused: an I/O error, say, which is no pause of ours. */
                lease_feed(lease, run_state == RUN_STATE_RUNNING  ? LEASE_PROVEN
                                  : run_state == RUN_STATE_PAUSED ? LEASE_STILL_THERE
                                                                  : LEASE_OVER);
        }
}

void lease_prove(struct lease *lease)
{
        struct leases *leases = lease->leases;
        struct qga_client *agent = lease->kind == LEASE_FREEZE ? leases->host.agent(leases->data) : NULL;
        struct qmp_client *qemu = lease->kind == LEASE_PAUSE ? leases->host.qemu(leases->data) : NULL;

        if (agent) {
                qga_client_freeze_status(agent, leases->times.prove, on_status, next_turn(lease, NULL));
        } else if (qemu) {
                ops_query_status(qemu, on_status, next_turn(lease, NULL));
        } else {
                struct error *error = lease_nobody(lease);

                failed(lease, error, LEASE_NO_PROOF);
                error_free(error);
        }
}
