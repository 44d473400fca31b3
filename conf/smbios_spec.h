/*
 * smbios_spec - what the firmware tells the guest of machine, board and case: part of struct vm_spec.
 */
#pragma once

#include <stdbool.h>

#include "conf/origin.h"

/* SMBIOS types 0, 1, 2, 3 and 11; NULL: QEMU's own. */
struct smbios_spec {
        struct section section;
        bool present;
        char *bios_vendor, *bios_version, *bios_date, *bios_release;
        char *system_manufacturer, *system_product, *system_version, *system_serial, *system_sku,
                *system_family;
        char *board_manufacturer, *board_product, *board_version, *board_serial, *board_asset,
                *board_location;
        char *chassis_manufacturer, *chassis_version, *chassis_serial, *chassis_asset, *chassis_sku;
        char *oem_strings; /* one a line */
};
