/* What the board is made of beside its devices: SMBIOS, boot menu, SMM, interrupt controller, VMware's port. */
#include <string.h>

#include "launcher/plan/builder.h"

struct smbios_key {
        const char *value, *key, *option;
};

/* One table of SMBIOS, when any of its texts is given. */
static void smbios_table(struct build *build, const char *type, const struct smbios_key *keys, size_t n)
{
        _cleanup_text_ struct text value = TEXT_INIT, because = TEXT_INIT;

        keyval_add(&value, "type", "%s", type);
        for (size_t i = 0; i < n; i++) {
                if (!keys[i].value)
                        continue;
                keyval_add(&value, keys[i].option, "%s", keys[i].value);
                build_refer(build, &because, "SMBIOS/%s", keys[i].key);
        }
        if (because.length)
                build_option(build, text_str(&because), "-smbios", "%s", text_str(&value));
}

static void smbios_oem_strings(struct build *build)
{
        const char *line = build->spec->smbios.oem_strings;
        _cleanup_text_ struct text value = TEXT_INIT;

        keyval_add(&value, "type", "11");
        for (; line && *line; line += strspn(line, "\n")) {
                size_t n = strcspn(line, "\n");

                keyval_add(&value, "value", "%.*s", (int)n, line);
                line += n;
        }
        if (build->spec->smbios.oem_strings)
                build_option(build, "SMBIOS/OEM_STRINGS", "-smbios", "%s", text_str(&value));
}

void smbios_args(struct build *build)
{
        const struct smbios_spec *s = &build->spec->smbios;
        const struct smbios_key bios[] = { { s->bios_vendor, "BIOS_VENDOR", "vendor" },
                                           { s->bios_version, "BIOS_VERSION", "version" },
                                           { s->bios_date, "BIOS_DATE", "date" },
                                           { s->bios_release, "BIOS_RELEASE", "release" } };
        const struct smbios_key system[] = { { s->system_manufacturer, "SYSTEM_MANUFACTURER",
                                               "manufacturer" },
                                             { s->system_product, "SYSTEM_PRODUCT", "product" },
                                             { s->system_version, "SYSTEM_VERSION", "version" },
                                             { s->system_serial, "SYSTEM_SERIAL", "serial" },
                                             { s->system_sku, "SYSTEM_SKU", "sku" },
                                             { s->system_family, "SYSTEM_FAMILY", "family" } };
        const struct smbios_key board[] = { { s->board_manufacturer, "BOARD_MANUFACTURER", "manufacturer" },
                                            { s->board_product, "BOARD_PRODUCT", "product" },
                                            { s->board_version, "BOARD_VERSION", "version" },
                                            { s->board_serial, "BOARD_SERIAL", "serial" },
                                            { s->board_asset, "BOARD_ASSET", "asset" },
                                            { s->board_location, "BOARD_LOCATION", "location" } };
        const struct smbios_key chassis[] = { { s->chassis_manufacturer, "CHASSIS_MANUFACTURER",
                                                "manufacturer" },
                                              { s->chassis_version, "CHASSIS_VERSION", "version" },
                                              { s->chassis_serial, "CHASSIS_SERIAL", "serial" },
                                              { s->chassis_asset, "CHASSIS_ASSET", "asset" },
                                              { s->chassis_sku, "CHASSIS_SKU", "sku" } };

        smbios_table(build, "0", bios, ARRAY_SIZE(bios));
        smbios_table(build, "1", system, ARRAY_SIZE(system));
        smbios_table(build, "2", board, ARRAY_SIZE(board));
        smbios_table(build, "3", chassis, ARRAY_SIZE(chassis));
        smbios_oem_strings(build);
}

static bool is_given(const struct build *build, const char *reference)
{
        const struct origin *origin = vm_spec_origin(build->spec, reference);

        return origin && origin->layer > LAYER_NONE && origin->text && *origin->text;
}

void boot_args(struct build *build)
{
        const struct os_spec *os = &build->spec->os;
        _cleanup_text_ struct text value = TEXT_INIT, because = TEXT_INIT;

        text_add(&because, "rule: boot only from what was chosen to boot from");
        keyval_add(&value, "strict", "on");
        if (is_given(build, "OS/BOOT_MENU"))
                keyval_add(&value, "menu", os->boot_menu ? "on" : "off");
        if (is_given(build, "OS/BOOT_MENU_TIMEOUT"))
                keyval_add(&value, "splash-time", "%u", os->boot_menu_timeout_ms);
        if (is_given(build, "OS/REBOOT_TIMEOUT"))
                keyval_add(&value, "reboot-timeout", "%u", os->reboot_timeout_ms);
        if (value.length > strlen("strict=on")) {
                text_done(&because);
                build_refer(build, &because, "OS/BOOT_MENU");
                build_refer(build, &because, "OS/BOOT_MENU_TIMEOUT");
                build_refer(build, &because, "OS/REBOOT_TIMEOUT");
                text_add(&because, " rule: boot only from what was chosen to boot from");
        }
        build_option(build, text_str(&because), "-boot", "%s", text_str(&value));
}

int board_check(struct build *build, struct error **err)
{
        const struct features_spec *features = &build->spec->features;
        bool is_pc = build->kind != MACHINE_VIRT;
        static const char *const of_pcs[] = { "FEATURES/SMM", "FEATURES/VMPORT", "FEATURES/IOAPIC" };

        for (size_t i = 0; i < ARRAY_SIZE(of_pcs); i++)
                if (is_given(build, of_pcs[i]) && !is_pc)
                        return build_error(build, err, ERROR_INVALID, of_pcs[i], "is for PCs");
        if (is_given(build, "FEATURES/SMM") && !features->smm && build->firmware.smm)
                return build_error(build, err, ERROR_INVALID, "FEATURES/SMM",
                                   "the firmware needs it for its protected variables");
        if (features->ioapic == IOAPIC_KVM &&
            (build->spec->iommu.model == IOMMU_INTEL || build->spec->iommu.model == IOMMU_AMD))
                return build_error(build, err, ERROR_INVALID, "FEATURES/IOAPIC",
                                   "the virtual IOMMU remaps interrupts, which needs IOAPIC = \"qemu\"");
        if (features->ioapic && build->accel == ACCEL_TCG)
                build_warn(build, "FEATURES/IOAPIC",
                           "has an effect under KVM only, and this guest is emulated");
        return 0;
}

void board_machine_options(const struct build *build, struct text *value, struct text *because)
{
        const struct features_spec *features = &build->spec->features;
        bool iommu = build->spec->iommu.model == IOMMU_INTEL || build->spec->iommu.model == IOMMU_AMD;

        /* Firmware that needs it has it already. */
        if (is_given(build, "FEATURES/SMM") && !build->firmware.smm)
                keyval_add(value, "smm", features->smm ? "on" : "off");
        build_refer(build, because, "FEATURES/SMM");
        if (is_given(build, "FEATURES/VMPORT"))
                keyval_add(value, "vmport", features->vmport ? "on" : "off");
        build_refer(build, because, "FEATURES/VMPORT");
        if (features->ioapic && build->accel == ACCEL_KVM && !iommu)
                keyval_add(value, "kernel_irqchip", features->ioapic == IOAPIC_QEMU ? "split" : "on");
        build_refer(build, because, "FEATURES/IOAPIC");
}
