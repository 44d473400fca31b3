/*
 * ops_machine - one function per QMP command about the machine as a whole.
 *
 * Nobody else spells these names. Functions that take a callback are for the supervisor's loop; those that
 * return the reply (a new reference, NULL on error) run the loop meanwhile (qmp_client_call_wait()) and are
 * for probes and verbs.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "qmp/qmp_client.h"

/* QEMU's RunState, qapi/run-state.json. */
enum run_state {
        RUN_STATE_UNKNOWN, /* a word we do not know */
        RUN_STATE_COLO,
        RUN_STATE_DEBUG,
        RUN_STATE_FINISH_MIGRATE,
        RUN_STATE_GUEST_PANICKED,
        RUN_STATE_INMIGRATE,
        RUN_STATE_INTERNAL_ERROR,
        RUN_STATE_IO_ERROR,
        RUN_STATE_PAUSED,
        RUN_STATE_POSTMIGRATE,
        RUN_STATE_PRELAUNCH,
        RUN_STATE_PRECONFIG,
        RUN_STATE_RESTORE_VM,
        RUN_STATE_RUNNING,
        RUN_STATE_SAVE_VM,
        RUN_STATE_SHUTDOWN,
        RUN_STATE_SUSPENDED,
        RUN_STATE_WATCHDOG,
};

const char *run_state_name(enum run_state state);

void ops_query_status(struct qmp_client *client, qmp_reply_fn *fn, void *data);
/* What the reply of query-status says. */
int ops_status_read(json_t *reply, enum run_state *ret, struct error **err);

/* [{"cpu-index", "thread-id", ...}] and [{"id": "iothread1", "thread-id", ...}]. */
void ops_query_cpus(struct qmp_client *client, qmp_reply_fn *fn, void *data);
void ops_query_iothreads(struct qmp_client *client, qmp_reply_fn *fn, void *data);
void ops_query_chardev(struct qmp_client *client, qmp_reply_fn *fn, void *data);

/* The pseudo terminal of one of its entries, "/dev/pts/3"; lent, NULL: it has none. */
const char *ops_pty_read(const json_t *chardev);

void ops_cont(struct qmp_client *client, qmp_reply_fn *fn, void *data);
void ops_stop(struct qmp_client *client, qmp_reply_fn *fn, void *data);
/* The reply says that the button was pressed, not that the guest listens. */
void ops_system_powerdown(struct qmp_client *client, qmp_reply_fn *fn, void *data);
void ops_system_reset(struct qmp_client *client, qmp_reply_fn *fn, void *data);
/* QEMU may be gone before its reply is read: ERROR_DISCONNECTED is an answer too. */
void ops_quit(struct qmp_client *client, qmp_reply_fn *fn, void *data);

/* How much memory the guest has, "actual"; and what it is to have: it gets there in its own time. */
void ops_query_balloon(struct qmp_client *client, qmp_reply_fn *fn, void *data);
void ops_balloon(struct qmp_client *client, uint64_t bytes, qmp_reply_fn *fn, void *data);

/* Forgets a name given with getfd. */
void ops_closefd(struct qmp_client *client, const char *name, qmp_reply_fn *fn, void *data);

json_t *ops_query_version(struct qmp_client *client, struct error **err);
json_t *ops_query_target(struct qmp_client *client, struct error **err);
json_t *ops_query_machines(struct qmp_client *client, struct error **err);
json_t *ops_query_cpu_definitions(struct qmp_client *client, struct error **err);
json_t *ops_query_qmp_schema(struct qmp_client *client, struct error **err);
/* implements may be NULL: all types; abstract: abstract ones too. */
json_t *ops_qom_list_types(struct qmp_client *client, const char *implements, bool abstract,
                           struct error **err);
/* type: "static" or "full". */
json_t *ops_query_cpu_model_expansion(struct qmp_client *client, const char *type, const char *model,
                                      struct error **err);
/* Properties that objects of this type have: [{"name", "type", ...}]. */
json_t *ops_qom_list_properties(struct qmp_client *client, const char *type, struct error **err);
/* Properties of a device: [{"name", "type", "description", "default-value"}], the last two where QEMU has them. */
json_t *ops_device_list_properties(struct qmp_client *client, const char *type, struct error **err);
/* Text of the human monitor: only where QMP has no answer. */
json_t *ops_human_monitor_command(struct qmp_client *client, const char *line, struct error **err);
