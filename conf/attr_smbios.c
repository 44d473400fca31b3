/* SMBIOS: what the firmware tells the guest of itself, machine, board and case (libvirt-behaviour 10, sysinfo). */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

#define ATTR_OF struct smbios_spec
/* 64 bytes are what old guests read of such a text. */
#define STRING(key, field, text)                                                                       \
        {                                                                                              \
                (key), TEXT(field), .lookup = LOOKUP_A, .max = 64, .lands = LANDS_ARGV, .doc = (text), \
                                    .source = "libvirt-behaviour 10; SMBIOS 3.6"                       \
        }

static const struct attr smbios_rows[] = {
        STRING("BIOS_VENDOR", bios_vendor, "Maker of the firmware."),
        STRING("BIOS_VERSION", bios_version, "Version of the firmware."),
        STRING("BIOS_DATE", bios_date, "Date of the firmware, MM/DD/YYYY."),
        { "BIOS_RELEASE", TEXT(bios_release), .lookup = LOOKUP_A, .max = 7, .chars = "0123456789.",
          .lands = LANDS_ARGV, .doc = "Release of the firmware, MAJOR.MINOR, each 0 to 255.",
          .source = "libvirt-behaviour 10; SMBIOS 3.6" },
        STRING("SYSTEM_MANUFACTURER", system_manufacturer, "Maker of the machine. QEMU's own: QEMU."),
        STRING("SYSTEM_PRODUCT", system_product,
               "Name of the machine. QEMU's own: that of the machine type."),
        STRING("SYSTEM_VERSION", system_version, "Version of the machine."),
        STRING("SYSTEM_SERIAL", system_serial,
               "Serial number of the machine; cloud-init finds its data by ds=nocloud here."),
        STRING("SYSTEM_SKU", system_sku, "Stock number of the machine."),
        STRING("SYSTEM_FAMILY", system_family, "Family of the machine."),
        STRING("BOARD_MANUFACTURER", board_manufacturer,
               "Maker of the board. Without any BOARD key there is no board."),
        STRING("BOARD_PRODUCT", board_product, "Name of the board."),
        STRING("BOARD_VERSION", board_version, "Version of the board."),
        STRING("BOARD_SERIAL", board_serial, "Serial number of the board."),
        STRING("BOARD_ASSET", board_asset, "Asset tag of the board."),
        STRING("BOARD_LOCATION", board_location, "Where in the case the board is."),
        STRING("CHASSIS_MANUFACTURER", chassis_manufacturer, "Maker of the case."),
        STRING("CHASSIS_VERSION", chassis_version, "Version of the case."),
        STRING("CHASSIS_SERIAL", chassis_serial, "Serial number of the case."),
        STRING("CHASSIS_ASSET", chassis_asset, "Asset tag of the case."),
        STRING("CHASSIS_SKU", chassis_sku, "Stock number of the case."),
        { "OEM_STRINGS", TEXT(oem_strings), .lookup = LOOKUP_A, .max = 8192, .lands = LANDS_ARGV,
          .doc = "Texts for programs in the guest, one a line (systemd reads io.systemd.credential: here).",
          .source = "libvirt-behaviour 10; SMBIOS 3.6" },
};
#undef ATTR_OF

const struct attr_section attr_smbios = {
        .name = "SMBIOS",
        .rows = smbios_rows,
        .n_rows = ARRAY_SIZE(smbios_rows),
        .doc = "What the guest reads of its machine, as dmidecode prints it.",
        .source = "libvirt-behaviour 10",
};
