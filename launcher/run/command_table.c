#include "launcher/run/command_table.h"

#include <string.h>

#include "base/json_member.h"
#include "base/mem.h"

#define OWN(n, r, c, ch)                                                                                     \
        {                                                                                                    \
                .name = n, .kind = CONTROL_OWN, .role = r, .class = c, .changes = ch, .shows = SHOWS_NOTHING \
        }
#define QUERY(n, r, s)                                                                               \
        {                                                                                            \
                .name = n, .kind = CONTROL_FORWARD, .role = r, .class = QMP_QUERY, .changes = false, \
                .shows = s                                                                           \
        }
#define POWER(n)                                                                                \
        {                                                                                       \
                .name = n, .kind = CONTROL_FORWARD, .role = ROLE_OPERATOR, .class = QMP_MUTATE, \
                .changes = true, .run_state = true                                              \
        }
/* Does nothing to the VM by itself. */
#define QUIET(n, c)                                                                \
        {                                                                          \
                .name = n, .kind = CONTROL_FORWARD, .role = ROLE_ADMIN, .class = c \
        }
#define HAND(n, c)                                                                                   \
        {                                                                                            \
                .name = n, .kind = CONTROL_FORWARD, .role = ROLE_ADMIN, .class = c, .changes = true, \
                .by_hand = true                                                                      \
        }

/*
 * Names and what they do: QEMU 7.2, qapi/. QMP_HEAVY: opens or flushes images, makes memory, waits for the guest's
 * storage. Queries that show more than a monitor is to see (any property of any object, the host's other side of a
 * device) are the admin's.
 */
static const struct control_command commands[] = {
        OWN("vmlaunch-status", ROLE_MONITOR, QMP_QUERY, false),
        OWN("vmlaunch-shutdown", ROLE_OPERATOR, QMP_MUTATE, true),
        OWN("vmlaunch-agent", ROLE_OPERATOR, QMP_MUTATE, true),
        OWN("vmlaunch-lease", ROLE_OPERATOR, QMP_MUTATE, true),
        OWN("vmlaunch-reexec", ROLE_ADMIN, QMP_MUTATE, true),
        OWN("vmlaunch-apply", ROLE_OPERATOR, QMP_HEAVY, true),

        POWER("stop"),
        POWER("cont"),
        POWER("system_reset"),
        POWER("system_powerdown"),

        QUERY("query-commands", ROLE_MONITOR, SHOWS_NOTHING),
        QUERY("query-status", ROLE_MONITOR, SHOWS_RUN_STATE),
        QUERY("query-name", ROLE_MONITOR, SHOWS_NOTHING),
        QUERY("query-uuid", ROLE_MONITOR, SHOWS_NOTHING),
        QUERY("query-version", ROLE_MONITOR, SHOWS_NOTHING),
        QUERY("query-kvm", ROLE_MONITOR, SHOWS_NOTHING),
        QUERY("query-target", ROLE_MONITOR, SHOWS_NOTHING),
        QUERY("query-qmp-schema", ROLE_MONITOR, SHOWS_NOTHING),
        QUERY("query-current-machine", ROLE_MONITOR, SHOWS_NOTHING),
        QUERY("query-machines", ROLE_MONITOR, SHOWS_NOTHING),
        QUERY("query-block", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-blockstats", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-named-block-nodes", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-block-jobs", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-block-exports", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-jobs", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-chardev", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-cpus-fast", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-hotpluggable-cpus", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-iothreads", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-memdev", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-memory-devices", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-memory-size-summary", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-balloon", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-migrate", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-pci", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-rx-filter", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-stats", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-stats-schemas", ROLE_MONITOR, SHOWS_NOTHING),
        QUERY("query-vnc", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-vnc-servers", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-spice", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-tpm", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-mice", ROLE_MONITOR, SHOWS_DEVICES),
        QUERY("query-fdsets", ROLE_ADMIN, SHOWS_DEVICES),
        QUERY("qom-get", ROLE_ADMIN, SHOWS_DEVICES),
        QUERY("qom-list", ROLE_ADMIN, SHOWS_DEVICES),
        QUERY("qom-list-types", ROLE_ADMIN, SHOWS_NOTHING),
        QUERY("qom-list-properties", ROLE_ADMIN, SHOWS_NOTHING),
        QUERY("device-list-properties", ROLE_ADMIN, SHOWS_NOTHING),
        QUERY("trace-event-get-state", ROLE_ADMIN, SHOWS_NOTHING),

        QUIET("getfd", QMP_MUTATE),
        QUIET("closefd", QMP_MUTATE),
        QUIET("add-fd", QMP_MUTATE),
        QUIET("remove-fd", QMP_MUTATE),

        HAND("quit", QMP_MUTATE),
        HAND("system_wakeup", QMP_MUTATE),
        HAND("inject-nmi", QMP_MUTATE),
        HAND("send-key", QMP_MUTATE),
        HAND("input-send-event", QMP_MUTATE),
        HAND("set-action", QMP_MUTATE),
        HAND("watchdog-set-action", QMP_MUTATE),
        HAND("set_link", QMP_MUTATE),
        HAND("balloon", QMP_MUTATE),
        HAND("set_password", QMP_MUTATE),
        HAND("expire_password", QMP_MUTATE),
        HAND("change-vnc-password", QMP_MUTATE),
        HAND("display-update", QMP_MUTATE),
        HAND("display-reload", QMP_MUTATE),
        HAND("add_client", QMP_MUTATE),
        HAND("qom-set", QMP_MUTATE),
        HAND("netdev_add", QMP_MUTATE),
        HAND("netdev_del", QMP_MUTATE),
        HAND("device_add", QMP_HEAVY),
        HAND("device_del", QMP_MUTATE),
        HAND("object-add", QMP_HEAVY),
        HAND("object-del", QMP_MUTATE),
        HAND("chardev-add", QMP_MUTATE),
        HAND("chardev-change", QMP_MUTATE),
        HAND("chardev-remove", QMP_MUTATE),
        HAND("chardev-send-break", QMP_MUTATE),
        QUIET("ringbuf-read", QMP_MUTATE),
        HAND("ringbuf-write", QMP_MUTATE),
        HAND("blockdev-add", QMP_HEAVY),
        HAND("blockdev-reopen", QMP_HEAVY),
        HAND("blockdev-del", QMP_HEAVY),
        HAND("blockdev-create", QMP_MUTATE),
        HAND("blockdev-backup", QMP_HEAVY),
        HAND("blockdev-mirror", QMP_HEAVY),
        HAND("drive-backup", QMP_HEAVY),
        HAND("drive-mirror", QMP_HEAVY),
        HAND("blockdev-snapshot", QMP_HEAVY),
        HAND("blockdev-snapshot-sync", QMP_HEAVY),
        HAND("blockdev-snapshot-internal-sync", QMP_HEAVY),
        HAND("blockdev-snapshot-delete-internal-sync", QMP_HEAVY),
        HAND("blockdev-open-tray", QMP_MUTATE),
        HAND("blockdev-close-tray", QMP_MUTATE),
        HAND("blockdev-insert-medium", QMP_MUTATE),
        HAND("blockdev-remove-medium", QMP_MUTATE),
        HAND("blockdev-change-medium", QMP_HEAVY),
        HAND("eject", QMP_MUTATE),
        HAND("block_resize", QMP_HEAVY),
        HAND("block_set_io_throttle", QMP_MUTATE),
        HAND("block-set-write-threshold", QMP_MUTATE),
        HAND("block-latency-histogram-set", QMP_MUTATE),
        HAND("block-commit", QMP_HEAVY),
        HAND("block-stream", QMP_HEAVY),
        HAND("block-job-cancel", QMP_MUTATE),
        HAND("block-job-complete", QMP_HEAVY),
        HAND("block-job-dismiss", QMP_MUTATE),
        HAND("block-job-finalize", QMP_HEAVY),
        HAND("block-job-pause", QMP_MUTATE),
        HAND("block-job-resume", QMP_MUTATE),
        HAND("block-job-set-speed", QMP_MUTATE),
        HAND("job-cancel", QMP_MUTATE),
        HAND("job-complete", QMP_HEAVY),
        HAND("job-dismiss", QMP_MUTATE),
        HAND("job-finalize", QMP_HEAVY),
        HAND("job-pause", QMP_MUTATE),
        HAND("job-resume", QMP_MUTATE),
        HAND("block-dirty-bitmap-add", QMP_MUTATE),
        HAND("block-dirty-bitmap-remove", QMP_HEAVY),
        HAND("block-dirty-bitmap-clear", QMP_MUTATE),
        HAND("block-dirty-bitmap-enable", QMP_MUTATE),
        HAND("block-dirty-bitmap-disable", QMP_MUTATE),
        HAND("block-dirty-bitmap-merge", QMP_HEAVY),
        HAND("block-export-add", QMP_HEAVY),
        HAND("block-export-del", QMP_HEAVY),
        HAND("nbd-server-start", QMP_MUTATE),
        HAND("nbd-server-stop", QMP_HEAVY),
        HAND("nbd-server-add", QMP_HEAVY),
        HAND("nbd-server-remove", QMP_HEAVY),
        HAND("change-backing-file", QMP_HEAVY),
        HAND("transaction", QMP_HEAVY),
        HAND("snapshot-save", QMP_HEAVY),
        HAND("snapshot-load", QMP_HEAVY),
        HAND("snapshot-delete", QMP_HEAVY),
        HAND("migrate", QMP_MUTATE),
        HAND("migrate_cancel", QMP_MUTATE),
        HAND("migrate-continue", QMP_MUTATE),
        HAND("migrate-incoming", QMP_MUTATE),
        HAND("migrate-pause", QMP_MUTATE),
        HAND("migrate-recover", QMP_MUTATE),
        HAND("migrate-set-capabilities", QMP_MUTATE),
        HAND("migrate-set-parameters", QMP_MUTATE),
        HAND("migrate-start-postcopy", QMP_MUTATE),
        HAND("announce-self", QMP_MUTATE),
        HAND("calc-dirty-rate", QMP_MUTATE),
        HAND("set-vcpu-dirty-limit", QMP_MUTATE),
        HAND("cancel-vcpu-dirty-limit", QMP_MUTATE),
        QUIET("dump-guest-memory", QMP_HEAVY),
        QUIET("memsave", QMP_HEAVY),
        QUIET("pmemsave", QMP_HEAVY),
        QUIET("screendump", QMP_HEAVY),
        HAND("human-monitor-command", QMP_HEAVY),
        QUIET("trace-event-set-state", QMP_MUTATE),
        HAND("set-numa-node", QMP_MUTATE),
        HAND("rtc-reset-reinjection", QMP_MUTATE),
        HAND("yank", QMP_MUTATE),
};

const struct control_command *control_command_at(size_t n)
{
        return n < ARRAY_SIZE(commands) ? &commands[n] : NULL;
}

const struct control_command *control_command_find(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                if (strcmp(commands[i].name, name) == 0)
                        return &commands[i];
        return NULL;
}

static bool starts_with(const char *s, const char *prefix)
{
        return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool control_command_classify(const char *name, const json_t *arguments, struct control_command *ret)
{
        const struct control_command *row = control_command_find(name);
        bool query = starts_with(name, "query-") || starts_with(name, "x-query-");

        if (row) {
                const char *line = json_member_string(arguments, "command-line");

                *ret = *row;
                /* The human monitor's own queries. */
                if (strcmp(name, "human-monitor-command") == 0 && line && starts_with(line, "info "))
                        ret->changes = ret->by_hand = false;
                return true;
        }
        if (!*name || starts_with(name, "vmlaunch-"))
                return false;
        *ret = (struct control_command){
                .name = name,
                .kind = CONTROL_FORWARD,
                .role = ROLE_ADMIN,
                .class = query ? QMP_QUERY : QMP_HEAVY,
                .changes = !query,
                .by_hand = !query,
        };
        return true;
}

json_t *control_command_keys(const struct control_command *command, const json_t *arguments)
{
        static const char *const members[] = {
                "id", "node-name", "device", "name", "job-id", "node", "fdname"
        };
        const json_t *set = json_object_get(arguments, "fdset-id");
        json_t *keys = json_array();

        if (command->run_state)
                json_array_append_new(keys, json_string("run state"));
        for (size_t i = 0; i < ARRAY_SIZE(members) && !command->run_state; i++) {
                json_t *value = json_object_get(arguments, members[i]);

                if (json_is_string(value))
                        json_array_append(keys, value);
        }
        if (json_is_integer(set))
                json_array_append_new(keys, json_sprintf("fdset %lld", json_integer_value(set)));
        if (json_array_size(keys) == 0)
                json_array_append_new(keys, json_string(command->name));
        return keys;
}

bool control_keys_meet(const json_t *a, const json_t *b)
{
        json_t *one, *other;
        size_t i, j;

        json_array_foreach ((json_t *)a, i, one) {
                json_array_foreach ((json_t *)b, j, other) {
                        if (json_equal(one, other))
                                return true;
                }
        }
        return false;
}
