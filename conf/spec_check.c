/* Rules that span attributes. */
#include <string.h>

#include "base/text.h"
#include "conf/agent_allow.h"
#include "conf/spec_rules.h"

enum { MAX_IDE_DISKS = 4, MAX_SCSI_DISKS = 256 };

static const struct source_pos *place(const struct attr_section *section, const void *record, const char *key)
{
        return &spec_origin(section, record, key)->pos;
}

static void check_required(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        struct source_pos file = { .file = builder->template->file };

        if (!spec_is_given(&attr_vm, spec, "MEMORY"))
                spec_fail(builder, &file, "MEMORY: has to be given (for example MEMORY = \"2 GiB\")");
}

/* DESIGN section 5.2. What the host's own configuration names is always fine; root without a list is the plan's. */
static void check_emulator(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct site *site = builder->site;
        const struct origin *origin = spec_origin(&attr_vm, spec, "EMULATOR");
        const struct template *const layers[] = { site->host, site->cluster, site->driver };
        _cleanup_free_ char *shown = NULL;

        if (!spec->emulator || !*spec->emulator)
                return;
        shown = text_printable(spec->emulator);
        if (*spec->emulator != '/' && strchr(spec->emulator, '/'))
                spec_fail(builder, &origin->pos,
                          "EMULATOR: '%s' is neither an absolute path nor a plain name", shown);
        if (origin->layer != LAYER_TEMPLATE || !site->emulators)
                return;
        for (size_t i = 0; site->emulators[i]; i++)
                if (strcmp(site->emulators[i], spec->emulator) == 0)
                        return;
        for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
                size_t start = 0;
                const struct template_attribute *single = template_next(layers[i], "EMULATOR", false, &start);

                if (single && strcmp(single->value, spec->emulator) == 0)
                        return;
        }
        spec_fail(builder, &origin->pos, "EMULATOR: '%s' is not on the EMULATORS list of host.conf", shown);
}

/* INITRD, KERNEL_CMD and ROOT mean nothing to firmware. From a layer they are defaults for those VMs that have a
 * kernel. */
static void check_kernel(struct spec_builder *builder)
{
        struct os_spec *os = &builder->spec->os;
        const struct {
                const char *key;
                char **field;
        } followers[] = { { "INITRD", &os->initrd },
                          { "KERNEL_CMD", &os->kernel_cmd },
                          { "ROOT", &os->root } };

        if (os->root && *os->root == '/') {
                const char *device = os->root + strspn(os->root, "/");

                if (text_starts_with(device, "dev/"))
                        device += 4;
                spec_fail(builder, place(&attr_os, os, "ROOT"),
                          "OS/ROOT: is a device's name without /dev/ (try ROOT = \"%s\")", device);
        }
        if (os->kernel && *os->kernel)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(followers); i++) {
                char **field = followers[i].field;

                if (!*field)
                        continue;
                if (spec_origin(&attr_os, os, followers[i].key)->layer == LAYER_TEMPLATE)
                        spec_fail(builder, place(&attr_os, os, followers[i].key),
                                  "OS/%s: goes with KERNEL, which is not given", followers[i].key);
                free(*field);
                *field = NULL;
        }
}

/* What FORMAT or DRIVER says on its own, NONE when the template does not give it. */
static enum disk_format own_format(const struct disk_spec *disk, const char *key)
{
        const struct origin *origin = spec_origin(&attr_disk, disk, key);
        struct disk_spec alone = { 0 };
        struct error *error = NULL;

        if (origin->layer != LAYER_TEMPLATE || !spec_is_given(&attr_disk, disk, key))
                return DISK_FORMAT_NONE;
        if (attr_set(&attr_disk, attr_find(&attr_disk, key), origin->text, NULL, &alone, &error) < 0)
                error_free(error); /* said already */
        return alone.format;
}

static void check_format(struct spec_builder *builder, const struct disk_spec *disk)
{
        enum disk_format format = own_format(disk, "FORMAT"), driver = own_format(disk, "DRIVER");
        const struct source_pos *format_pos = place(&attr_disk, disk, "FORMAT");
        const struct source_pos *driver_pos = place(&attr_disk, disk, "DRIVER");

        if (format != DISK_FORMAT_NONE && driver != DISK_FORMAT_NONE && format != driver)
                spec_fail(builder, driver_pos, "DISK/DRIVER: is not the FORMAT of line %u", format_pos->line);
        else if (disk->type == DISK_TYPE_CDROM && (format > DISK_FORMAT_RAW || driver > DISK_FORMAT_RAW))
                spec_fail(builder, format != DISK_FORMAT_NONE ? format_pos : driver_pos,
                          "DISK: the image of a CD is raw");
}

static void check_disk(struct spec_builder *builder, struct disk_spec *disk)
{
        if (disk->source && disk->image)
                spec_fail(builder, place(&attr_disk, disk, "IMAGE"),
                          "DISK/IMAGE: SOURCE is given too (line %u)",
                          place(&attr_disk, disk, "SOURCE")->line);
        else if (!spec_is_given(&attr_disk, disk, "SOURCE") && !spec_is_given(&attr_disk, disk, "IMAGE"))
                spec_fail(builder, &disk->section.pos,
                          "DISK: SOURCE or IMAGE has to be given (for example SOURCE = \"disk.qcow2\")");
        if (disk->image && (strchr(disk->image, '/') || strchr(disk->image, '\n') || *disk->image == '.')) {
                _cleanup_free_ char *shown = text_printable(disk->image);

                spec_fail(builder, place(&attr_disk, disk, "IMAGE"),
                          "DISK/IMAGE: '%s' is not the name of an image: no '/', not starting with '.'",
                          shown);
        }
        check_format(builder, disk);
        if (disk->io == DISK_IO_NATIVE && disk->cache != DISK_CACHE_NONE &&
            disk->cache != DISK_CACHE_DIRECTSYNC) {
                const struct origin *io = spec_origin(&attr_disk, disk, "IO");
                const struct origin *cache = spec_origin(&attr_disk, disk, "CACHE");

                spec_fail(builder,
                          io->layer == LAYER_TEMPLATE || cache->layer != LAYER_TEMPLATE ? &io->pos
                                                                                        : &cache->pos,
                          "DISK/IO: native needs CACHE none or directsync, and CACHE is %s (%s)",
                          cache->text && *cache->text ? cache->text : "none", layer_name(cache->layer));
        }
}

static void check_buses(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        unsigned ide = 0, scsi = 0;

        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct disk_spec *disk = &spec->disks[i];

                if (disk->bus == DISK_BUS_IDE && ++ide == MAX_IDE_DISKS + 1)
                        spec_fail(
                                builder, &disk->section.pos,
                                "DISK: machine '%s' has room for %d IDE disks and CDs (try DEV_PREFIX = \"vd\")",
                                spec->os.machine, MAX_IDE_DISKS);
                if (disk->bus == DISK_BUS_SCSI && ++scsi == MAX_SCSI_DISKS + 1)
                        spec_fail(builder, &disk->section.pos, "DISK: more than %d SCSI disks",
                                  MAX_SCSI_DISKS);
        }
}

/* From a layer it is a default for those VMs that have the device. */
static void check_on_crash(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct origin *origin = spec_origin(&attr_vm, spec, "ON_CRASH");

        if (spec->on_crash != CRASH_DESTROY && origin->layer == LAYER_TEMPLATE && !spec->panic.present)
                spec_fail(builder, &origin->pos,
                          "ON_CRASH: nothing tells of a panic without PANIC = [ MODEL = \"pci\" ]");
}

static void check_agent_allow(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct origin *origin = spec_origin(&attr_vm, spec, "AGENT_ALLOW");
        _cleanup_free_ char *bad = spec->agent_allow ? agent_allow_bad_word(spec->agent_allow) : NULL;

        if (bad) {
                _cleanup_free_ char *shown = text_printable(bad);

                spec_fail(
                        builder, &origin->pos,
                        "AGENT_ALLOW: '%s' is no guest agent command (for example guest-exec or guest-file-*)",
                        shown);
        } else if (spec->agent_allow && origin->layer == LAYER_TEMPLATE && !spec->features.guest_agent) {
                spec_fail(builder, &origin->pos,
                          "AGENT_ALLOW: the VM has no guest agent (FEATURES/GUEST_AGENT)");
        }
}

void spec_check(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        check_required(builder);
        check_emulator(builder);
        check_agent_allow(builder);
        check_on_crash(builder);
        check_kernel(builder);
        spec_check_firmware(builder);
        for (size_t i = 0; i < spec->n_disks; i++)
                check_disk(builder, &spec->disks[i]);
        check_buses(builder);
        spec_check_nics(builder);
        spec_check_display(builder);
        spec_check_hyperv(builder);
        spec_check_limits(builder);
        spec_check_capacity(builder);
}
