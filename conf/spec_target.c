/* Names of disks, and the buses that follow from them. */
#include <string.h>

#include "base/text.h"
#include "conf/spec_disk.h"

/* Twice as many places as disks can be, so that a search ends. */
enum { SLOTS = 2 * SPEC_MAX_DISKS };

/* The targets that are taken, each with its disk. */
struct taken {
        const char *names[SLOTS];
        size_t disks[SLOTS];
        unsigned index[SPEC_MAX_DISKS]; /* of the letters that a disk was given */
};

/* The place of the name, or the free one where it goes. */
static size_t slot_of(const struct taken *taken, const char *name)
{
        size_t slot = text_hash(name, strlen(name)) % SLOTS;

        while (taken->names[slot] && strcmp(taken->names[slot], name) != 0)
                slot = (slot + 1) % SLOTS;
        return slot;
}

static void take(struct taken *taken, const char *name, size_t disk)
{
        size_t slot = slot_of(taken, name);

        taken->names[slot] = name;
        taken->disks[slot] = disk;
}

/* a to z, aa, ab, ... */
static char *letters(const char *prefix, unsigned index)
{
        char suffix[8], *s = suffix + sizeof(suffix) - 1;

        *s = '\0';
        for (index++; index; index /= 26) {
                index--;
                *--s = (char)('a' + index % 26);
        }
        return xasprintf("%s%s", prefix, s);
}

/* A CD or floppy takes its own default whatever the configuration says of disks. */
static const char *prefix_of(const struct vm_spec *spec, const struct disk_spec *disk)
{
        if (!disk->dev_prefix)
                return "sd"; /* a wrong one, which has been said */
        if (spec_origin(&attr_disk, disk, "DEV_PREFIX")->layer == LAYER_TEMPLATE)
                return disk->dev_prefix;
        if (disk->medium == DISK_MEDIUM_CDROM)
                return vm_spec_is_q35(spec) ? "sd" : "hd";
        return disk->medium == DISK_MEDIUM_FLOPPY ? "fd" : disk->dev_prefix;
}

static void give_target(struct vm_spec *spec, struct taken *taken, size_t i)
{
        struct disk_spec *disk = &spec->disks[i];
        const char *prefix = prefix_of(spec, disk);
        unsigned index = 0;

        if (disk->target)
                return;
        /* The last one that was given out with this prefix says where the search begins. */
        for (size_t j = i; j-- > 0;) {
                const struct disk_spec *other = &spec->disks[j];

                if (other->target && spec_origin(&attr_disk, other, "TARGET")->layer == LAYER_RULE &&
                    strcmp(prefix_of(spec, other), prefix) == 0) {
                        index = taken->index[j] + 1;
                        break;
                }
        }
        for (; !disk->target; index++) {
                _cleanup_free_ char *target = letters(prefix, index);

                if (taken->names[slot_of(taken, target)])
                        continue;
                disk->target = TAKE_PTR(target);
                taken->index[i] = index;
        }
        take(taken, disk->target, i);
        spec_set_origin(spec, spec_own_origin(&attr_disk, disk, "TARGET"), LAYER_RULE, disk->target, NULL);
}

static void take_given(struct spec_builder *builder, struct taken *taken)
{
        struct vm_spec *spec = builder->spec;

        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct disk_spec *disk = &spec->disks[i];
                size_t slot;

                if (!disk->target)
                        continue;
                slot = slot_of(taken, disk->target);
                if (taken->names[slot])
                        spec_fail_twice(
                                builder, &spec_origin(&attr_disk, disk, "TARGET")->pos,
                                &spec_origin(&attr_disk, &spec->disks[taken->disks[slot]], "TARGET")->pos,
                                "DISK/TARGET: '%s' is also the disk of", disk->target);
                else
                        take(taken, disk->target, i);
        }
}

static enum disk_bus choose_bus(const struct vm_spec *spec, const struct disk_spec *disk)
{
        enum disk_bus other = vm_spec_is_q35(spec) ? DISK_BUS_SATA : DISK_BUS_IDE;
        bool on_sata = spec->os.sd_disk_bus == SD_DISK_BUS_SATA && disk->medium != DISK_MEDIUM_LUN;

        if (disk->medium == DISK_MEDIUM_FLOPPY)
                return DISK_BUS_FLOPPY;
        /* The virt machine has no SATA controller of its own. */
        if (vm_spec_is_virt(spec))
                return *disk->target == 'v' && disk->medium != DISK_MEDIUM_CDROM ? DISK_BUS_VIRTIO
                                                                                 : DISK_BUS_SCSI;
        if (disk->medium == DISK_MEDIUM_CDROM)
                return other;
        if (*disk->target == 's')
                return on_sata ? DISK_BUS_SATA : DISK_BUS_SCSI;
        return *disk->target == 'v' ? DISK_BUS_VIRTIO : other;
}

/* opennebula-semantics section 3.9.2: the first disk, then the CDs, then the others; given ones are kept free. */
void spec_set_targets(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        struct taken taken = { 0 };

        take_given(builder, &taken);
        for (size_t i = 0; i < spec->n_disks; i++)
                if (spec->disks[i].medium < DISK_MEDIUM_CDROM &&
                    spec->disks[i].store != DISK_STORE_VOLATILE) {
                        give_target(spec, &taken, i);
                        break;
                }
        for (size_t i = 0; i < spec->n_disks; i++)
                if (spec->disks[i].medium == DISK_MEDIUM_CDROM)
                        give_target(spec, &taken, i);
        for (size_t i = 0; i < spec->n_disks; i++)
                give_target(spec, &taken, i);
        for (size_t i = 0; i < spec->n_disks; i++)
                spec->disks[i].bus = choose_bus(spec, &spec->disks[i]);
}
