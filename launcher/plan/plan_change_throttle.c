/* Limits of disks that stay. */
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/plan/changing.h"

/* A throttle group's limits merge with what it has (qemu-lab 7), so all of them are said. */
static json_t *limits_between(const json_t *from, const json_t *to)
{
        json_t *limits = json_object(), *value;
        const char *key;

        json_object_foreach (json_object_get(from, "limits"), key, value)
                json_object_set_new(limits, key, json_integer(text_ends_with(key, "-length")));
        json_object_foreach (json_object_get(to, "limits"), key, value)
                json_object_set(limits, key, value);
        return limits;
}

static json_t *set_limits(const char *id, json_t *limits_consume)
{
        return json_pack("{s:o, s:s, s:o}", "path", json_sprintf("/objects/%s", id), "property", "limits",
                         "value", limits_consume);
}

bool changing_is_limits_group(const struct plan_part *part)
{
        const char *type = json_member_string(part->json, "qom-type");

        return part->kind == PART_OBJECT && type && strcmp(type, "throttle-group") == 0;
}

bool changing_limits_group(struct changing *c, const struct plan_part *was, const struct plan_part *wanted)
{
        if (!changing_is_limits_group(wanted))
                return false;
        changing_add_qmp(
                c, wanted->because, "qom-set",
                set_limits(wanted->id, limits_between(was->json, wanted->json)),
                json_pack("{s:[o]}", "undo",
                          changing_command("qom-set",
                                           set_limits(wanted->id, limits_between(wanted->json, was->json)))));
        return true;
}

/* The filter. */

/* The throttle `top` over `below`, if this plan alone has it. */
static const struct plan_part *throttle_over(const struct plan_parts *with, const struct plan_parts *without,
                                             const char *top, const char *below)
{
        const struct plan_part *node = plan_parts_find(with, PART_NODE, top);
        const char *driver, *file;

        if (!node || plan_parts_find(without, PART_NODE, top))
                return NULL;
        driver = json_member_string(node->json, "driver");
        file = json_member_string(node->json, "file");
        return driver && strcmp(driver, "throttle") == 0 && file && strcmp(file, below) == 0 ? node : NULL;
}

/* Its own, or that of the controller whose bus it is on. */
static bool has_iothread(const struct changing *c, const struct plan_part *device)
{
        const char *bus = json_member_string(device->json, "bus");
        const char *dot = bus ? strrchr(bus, '.') : NULL;
        _cleanup_free_ char *controller = dot ? xstrndup(bus, (size_t)(dot - bus)) : NULL;
        const struct plan_part *part = controller ? plan_parts_find(&c->was, PART_DEVICE, controller) : NULL;

        return json_object_get(device->json, "iothread") || (part && json_object_get(part->json, "iothread"));
}

/* A device that is there gets another node at once, with what is under way (set_drive_helper() of QEMU). */
static json_t *set_drive(const struct plan_part *device)
{
        return json_pack("{s:o, s:s, s:O}", "path", json_sprintf("/machine/peripheral/%s", device->id),
                         "property", "drive", "value", json_object_get(device->json, "drive"));
}

static void remove_later(struct changing *c, const char *command, const char *key, const char *id)
{
        json_object_set_new(c->handled, id, json_true());
        json_array_append_new(c->after, json_pack("{s:s, s:{s:s, s:{s:s}}, s:[]}", "effect",
                                                  plan_effect_name(EFFECT_QMP), "args", "execute", command,
                                                  "arguments", key, id, "undo"));
}

bool changing_filter(struct changing *c, const struct plan_part *was, const struct plan_part *wanted)
{
        const char *old = json_member_string(was->json, "drive"),
                   *new = json_member_string(wanted->json, "drive");
        const struct plan_part *comes, *goes, *filter;

        if (wanted->kind != PART_DEVICE || !old || !new || strcmp(old, new) == 0)
                return false;
        comes = throttle_over(&c->wanted, &c->was, new, old);
        goes = throttle_over(&c->was, &c->wanted, old, new);
        filter = comes ? comes : goes;
        if (!filter)
                return false;
        /* QEMU 7.2 crashes in blockdev-add when the node below belongs to an iothread; out of there it goes. */
        if (comes && has_iothread(c, was)) {
                changing_tell_next_start(
                        c,
                        "%s: limits where '%s' has none come at the next start: it has an iothread, and QEMU "
                        "crashes of a filter that is put over its image then (those that are there from the "
                        "start on can be changed at any time)",
                        comes->because, wanted->id);
                return true;
        }
        changing_add_qmp(c, filter->because, "qom-set", set_drive(wanted),
                         json_pack("{s:[o]}", "undo", changing_command("qom-set", set_drive(was))));
        /* For the same reason they are not put back: they go when it is certain that they shall. */
        if (goes) {
                const char *group = json_member_string(goes->json, "throttle-group");

                remove_later(c, "blockdev-del", "node-name", goes->id);
                if (group && !plan_parts_find(&c->wanted, PART_OBJECT, group))
                        remove_later(c, "object-del", "id", group);
        }
        return true;
}
