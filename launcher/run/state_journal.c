/* Where a VM's template and the journal of its run do not agree: images and taps. */
#include <string.h>

#include "base/text.h"
#include "launcher/run/state_parts.h"

static const json_t *step_args(const json_t *step, const char *effect)
{
        const char *name = state_string(step, "effect");

        return name && strcmp(name, effect) == 0 ? json_object_get(step, "args") : NULL;
}

/* The step whose argument key is value; lent. */
static const json_t *find_step(const json_t *steps, const char *effect, const char *key, const char *value)
{
        for (size_t i = 0; i < json_array_size(steps); i++) {
                const json_t *args = step_args(json_array_get(steps, i), effect);
                const char *text = state_string(args, key);

                if (text && strcmp(text, value) == 0)
                        return args;
        }
        return NULL;
}

void state_differ_from_record(struct state_comparison *c, const char *kind, const char *id,
                              const char *member, const char *template, const char *record)
{
        json_t *difference = state_differ(c, kind, id, member);

        if (!difference)
                return;
        state_set_side(difference, SIDE_TEMPLATE, template);
        state_set_side(difference, SIDE_RECORD, record);
}

/* Which file is "UEFI" is a matter of this host's descriptors, and theirs may have changed since. */
static void compare_firmware(struct state_comparison *c)
{
        const struct os_spec *os = &c->spec->os;
        const json_t *args = find_step(c->sides->steps, "image-open", "fd", "image:pflash0-file");
        const char *path = state_string(args, "path"), *wanted = os->firmware;
        bool is_same = os->firmware_kind == FIRMWARE_BIOS   ? !path
                       : os->firmware_kind == FIRMWARE_UEFI ? path != NULL
                                                            : path && strcmp(path, wanted) == 0;

        if (!is_same)
                state_differ_from_record(c, "image", "pflash0", NULL,
                                         os->firmware_kind == FIRMWARE_BIOS ? NULL : wanted, path);
}

void state_compare_images(struct state_comparison *c)
{
        const json_t *steps = c->sides->steps;

        for (size_t i = 0; i < c->spec->n_disks; i++) {
                const struct disk_spec *disk = &c->spec->disks[i];
                _cleanup_free_ char *id = xasprintf("disk%u", disk->id);
                _cleanup_free_ char *fd =
                        xasprintf("image:disk%u%s-file", disk->id, disk->is_clone ? "-base1" : "");
                const char *made = NULL, *wanted = disk->path && *disk->path ? disk->path : NULL;
                const char *path = state_string(find_step(steps, "image-open", "fd", fd), "path");

                if (!wanted != !path || (wanted && strcmp(path, wanted) != 0))
                        state_differ_from_record(c, "image", id, NULL, wanted, path);
                if (!disk_is_made(disk))
                        continue;
                free(fd);
                fd = xasprintf("image:disk%u-file", disk->id);
                made = state_string(find_step(steps, "image-create", "fd", fd), "path");
                if (!made)
                        state_differ_from_record(c, "image", id, "made", "made at the start", NULL);
        }
        compare_firmware(c);
        for (size_t i = 0; i < json_array_size(steps) && i < STATE_LIST_MAX; i++) {
                const json_t *step = json_array_get(steps, i), *opened = step_args(step, "image-open");
                const json_t *args = opened ? opened : step_args(step, "image-create");
                const char *fd = state_string(args, "fd"), *path = state_string(args, "path");
                const char *rest = "";
                unsigned disk = 0;

                if (!fd || !path || strcmp(fd, "image:pflash0-file") == 0)
                        continue;
                if (!state_number_behind(fd, "image:disk", &disk, &rest) || *rest != '-' ||
                    !state_find_disk(c, disk))
                        state_differ_from_record(c, "image", fd, NULL, NULL, path);
        }
}

void state_compare_taps(struct state_comparison *c)
{
        const json_t *steps = c->sides->steps;

        for (size_t i = 0; i < c->spec->n_nics; i++) {
                const struct nic_spec *nic = &c->spec->nics[i];
                _cleanup_free_ char *id = xasprintf("nic%u", nic->id);

                if (nic->bridge_type != NIC_BRIDGE_USER && nic->target &&
                    !find_step(steps, "net", "ifname", nic->target))
                        state_differ_from_record(c, "tap", id, NULL, nic->target, NULL);
        }
        for (size_t i = 0; i < json_array_size(steps) && i < STATE_LIST_MAX; i++) {
                const json_t *args = step_args(json_array_get(steps, i), "net");
                const char *op = state_string(args, "op"), *ifname = state_string(args, "ifname");
                bool known = false;

                if (!op || !ifname || strcmp(op, "tap-create") != 0)
                        continue;
                for (size_t k = 0; k < c->spec->n_nics; k++)
                        known = known ||
                                (c->spec->nics[k].target && strcmp(c->spec->nics[k].target, ifname) == 0);
                if (!known)
                        state_differ_from_record(c, "tap", ifname, NULL, NULL, ifname);
        }
}
