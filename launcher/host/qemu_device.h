/*
 * qemu_device - the properties that a QEMU binary's device types have, asked of the binary when somebody wants to know.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"

/*
 * [{"name", "type", "description", "default"}, ...] by name; the last two where QEMU says something. path: absolute; type:
 * "virtio-blk-pci". Fails as qemu_probe() does, and with ERROR_INVALID when there is no such type. New reference.
 */
json_t *qemu_device_properties(const char *path, const char *type, struct error **err);
