#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/fake/fake.h"

/* How long the guest takes for what it is asked. */
#define GUEST_MS 20
#define AGENT_MS 10
#define JOB_MS   50

static const char *const run_words[RUN_WORDS] = {
        [PRELAUNCH] = "prelaunch", [RUNNING] = "running",         [PAUSED] = "paused",
        [SHUTDOWN] = "shutdown",   [PANICKED] = "guest-panicked",
};

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
        wire_send(fake->qmp.wire, whole, strlen(whole), 1);
}

static void set_run(struct fake *fake, enum run_word run)
{
        bool ran = fake->run == RUNNING;

        fake->run = run;
        if (ran && run != RUNNING)
                emit(fake, "STOP", NULL);
        else if (!ran && run == RUNNING)
                emit(fake, "RESUME", NULL);
}

/* --- the guest --- */

static void agent_starts(struct fake *fake, void *data)
{
        (void)data;
        if (fake->run == RUNNING)
                agent_open(fake, true);
}

static void guest_off(struct fake *fake)
{
        if (fake->run != RUNNING)
                return;
        for (int i = fault_hit_kind(fake, SHUTDOWN_TWICE, NULL) ? 2 : 1; i > 0; i--)
                emit(fake, "SHUTDOWN", json_pack("{s:b, s:s}", "guest", true, "reason", "guest-shutdown"));
        agent_open(fake, false);
        set_run(fake, SHUTDOWN);
}

static void guest_panics(struct fake *fake)
{
        if (fake->run != RUNNING)
                return;
        emit(fake, "GUEST_PANICKED", json_pack("{s:s}", "action", "pause"));
        set_run(fake, PANICKED);
}

static void guest_resets(struct fake *fake, unsigned times)
{
        fake->guest_frozen = false;
        agent_open(fake, false);
        while (times-- > 0)
                emit(fake, "RESET", json_pack("{s:b, s:s}", "guest", true, "reason", "guest-reset"));
        later(fake, AGENT_MS, agent_starts, NULL);
}

bool guest_does(struct fake *fake, const char *what)
{
        if (strcmp(what, "power-off") == 0)
                guest_off(fake);
        else if (strcmp(what, "panic") == 0)
                guest_panics(fake);
        else if (strcmp(what, "reset") == 0)
                guest_resets(fake, 1);
        else if (strcmp(what, "agent-starts") == 0)
                agent_open(fake, true);
        else if (strcmp(what, "agent-stops") == 0)
                agent_open(fake, false);
        else
                return false;
        return true;
}

static void guest_ends(struct fake *fake, void *data)
{
        const struct fault *fault;

        (void)data;
        if (fault_hit_kind(fake, GUEST_PANICS, NULL))
                guest_panics(fake);
        else if ((fault = fault_hit_kind(fake, GUEST_RESETS, NULL)))
                guest_resets(fake, fault->count);
        else
                guest_off(fake);
}

static void guest_reboots(struct fake *fake, void *data)
{
        (void)data;
        if (fake->run == RUNNING)
                guest_resets(fake, 2);
}

void guest_asked(struct fake *fake, bool reboot)
{
        if (fake->run != RUNNING || fake->guest_frozen || fake->scenario.guest_ignores ||
            fault_hit_kind(fake, GUEST_IGNORES, NULL))
                return;
        later(fake, GUEST_MS, reboot ? guest_reboots : guest_ends, NULL);
}

/* --- QEMU's commands --- */

struct refusal {
        const char *class;
        char *desc;
};

static json_t *refuse(struct refusal *refusal, const char *class, char *desc_consume)
{
        refusal->class = class;
        refusal->desc = desc_consume;
        return NULL;
}

static const char *arg(const json_t *args, const char *key)
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

static json_t *cmd_status(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        (void)args;
        (void)refusal;
        return json_pack("{s:b, s:b, s:s}", "running", fake->run == RUNNING, "singlestep", false, "status",
                         run_words[fake->run]);
}

static json_t *cmd_balloon(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const json_t *value = json_object_get(args, "value");

        if (!json_is_integer(value) || json_integer_value(value) <= 0)
                return refuse(refusal, "GenericError", xstrdup("Parameter 'target' expects a size"));
        fake->balloon = (uint64_t)json_integer_value(value);
        emit(fake, "BALLOON_CHANGE", json_pack("{s:I}", "actual", (json_int_t)fake->balloon));
        return json_object();
}

static json_t *cmd_cont(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const struct fault *fault;

        (void)args;
        if (fake->run == SHUTDOWN || fake->run == PANICKED)
                return refuse(refusal, "GenericError", xstrdup("Resetting the Virtual Machine is required"));
        set_run(fake, RUNNING);
        if (!fake->agent_open)
                later(fake, AGENT_MS, agent_starts, NULL);
        fault = fault_hit_kind(fake, GUEST_OFF, "cont");
        if (fault)
                later(fake, fault->ms, guest_ends, NULL);
        return json_object();
}

static json_t *cmd_stop(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        (void)args;
        (void)refusal;
        if (fake->run == RUNNING)
                set_run(fake, PAUSED);
        return json_object();
}

static json_t *cmd_reset(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        (void)args;
        (void)refusal;
        agent_open(fake, false);
        fake->guest_frozen = false;
        emit(fake, "RESET", json_pack("{s:b, s:s}", "guest", false, "reason", "host-qmp-system-reset"));
        if (fake->run == SHUTDOWN || fake->run == PANICKED)
                fake->run = PAUSED;
        if (fake->run == RUNNING)
                later(fake, AGENT_MS, agent_starts, NULL);
        return json_object();
}

static json_t *cmd_powerdown(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        (void)args;
        (void)refusal;
        emit(fake, "POWERDOWN", NULL);
        guest_asked(fake, false);
        return json_object();
}

static json_t *cmd_quit(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        (void)args;
        (void)refusal;
        fake->quitting = !fault_hit_kind(fake, QUIT_IGNORED, "quit");
        return json_object();
}

/* The tables of things that are added by id and removed again. */

static json_t *add_to(json_t *table, const json_t *args, const char *key, struct refusal *refusal)
{
        const char *id = arg(args, key);

        if (!id || !*id)
                return refuse(refusal, "GenericError", xasprintf("Parameter '%s' is missing", key));
        if (json_object_get(table, id))
                return refuse(refusal, "GenericError", xasprintf("Duplicate ID '%s'", id));
        json_object_set(table, id, (json_t *)args);
        return json_object();
}

static json_t *remove_from(json_t *table, const json_t *args, const char *key, struct refusal *refusal)
{
        const char *id = arg(args, key);

        if (!id || json_object_del(table, id) < 0)
                return refuse(refusal, "GenericError", xasprintf("'%s' not found", id ? id : ""));
        return json_object();
}

static json_t *cmd_device_add(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const char *node = arg(args, "drive"), *netdev = arg(args, "netdev");

        if (!arg(args, "driver"))
                return refuse(refusal, "GenericError", xstrdup("Parameter 'driver' is missing"));
        if (node && !json_object_get(fake->nodes, node))
                return refuse(
                        refusal, "GenericError",
                        xasprintf("Property '%s.drive' can't find value '%s'", arg(args, "driver"), node));
        if (netdev && !json_object_get(fake->netdevs, netdev))
                return refuse(
                        refusal, "GenericError",
                        xasprintf("Property '%s.netdev' can't find value '%s'", arg(args, "driver"), netdev));
        return add_to(fake->devices, args, "id", refusal);
}

static void device_gone(struct fake *fake, void *data)
{
        _cleanup_free_ char *id = data;
        _cleanup_free_ char *path = xasprintf("/machine/peripheral/%s", id);

        if (json_object_get(fake->devices, id) && fault_hit_kind(fake, UNPLUG_REFUSED, "device_del")) {
                emit(fake, "DEVICE_UNPLUG_GUEST_ERROR", json_pack("{s:s, s:s}", "device", id, "path", path));
                return;
        }
        if (is_cpu(json_object_get(fake->devices, id))) {
                cpu_gone(fake, id);
                return;
        }
        if (json_object_del(fake->devices, id) < 0)
                return;
        for (int i = fault_hit_kind(fake, DELETED_TWICE, "device_del") ? 2 : 1; i > 0; i--)
                emit(fake, "DEVICE_DELETED", json_pack("{s:s, s:s}", "device", id, "path", path));
}

static json_t *cmd_device_del(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const char *id = arg(args, "id");
        const struct fault *late;

        if (!id || !json_object_get(fake->devices, id))
                return refuse(refusal, "DeviceNotFound", xasprintf("Device '%s' not found", id ? id : ""));
        if (fault_hit_kind(fake, DELETED_NEVER, "device_del"))
                return json_object();
        late = fault_hit_kind(fake, DELETED_LATE, "device_del");
        later(fake, late ? late->ms : GUEST_MS, device_gone, xstrdup(id));
        return json_object();
}

#define CHANGE(fn, command)                                                               \
        static json_t *fn(struct fake *fake, const json_t *args, struct refusal *refusal) \
        {                                                                                 \
                return hotplug_command(fake, command, args)                               \
                               ? json_object()                                            \
                               : refuse(refusal, "GenericError",                          \
                                        xstrdup(command ": there is no such thing"));     \
        }
CHANGE(cmd_qom_set, "qom-set")
CHANGE(cmd_block_resize, "block_resize")
CHANGE(cmd_open_tray, "blockdev-open-tray")
CHANGE(cmd_close_tray, "blockdev-close-tray")
CHANGE(cmd_remove_medium, "blockdev-remove-medium")
CHANGE(cmd_insert_medium, "blockdev-insert-medium")

static json_t *cmd_netdev_add(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return add_to(fake->netdevs, args, "id", refusal);
}

static json_t *cmd_netdev_del(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        json_t *done = remove_from(fake->netdevs, args, "id", refusal);

        if (!done)
                refusal->class = "DeviceNotFound";
        return done;
}

static json_t *cmd_blockdev_add(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return add_to(fake->nodes, args, "node-name", refusal);
}

static json_t *cmd_blockdev_del(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const char *node = arg(args, "node-name"), *id;
        json_t *device;

        json_object_foreach (fake->devices, id, device) {
                if (node && arg(device, "drive") && strcmp(arg(device, "drive"), node) == 0)
                        return refuse(refusal, "GenericError", xasprintf("Node %s is in use", node));
        }
        return remove_from(fake->nodes, args, "node-name", refusal);
}

static json_t *cmd_object_add(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return add_to(fake->objects, args, "id", refusal);
}

static json_t *cmd_object_del(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return remove_from(fake->objects, args, "id", refusal);
}

static json_t *cmd_chardev_add(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return add_to(fake->chardevs, args, "id", refusal);
}

static json_t *cmd_chardev_del(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return remove_from(fake->chardevs, args, "id", refusal);
}

/* fds: by name, and in sets. */

static json_t *cmd_getfd(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const char *name = arg(args, "fdname");
        int fd = wire_take_fd(fake->qmp.wire);
        const json_t *old = name ? json_object_get(fake->fds, name) : NULL;

        if (fd < 0)
                return refuse(refusal, "GenericError", xstrdup("No file descriptor supplied via SCM_RIGHTS"));
        if (!name || (*name >= '0' && *name <= '9')) {
                close(fd);
                return refuse(refusal, "GenericError",
                              xstrdup("Parameter 'fdname' expects a name not starting with a digit"));
        }
        if (old)
                close((int)json_integer_value(old));
        json_object_set_new(fake->fds, name, json_integer(fd));
        return json_object();
}

static json_t *cmd_closefd(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const char *name = arg(args, "fdname");
        const json_t *fd = name ? json_object_get(fake->fds, name) : NULL;

        if (!fd)
                return refuse(refusal, "GenericError",
                              xasprintf("File descriptor named '%s' not found", name ? name : ""));
        close((int)json_integer_value(fd));
        json_object_del(fake->fds, name);
        return json_object();
}

static json_t *cmd_add_fd(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const json_t *given = json_object_get(args, "fdset-id");
        unsigned set = json_is_integer(given) ? (unsigned)json_integer_value(given) : fake->next_set;
        _cleanup_free_ char *name = xasprintf("%u", set);
        int fd = wire_take_fd(fake->qmp.wire);

        if (fd < 0)
                return refuse(refusal, "GenericError", xstrdup("No file descriptor supplied via SCM_RIGHTS"));
        if (set >= fake->next_set)
                fake->next_set = set + 1;
        if (!json_object_get(fake->fdsets, name))
                json_object_set_new(fake->fdsets, name, json_array());
        json_array_append_new(json_object_get(fake->fdsets, name),
                              json_pack("{s:i, s:O*}", "fd", fd, "opaque", json_object_get(args, "opaque")));
        return json_pack("{s:i, s:i}", "fdset-id", (int)set, "fd", fd);
}

static json_t *cmd_remove_fd(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        _cleanup_free_ char *name =
                xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(args, "fdset-id")));
        json_t *list = json_object_get(fake->fdsets, name), *each;
        size_t i;

        if (!list)
                return refuse(refusal, "GenericError",
                              xasprintf("File descriptor named 'fdset-id:%s' not found", name));
        json_array_foreach (list, i, each) {
                close((int)json_integer_value(json_object_get(each, "fd")));
        }
        json_object_del(fake->fdsets, name);
        return json_object();
}

static json_t *cmd_query_fdsets(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        json_t *list = json_array(), *set;
        const char *name;

        (void)args;
        (void)refusal;
        json_object_foreach (fake->fdsets, name, set) {
                json_array_append_new(list, json_pack("{s:i, s:O}", "fdset-id", atoi(name), "fds", set));
        }
        return list;
}

/* Jobs: each works for a moment and concludes. */

static void job_status(struct fake *fake, const char *id, const char *status)
{
        json_t *job = json_object_get(fake->jobs, id);

        json_object_set_new(job, "status", json_string(status));
        emit(fake, "JOB_STATUS_CHANGE", json_pack("{s:s, s:s}", "id", id, "status", status));
}

static void job_ends(struct fake *fake, void *data)
{
        _cleanup_free_ char *id = data;
        const json_t *job = json_object_get(fake->jobs, id);

        if (!job || strcmp(arg(job, "status"), "running") != 0)
                return;
        job_status(fake, id, "waiting");
        job_status(fake, id, "pending");
        emit(fake, "BLOCK_JOB_COMPLETED",
             json_pack("{s:s, s:s, s:i, s:i, s:i}", "type", arg(job, "type"), "device", id, "len", 1,
                       "offset", 1, "speed", 0));
        job_status(fake, id, "concluded");
        job_status(fake, id, "null");
        json_object_del(fake->jobs, id);
}

static json_t *begin_job(struct fake *fake, const json_t *args, const char *type, struct refusal *refusal)
{
        const char *id = arg(args, "job-id") ?: arg(args, "device");

        if (!id)
                return refuse(refusal, "GenericError", xstrdup("An explicit job ID is required"));
        if (json_object_get(fake->jobs, id))
                return refuse(refusal, "GenericError", xasprintf("Job ID '%s' already in use", id));
        json_object_set_new(fake->jobs, id,
                            json_pack("{s:s, s:s, s:s}", "id", id, "type", type, "status", "created"));
        job_status(fake, id, "created");
        job_status(fake, id, "running");
        later(fake, JOB_MS, job_ends, xstrdup(id));
        return json_object();
}

static json_t *cmd_backup(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return begin_job(fake, args, "backup", refusal);
}

static json_t *cmd_mirror(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return begin_job(fake, args, "mirror", refusal);
}

static json_t *cmd_commit(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return begin_job(fake, args, "commit", refusal);
}

static json_t *cmd_stream(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return begin_job(fake, args, "stream", refusal);
}

static json_t *cmd_query_jobs(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        json_t *list = json_array(), *job;
        const char *id;

        (void)args;
        (void)refusal;
        json_object_foreach (fake->jobs, id, job) {
                json_array_append_new(list, json_pack("{s:s, s:O, s:O, s:i, s:i}", "id", id, "type",
                                                      json_object_get(job, "type"), "status",
                                                      json_object_get(job, "status"), "current-progress", 0,
                                                      "total-progress", 1));
        }
        return list;
}

static json_t *cmd_job_cancel(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const char *id = arg(args, "id") ?: arg(args, "device");

        if (!id || !json_object_get(fake->jobs, id))
                return refuse(refusal, "GenericError", xasprintf("Job '%s' not found", id ? id : ""));
        job_status(fake, id, "aborting");
        job_status(fake, id, "concluded");
        job_status(fake, id, "null");
        json_object_del(fake->jobs, id);
        return json_object();
}

static json_t *cmd_commands(struct fake *fake, const json_t *args, struct refusal *refusal);

static const struct command {
        const char *name;
        json_t *(*fn)(struct fake *fake, const json_t *args, struct refusal *refusal);
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
        wire_send(fake->qmp.wire, whole, strlen(whole), 1);
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
