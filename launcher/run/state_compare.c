#include "launcher/run/state_compare.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/plan/disk.h"
#include "launcher/plan/expander.h"
#include "launcher/plan/memory.h"
#include "launcher/run/state_parts.h"

static const char *const side_members[SIDES] = { "template", "qemu", "record" };

/* Differences. */

void state_set_side(json_t *difference, enum state_side side, const char *value)
{
        _cleanup_free_ char *shown = value ? text_printable(value) : NULL;

        json_object_set_new(difference, side_members[side], shown ? json_string(shown) : json_null());
}

json_t *state_differ(struct state_comparison *c, const char *kind, const char *id, const char *member)
{
        _cleanup_free_ char *shown = text_printable(id);
        json_t *difference;

        if (json_array_size(c->differences) == STATE_DIFFERENCES_MAX) {
                json_array_append_new(c->differences, json_pack("{s:s, s:s}", "kind", "question", "id",
                                                                "there are more differences"));
        }
        difference = json_pack("{s:s, s:s, s:s*}", "kind", kind, "id", shown, "member", member);
        if (json_array_size(c->differences) > STATE_DIFFERENCES_MAX)
                json_decref(difference);
        else if (json_array_append_new(c->differences, difference) == 0)
                return difference;
        return NULL;
}

/* Template and QEMU. */
static void differ_between(struct state_comparison *c, const char *kind, const char *id, const char *member,
                           const char *template, const char *qemu)
{
        json_t *difference = state_differ(c, kind, id, member);

        if (!difference)
                return;
        state_set_side(difference, SIDE_TEMPLATE, template);
        state_set_side(difference, SIDE_QEMU, qemu);
}

void state_not_understood(struct state_comparison *c, enum machine_fact fact)
{
        json_t *difference = state_differ(c, "question", machine_fact_name(fact), NULL);

        if (difference)
                state_set_side(difference, SIDE_QEMU, "an answer that is not understood");
}

/* Facts. */

const json_t *state_fact(struct state_comparison *c, enum machine_fact which, json_type type)
{
        const char *name = machine_fact_name(which);
        const json_t *answer = json_object_get(c->sides->facts, name);
        const char *why = json_member_string(json_object_get(c->sides->facts, "errors"), name);

        if (answer && json_typeof(answer) == type)
                return answer;
        if (answer || !why) {
                state_not_understood(c, which);
        } else {
                json_t *difference = state_differ(c, "question", name, NULL);

                if (difference)
                        state_set_side(difference, SIDE_QEMU, why);
        }
        return NULL;
}

const char *state_string(const json_t *json, const char *key)
{
        return json_member_string(json, key);
}

/* "child<virtio-blk-pci>" is a virtio-blk-pci. */
static json_t *child_type(const char *type)
{
        size_t n = type ? strlen(type) : 0;

        if (n < 8 || strncmp(type, "child<", 6) != 0 || type[n - 1] != '>')
                return NULL;
        return json_stringn(type + 6, n - 7);
}

/* The children of a qom-list: {"disk0": "virtio-blk-pci"}; new reference. */
static json_t *children(const json_t *list)
{
        json_t *found = json_object();

        for (size_t i = 0; i < json_array_size(list) && i < STATE_LIST_MAX; i++) {
                const json_t *entry = json_array_get(list, i);
                const char *name = state_string(entry, "name");
                json_t *type = child_type(state_string(entry, "type"));

                if (name && type)
                        json_object_set(found, name, type);
                json_decref(type);
        }
        return found;
}

/* The strings that a list of objects has under one key: {"mon0": true}; new reference. */
static json_t *names_in(const json_t *list, const char *key)
{
        json_t *found = json_object();

        for (size_t i = 0; i < json_array_size(list) && i < STATE_LIST_MAX; i++) {
                const char *name = state_string(json_array_get(list, i), key);

                if (name)
                        json_object_set_new(found, name, json_true());
        }
        return found;
}

/* "net0: index=0,type=user,net=10.0.2.0\r\n", below a card with " \ " in front. */
static json_t *netdevs_in(const char *text)
{
        json_t *found = json_object();
        size_t seen = 0;

        while (*text && seen++ < STATE_LIST_MAX) {
                size_t length = strcspn(text, "\r\n");
                _cleanup_free_ char *line = xstrndup(text, length);
                char *name = line + strspn(line, " \\"), *colon = strchr(name, ':');
                char *type = colon ? strstr(colon, "type=") : NULL;

                text += length + strspn(text + length, "\r\n");
                if (!type)
                        continue;
                *colon = '\0';
                type += 5;
                type[strcspn(type, ", ")] = '\0';
                if (strcmp(type, "nic") != 0 && strcmp(type, "hubport") != 0) {
                        _cleanup_free_ char *shown = text_printable(type);

                        json_object_set_new(found, name, json_string(shown));
                }
        }
        return found;
}

/* What the template means. */

/* query-pci knows a device only once the firmware has numbered the buses: its own properties always do. */
static const char *place_property(const struct disk_spec *disk)
{
        switch (disk->bus) {
        case DISK_BUS_VIRTIO:
                return "addr";
        case DISK_BUS_SCSI:
                return "scsi-id";
        default:
                return "unit";
        }
}

void state_properties(const struct vm_spec *spec,
                      void (*fn)(const char *id, const char *property, void *data), void *data)
{
        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct disk_spec *disk = &spec->disks[i];
                _cleanup_free_ char *id = xasprintf("disk%u", disk->id);

                fn(id, "parent_bus", data);
                fn(id, place_property(disk), data);
        }
        for (size_t i = 0; i < spec->n_nics; i++) {
                _cleanup_free_ char *id = xasprintf("nic%u", spec->nics[i].id);

                fn(id, "parent_bus", data);
                fn(id, "addr", data);
                fn(id, "mac", data);
                fn(id, "netdev", data);
        }
}

/* Template and QEMU. */

static int by_number(const void *a, const void *b)
{
        return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

/* What is there and was not expected, by id. */
static void report_extra(struct state_comparison *c, const char *kind, const json_t *expected,
                         const json_t *found,
                         bool (*is_ours)(const struct state_comparison *c, const char *id, const char *type))
{
        _cleanup_free_ const char **ids = xcalloc(json_object_size(found) + 1, sizeof(*ids));
        const char *id;
        json_t *type;
        size_t n = 0;

        json_object_foreach ((json_t *)found, id, type) {
                if (!json_object_get(expected, id) &&
                    !(is_ours && is_ours(c, id, json_is_string(type) ? json_string_value(type) : "")))
                        ids[n++] = id;
        }
        qsort(ids, n, sizeof(*ids), by_number);
        for (size_t i = 0; i < n; i++) {
                type = json_object_get(found, ids[i]);
                differ_between(c, kind, ids[i], NULL, NULL,
                               json_is_string(type) ? json_string_value(type) : ids[i]);
        }
}

/* Both lists: {"id": "type"} or {"id": true}. */
static void compare_lists(struct state_comparison *c, const char *kind, const json_t *expected,
                          const json_t *found,
                          bool (*is_ours)(const struct state_comparison *c, const char *id, const char *type))
{
        const char *id;
        json_t *type;

        json_object_foreach ((json_t *)expected, id, type) {
                const json_t *there = json_object_get(found, id);
                const char *wanted = json_is_string(type) ? json_string_value(type) : id;

                if (!there)
                        differ_between(c, kind, id, NULL, wanted, NULL);
                else if (json_is_string(type) && json_is_string(there) && !json_equal(type, there))
                        differ_between(c, kind, id, "type", wanted, json_string_value(there));
        }
        report_extra(c, kind, expected, found, is_ours);
}

/* Q35_ROOT_PORTS of them, which live.tmpl does not count, and those of other roots. */
static bool is_root_port(const struct state_comparison *c, const char *id, const char *type)
{
        (void)c;
        if (expander_is_part(id) && (strcmp(type, "pcie-root-port") == 0 || text_starts_with(type, "pxb")))
                return true;
        return id[0] == 'r' && id[1] == 'p' && id[2] && id[2 + strspn(id + 2, "0123456789")] == '\0' &&
               strcmp(type, "pcie-root-port") == 0;
}

bool state_number_behind(const char *text, const char *prefix, unsigned *ret, const char **rest)
{
        size_t n;
        _cleanup_free_ char *digits = NULL;

        if (!text_starts_with(text, prefix))
                return false;
        text += strlen(prefix);
        n = strspn(text, "0123456789");
        *rest = text + n;
        digits = xstrndup(text, n);
        return n > 0 && n < 10 && text_parse_u32(digits, ret);
}

const struct disk_spec *state_find_disk(const struct state_comparison *c, unsigned id)
{
        for (size_t i = 0; i < c->spec->n_disks; i++)
                if (c->spec->disks[i].id == id)
                        return &c->spec->disks[i];
        return NULL;
}

/* A layer below the top, or a node without a name of its own, which comes and goes with the one above it. */
static bool is_lower_node(const struct state_comparison *c, const char *id, const char *type)
{
        const struct disk_spec *disk = NULL;
        unsigned number, layer;

        (void)type;
        if (id[0] == '#')
                return true;
        if (state_number_behind(id, "disk", &number, &id))
                disk = state_find_disk(c, number);
        return disk && disk_has_medium(disk) && state_number_behind(id, "-base", &layer, &id) &&
               (strcmp(id, "-file") == 0 || strcmp(id, "-format") == 0);
}

static void compare_text(struct state_comparison *c, const char *kind, const char *id, const char *member,
                         const char *template, const char *qemu)
{
        if (!qemu || strcmp(template, qemu) != 0)
                differ_between(c, kind, id, member, template, qemu);
}

static void compare_bytes(struct state_comparison *c, const char *member, uint64_t wanted, long long found)
{
        _cleanup_free_ char *template = NULL, *qemu = NULL;

        if (found >= 0 && (uint64_t)found == wanted)
                return;
        template = text_from_size(wanted);
        qemu = found < 0 ? xasprintf("%lld", found) : text_from_size((uint64_t)found);
        differ_between(c, "machine", member, NULL, template, qemu);
}

/* What a virtio-mem device was asked for the guest takes and gives in its own time. */
static void compare_total(struct state_comparison *c, long long total)
{
        uint64_t least = vm_spec_ram(c->spec) + vm_spec_dimms(c->spec);

        if (memory_has_virtio_mem(c->spec) && total >= 0 && (uint64_t)total >= least &&
            (uint64_t)total <= least + vm_spec_memory_room(c->spec))
                return;
        compare_bytes(c, "memory", least, total);
}

static void compare_memory(struct state_comparison *c)
{
        const json_t *memory = state_fact(c, FACT_MEMORY, JSON_OBJECT);
        const json_t *balloon = json_object_get(c->sides->facts, machine_fact_name(FACT_BALLOON));
        const json_t *base = json_object_get(memory, "base-memory");
        const json_t *actual = json_object_get(balloon, "actual");
        long long total = json_integer_value(base) + json_member_integer(memory, "plugged-memory");
        long long wanted = (long long)c->spec->memory, least = total < wanted ? total : wanted;

        /* The host's need of memory goes down to here. */
        if (c->spec->balloon.pressure_floor && (long long)c->spec->balloon.pressure_floor < least)
                least = (long long)c->spec->balloon.pressure_floor;
        if (memory && !json_is_integer(base))
                state_not_understood(c, FACT_MEMORY);
        else if (memory)
                compare_total(c, total);
        /* No balloon is fine. The guest gives in its own time what is above MEMORY; what is below was asked for by others. */
        if (balloon && !json_is_integer(actual))
                state_not_understood(c, FACT_BALLOON);
        else if (balloon &&
                 (!memory || json_integer_value(actual) < least || json_integer_value(actual) > total))
                compare_bytes(c, "balloon", c->spec->memory, json_integer_value(actual));
}

static void compare_machine(struct state_comparison *c)
{
        const json_t *name = state_fact(c, FACT_NAME, JSON_OBJECT),
                     *uuid = state_fact(c, FACT_UUID, JSON_OBJECT);
        const json_t *type = state_fact(c, FACT_TYPE, JSON_STRING), *cpus = NULL;
        _cleanup_free_ char *machine = xasprintf("%s-machine", c->spec->os.machine);
        const char *is_machine = json_string_value(type);

        if (name)
                compare_text(c, "machine", "name", NULL, c->spec->name, state_string(name, "name"));
        if (uuid)
                compare_text(c, "machine", "uuid", NULL, c->spec->uuid_text, state_string(uuid, "UUID"));
        if (type && strcmp(is_machine, machine) != 0)
                differ_between(c, "machine", "type", NULL, c->spec->os.machine, is_machine);
        compare_memory(c);
        cpus = state_fact(c, FACT_CPUS, JSON_ARRAY);
        if (cpus && json_array_size(cpus) != c->spec->vcpu + c->spec->vcpu_plugged) {
                _cleanup_free_ char *wanted = xasprintf("%u", c->spec->vcpu + c->spec->vcpu_plugged);
                _cleanup_free_ char *found = xasprintf("%zu", json_array_size(cpus));

                differ_between(c, "machine", "vcpus", NULL, wanted, found);
        }
}

static const json_t *property(const struct state_comparison *c, const char *id, const char *name)
{
        return json_object_get(json_object_get(json_object_get(c->sides->facts, "properties"), id), name);
}

/*
 * Where a device is, as the template writes it: "rp5:0x0", "scsi0.0:2". QEMU names the bus by the path of an object, the
 * place on it by a number, on PCI of slot and function. New string; NULL: it does not say.
 */
static char *place_of(const struct state_comparison *c, const char *id, const char *place)
{
        const char *path = json_string_value(property(c, id, "parent_bus"));
        const json_t *value = property(c, id, place);
        const char *slash = path ? strrchr(path, '/') : NULL;
        long long number = json_integer_value(value);

        if (!slash || !json_is_integer(value))
                return NULL;
        if (strcmp(place, "addr") != 0 || number < 0)
                return xasprintf("%s:%lld", slash + 1, number);
        return number % 8 ? xasprintf("%s:0x%llx.0x%llx", slash + 1, number / 8, number % 8)
                          : xasprintf("%s:0x%llx", slash + 1, number / 8);
}

/* The entry of query-block for a device. */
static const json_t *drive_of(const json_t *block, const char *id)
{
        _cleanup_free_ char *backend = xasprintf("/machine/peripheral/%s/virtio-backend", id);
        _cleanup_free_ char *path = xasprintf("/machine/peripheral/%s", id);

        for (size_t i = 0; i < json_array_size(block) && i < STATE_LIST_MAX; i++) {
                const json_t *entry = json_array_get(block, i);
                const char *qdev = state_string(entry, "qdev");

                if (qdev && (strcmp(qdev, id) == 0 || strcmp(qdev, backend) == 0 || strcmp(qdev, path) == 0))
                        return entry;
        }
        return NULL;
}

static void compare_medium(struct state_comparison *c, const char *id, const struct disk_spec *disk,
                           const json_t *block)
{
        const json_t *inserted = json_object_get(drive_of(block, id), "inserted");
        _cleanup_free_ char *node = disk_top_node(disk);
        const char *wanted = disk_has_medium(disk) ? node : NULL,
                   *found = state_string(inserted, "node-name");
        const json_t *ro = json_object_get(inserted, "ro");
        bool readonly = disk_is_readonly(disk);

        if (!wanted != !found || (wanted && strcmp(wanted, found) != 0)) {
                differ_between(c, "device", id, "medium", wanted, found);
                return;
        }
        if (!wanted)
                return;
        compare_text(c, "device", id, "format",
                     disk_is_throttled(disk) ? "throttle"
                     : disk->copy_on_read    ? "copy-on-read"
                                             : disk_format_name(disk_top_format(disk)),
                     state_string(inserted, "drv"));
        if (!json_is_boolean(ro) || json_is_true(ro) != readonly)
                differ_between(c, "device", id, "read-only", readonly ? "yes" : "no",
                               !json_is_boolean(ro) ? NULL
                               : json_is_true(ro)   ? "yes"
                                                    : "no");
}

static void compare_disks(struct state_comparison *c, const json_t *there, const json_t *block)
{
        for (size_t i = 0; i < c->spec->n_disks; i++) {
                const struct disk_spec *disk = &c->spec->disks[i];
                _cleanup_free_ char *id = xasprintf("disk%u", disk->id);
                _cleanup_free_ char *place = place_of(c, id, place_property(disk));

                if (!json_object_get(there, id))
                        continue;
                if (disk->address)
                        compare_text(c, "device", id, "address", disk->address, place);
                if (block)
                        compare_medium(c, id, disk, block);
        }
}

static void compare_nics(struct state_comparison *c, const json_t *there)
{
        for (size_t i = 0; i < c->spec->n_nics; i++) {
                const struct nic_spec *nic = &c->spec->nics[i];
                _cleanup_free_ char *id = xasprintf("nic%u", nic->id), *net = xasprintf("net%u", nic->id);
                _cleanup_free_ char *place = place_of(c, id, "addr");
                const char *mac = json_string_value(property(c, id, "mac"));

                if (!json_object_get(there, id))
                        continue;
                if (nic->address)
                        compare_text(c, "device", id, "address", nic->address, place);
                if (!mac || strcasecmp(mac, nic->mac_text) != 0)
                        differ_between(c, "device", id, "mac", nic->mac_text, mac);
                compare_text(c, "device", id, "netdev", net, json_string_value(property(c, id, "netdev")));
        }
}

static void compare_devices(struct state_comparison *c, const json_t *expected)
{
        const json_t *list = state_fact(c, FACT_DEVICES, JSON_ARRAY), *block = NULL;
        const json_t *anonymous = state_fact(c, FACT_ANONYMOUS, JSON_ARRAY);
        json_auto_t *there = list ? children(list) : NULL;
        json_auto_t *nameless = anonymous ? children(anonymous) : NULL;

        block = state_fact(c, FACT_BLOCK, JSON_ARRAY);
        if (there) {
                compare_lists(c, "device", json_object_get(expected, "devices"), there, is_root_port);
                compare_disks(c, there, block);
                compare_nics(c, there);
        }
        report_extra(c, "device", NULL, nameless, NULL);
}

static void compare_backends(struct state_comparison *c, const json_t *expected)
{
        const json_t *nodes = state_fact(c, FACT_NODES, JSON_ARRAY), *chardevs = NULL, *network = NULL,
                     *objects = NULL;
        json_auto_t *found_nodes = NULL, *found_chardevs = NULL, *found_netdevs = NULL, *found_objects = NULL;

        if (nodes) {
                found_nodes = names_in(nodes, "node-name");
                compare_lists(c, "node", json_object_get(expected, "nodes"), found_nodes, is_lower_node);
        }
        chardevs = state_fact(c, FACT_CHARDEVS, JSON_ARRAY);
        if (chardevs) {
                found_chardevs = names_in(chardevs, "label");
                compare_lists(c, "chardev", json_object_get(expected, "chardevs"), found_chardevs, NULL);
        }
        network = state_fact(c, FACT_NETWORK, JSON_STRING);
        if (network) {
                found_netdevs = netdevs_in(json_string_value(network));
                compare_lists(c, "netdev", json_object_get(expected, "netdevs"), found_netdevs, NULL);
        }
        objects = state_fact(c, FACT_OBJECTS, JSON_ARRAY);
        if (objects) {
                found_objects = children(objects);
                compare_lists(c, "object", json_object_get(expected, "objects"), found_objects, NULL);
        }
}

json_t *state_compare(const struct state_sides *sides)
{
        struct state_comparison c = { .sides = sides, .spec = sides->spec, .differences = json_array() };
        json_auto_t *expected = sides->spec ? state_expected(sides->spec) : NULL;

        if (!c.spec) {
                json_t *difference = state_differ(&c, "template", "live.tmpl", NULL);

                state_set_side(difference, SIDE_TEMPLATE, sides->trouble);
        }
        if (c.spec && sides->facts) {
                compare_machine(&c);
                compare_devices(&c, expected);
                compare_backends(&c, expected);
        }
        if (sides->facts)
                state_compare_work(&c);
        if (c.spec && sides->steps) {
                state_compare_images(&c);
                state_compare_taps(&c);
        } else if (c.spec) {
                state_differ_from_record(&c, "question", "journal", NULL, NULL, NULL);
        }
        return c.differences;
}

char *state_difference_text(const json_t *difference)
{
        static const char *const names[SIDES] = { "template", "QEMU", "record" };
        const char *kind = state_string(difference, "kind"), *id = state_string(difference, "id");
        const char *member = state_string(difference, "member");
        struct text line = TEXT_INIT;
        bool first = true;

        text_addf(&line, "%s %s%s%s", kind ? kind : "-", id ? id : "-", member ? " " : "",
                  member ? member : "");
        for (enum state_side side = 0; side < SIDES; side++) {
                const json_t *value = json_object_get(difference, side_members[side]);

                if (!value)
                        continue;
                text_addf(&line, "%s %s %s", first ? ":" : ",", names[side],
                          json_is_string(value) ? json_string_value(value) : "none");
                first = false;
        }
        return text_take(&line);
}
