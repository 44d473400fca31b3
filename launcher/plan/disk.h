/*
 * disk - block nodes and disk devices as QEMU's JSON, for the command line and for blockdev-add and device_add.
 *
 * Each layer of a chain is two nodes, the file and the format over it; the format node of a layer names the one
 * below as its backing node, the lowest says that it has none, so QEMU never opens a backing file by name. New
 * references, owned by the caller.
 */
#pragma once

#include <jansson.h>

#include "conf/vm_spec.h"
#include "launcher/storage/image_chain.h"

/* "disk0-format", "disk0-file"; layers below the top: "disk0-base1-format"; new string. */
char *disk_node_name(const struct disk_spec *disk, size_t layer, const char *kind);
/* filename: "/dev/fdset/N". */
json_t *disk_file_blockdev(const struct disk_spec *disk, const struct image_chain *chain, size_t layer,
                           const char *filename);
json_t *disk_format_blockdev(const struct disk_spec *disk, const struct image_chain *chain, size_t layer);
/* address: "rp3:0x0", "scsi0.0:2", "ide.1:0"; bootindex 0: none; has_medium false: an empty CD-ROM drive. */
json_t *disk_device(const struct disk_spec *disk, const char *address, unsigned bootindex, bool has_medium);
/* The device type this disk is made with: "virtio-blk-pci", ... */
const char *disk_device_type(const struct disk_spec *disk);
