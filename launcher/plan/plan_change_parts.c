/* What has a name in QEMU: what comes, what changes and what goes. */
#include <ctype.h>
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/plan/changing.h"
#include "launcher/plan/expander.h"
#include "launcher/plan/iommu.h"

static const struct {
        const char *add, *remove, *id;
} commands[PLAN_PART_KINDS] = {
        [PART_OBJECT] = { "object-add", "object-del", "id" },
        [PART_FDSET] = { "add-fd", "remove-fd", "fdset-id" },
        [PART_CHARDEV] = { "chardev-add", "chardev-remove", "id" },
        [PART_NODE] = { "blockdev-add", "blockdev-del", "node-name" },
        [PART_NETDEV] = { "netdev_add", "netdev_del", "id" },
        [PART_DEVICE] = { "device_add", "device_del", "id" },
};

void changing_add_step(struct changing *c, const char *because, enum plan_effect effect, json_t *args_consume,
                       json_t *more_consume)
{
        json_t *step = json_pack("{s:s, s:o, s:s}", "effect", plan_effect_name(effect), "args", args_consume,
                                 "because", because);

        if (more_consume) {
                json_object_update(step, more_consume);
                json_decref(more_consume);
        }
        json_array_append_new(c->steps, step);
}

json_t *changing_command(const char *name, json_t *arguments_consume)
{
        return json_pack("{s:s, s:o}", "execute", name, "arguments", arguments_consume);
}

void changing_add_qmp(struct changing *c, const char *because, const char *name, json_t *arguments_consume,
                      json_t *more_consume)
{
        changing_add_step(c, because, EFFECT_QMP, changing_command(name, arguments_consume), more_consume);
}

/* Names and numbers in QEMU. */

/*
 * The number of a set: QEMU's own where it has it; else one of the name, above all that a command line counts to. Two
 * names with one number are found by the supervisor, which adds nothing that is there.
 */
json_int_t changing_fdset_number(const struct changing *c, const char *name)
{
        const json_t *known = json_object_get(c->options->fdsets, name);
        json_int_t number = 0x40000000 + (json_int_t)(text_hash(name, strlen(name)) & 0x3fffffff);

        if (json_is_integer(known))
                return json_integer_value(known);
        /* One without a name is what QEMU has kept of a device that it could not open (usb-host in 7.2). */
        for (;; number++) {
                _cleanup_free_ char *taken = xasprintf(PLAN_FDSET_TAKEN "%lld", (long long)number);

                if (!json_object_get(c->options->fdsets, taken))
                        return number;
        }
}

static char *fdset_path(const char *name, void *data)
{
        return xasprintf("/dev/fdset/%lld", (long long)changing_fdset_number(data, name));
}

/* A name for getfd: no digit in front, no colon inside. */
static char *fd_name(const char *source, void *data)
{
        char *name = xasprintf("fd-%s", source);

        (void)data;
        for (char *p = name; *p; p++)
                if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
                        *p = '.';
        return name;
}

json_t *changing_arguments(struct changing *c, const struct plan_part *part)
{
        json_t *arguments = json_deep_copy(part->json), *each,
               *place = json_object_get(arguments, "bootindex");
        const char *key;
        void *next;

        /* QEMU has two devices on no place, and those that are there keep theirs until the next start. */
        for (size_t i = 0; i < c->was.n && place; i++)
                if (json_equal(json_object_get(c->was.items[i].json, "bootindex"), place))
                        place = NULL;
        if (!place)
                json_object_del(arguments, "bootindex");
        plan_part_replace(arguments, PLAN_PART_FDSET, fdset_path, c);
        plan_part_replace(arguments, PLAN_PART_FD, fd_name, NULL);
        /* fds=a:b */
        json_object_foreach_safe (arguments, next, key, each) {
                _cleanup_text_ struct text list = TEXT_INIT;
                json_t *name;
                size_t i;

                if (!json_is_array(each) || !text_starts_with(key, "fd"))
                        continue;
                json_array_foreach (each, i, name)
                        text_addf(&list, "%s%s", i ? ":" : "", json_string_value(name));
                json_object_set_new(arguments, key, json_string(text_str(&list)));
        }
        return arguments;
}

void changing_tell_next_start(struct changing *c, const char *format, ...)
{
        _cleanup_text_ struct text text = TEXT_INIT;
        struct error *one = NULL;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&text, format, ap);
        va_end(ap);
        error_set(&one, ERROR_INVALID, "%s", text_str(&text));
        error_append(&c->change.next_start, one);
}

const char *changing_secret(const struct plan_part *part)
{
        static const char begin[] = "/proc/self/fd/@secret:";
        const char *type = json_member_string(part->json, "qom-type"),
                   *file = json_member_string(part->json, "file");

        if (part->kind != PART_OBJECT || !type || strcmp(type, "secret") != 0 || !file ||
            !text_starts_with(file, begin))
                return NULL;
        return strchr(file, '@') + 1;
}

/* A hot-plugged secret has no file of QEMU's: its value goes with the command, which nobody writes down. */
static json_t *secret_arguments(const struct plan_part *part, const char *name)
{
        const char *format = json_member_string(part->json, "format");

        /* Text of base64 is what QEMU takes out of it; everything else travels so. */
        return json_pack(
                "{s:s, s:s, s:o, s:s}", "qom-type", "secret", "id", part->id, "data",
                json_sprintf("%s%s%s", CHANGE_SECRET,
                             format && strcmp(format, "base64") == 0 ? "" : "raw:", name + strlen("secret:")),
                "format", "base64");
}

/* What comes. */

static void give_fds(struct changing *c, const struct plan_part *part, json_t *value)
{
        const char *text = json_string_value(value), *key;
        json_t *each;
        size_t i;

        json_array_foreach (value, i, each)
                give_fds(c, part, each);
        json_object_foreach (value, key, each)
                give_fds(c, part, each);
        if (text && text_starts_with(text, PLAN_PART_FD)) {
                const char *source = text + strlen(PLAN_PART_FD);
                _cleanup_free_ char *name = fd_name(source, NULL);

                changing_add_qmp(c, part->because, "getfd", json_pack("{s:s}", "fdname", name),
                                 json_pack("{s:s}", "fd", source));
        }
}

/* Why a device comes and goes with a start only; NULL: it can be plugged. */
static const char *not_pluggable(const struct plan_part *part)
{
        static const char *const fixed[] = { "isa-",    "pvpanic", "sb16",        "ib700",    "tpm-crb",
                                             "tpm-tis", "hda-",    "intel-iommu", "amd-iommu" };
        const char *bus = json_member_string(part->json, "bus"),
                   *driver = json_member_string(part->json, "driver");

        if (part->kind != PART_DEVICE || !driver || strcmp(driver, "pvpanic-pci") == 0)
                return NULL;
        if (strcmp(driver, "ide-cd") == 0 || strcmp(driver, "floppy") == 0)
                return "a drive has no hotplug: change-media changes its medium";
        if (text_starts_with(driver, "ide-") || (bus && text_starts_with(bus, "ide.")))
                return "IDE and SATA have no hotplug: TARGET vda or sda style has";
        /* QEMU 7.2 crashes when a tpm-crb is taken away. */
        for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
                if (text_starts_with(driver, fixed[i]))
                        return "an ISA device has no hotplug, nor one of the board";
        if (expander_is_part(part->id) || strcmp(driver, IOMMU_SMMUV3_DEVICE) == 0)
                return "a PCI Express root has no hotplug, nor what is part of it";
        if (bus && strcmp(bus, "pcie.0") == 0)
                return "a device on the root complex has no hotplug";
        return NULL;
}

static bool is_root_port(const struct plan_part *part)
{
        const char *driver = json_member_string(part->json, "driver");

        return part->kind == PART_DEVICE && driver && strcmp(driver, "pcie-root-port") == 0 &&
               !expander_is_part(part->id);
}

/* The plan makes another one when the last has a device; the machine has those of its start. */
static void tell_no_port(struct changing *c)
{
        size_t ports = 0;

        for (size_t i = 0; i < c->was.n; i++)
                ports += is_root_port(&c->was.items[i]);
        changing_tell_next_start(
                c,
                "no port is free: the machine has %zu and each has a device; Q35_ROOT_PORTS of "
                "host.conf gives more, from the next start on (or detach one, or use a SCSI disk)",
                ports);
}

/* QEMU 7.2 connects it in a thread, where a monitor's names of fds are not known: "connection error" for ever. */
static bool is_stream(const struct plan_part *part)
{
        const char *type = json_member_string(part->json, "type");

        return part->kind == PART_NETDEV && type && strcmp(type, "stream") == 0;
}

void changing_add_part(struct changing *c, const struct plan_part *part)
{
        const char *why =
                is_stream(part) ? "QEMU takes the socket of a passt at its start alone; slirp can be plugged"
                                : not_pluggable(part);

        if (is_root_port(part)) {
                tell_no_port(c);
                return;
        }

        if (why)
                changing_tell_next_start(c, "%s: '%s' can come with a start only: %s", part->because,
                                         part->id, why);
        if (part->kind == PART_FDSET) {
                const char *source = json_member_string(part->json, "fd") + strlen(PLAN_PART_FD);

                changing_add_qmp(c, part->because, "add-fd",
                                 json_pack("{s:I, s:s}", "fdset-id", changing_fdset_number(c, part->id),
                                           "opaque", part->id),
                                 json_pack("{s:s}", "fd", source));
                return;
        }
        if (changing_secret(part)) {
                changing_add_qmp(c, part->because, commands[part->kind].add,
                                 secret_arguments(part, changing_secret(part)), NULL);
                return;
        }
        give_fds(c, part, part->json);
        changing_add_qmp(c, part->because, commands[part->kind].add, changing_arguments(c, part), NULL);
}

/* What both have: but for the place in the boot order, which is the firmware's and long past. */
static json_t *comparable(const struct plan_part *part)
{
        json_t *copy = json_deep_copy(part->json);

        json_object_del(copy, "bootindex");
        return copy;
}

static json_t *set_requested(const struct plan_part *part)
{
        return json_pack("{s:o, s:s, s:O}", "path", json_sprintf("/machine/peripheral/%s", part->id),
                         "property", "requested-size", "value",
                         json_object_get(part->json, "requested-size"));
}

/* The guest takes or gives blocks in its own time. */
static bool change_virtio_mem(struct changing *c, const struct plan_part *was, const struct plan_part *wanted)
{
        const char *driver = json_member_string(wanted->json, "driver");

        if (wanted->kind != PART_DEVICE || !driver || strcmp(driver, "virtio-mem-pci") != 0)
                return false;
        changing_add_qmp(c, "MEMORY_PLUGGED", "qom-set", set_requested(wanted),
                         json_pack("{s:[o]}", "undo", changing_command("qom-set", set_requested(was))));
        return true;
}

/* Whose wish it is that a device gets another node: that of the node which comes or goes, a throttle's. */
static const char *because_of(const struct changing *c, const struct plan_part *wanted, const json_t *was,
                              const json_t *now)
{
        const char *old = json_string_value(was), *new = json_string_value(now);
        const struct plan_part *node;

        node = new && !plan_parts_find(&c->was, PART_NODE, new) ? plan_parts_find(&c->wanted, PART_NODE, new)
                                                                : NULL;
        if (!node && old && !plan_parts_find(&c->wanted, PART_NODE, old))
                node = plan_parts_find(&c->was, PART_NODE, old);
        return node ? node->because : wanted->because;
}

/* What virtiofsd would have to map. */
static bool is_unshared(struct changing *c, const struct plan_part *wanted, const json_t *was,
                        const json_t *now)
{
        if (wanted->kind != PART_OBJECT || json_member_is_true(was, "share") ||
            !json_member_is_true(now, "share"))
                return false;
        changing_tell_next_start(
                c,
                "FILESYSTEM/DRIVER: virtiofs needs guest memory that is shared, and '%s' is not: "
                "start the VM with TOPOLOGY = [ MEMORY_ACCESS = \"shared\" ]",
                wanted->id);
        return true;
}

static void change_part(struct changing *c, const struct plan_part *was, const struct plan_part *wanted)
{
        json_auto_t *a = NULL, *b = NULL;
        const char *key;
        json_t *value;

        if (json_equal(was->json, wanted->json))
                return;
        a = comparable(was);
        b = comparable(wanted);
        if (changing_filter(c, was, wanted))
                json_object_set(a, "drive", json_object_get(b, "drive"));
        if (json_equal(a, b) || changing_limits_group(c, was, wanted) || change_virtio_mem(c, was, wanted) ||
            is_unshared(c, wanted, a, b))
                return;
        json_object_foreach (b, key, value) {
                if (json_equal(json_object_get(a, key), value))
                        continue;
                changing_tell_next_start(c, "%s: %s of '%s' changes at the next start",
                                         because_of(c, wanted, json_object_get(a, key), value), key,
                                         wanted->id);
                /* Another device has other properties. */
                if (strcmp(key, "driver") == 0)
                        return;
        }
        json_object_foreach (a, key, value) {
                if (!json_object_get(b, key))
                        changing_tell_next_start(c, "%s: %s of '%s' goes at the next start", wanted->because,
                                                 key, wanted->id);
        }
}

/* Options of the command line are all the same, or come with the next start. Nothing of a run's own is in them. */
static bool has_option(const struct plan_parts *parts, const struct plan_part *option)
{
        for (size_t i = 0; i < parts->n; i++)
                if (parts->items[i].kind == PART_OPTION && strcmp(parts->items[i].id, option->id) == 0 &&
                    json_equal(parts->items[i].json, option->json))
                        return true;
        return false;
}

/* "disk2-file" and "disk2" are of the drive "disk2". */
bool changing_handles(const struct changing *c, const char *id)
{
        const char *drive;
        json_t *value;

        json_object_foreach (c->handled, drive, value) {
                size_t n = strlen(drive);

                if (strncmp(id, drive, n) == 0 && (id[n] == '-' || !id[n]))
                        return true;
        }
        return false;
}

bool changing_handles_image(const struct changing *c, const struct plan_step *step)
{
        const char *fd = json_member_string(step->args, "fd");

        return step->effect == EFFECT_IMAGE_OPEN && fd && text_starts_with(fd, "image:") &&
               changing_handles(c, fd + strlen("image:"));
}

void changing_add_parts(struct changing *c)
{
        for (enum plan_part_kind kind = 0; kind < PART_OPTION; kind++)
                for (size_t i = 0; i < c->wanted.n; i++) {
                        const struct plan_part *part = &c->wanted.items[i];
                        const struct plan_part *was;

                        if (part->kind != kind || changing_handles(c, part->id))
                                continue;
                        was = plan_parts_find(&c->was, kind, part->id);
                        if (was)
                                change_part(c, was, part);
                        else
                                changing_add_part(c, part);
                }
        for (size_t i = 0; i < c->wanted.n; i++) {
                const struct plan_part *part = &c->wanted.items[i];

                if (part->kind != PART_OPTION || has_option(&c->was, part))
                        continue;
                if (strcmp(part->id, "-fsdev") == 0)
                        changing_tell_next_start(
                                c,
                                "%s: a share over 9p comes with a start only, QEMU has no command for "
                                "it: DRIVER = \"virtiofs\" can be attached",
                                part->because);
                else
                        changing_tell_next_start(c, "%s: %s %s comes with the next start", part->because,
                                                 part->id, json_string_value(part->json));
        }
}

/* What goes: newest first, devices before what they are made of. */

static void remove_part(struct changing *c, const struct plan_part *part)
{
        const char *why = not_pluggable(part);
        json_t *more = json_pack("{s:[]}", "undo"), *id = json_string(part->id);

        if (why)
                changing_tell_next_start(c, "%s: '%s' can go with the next start only: %s", part->because,
                                         part->id, why);
        if (part->kind == PART_FDSET) {
                json_decref(id);
                id = json_integer(changing_fdset_number(c, part->id));
        }
        if (part->kind == PART_DEVICE)
                json_object_set_new(more, "await",
                                    json_pack("{s:s, s:s, s:i}", "event", "DEVICE_DELETED", "device",
                                              part->id, "timeout", (int)c->options->unplug_s));
        changing_add_qmp(c, part->because, commands[part->kind].remove,
                         json_pack("{s:o}", commands[part->kind].id, id), more);
        c->removes = true;
}

void changing_remove_parts(struct changing *c)
{
        for (enum plan_part_kind kind = PART_OPTION; kind-- > 0;)
                for (size_t i = c->was.n; i-- > 0;) {
                        const struct plan_part *part = &c->was.items[i];

                        if (part->kind == kind && !changing_handles(c, part->id) &&
                            !plan_parts_find(&c->wanted, kind, part->id))
                                remove_part(c, part);
                }
}
