/* Where a disk lies, its format, target and bus. */
#include <string.h>

#include "base/text.h"
#include "conf/spec_rules.h"

static void set_disk_path(struct spec_builder *builder, struct disk_spec *disk, const char *base_dir)
{
        if (disk->source)
                disk->path =
                        spec_resolve_path(builder, "DISK/SOURCE", spec_origin(&attr_disk, disk, "SOURCE"),
                                          base_dir, disk->source);
        else if (disk->image)
                disk->path = xasprintf("%s/%s", builder->site->image_dir, disk->image);
}

/*
 * FORMAT, else DRIVER, else the suffix .qcow2, else the layers' DRIVER, else raw. The suffix is stronger than a
 * layer's default: upstream's shipped configuration says raw, and a qcow2 file written to as raw is lost.
 */
static void set_disk_format(struct spec_builder *builder, struct disk_spec *disk)
{
        const struct origin *driver = spec_origin(&attr_disk, disk, "DRIVER");
        const struct origin *format = spec_origin(&attr_disk, disk, "FORMAT");
        bool driver_is_own =
                driver->layer == LAYER_TEMPLATE && driver->text && !spec_text_is_empty(driver->text);
        enum disk_format from_layers = driver_is_own ? DISK_FORMAT_NONE : disk->format;
        struct error *error = NULL;

        if (disk->type == DISK_TYPE_CDROM) {
                disk->format = DISK_FORMAT_RAW;
                return;
        }
        if (format->text && !spec_text_is_empty(format->text)) {
                if (attr_set(&attr_disk, attr_find(&attr_disk, "FORMAT"), format->text, &format->pos, disk,
                             &error) < 0)
                        error_free(error); /* said already */
                return;
        }
        if (driver_is_own)
                return;
        if (disk->path && text_ends_with(disk->path, ".qcow2")) {
                disk->format = DISK_FORMAT_QCOW2;
                disk->format_is_guess = true;
                if (from_layers == DISK_FORMAT_RAW)
                        spec_warn(
                                builder, &disk->section.pos,
                                "DISK: taken as qcow2 by its name's suffix, against DRIVER raw of %s; give FORMAT",
                                layer_name(driver->layer));
        } else if (disk->format == DISK_FORMAT_NONE) {
                disk->format = DISK_FORMAT_RAW;
                disk->format_is_guess = true;
        }
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

static bool target_is_taken(const struct vm_spec *spec, const char *target)
{
        for (size_t i = 0; i < spec->n_disks; i++)
                if (spec->disks[i].target && strcmp(spec->disks[i].target, target) == 0)
                        return true;
        return false;
}

static void give_target(struct vm_spec *spec, struct disk_spec *disk)
{
        const char *prefix = disk->dev_prefix;

        if (disk->target)
                return;
        /* A CD takes its own default whatever the configuration says of disks. */
        if (disk->type == DISK_TYPE_CDROM &&
            spec_origin(&attr_disk, disk, "DEV_PREFIX")->layer != LAYER_TEMPLATE)
                prefix = vm_spec_is_q35(spec) ? "sd" : "hd";
        for (unsigned i = 0; !disk->target; i++) {
                _cleanup_free_ char *target = letters(prefix, i);

                if (!target_is_taken(spec, target))
                        disk->target = TAKE_PTR(target);
        }
        spec_set_origin(spec, spec_origin(&attr_disk, disk, "TARGET"), LAYER_RULE, disk->target, NULL);
}

/* opennebula-semantics section 3.9.2: the first disk, then the CDs, then the others; given ones are kept free. */
static void set_targets(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        for (size_t i = 0; i < spec->n_disks; i++)
                for (size_t j = 0; j < i; j++)
                        if (spec->disks[i].target && spec->disks[j].target &&
                            strcmp(spec->disks[i].target, spec->disks[j].target) == 0) {
                                spec_fail(builder, &spec_origin(&attr_disk, &spec->disks[i], "TARGET")->pos,
                                          "DISK/TARGET: '%s' is also the disk of line %u",
                                          spec->disks[i].target,
                                          spec_origin(&attr_disk, &spec->disks[j], "TARGET")->pos.line);
                                break;
                        }
        for (size_t i = 0; i < spec->n_disks; i++)
                if (spec->disks[i].type != DISK_TYPE_CDROM) {
                        give_target(spec, &spec->disks[i]);
                        break;
                }
        for (size_t i = 0; i < spec->n_disks; i++)
                if (spec->disks[i].type == DISK_TYPE_CDROM)
                        give_target(spec, &spec->disks[i]);
        for (size_t i = 0; i < spec->n_disks; i++)
                give_target(spec, &spec->disks[i]);
}

static enum disk_bus choose_bus(const struct vm_spec *spec, const struct disk_spec *disk)
{
        enum disk_bus other = vm_spec_is_q35(spec) ? DISK_BUS_SATA : DISK_BUS_IDE;
        bool on_sata = spec->os.sd_disk_bus == SD_DISK_BUS_SATA;

        /* The virt machine has no SATA controller of its own. */
        if (vm_spec_is_virt(spec))
                return *disk->target == 'v' && disk->type != DISK_TYPE_CDROM ? DISK_BUS_VIRTIO
                                                                             : DISK_BUS_SCSI;
        if (disk->type == DISK_TYPE_CDROM)
                return other;
        if (*disk->target == 's')
                return on_sata ? DISK_BUS_SATA : DISK_BUS_SCSI;
        return *disk->target == 'v' ? DISK_BUS_VIRTIO : other;
}

void spec_set_disks(struct spec_builder *builder, const char *base_dir)
{
        struct vm_spec *spec = builder->spec;

        set_targets(builder);
        for (size_t i = 0; i < spec->n_disks; i++) {
                struct disk_spec *disk = &spec->disks[i];

                set_disk_path(builder, disk, base_dir);
                set_disk_format(builder, disk);
                disk->bus = choose_bus(spec, disk);
                if (disk->type != DISK_TYPE_CDROM)
                        continue;
                if (spec_is_given(&attr_disk, disk, "READONLY") && !disk->readonly)
                        spec_warn(builder, &spec_origin(&attr_disk, disk, "READONLY")->pos,
                                  "DISK/READONLY: a CD is read-only all the same");
                disk->readonly = true;
        }
}
