/* Architecture, machine and firmware: what follows from what, and what goes with what. */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/spec_rules.h"

#define GIC2_VCPUS  8
#define PERCENT_MAX 99

static const struct source_pos *place(const struct attr_section *section, const void *record, const char *key)
{
        return &spec_origin(section, record, key)->pos;
}

static bool is_arm(const struct vm_spec *spec)
{
        return spec->os.arch && strcmp(spec->os.arch, "aarch64") == 0;
}

/* Said by the VM's own template; from a layer it is a default for those VMs that it fits. */
static bool is_own(const struct attr_section *section, const void *record, const char *key)
{
        return spec_origin(section, record, key)->layer == LAYER_TEMPLATE;
}

/* A layer's default that this VM has no use for is not one of its values. */
/* The machine of ARM guests, where MACHINE was said by somebody who did not speak of ARM. */
static void set_arm_machine(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        const struct origin *machine = spec_origin(&attr_os, &spec->os, "MACHINE");
        const struct origin *arch = spec_origin(&attr_os, &spec->os, "ARCH");

        if (!is_arm(spec) || machine->layer >= arch->layer || vm_spec_is_virt(spec))
                return;
        free(spec->os.machine);
        spec->os.machine = xstrdup("virt");
        spec_set_origin(spec, spec_own_origin(&attr_os, &spec->os, "MACHINE"), LAYER_RULE, "virt", NULL);
}

static void set_kind(struct spec_builder *builder, const char *base_dir)
{
        struct os_spec *os = &builder->spec->os;
        const struct origin *origin = spec_origin(&attr_os, os, "FIRMWARE");
        _cleanup_free_ char *given = NULL;

        if (!os->firmware || !*os->firmware || strcasecmp(os->firmware, "BIOS") == 0) {
                os->firmware_kind = FIRMWARE_BIOS;
                return;
        }
        if (strcasecmp(os->firmware, "UEFI") == 0) {
                os->firmware_kind = FIRMWARE_UEFI;
                return;
        }
        os->firmware_kind = FIRMWARE_FILE;
        given = TAKE_PTR(os->firmware);
        /* A word without a slash is no file: a misspelling of the two. */
        if (!strchr(given, '/')) {
                _cleanup_free_ char *shown = text_printable(given);

                spec_fail(builder, &origin->pos,
                          "OS/FIRMWARE: '%s' is neither BIOS nor UEFI nor a file's path", shown);
                os->firmware_kind = FIRMWARE_BIOS;
                return;
        }
        os->firmware = spec_resolve_path(builder, "OS/FIRMWARE", origin, base_dir, given);
}

/* "INITIAL" or "INITIAL,INCREMENT" */
static void set_throttle(struct spec_builder *builder)
{
        struct features_spec *features = &builder->spec->features;
        const struct origin *origin = spec_origin(&attr_features, features, "MIGRATE_AUTO_CONVERGE");
        const char *text = features->migrate_auto_converge, *comma = text ? strchr(text, ',') : NULL;
        _cleanup_free_ char *first = text ? xstrndup(text, strcspn(text, ",")) : NULL;
        uint32_t initial = 0, increment = 0;
        bool good;

        if (!text || spec_text_is_empty(text))
                return;
        good = text_parse_u32(first, &initial) && initial >= 1 && initial <= PERCENT_MAX;
        if (good && comma)
                good = text_parse_u32(comma + 1 + strspn(comma + 1, " "), &increment) && increment >= 1 &&
                       increment <= PERCENT_MAX;
        if (!good)
                spec_fail(
                        builder, &origin->pos,
                        "FEATURES/MIGRATE_AUTO_CONVERGE: '%s' is not INITIAL or INITIAL,INCREMENT, each 1 to %d",
                        text, PERCENT_MAX);
        features->throttle_initial = good ? initial : 0;
        features->throttle_increment = good ? increment : 0;
}

void spec_set_firmware(struct spec_builder *builder, const char *base_dir)
{
        set_arm_machine(builder);
        set_kind(builder, base_dir);
        set_throttle(builder);
}

static void check_secure(struct spec_builder *builder)
{
        struct os_spec *os = &builder->spec->os;
        const struct source_pos *pos = place(&attr_os, os, "FIRMWARE_SECURE");

        if (!os->firmware_secure)
                return;
        if (os->firmware_kind == FIRMWARE_BIOS) {
                if (is_own(&attr_os, os, "FIRMWARE_SECURE"))
                        spec_fail(builder, pos,
                                  "OS/FIRMWARE_SECURE: Secure Boot is UEFI's (give FIRMWARE = \"UEFI\")");
                os->firmware_secure = false;
        } else if (!vm_spec_is_q35(builder->spec)) {
                spec_fail(
                        builder, pos,
                        "OS/FIRMWARE_SECURE: needs MACHINE = \"q35\", a '%s' has no SMM that keeps the guest from "
                        "the firmware's variables",
                        os->machine);
        } else if (os->kernel && !is_arm(builder->spec)) {
                /* edk2's X86QemuLoadImageLib: a kernel whose signature it refuses is started by the legacy protocol. */
                spec_fail(
                        builder, pos,
                        "OS/FIRMWARE_SECURE: a PC's firmware starts the host's KERNEL whoever signed it; boot "
                        "from a disk, or do without one of the two");
        }
}

static void check_arm(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        struct os_spec *os = &spec->os;
        struct features_spec *features = &spec->features;
        bool has_uefi = os->firmware_kind != FIRMWARE_BIOS;

        if (is_arm(spec)) {
                if (os->firmware && !has_uefi && *os->firmware && is_own(&attr_os, os, "FIRMWARE"))
                        spec_fail(builder, place(&attr_os, os, "FIRMWARE"),
                                  "OS/FIRMWARE: an ARM machine has no BIOS (give FIRMWARE = \"UEFI\")");
                else if (!has_uefi && !os->kernel)
                        spec_fail(
                                builder, place(&attr_os, os, "ARCH"),
                                "OS/ARCH: an ARM guest needs FIRMWARE = \"UEFI\" or a KERNEL to start from");
                if (features->gic == GIC_2 && spec->vcpu > GIC2_VCPUS)
                        spec_fail(builder, place(&attr_features, features, "GIC"),
                                  "FEATURES/GIC: version 2 is for up to %d vCPUs, and VCPU is %u", GIC2_VCPUS,
                                  spec->vcpu);
                if (features->ras && !has_uefi)
                        spec_fail(builder, place(&attr_features, features, "RAS"),
                                  "FEATURES/RAS: needs the ACPI tables of UEFI firmware (give FIRMWARE = "
                                  "\"UEFI\")");
                if (features->pcihole64 && is_own(&attr_features, features, "PCIHOLE64"))
                        spec_fail(builder, place(&attr_features, features, "PCIHOLE64"),
                                  "FEATURES/PCIHOLE64: is for PCs, an ARM machine has no such setting");
                if (!has_uefi) {
                        free(os->firmware);
                        os->firmware = NULL;
                        spec_drop_origin(&attr_os, os, "FIRMWARE");
                }
                features->pcihole64 = 0;
                spec_drop_origin(&attr_features, features, "PCIHOLE64");
                return;
        }
        if (features->gic && is_own(&attr_features, features, "GIC"))
                spec_fail(builder, place(&attr_features, features, "GIC"),
                          "FEATURES/GIC: is the interrupt controller of ARM guests (ARCH = \"aarch64\")");
        if (features->ras && is_own(&attr_features, features, "RAS"))
                spec_fail(builder, place(&attr_features, features, "RAS"),
                          "FEATURES/RAS: is for ARM guests (ARCH = \"aarch64\")");
        features->gic = GIC_DEFAULT;
        spec_drop_origin(&attr_features, features, "GIC");
        features->ras = false;
}

/* What only a PC has. */
static void check_pc_only(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        if (!is_arm(spec))
                return;
        if (spec->pm.present)
                spec_fail(builder, &spec->pm.section.pos,
                          "PM: is for PCs, an ARM machine has no such states");
        if (spec->features.hyperv && is_own(&attr_features, &spec->features, "HYPERV"))
                spec_fail(builder, place(&attr_features, &spec->features, "HYPERV"),
                          "FEATURES/HYPERV: is for PCs");
        spec->features.hyperv = false;
        for (size_t i = 0; i < spec->n_timers; i++)
                if (spec->timers[i].name > TIMER_RTC)
                        spec_fail(builder, place(&attr_timer, &spec->timers[i], "NAME"),
                                  "TIMER/NAME: an ARM machine has no such timer, only the rtc");
        for (size_t i = 0; i < spec->n_timers; i++)
                if (spec->timers[i].name == TIMER_RTC && spec->timers[i].tickpolicy)
                        spec_fail(builder, place(&attr_timer, &spec->timers[i], "TICKPOLICY"),
                                  "TIMER/TICKPOLICY: the rtc of an ARM machine does not tick");
}

/* OpenNebula has copied the file by the time its driver is called, and says where to. */
static void check_datastores(struct spec_builder *builder)
{
        const struct os_spec *os = &builder->spec->os;
        const struct {
                const char *key, *other;
                const char *value, *file;
        } rows[] = { { "KERNEL_DS", "KERNEL", os->kernel_ds, os->kernel },
                     { "INITRD_DS", "INITRD", os->initrd_ds, os->initrd } };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (rows[i].value && *rows[i].value && (!rows[i].file || !*rows[i].file))
                        spec_fail(builder, place(&attr_os, os, rows[i].key),
                                  "OS/%s: only OpenNebula knows its datastores; give %s = \"FILE\"",
                                  rows[i].key, rows[i].other);
}

void spec_check_firmware(struct spec_builder *builder)
{
        struct os_spec *os = &builder->spec->os;

        check_datastores(builder);
        check_arm(builder);
        check_pc_only(builder);
        check_secure(builder);
        if (is_own(&attr_os, os, "FIRMWARE_FORMAT") && os->firmware_kind == FIRMWARE_BIOS &&
            os->firmware_format == DISK_FORMAT_QCOW2)
                spec_fail(builder, place(&attr_os, os, "FIRMWARE_FORMAT"),
                          "OS/FIRMWARE_FORMAT: is of UEFI's variables (give FIRMWARE = \"UEFI\")");
        if (os->firmware_kind == FIRMWARE_BIOS)
                os->firmware_format = DISK_FORMAT_RAW;
}
