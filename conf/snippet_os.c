/* <os> and <sysinfo>: libvirt-behaviour sections 2, 3.1 and 10. */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/snippet_parts.h"

static const char *pair_of(const struct template_attribute *vector, const char *key)
{
        for (size_t i = 0; i < vector->n_pairs; i++)
                if (strcmp(vector->pairs[i].name, key) == 0)
                        return vector->pairs[i].value;
        return NULL;
}

/* "disk1": the first disk of the tree that is or is not a CD; NULL: there is none. New string. */
static char *first_disk(const struct snippet_unit *unit, bool is_cd)
{
        const struct template_attribute *disk;
        size_t start = 0;
        unsigned n = 0;

        for (; (disk = template_next(unit->reader->tree, "DISK", true, &start)); n++) {
                const char *type = pair_of(disk, "TYPE"), *id = pair_of(disk, "DISK_ID");
                size_t length = type ? strlen(type) : 0;

                if ((length >= 5 && strcasecmp(type + length - 5, "cdrom") == 0) == is_cd)
                        return id ? xasprintf("disk%s", id) : xasprintf("disk%u", n);
        }
        return NULL;
}

/* Classes of devices in libvirt, devices here. */
static void read_boot(struct snippet_unit *unit, struct xml_element *os)
{
        _cleanup_text_ struct text list = TEXT_INIT;
        struct source_pos pos = { 0 };
        struct xml_element *boot;

        while ((boot = snippet_child(os, "boot"))) {
                const char *dev = snippet_value(boot, "dev");
                _cleanup_free_ char *word = strcmp(dev, "hd") == 0        ? first_disk(unit, false)
                                            : strcmp(dev, "cdrom") == 0   ? first_disk(unit, true)
                                            : strcmp(dev, "network") == 0 ? xstrdup("nic0")
                                                                          : NULL;
                _cleanup_free_ char *shown = text_printable(dev);

                pos = pos.line ? pos : boot->pos;
                if (word)
                        text_addf(&list, "%s%s", list.length ? "," : "", word);
                else
                        snippet_refuse(unit, &boot->pos, "<os>: there is nothing to <boot dev='%s'/> from",
                                       shown);
        }
        if (list.length)
                snippet_set(unit, "BOOT", text_str(&list), &pos);
}

/* <firmware><feature enabled='yes' name='secure-boot'/>: keys that come enrolled go with it. */
static void read_firmware(struct snippet_unit *unit, struct xml_element *os)
{
        struct xml_element *firmware = snippet_child(os, "firmware"), *feature;

        while (firmware && (feature = snippet_child(firmware, "feature"))) {
                const struct xml_attribute *enabled = snippet_attribute(feature, "enabled");

                snippet_demand(unit, feature, "name", "secure-boot enrolled-keys");
                if (enabled && strcmp(snippet_value(feature, "name"), "secure-boot") == 0)
                        snippet_set(unit, "FIRMWARE_SECURE", enabled->value, &enabled->value_pos);
                else if (enabled)
                        snippet_note(unit, &feature->pos, "<os>/firmware/feature enrolled-keys");
        }
}

static void read_loader(struct snippet_unit *unit, struct xml_element *os)
{
        struct xml_element *loader = snippet_child(os, "loader"), *nvram = snippet_child(os, "nvram");
        const struct xml_attribute *firmware = snippet_attribute(os, "firmware"), *secure;

        snippet_demand(unit, os, "firmware", "efi bios");
        if (firmware)
                snippet_set(unit, "FIRMWARE", strcmp(firmware->value, "efi") == 0 ? "UEFI" : "BIOS",
                            &firmware->value_pos);
        if (loader) {
                _cleanup_free_ char *path = snippet_text(loader);

                snippet_demand(unit, loader, "type", "pflash");
                snippet_demand(unit, loader, "readonly", "yes");
                secure = snippet_attribute(loader, "secure");
                if (secure)
                        snippet_set(unit, "FIRMWARE_SECURE", secure->value, &secure->value_pos);
                if (*path)
                        snippet_set(unit, "FIRMWARE", path, &loader->text_pos);
        }
        if (nvram) {
                /* Ours is named after the UUID, and made from the template that goes with the firmware. */
                snippet_note(unit, &nvram->pos, "<os>/nvram");
                snippet_ignore(nvram);
        }
}

static void read_os(struct snippet_unit *unit, struct xml_element *os)
{
        static const struct snippet_row rows[] = {
                PART("type@arch", "ARCH"),
                PART("type@machine", "MACHINE"),
                PART("kernel", "KERNEL"),
                PART("initrd", "INITRD"),
                PART("cmdline", "KERNEL_CMD"),
                PART("bootmenu@enable", "BOOT_MENU"),
                PART("bootmenu@timeout", "BOOT_MENU_TIMEOUT"),
                PARTS_END,
        };
        struct xml_element *type = snippet_find(os, "type"), *bios = snippet_child(os, "bios"), *smbios;
        const struct xml_attribute *machine = type ? snippet_attribute(type, "machine") : NULL;
        const struct xml_attribute *timeout = bios ? snippet_attribute(bios, "rebootTimeout") : NULL;

        snippet_rows(unit, os, rows);
        if (type) {
                _cleanup_free_ char *kind = snippet_text(type);

                if (snippet_is(kind, "xen linux exe"))
                        snippet_refuse(unit, &type->text_pos,
                                       "<os>: a <type> of '%s' is Xen's or a container's; QEMU's is hvm",
                                       kind);
                else if (strcmp(kind, "hvm") != 0)
                        snippet_refuse(unit, &type->text_pos,
                                       "<os>: a <type> other than hvm has no counterpart");
                if (machine && text_starts_with(machine->value, "xen"))
                        snippet_refuse(unit, &machine->value_pos,
                                       "<os>: this machine is Xen's; QEMU's are q35 and pc");
        }
        if (bios)
                snippet_demand(unit, bios, "useserial", "no");
        /* -1: it does not restart, as without. */
        if (timeout && strcmp(timeout->value, "-1") != 0)
                snippet_set(unit, "REBOOT_TIMEOUT", timeout->value, &timeout->value_pos);
        smbios = snippet_child(os, "smbios");
        if (smbios)
                snippet_demand(unit, smbios, "mode", "emulate sysinfo");
        read_loader(unit, os);
        read_firmware(unit, os);
        read_boot(unit, os);
}

static const struct {
        const char *part, *entry, *key;
} entries[] = {
        { "bios", "vendor", "BIOS_VENDOR" },
        { "bios", "version", "BIOS_VERSION" },
        { "bios", "date", "BIOS_DATE" },
        { "bios", "release", "BIOS_RELEASE" },
        { "system", "manufacturer", "SYSTEM_MANUFACTURER" },
        { "system", "product", "SYSTEM_PRODUCT" },
        { "system", "version", "SYSTEM_VERSION" },
        { "system", "serial", "SYSTEM_SERIAL" },
        { "system", "sku", "SYSTEM_SKU" },
        { "system", "family", "SYSTEM_FAMILY" },
        { "baseBoard", "manufacturer", "BOARD_MANUFACTURER" },
        { "baseBoard", "product", "BOARD_PRODUCT" },
        { "baseBoard", "version", "BOARD_VERSION" },
        { "baseBoard", "serial", "BOARD_SERIAL" },
        { "baseBoard", "asset", "BOARD_ASSET" },
        { "baseBoard", "location", "BOARD_LOCATION" },
        { "chassis", "manufacturer", "CHASSIS_MANUFACTURER" },
        { "chassis", "version", "CHASSIS_VERSION" },
        { "chassis", "serial", "CHASSIS_SERIAL" },
        { "chassis", "asset", "CHASSIS_ASSET" },
        { "chassis", "sku", "CHASSIS_SKU" },
};

static void read_entry(struct snippet_unit *unit, const char *part, struct xml_element *entry)
{
        const char *name = snippet_value(entry, "name");
        _cleanup_free_ char *value = snippet_text(entry), *shown = text_printable(name);

        for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
                if (strcmp(entries[i].part, part) == 0 && strcmp(entries[i].entry, name) == 0) {
                        snippet_set(unit, entries[i].key, value, &entry->text_pos);
                        return;
                }
        if (strcmp(part, "system") == 0 && strcmp(name, "uuid") == 0)
                snippet_note(unit, &entry->pos, "<sysinfo>/system/uuid, which is the VM's own,");
        else
                snippet_refuse(unit, &entry->pos, "<sysinfo>: the entry '%s' of <%s> has no counterpart",
                               shown, part);
}

static void read_sysinfo(struct snippet_unit *unit, struct xml_element *element)
{
        static const char *const parts[] = { "bios", "system", "baseBoard", "chassis" };
        struct xml_element *part, *entry;
        _cleanup_text_ struct text strings = TEXT_INIT;

        snippet_demand(unit, element, "type", "smbios");
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
                if ((part = snippet_child(element, parts[i])))
                        while ((entry = snippet_child(part, "entry")))
                                read_entry(unit, parts[i], entry);
        part = snippet_child(element, "oemStrings");
        while (part && (entry = snippet_child(part, "entry"))) {
                _cleanup_free_ char *value = snippet_text(entry);

                text_addf(&strings, "%s%s", strings.length ? "\n" : "", value);
        }
        if (strings.length)
                snippet_set(unit, "OEM_STRINGS", text_str(&strings), &part->pos);
}

const struct snippet_element snippet_os[] = {
        ELEMENT("os", "OS", NULL, read_os),
        ELEMENT("sysinfo", "SMBIOS", NULL, read_sysinfo),
        ELEMENTS_END,
};
