/*
 * disk - block nodes and disk devices as QEMU's JSON, for the command line and for blockdev-add and device_add.
 *
 * Each image of a disk is two nodes, the file (or what is over the network) and the format over it; the format node of a
 * layer names the one below as its backing node, the lowest says that it has none, so QEMU never opens a backing file by
 * name. Over the top format node come the filters that the disk asks for: copy-on-read, then the throttle; the device
 * has the topmost. New references, owned by the caller.
 */
#pragma once

#include <jansson.h>

#include "conf/vm_spec.h"
#include "launcher/storage/image_chain.h"

/* In the name of a file below overlays/ that goes at the end. */
#define DISK_DROPPED "-dropped"

/* One image of a disk, the one on top first; borrows its strings. */
struct disk_layer {
        const char *path; /* NULL: over the network */
        enum disk_format format;
        bool is_block, readonly, encrypted;
        bool is_made; /* by the start: overlay or volatile disk */
        uint64_t virtual_size;
        int fd;       /* in QEMU */
        unsigned set; /* N of /dev/fdset/N */
};

/* Where a disk over the network is; what QEMU must not open by name is an fd. */
struct disk_network {
        const char *vm_number; /* OpenNebula's, for the names of copies; NULL: none */
        int conf_fd;           /* CEPH_CONF; -1: none */
        int socket_fd;         /* NBD_SOCKET, connected; -1: none */
};

/* "disk0-format", "disk0-file"; layers below the top: "disk0-base1-format"; new string. */
char *disk_node_name(const struct disk_spec *disk, size_t layer, const char *kind);
/* The node that the device has: "disk0-throttle", "disk0-cor" or "disk0-format"; new string. */
char *disk_top_node(const struct disk_spec *disk);
/* Ids of the objects that nodes and devices name; new strings. */
char *disk_throttle_id(const struct disk_spec *disk);
char *disk_secret_id(const struct disk_spec *disk, const char *kind);
char *iothread_id(unsigned number);

/* The members of an object of QEMU's: of a plan with hundreds of disks these are most of it (base/json_text.h). */
void disk_file_blockdev(struct text *out, const struct disk_spec *disk, const struct disk_layer *layers,
                        size_t layer);
void disk_format_blockdev(struct text *out, const struct disk_spec *disk, const struct disk_layer *layers,
                          size_t n, size_t layer);
/* The node of the lowest layer of a disk over the network. */
json_t *disk_network_blockdev(const struct disk_spec *disk, const struct disk_network *network);
/* NULL: the disk asks for no such filter. The throttle's limits are those of an object, which can be changed. */
json_t *disk_copy_on_read_blockdev(const struct disk_spec *disk);
json_t *disk_throttle_blockdev(const struct disk_spec *disk);
json_t *disk_throttle_object(const struct disk_spec *disk);

/* What of a device is decided elsewhere. */
struct disk_place {
        const char *address; /* "rp3:0x0", "scsi0.0:2", "ide.1:0", "fdc0.0:0" */
        unsigned bootindex;  /* 0: none */
        unsigned iothread;   /* 0: none; of a virtio disk */
        unsigned queues;     /* 0: QEMU's own choice; of a virtio disk */
        bool has_medium;     /* false: an empty drive */
};
/* The members of the device. */
void disk_device(struct text *out, const struct disk_spec *disk, const struct disk_place *place);
/* The device type this disk is made with: "virtio-blk-pci", ... */
const char *disk_device_type(const struct disk_spec *disk);
