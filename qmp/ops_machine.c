#include "qmp/ops_machine.h"

#include <string.h>

#include "base/json_member.h"
#include "base/text.h"

/* As many as a number of 32 bits has. */
#define PTY_DIGITS_MAX 10

static const char *const run_states[] = {
        [RUN_STATE_UNKNOWN] = "unknown",
        [RUN_STATE_COLO] = "colo",
        [RUN_STATE_DEBUG] = "debug",
        [RUN_STATE_FINISH_MIGRATE] = "finish-migrate",
        [RUN_STATE_GUEST_PANICKED] = "guest-panicked",
        [RUN_STATE_INMIGRATE] = "inmigrate",
        [RUN_STATE_INTERNAL_ERROR] = "internal-error",
        [RUN_STATE_IO_ERROR] = "io-error",
        [RUN_STATE_PAUSED] = "paused",
        [RUN_STATE_POSTMIGRATE] = "postmigrate",
        [RUN_STATE_PRELAUNCH] = "prelaunch",
        [RUN_STATE_PRECONFIG] = "preconfig",
        [RUN_STATE_RESTORE_VM] = "restore-vm",
        [RUN_STATE_RUNNING] = "running",
        [RUN_STATE_SAVE_VM] = "save-vm",
        [RUN_STATE_SHUTDOWN] = "shutdown",
        [RUN_STATE_SUSPENDED] = "suspended",
        [RUN_STATE_WATCHDOG] = "watchdog",
};

const char *run_state_name(enum run_state state)
{
        return run_states[state];
}

void ops_query_status(struct qmp_client *client, qmp_reply_fn *fn, void *data)
{
        qmp_client_call(client, "query-status", NULL, QMP_QUERY, NULL, 0, fn, data);
}

void ops_query_cpus(struct qmp_client *client, qmp_reply_fn *fn, void *data)
{
        qmp_client_call(client, "query-cpus-fast", NULL, QMP_QUERY, NULL, 0, fn, data);
}

void ops_query_iothreads(struct qmp_client *client, qmp_reply_fn *fn, void *data)
{
        qmp_client_call(client, "query-iothreads", NULL, QMP_QUERY, NULL, 0, fn, data);
}

void ops_query_chardev(struct qmp_client *client, qmp_reply_fn *fn, void *data)
{
        qmp_client_call(client, "query-chardev", NULL, QMP_QUERY, NULL, 0, fn, data);
}

const char *ops_pty_read(const json_t *chardev)
{
        static const char start[] = "pty:/dev/pts/";
        const char *filename = json_member_string(chardev, "filename");
        uint32_t number;

        /* It goes into the record and to people: nothing but what it can be. */
        if (!filename || !text_starts_with(filename, start) ||
            strspn(filename + strlen(start), "0123456789") > PTY_DIGITS_MAX ||
            !text_parse_u32(filename + strlen(start), &number))
                return NULL;
        return filename + strlen("pty:");
}

int ops_status_read(json_t *reply, enum run_state *ret, struct error **err)
{
        const char *word = json_member_string(reply, "status");
        enum run_state state = RUN_STATE_UNKNOWN;

        if (!word)
                return error_set(err, ERROR_FAILED, "query-status: the reply has no status");
        for (size_t i = 0; i < ARRAY_SIZE(run_states); i++)
                if (strcmp(word, run_states[i]) == 0)
                        state = (enum run_state)i;
        *ret = state;
        return 0;
}

void ops_cont(struct qmp_client *client, qmp_reply_fn *fn, void *data)
{
        qmp_client_call(client, "cont", NULL, QMP_MUTATE, NULL, 0, fn, data);
}

void ops_stop(struct qmp_client *client, qmp_reply_fn *fn, void *data)
{
        qmp_client_call(client, "stop", NULL, QMP_MUTATE, NULL, 0, fn, data);
}

void ops_query_balloon(struct qmp_client *client, qmp_reply_fn *fn, void *data)
{
        qmp_client_call(client, "query-balloon", NULL, QMP_QUERY, NULL, 0, fn, data);
}

void ops_balloon(struct qmp_client *client, uint64_t bytes, qmp_reply_fn *fn, void *data)
{
        qmp_client_call(client, "balloon", json_pack("{s:I}", "value", (json_int_t)bytes), QMP_MUTATE, NULL,
                        0, fn, data);
}

void ops_system_powerdown(struct qmp_client *client, qmp_reply_fn *fn, void *data)
{
        qmp_client_call(client, "system_powerdown", NULL, QMP_MUTATE, NULL, 0, fn, data);
}

void ops_system_reset(struct qmp_client *client, qmp_reply_fn *fn, void *data)
{
        qmp_client_call(client, "system_reset", NULL, QMP_MUTATE, NULL, 0, fn, data);
}

void ops_quit(struct qmp_client *client, qmp_reply_fn *fn, void *data)
{
        qmp_client_call(client, "quit", NULL, QMP_MUTATE, NULL, 0, fn, data);
}

/* Steals arguments. A probe's QEMU has just started, on a machine that may be busy: the longest wait. */
static json_t *query(struct qmp_client *client, const char *command, json_t *arguments, struct error **err)
{
        json_t *reply;

        if (qmp_client_call_wait(client, command, arguments, QMP_HEAVY, &reply, err) < 0)
                return NULL;
        return reply;
}

void ops_closefd(struct qmp_client *client, const char *name, qmp_reply_fn *fn, void *data)
{
        qmp_client_call(client, "closefd", json_pack("{s:s}", "fdname", name), QMP_MUTATE, NULL, 0, fn, data);
}

json_t *ops_query_version(struct qmp_client *client, struct error **err)
{
        return query(client, "query-version", NULL, err);
}

json_t *ops_query_target(struct qmp_client *client, struct error **err)
{
        return query(client, "query-target", NULL, err);
}

json_t *ops_query_machines(struct qmp_client *client, struct error **err)
{
        return query(client, "query-machines", NULL, err);
}

json_t *ops_query_cpu_definitions(struct qmp_client *client, struct error **err)
{
        return query(client, "query-cpu-definitions", NULL, err);
}

json_t *ops_query_qmp_schema(struct qmp_client *client, struct error **err)
{
        return query(client, "query-qmp-schema", NULL, err);
}

json_t *ops_qom_list_types(struct qmp_client *client, const char *implements, bool abstract,
                           struct error **err)
{
        return query(client, "qom-list-types",
                     json_pack("{s:s*, s:b}", "implements", implements, "abstract", abstract), err);
}

json_t *ops_query_cpu_model_expansion(struct qmp_client *client, const char *type, const char *model,
                                      struct error **err)
{
        return query(client, "query-cpu-model-expansion",
                     json_pack("{s:s, s:{s:s}}", "type", type, "model", "name", model), err);
}

json_t *ops_qom_list_properties(struct qmp_client *client, const char *type, struct error **err)
{
        return query(client, "qom-list-properties", json_pack("{s:s}", "typename", type), err);
}

json_t *ops_device_list_properties(struct qmp_client *client, const char *type, struct error **err)
{
        return query(client, "device-list-properties", json_pack("{s:s}", "typename", type), err);
}

json_t *ops_human_monitor_command(struct qmp_client *client, const char *line, struct error **err)
{
        return query(client, "human-monitor-command", json_pack("{s:s}", "command-line", line), err);
}
