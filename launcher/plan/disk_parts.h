/*
 * disk_parts - what the files about disks share; private to launcher/plan/disk*.c.
 */
#pragma once

#include "launcher/plan/builder.h"
#include "launcher/plan/disk.h"

/* What CACHE means: past the host's page cache; write-cache of the device, NULL: QEMU's default. */
bool disk_cache_is_direct(const struct disk_spec *disk);
const char *disk_write_cache(const struct disk_spec *disk);
void disk_set_cache(json_t *node, const struct disk_spec *disk);

/* Is it a list of HOST or HOST:PORT? */
bool disk_servers_are_valid(const char *list, bool one_only);
/* "pool/image"; new string. vm_number as in struct disk_network. */
char *disk_rbd_name(const struct disk_spec *disk, const char *vm_number);
char *disk_gluster_name(const struct disk_spec *disk, const char *vm_number);
/* "iqn.2001-04.com.example:storage/1"; lent. */
const char *disk_iscsi_name(const struct disk_spec *disk);

/* An error at DISK[i]/KEY; always -1. */
int disk_error(const struct build *build, struct error **err, enum error_code code, size_t i, const char *key,
               const char *format, ...) __attribute__((format(printf, 6, 7)));
/* The key that says where the bytes are: "IMAGE" or "SOURCE". */
const char *disk_source_key(const struct disk_spec *disk);
/* OpenNebula's number of the VM, NULL: none; new string. */
char *disk_vm_number(const struct build *build);

/* Fills the layers of every disk; checks the size of what is made. */
int disk_decide_layers(struct build *build, struct error **err);
