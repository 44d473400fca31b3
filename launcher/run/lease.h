/*
 * lease - states of the guest that end with their holder: frozen file systems, and a pause of ours.
 *
 * On the loop; never blocks. A lease has a time limit and a holder, one connection of the control socket or the
 * supervisor itself. It is written to the file of leases before it begins. When the limit passes, the connection drops
 * or somebody asks, it is undone (a thaw is written even while the freeze has not answered), the undoing is proven by
 * asking (guest-fsfreeze-status, query-status), and tried again for as long as QEMU lives. What is done when is
 * lease_state.h's table. One lease of each kind at a time.
 *
 * Errors of taking one: ERROR_BUSY with the holder, ERROR_GUEST, ERROR_DEADLINE.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"
#include "qmp/qga_client.h"
#include "qmp/qmp_client.h"

enum lease_kind { LEASE_FREEZE, LEASE_PAUSE, LEASE_KINDS };
const char *lease_kind_name(enum lease_kind kind);
bool lease_kind_from_name(const char *name, enum lease_kind *ret);

#define LEASE_DEFAULT_S 60u
#define LEASE_MAX_S     86400u

/* What leases need of their supervisor. */
struct lease_host {
        /* Whom to ask; NULL: nobody to ask at the moment. */
        struct qga_client *(*agent)(void *data);
        struct qmp_client *(*qemu)(void *data);
        /* Writes the file of leases, as leases_json() has them: a lease begins only when this has worked. */
        int (*keep)(const json_t *leases, void *data, struct error **err);
        void (*story)(const char *text, void *data);
        /* state: "held", "ending", "ended", as in docs/control-socket.md; reason may be NULL. */
        void (*changed)(enum lease_kind kind, const char *state, const char *reason, void *data);
};

/* Milliseconds; tests have other ones than LEASE_TIMES. */
struct lease_times {
        unsigned undo, prove, retry, retry_max; /* retry doubles each time */
};
#define LEASE_TIMES ((struct lease_times){ .undo = 10000, .prove = 5000, .retry = 500, .retry_max = 30000 })

struct leases;

struct leases *leases_new(struct loop *loop, const struct lease_host *host, const struct lease_times *times,
                          void *data);
/* After the clients that host->agent and host->qemu lend. Who still waits for an answer gets ERROR_DISCONNECTED. */
void leases_free(struct leases *leases);
DEFINE_FREEP(struct leases, leases_free)

/* Exactly one of the two; value is stolen. From the loop or from inside the call. */
typedef void lease_answer_fn(json_t *value_consume, const struct error *error, void *data);

struct lease_request {
        enum lease_kind kind;
        unsigned long long
                client;  /* number of the connection; 0: the supervisor's own, only its limit ends it */
        const char *who; /* for messages: "uid 0 (pid 4711)" */
        unsigned timeout_ms;
        bool already; /* a pause of a guest that is paused: it stays so at the end */
};

/* 0: fn will be called: the guest is frozen, {"id", "kind", "filesystems"}, or it is not. -1: *err, fn is not called. */
int leases_begin(struct leases *leases, const struct lease_request *request, lease_answer_fn *fn, void *data,
                 struct error **err);
/*
 * why: for the story. fn (may be NULL) is called when it is undone and proven, {"kind", "frozen", "thawed"}, or at the
 * first failure, after which it is tried on. Without a lease a freeze is undone all the same, once: the guest may have
 * been frozen by somebody else.
 */
void leases_end(struct leases *leases, enum lease_kind kind, const char *why, lease_answer_fn *fn,
                void *data);
/* A new limit, from now. Only by the holder's connection; that of the supervisor by any. */
int leases_renew(struct leases *leases, enum lease_kind kind, unsigned long long client, unsigned timeout_ms,
                 struct error **err);
/* Ends those that the file of a supervisor before us has: an array as leases_json() wrote it. NULL: it could not be
 * read, so there may be any. */
void leases_end_all_found(struct leases *leases, const json_t *found);

/* What happened. */
void leases_client_gone(struct leases *leases, unsigned long long client);
void leases_guest_reset(struct leases *leases);
void leases_guest_resumed(struct leases *leases);
/* Somebody wants the guest paused whatever becomes of our pause. */
void leases_guest_stays_paused(struct leases *leases);
void leases_qemu_gone(struct leases *leases);
/* The agent's port was opened, or QMP is connected again. */
void leases_try_again(struct leases *leases);
/* The agent refused something because the guest is frozen. */
void leases_note_frozen(struct leases *leases);

enum lease_frozen { FROZEN_NO, FROZEN_YES, FROZEN_UNKNOWN };
enum lease_frozen leases_frozen(const struct leases *leases);
/* Taken, or being taken or undone. */
bool leases_has(const struct leases *leases, enum lease_kind kind);
/* ERROR_BUSY with kind and holder; for what must wait for the end of this lease. Returns -1. */
int leases_busy(const struct leases *leases, enum lease_kind kind, struct error **err);
/* Array of {"id", "kind", "holder", "state", "timeout"}; new reference. */
json_t *leases_json(const struct leases *leases);
