#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "tests/fake/command.h"
#include "tests/fake/fake.h"

/* --- later --- */

struct appointment {
        struct fake *fake;
        void (*fn)(struct fake *fake, void *data);
        void *data;
};

static void on_appointment(void *data)
{
        struct appointment *appointment = data;

        appointment->fn(appointment->fake, appointment->data);
        free(appointment);
}

void later(struct fake *fake, unsigned ms, void (*fn)(struct fake *fake, void *data), void *data)
{
        struct appointment *appointment = xcalloc(1, sizeof(*appointment));

        *appointment = (struct appointment){ .fake = fake, .fn = fn, .data = data };
        loop_add_deadline(fake->loop, ms, on_appointment, appointment);
}

/* --- events --- */

void emit(struct fake *fake, const char *event, json_t *data_consume)
{
        struct timeval now;
        json_auto_t *message = NULL;
        _cleanup_free_ char *text = NULL, *whole = NULL;

        gettimeofday(&now, NULL);
        message = json_pack("{s:{s:I, s:I}, s:s, s:o*}", "timestamp", "seconds", (json_int_t)now.tv_sec,
                            "microseconds", (json_int_t)now.tv_usec, "event", event, "data", data_consume);
        if (fake->batch) {
                json_array_append(fake->batch, message);
                return;
        }
        if (!fake->qmp.wire || !fake->negotiated)
                return;
        text = json_dumps(message, JSON_COMPACT);
        whole = xasprintf("%s\r\n", text);
        wire_send_text(fake->qmp.wire, whole);
}

/* --- QEMU's commands --- */

json_t *refuse(struct refusal *refusal, const char *class, char *desc_consume)
{
        refusal->class = class;
        refusal->desc = desc_consume;
        return NULL;
}

const char *arg(const json_t *args, const char *key)
{
        return json_string_value(json_object_get(args, key));
}

static json_t *cmd_nothing(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        (void)fake;
        (void)args;
        (void)refusal;
        return json_object();
}

static json_t *version(void)
{
        return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", 7, "minor", 2, "micro", 0, "package",
                         "vmlaunch-fake-qemu");
}

static json_t *cmd_version(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        (void)fake;
        (void)args;
        (void)refusal;
        return version();
}

static json_t *cmd_commands(struct fake *fake, const json_t *args, struct refusal *refusal);

static const struct {
        const char *name;
        command_fn *fn;
} commands[] = {
        { "query-version", cmd_version },
        { "query-status", cmd_status },
        { "query-commands", cmd_commands },
        { "query-jobs", cmd_query_jobs },
        { "query-block-jobs", cmd_query_jobs },
        { "query-fdsets", cmd_query_fdsets },
        { "qom-set", cmd_qom_set },
        { "block_resize", cmd_block_resize },
        { "blockdev-open-tray", cmd_open_tray },
        { "blockdev-close-tray", cmd_close_tray },
        { "blockdev-remove-medium", cmd_remove_medium },
        { "blockdev-insert-medium", cmd_insert_medium },
        { "cont", cmd_cont },
        { "stop", cmd_stop },
        { "system_reset", cmd_reset },
        { "system_powerdown", cmd_powerdown },
        { "system_wakeup", cmd_nothing },
        { "quit", cmd_quit },
        { "getfd", cmd_getfd },
        { "closefd", cmd_closefd },
        { "add-fd", cmd_add_fd },
        { "remove-fd", cmd_remove_fd },
        { "device_add", cmd_device_add },
        { "device_del", cmd_device_del },
        { "netdev_add", cmd_netdev_add },
        { "netdev_del", cmd_netdev_del },
        { "blockdev-add", cmd_blockdev_add },
        { "blockdev-del", cmd_blockdev_del },
        { "object-add", cmd_object_add },
        { "object-del", cmd_object_del },
        { "chardev-add", cmd_chardev_add },
        { "chardev-remove", cmd_chardev_del },
        { "blockdev-backup", cmd_backup },
        { "blockdev-mirror", cmd_mirror },
        { "block-commit", cmd_commit },
        { "block-stream", cmd_stream },
        { "job-cancel", cmd_job_cancel },
        { "block-job-cancel", cmd_job_cancel },
        { "balloon", cmd_balloon },
        { "set_link", cmd_nothing },
        { "set_password", cmd_nothing },
        { "expire_password", cmd_nothing },
        { "display-update", cmd_nothing },
        { "block_set_io_throttle", cmd_nothing },
        { "send-key", cmd_nothing },
};

static json_t *cmd_commands(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        json_t *list = json_array();

        (void)fake;
        (void)args;
        (void)refusal;
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                json_array_append_new(list, json_pack("{s:s}", "name", commands[i].name));
        for (size_t i = 0; machine_query_name(i); i++)
                json_array_append_new(list, json_pack("{s:s}", "name", machine_query_name(i)));
        return list;
}

/* --- one command --- */

static json_t *run_command(struct fake *fake, const char *name, const json_t *args, struct refusal *refusal)
{
        json_t *answer = NULL;

        if (strcmp(name, "qmp_capabilities") == 0) {
                if (fake->negotiated)
                        return refuse(
                                refusal, "CommandNotFound",
                                xstrdup("Capabilities negotiation is already complete, command ignored"));
                fake->negotiated = true;
                return json_object();
        }
        if (!fake->negotiated)
                return refuse(refusal, "CommandNotFound",
                              xstrdup("Expecting capabilities negotiation with 'qmp_capabilities'"));
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                if (strcmp(commands[i].name, name) == 0)
                        return commands[i].fn(fake, args, refusal);
        if (machine_answers(fake, name, args, &answer))
                return answer ? answer
                              : refuse(refusal, "DeviceNotFound",
                                       xasprintf("Device '%s' not found", arg(args, "path") ?: ""));
        return refuse(refusal, "CommandNotFound", xasprintf("The command %s has not been found", name));
}

/* A reply of the scenario in place of the model's, NULL: none. */
static json_t *scripted(struct fake *fake, const char *name)
{
        size_t i;
        json_t *each;

        json_array_foreach (fake->scenario.replies, i, each) {
                const json_t *times = json_object_get(each, "times");
                json_int_t left = json_is_integer(times) ? json_integer_value(times) : 0;

                if (strcmp(arg(each, "command"), name) != 0)
                        continue;
                /* 0: every time; used up ones are marked with -1. */
                if (left < 0)
                        continue;
                if (left > 0)
                        json_object_set_new(each, "times", json_integer(left == 1 ? -1 : left - 1));
                return json_object_get(each, "return")
                               ? json_pack("{s:O}", "return", json_object_get(each, "return"))
                               : json_pack("{s:O}", "error", json_object_get(each, "error"));
        }
        return NULL;
}

static void check_expectation(struct fake *fake, const char *name, const json_t *args)
{
        const json_t *next = json_array_get(fake->scenario.expect, fake->scenario.expected), *value;
        const char *key;
        json_t *wanted;

        if (!next || strcmp(arg(next, "execute"), name) != 0)
                return;
        json_object_foreach (json_object_get(next, "arguments"), key, wanted) {
                value = json_object_get(args, key);
                if (!value || !json_equal(value, wanted))
                        return;
        }
        fake->scenario.expected++;
}

static void scenario_event(struct fake *fake, void *data)
{
        const json_t *event = data;
        const char *name = arg(event, "event");
        json_t *value = json_object_get(event, "data");

        if (name)
                emit(fake, name, json_incref(value));
        else
                guest_does(fake, arg(event, "guest"));
}

static void schedule_events(struct fake *fake, const char *name)
{
        size_t i;
        json_t *each;

        json_array_foreach (fake->scenario.events, i, each) {
                if (strcmp(arg(each, "after"), name) == 0)
                        later(fake, (unsigned)json_integer_value(json_object_get(each, "ms")), scenario_event,
                              each);
        }
}

static void exit_by_quit(void *data)
{
        quit_now(data, "host-qmp-quit");
}

static void exit_anyway(struct fake *fake, void *data)
{
        (void)data;
        leave(fake, 0);
}

static void exit_after_last_words(void *data)
{
        leave(data, 0);
}

void quit_now(struct fake *fake, const char *reason)
{
        emit(fake, "SHUTDOWN", json_pack("{s:b, s:s}", "guest", false, "reason", reason));
        wire_then(fake->qmp.wire, exit_after_last_words, fake);
}

void qmp_message(json_t *message, void *data)
{
        struct fake *fake = data;
        const char *name = json_string_value(json_object_get(message, "execute"));
        const json_t *args = json_object_get(message, "arguments");
        json_auto_t *reply = NULL, *events = json_array();
        struct fault *fault = NULL, *reading;
        struct refusal refusal = { 0 };

        if (!name) {
                qmp_garbage("QMP input lacks member 'execute'", fake);
                return;
        }
        fake->served++;
        /* Faults are of the conversation, not of its beginning, unless the scenario says so. */
        if (strcmp(name, "qmp_capabilities") != 0 || fake->scenario.faults[0].command)
                fault = fault_hit(fake, PLACE_REPLY, name);
        check_expectation(fake, name, args);
        reading = strcmp(name, "qmp_capabilities") != 0 ? fault_hit(fake, PLACE_READ, name) : NULL;
        if (reading)
                wire_read_slowly(fake->qmp.wire, reading->row->kind == SLOW_READER ? reading->count : 0,
                                 reading->ms);
        if (!fault_lets_run(fault))
                reply = json_object();
        else
                reply = scripted(fake, name);
        if (!reply) {
                json_t *value;

                fake->batch = events;
                value = run_command(fake, name, args, &refusal);
                fake->batch = NULL;
                reply = value ? json_pack("{s:o}", "return", value)
                              : json_pack("{s:{s:s, s:s}}", "error", "class", refusal.class, "desc",
                                          refusal.desc);
                free(refusal.desc);
        }
        if (json_object_get(message, "id"))
                json_object_set(reply, "id", json_object_get(message, "id"));
        if (reading && reading->row->kind == NEVER_READS)
                return;
        fault_reply(fake, fault, events, reply);
        schedule_events(fake, name);
        if (fake->quitting) {
                wire_then(fake->qmp.wire, exit_by_quit, fake);
                later(fake, 1000, exit_anyway, NULL);
        }
}

void qmp_garbage(const char *why, void *data)
{
        struct fake *fake = data;
        json_auto_t *reply = json_pack("{s:{s:s, s:s}}", "error", "class", "GenericError", "desc", why);
        _cleanup_free_ char *text = json_dumps(reply, JSON_COMPACT), *whole = NULL;

        whole = xasprintf("%s\r\n", text ? text : "{}");
        wire_send_text(fake->qmp.wire, whole);
}

void qmp_connected(struct fake *fake)
{
        json_auto_t *greeting = json_pack("{s:{s:o, s:[]}}", "QMP", "version", version(), "capabilities");
        _cleanup_free_ char *text = json_dumps(greeting, JSON_COMPACT);
        _cleanup_free_ char *whole = xasprintf("%s\r\n", text);

        fake->negotiated = false;
        fault_greet(fake, whole);
}

void model_init(struct fake *fake, bool prelaunch)
{
        fake->run = prelaunch ? PRELAUNCH : RUNNING;
        machine_init(fake);
        fake->fds = json_object();
        fake->fdsets = json_object();
        fake->jobs = json_object();
        if (!prelaunch)
                later(fake, 0, agent_starts, NULL);
}
