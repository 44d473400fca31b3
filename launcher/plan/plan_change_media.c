/* Media of drives that stay. */
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/plan/changing.h"

static const struct plan_step *image_of(const struct launch_plan *plan, const char *node)
{
        for (size_t i = 0; i < plan->n_steps; i++) {
                const char *fd = json_member_string(plan->steps[i].args, "fd");

                if (plan->steps[i].effect == EFFECT_IMAGE_OPEN && fd && text_starts_with(fd, "image:") &&
                    strcmp(fd + strlen("image:"), node) == 0)
                        return &plan->steps[i];
        }
        return NULL;
}

static bool is_removable(const struct plan_part *device)
{
        static const char *const drivers[] = { "ide-cd", "scsi-cd", "floppy" };
        const char *driver = json_member_string(device->json, "driver");

        for (size_t i = 0; driver && i < ARRAY_SIZE(drivers); i++)
                if (strcmp(driver, drivers[i]) == 0)
                        return true;
        return false;
}

static bool is_part_of(const struct plan_part *part, enum plan_part_kind kind, const char *drive)
{
        size_t n = strlen(drive);

        return part->kind == kind && strncmp(part->id, drive, n) == 0 && part->id[n] == '-';
}

/* An empty drive has no limits. */
static void limits_go(struct changing *c, const struct plan_part *device)
{
        for (size_t i = 0; i < c->was.n; i++) {
                const struct plan_part *part = &c->was.items[i];

                if (is_part_of(part, PART_OBJECT, device->id) && changing_is_limits_group(part) &&
                    !plan_parts_find(&c->wanted, PART_OBJECT, part->id))
                        changing_add_qmp(
                                c, part->because, "object-del", json_pack("{s:s}", "id", part->id),
                                json_pack("{s:[o]}", "undo",
                                          changing_command("object-add", changing_arguments(c, part))));
        }
}

static void limits_come(struct changing *c, const struct plan_part *device)
{
        for (size_t i = 0; i < c->wanted.n; i++) {
                const struct plan_part *part = &c->wanted.items[i], *was;

                if (!is_part_of(part, PART_OBJECT, device->id) || !changing_is_limits_group(part))
                        continue;
                was = plan_parts_find(&c->was, PART_OBJECT, part->id);
                if (!was)
                        changing_add_part(c, part);
                else if (!json_equal(was->json, part->json))
                        changing_limits_group(c, was, part);
        }
}

static json_t *tray(const char *command_name, const char *id, bool force)
{
        json_t *arguments = json_pack("{s:s}", "id", id);

        if (force)
                json_object_set_new(arguments, "force", json_true());
        return changing_command(command_name, arguments);
}

static void add_tray_step(struct changing *c, const struct plan_part *device, const char *name,
                          const char *undo, bool force)
{
        changing_add_step(c, device->because, EFFECT_QMP, tray(name, device->id, force),
                          json_pack("{s:[o]}", "undo", tray(undo, device->id, true)));
}

static json_t *insertion(const struct plan_part *device)
{
        return json_pack("{s:s, s:O}", "id", device->id, "node-name", json_object_get(device->json, "drive"));
}

/* The old one's nodes make room: their names are the new one's. Its file and lock go when all is done. */
static void take_medium_out(struct changing *c, const struct plan_part *device)
{
        changing_add_qmp(
                c, device->because, "blockdev-remove-medium", json_pack("{s:s}", "id", device->id),
                json_pack("{s:[o]}", "undo", changing_command("blockdev-insert-medium", insertion(device))));
        for (size_t i = c->was.n; i-- > 0;) {
                const struct plan_part *part = &c->was.items[i];

                if (is_part_of(part, PART_NODE, device->id))
                        changing_add_qmp(
                                c, part->because, "blockdev-del", json_pack("{s:s}", "node-name", part->id),
                                json_pack("{s:[o]}", "undo",
                                          changing_command("blockdev-add", changing_arguments(c, part))));
        }
        for (size_t i = 0; i < c->was.n; i++)
                if (is_part_of(&c->was.items[i], PART_FDSET, device->id))
                        json_array_append_new(
                                c->after, json_pack("{s:s, s:{s:s, s:{s:I}}, s:[]}", "effect", "qmp", "args",
                                                    "execute", "remove-fd", "arguments", "fdset-id",
                                                    changing_fdset_number(c, c->was.items[i].id), "undo"));
        for (size_t i = 0; i < c->was_plan->n_steps; i++) {
                const struct plan_step *step = &c->was_plan->steps[i];

                if (changing_handles_image(c, step) &&
                    changing_handles(c, json_member_string(step->args, "fd") + strlen("image:")))
                        json_array_append_new(c->after,
                                              json_pack("{s:s, s:{s:s, s:s, s:O, s:O}}", "effect",
                                                        plan_effect_name(EFFECT_TAKE_BACK), "args", "effect",
                                                        plan_effect_name(EFFECT_IMAGE_OPEN), "member", "fd",
                                                        "value", json_object_get(step->args, "fd"), "path",
                                                        json_object_get(step->args, "path")));
        }
}

static void put_medium_in(struct changing *c, const struct plan_part *device)
{
        json_auto_t *numbers = c->options->fdsets ? json_deep_copy(c->options->fdsets) : json_object();
        struct plan_change_options options = *c->options;
        const struct plan_change_options *before = c->options;

        /* The old one's sets are there still, under the same names. */
        options.fdsets = numbers;
        for (size_t i = 0; i < c->wanted.n; i++)
                if (is_part_of(&c->wanted.items[i], PART_FDSET, device->id)) {
                        const struct plan_step *image = image_of(c->wanted_plan, c->wanted.items[i].id);
                        const char *path = json_member_string(image->args, "path");

                        json_object_set_new(
                                numbers, c->wanted.items[i].id,
                                json_integer(0x40000000 +
                                             (json_int_t)(text_hash(path, strlen(path)) & 0x3fffffff)));
                }
        c->options = &options;
        for (size_t i = 0; i < c->wanted.n; i++)
                if (is_part_of(&c->wanted.items[i], PART_FDSET, device->id) ||
                    is_part_of(&c->wanted.items[i], PART_NODE, device->id))
                        changing_add_part(c, &c->wanted.items[i]);
        c->options = before;
        changing_add_qmp(
                c, device->because, "blockdev-insert-medium", insertion(device),
                json_pack("{s:[o]}", "undo",
                          changing_command("blockdev-remove-medium", json_pack("{s:s}", "id", device->id))));
}

static void open_medium(struct changing *c, const char *drive)
{
        for (size_t i = 0; i < c->wanted_plan->n_steps; i++) {
                const struct plan_step *step = &c->wanted_plan->steps[i];
                const char *fd = json_member_string(step->args, "fd");
                size_t n = strlen(drive);

                if (step->effect != EFFECT_IMAGE_OPEN || !fd || !text_starts_with(fd, "image:") ||
                    strncmp(fd + strlen("image:"), drive, n) != 0 || fd[strlen("image:") + n] != '-')
                        continue;
                changing_add_file(c, step->args);
                changing_add_step(c, step->because, step->effect, json_incref(step->args), NULL);
        }
}

void changing_media(struct changing *c)
{
        for (size_t i = 0; i < c->wanted.n; i++) {
                const struct plan_part *wanted = &c->wanted.items[i];
                const struct plan_part *was = wanted->kind == PART_DEVICE && is_removable(wanted)
                                                      ? plan_parts_find(&c->was, PART_DEVICE, wanted->id)
                                                      : NULL;
                _cleanup_free_ char *node = xasprintf("%s-file", wanted->id);
                const struct plan_step *old = was ? image_of(c->was_plan, node) : NULL,
                                       *new = was ? image_of(c->wanted_plan, node) : NULL;

                if (!was || (!old && !new) ||
                    (old && new &&json_equal(json_object_get(old->args, "path"),
                                             json_object_get(new->args, "path"))))
                        continue;
                json_object_set_new(c->handled, wanted->id, json_true());
                open_medium(c, wanted->id);
                add_tray_step(c, was, "blockdev-open-tray", "blockdev-close-tray", c->options->force_tray);
                if (old)
                        take_medium_out(c, was);
                limits_go(c, was);
                limits_come(c, wanted);
                if (new)
                        put_medium_in(c, wanted);
                add_tray_step(c, was, "blockdev-close-tray", "blockdev-open-tray", false);
        }
}
