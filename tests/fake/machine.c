/* What the machine is: from QEMU's argv, and what the queries about it answer (those of qmp/ops_facts.h). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/fake/command.h"
#include "tests/fake/fake.h"

#define MEMORY_DEFAULT ((uint64_t)256 << 20)

/* --- argv --- */

const char *option_value(char **argv, const char *option, int *from)
{
        for (int i = *from; argv[i]; i++)
                if (strcmp(argv[i], option) == 0 && argv[i + 1]) {
                        *from = i + 2;
                        return argv[i + 1];
                }
        return NULL;
}

char *key_value(const char *list, const char *key)
{
        size_t n = strlen(key);

        for (const char *at = list; at; at = strchr(at, ',')) {
                at += *at == ',';
                if (strncmp(at, key, n) == 0 && at[n] == '=')
                        return xstrndup(at + n + 1, strcspn(at + n + 1, ","));
        }
        return NULL;
}

static char *option_key(char **argv, const char *option, const char *key)
{
        int from = 1;
        const char *value = option_value(argv, option, &from);

        return value ? key_value(value, key) : NULL;
}

static void take_things(char **argv, const char *option, json_t *table, const char *key)
{
        const char *value;
        int from = 1;

        while ((value = option_value(argv, option, &from))) {
                json_t *thing = json_loads(value, 0, NULL);
                const char *id = json_string_value(json_object_get(thing, key));

                if (id)
                        json_object_set(table, id, thing);
                json_decref(thing);
        }
}

static void take_chardevs(char **argv, json_t *table)
{
        const char *value;
        int from = 1;

        while ((value = option_value(argv, "-chardev", &from))) {
                _cleanup_free_ char *id = key_value(value, "id");

                if (id)
                        json_object_set_new(table, id, json_object());
        }
}

/* "262144K" */
static uint64_t size_of(const char *text)
{
        unsigned long long n = 0;
        char unit = 'M';

        if (sscanf(text, "%llu%c", &n, &unit) < 1)
                return MEMORY_DEFAULT;
        return n << (unit == 'K' ? 10 : unit == 'G' ? 30 : 20);
}

void machine_read_argv(struct fake *fake, char **argv)
{
        _cleanup_free_ char *memory = option_key(argv, "-m", "size"),
                            *cpus = option_key(argv, "-smp", "cpus");
        int from = 1;
        const char *machine = option_value(argv, "-machine", &from);

        if (machine)
                fake->machine = xstrndup(machine, strcspn(machine, ","));
        if (memory)
                fake->memory = fake->balloon = size_of(memory);
        if (cpus)
                fake->cpus = (unsigned)atoi(cpus);
        take_things(argv, "-device", fake->devices, "id");
        take_things(argv, "-netdev", fake->netdevs, "id");
        take_things(argv, "-blockdev", fake->nodes, "node-name");
        take_things(argv, "-object", fake->objects, "id");
        take_chardevs(argv, fake->chardevs);
}

void machine_init(struct fake *fake)
{
        fake->machine = "pc-q35-7.2";
        fake->memory = fake->balloon = MEMORY_DEFAULT;
        fake->cpus = 1;
        fake->devices = json_object();
        fake->netdevs = json_object();
        fake->nodes = json_object();
        fake->objects = json_object();
        fake->chardevs = json_object();
}

/* --- the queries --- */

static json_t *ask_name(struct fake *fake, const json_t *args)
{
        (void)args;
        return json_pack("{s:s}", "name", fake->name);
}

static json_t *ask_uuid(struct fake *fake, const json_t *args)
{
        (void)args;
        return json_pack("{s:s}", "UUID", fake->uuid);
}

static json_t *ask_cpus(struct fake *fake, const json_t *args)
{
        json_t *list = json_array();

        unsigned count = fake->cpus;
        const char *id;
        json_t *device;

        (void)args;
        json_object_foreach (fake->devices, id, device)
                count += is_cpu(device);
        for (unsigned i = 0; i < count; i++)
                json_array_append_new(list, json_pack("{s:i, s:s, s:i, s:s}", "cpu-index", (int)i, "qom-path",
                                                      "/machine/unattached/device[0]", "thread-id",
                                                      (int)getpid(), "target", "x86_64"));
        return list;
}

static json_t *ask_memory(struct fake *fake, const json_t *args)
{
        (void)args;
        return json_pack("{s:I, s:i}", "base-memory", (json_int_t)fake->memory, "plugged-memory",
                         (json_int_t)plugged_memory(fake));
}

static json_t *ask_balloon(struct fake *fake, const json_t *args)
{
        (void)args;
        return json_pack("{s:I}", "actual", (json_int_t)fake->balloon);
}

static json_t *ask_chardevs(struct fake *fake, const json_t *args)
{
        json_t *each, *list = json_array();
        const char *id;

        (void)args;
        if (!json_object_get(fake->chardevs, "mon0"))
                json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "label", "mon0", "frontend-open", 1,
                                                      "filename", "unix:"));
        if (!json_object_get(fake->chardevs, "agent0") && (fake->agent.listen_fd >= 0 || fake->agent.wire))
                json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "label", "agent0", "frontend-open",
                                                      fake->agent_open, "filename", "unix:"));
        json_object_foreach (fake->chardevs, id, each) {
                bool open = strcmp(id, "agent0") != 0 || fake->agent_open;

                json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "label", id, "frontend-open", open,
                                                      "filename", "unix:"));
        }
        return list;
}

static json_t *ask_nodes(struct fake *fake, const json_t *args)
{
        json_t *each, *list = json_array();
        const char *id;

        (void)args;
        json_object_foreach (fake->nodes, id, each) {
                json_array_append_new(
                        list, json_pack("{s:s, s:s}", "node-name", id, "drv", arg(each, "driver") ?: "raw"));
        }
        return list;
}

static bool is_virtio(const json_t *device)
{
        const char *driver = arg(device, "driver");

        return driver && strncmp(driver, "virtio-", 7) == 0;
}

/* Devices with a drive; virtio's have it in a part of theirs. */
static json_t *ask_block(struct fake *fake, const json_t *args)
{
        json_t *device, *list = json_array();
        const char *id;

        (void)args;
        json_object_foreach (fake->devices, id, device) {
                const json_t *node = json_object_get(fake->nodes, arg(device, "drive") ?: "");
                _cleanup_free_ char *backend = xasprintf("/machine/peripheral/%s/virtio-backend", id);
                json_t *inserted = NULL;

                if (!arg(device, "drive") && !text_ends_with(arg(device, "driver") ?: "", "-cd"))
                        continue;
                if (node)
                        inserted = json_pack("{s:s, s:s, s:b, s:{s:I}}", "node-name", arg(device, "drive"),
                                             "drv", arg(node, "driver") ?: "raw", "ro",
                                             json_is_true(json_object_get(node, "read-only")), "image",
                                             "virtual-size", node_size(node));
                json_array_append_new(list,
                                      json_pack("{s:s, s:s, s:o*}", "device", "", "qdev",
                                                is_virtio(device) ? backend : id, "inserted", inserted));
        }
        return list;
}

static json_t *ask_qom_list(struct fake *fake, const json_t *args)
{
        const char *path = arg(args, "path"), *kind = "driver", *id;
        json_t *each, *list = json_array(), *table = NULL;

        if (path && strcmp(path, "/machine/peripheral") == 0)
                table = fake->devices;
        else if (path && strcmp(path, "/objects") == 0)
                table = fake->objects, kind = "qom-type";
        json_object_foreach (table, id, each) {
                _cleanup_free_ char *type = xasprintf("child<%s>", arg(each, kind) ?: "fake");

                json_array_append_new(list, json_pack("{s:s, s:s}", "name", id, "type", type));
        }
        return list;
}

/* "0x3.0x1" of a device on PCI, as QEMU has it: 25. */
static json_t *address_of(const char *text)
{
        unsigned slot = 0, function = 0;

        if (!text || sscanf(text, "%x.%x", &slot, &function) < 1)
                return json_integer(-1);
        return json_integer((json_int_t)slot * 8 + function);
}

/* Of devices what they were made with; of all else the machine's type, or no text. */
static json_t *ask_qom_get(struct fake *fake, const json_t *args)
{
        static const char peripheral[] = "/machine/peripheral/";
        const char *path = arg(args, "path") ?: "", *property = arg(args, "property") ?: "";
        const json_t *device, *value;
        json_t *bus;

        if (strcmp(path, "/machine") == 0 && strcmp(property, "type") == 0)
                return json_sprintf("%s-machine", fake->machine);
        if (strncmp(path, peripheral, strlen(peripheral)) != 0)
                return json_string("");
        device = json_object_get(fake->devices, path + strlen(peripheral));
        value = json_object_get(device, property);
        if (strcmp(property, "size") == 0)
                value = json_object_get(device, "requested-size");
        if (!device)
                return NULL;
        if (strcmp(property, "parent_bus") == 0) {
                bus = json_object_get(device, "bus");
                return json_sprintf("/machine/%s", bus ? json_string_value(bus) : "main-system-bus");
        }
        if (strcmp(property, "addr") == 0)
                return address_of(json_string_value(value));
        return value ? json_incref((json_t *)value) : json_string("");
}

static json_t *ask_monitor(struct fake *fake, const json_t *args)
{
        const char *line = arg(args, "command-line"), *id;
        _cleanup_text_ struct text out = TEXT_INIT;
        json_t *netdev;

        if (line && strcmp(line, "info network") == 0) {
                json_object_foreach (fake->netdevs, id, netdev) {
                        text_addf(&out, "%s: index=0,type=%s,\r\n", id, arg(netdev, "type") ?: "user");
                }
        }
        return json_string(text_str(&out));
}

static json_t *ask_migrate(struct fake *fake, const json_t *args)
{
        (void)fake;
        (void)args;
        return json_object();
}

static json_t *ask_for_none(struct fake *fake, const json_t *args)
{
        (void)fake;
        (void)args;
        return json_array();
}

static const struct query {
        const char *name;
        json_t *(*fn)(struct fake *fake, const json_t *args);
} queries[] = {
        { "query-name", ask_name },
        { "query-uuid", ask_uuid },
        { "query-cpus-fast", ask_cpus },
        { "query-memory-size-summary", ask_memory },
        { "query-balloon", ask_balloon },
        { "query-chardev", ask_chardevs },
        { "query-named-block-nodes", ask_nodes },
        { "query-block", ask_block },
        { "query-block-exports", ask_for_none },
        { "query-pci", ask_for_none },
        { "query-iothreads", ask_for_none },
        { "query-memdev", ask_for_none },
        { "query-memory-devices", ask_for_none },
        { "query-migrate", ask_migrate },
        { "qom-list", ask_qom_list },
        { "qom-get", ask_qom_get },
        { "human-monitor-command", ask_monitor },
};

const char *machine_query_name(size_t i)
{
        return i < ARRAY_SIZE(queries) ? queries[i].name : NULL;
}

bool machine_answers(struct fake *fake, const char *command, const json_t *args, json_t **ret)
{
        for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
                if (strcmp(queries[i].name, command) == 0) {
                        *ret = queries[i].fn(fake, args);
                        return true;
                }
        return false;
}
