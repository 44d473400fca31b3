/*
 * disk_spec - what the user asked for of a disk, CD drive or floppy drive (part of vm_spec.h).
 *
 * Units: bytes, seconds and operations per second, unless the name says otherwise; 0 is "none" for numbers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/origin.h"

/* TYPE and DISK_TYPE as written; medium and store of struct disk_spec say what follows from them. */
enum disk_type {
        DISK_TYPE_NONE,
        DISK_TYPE_FILE,
        DISK_TYPE_BLOCK,
        DISK_TYPE_LUN,
        DISK_TYPE_CDROM,
        DISK_TYPE_BLOCK_CDROM,
        DISK_TYPE_FLOPPY,
        DISK_TYPE_FS,
        DISK_TYPE_SWAP,
        DISK_TYPE_RBD,
        DISK_TYPE_RBD_CDROM,
        DISK_TYPE_ISCSI,
        DISK_TYPE_GLUSTER,
        DISK_TYPE_GLUSTER_CDROM,
        DISK_TYPE_NBD,
        DISK_TYPE_FILESYSTEM, /* in no spec: disk_share.h */
};
/* What the guest has. */
enum disk_medium { DISK_MEDIUM_DISK, DISK_MEDIUM_LUN, DISK_MEDIUM_CDROM, DISK_MEDIUM_FLOPPY };
/* Where the bytes are. */
enum disk_store {
        DISK_STORE_FILE, /* a file, or where TYPE leaves it open a block device */
        DISK_STORE_BLOCK,
        DISK_STORE_VOLATILE, /* a file that the start makes */
        DISK_STORE_RBD,
        DISK_STORE_ISCSI,
        DISK_STORE_GLUSTER,
        DISK_STORE_NBD,
};
enum disk_format {
        DISK_FORMAT_NONE,
        DISK_FORMAT_RAW,
        DISK_FORMAT_QCOW2,
        DISK_FORMAT_VMDK,
        DISK_FORMAT_VDI,
        DISK_FORMAT_VPC,
        DISK_FORMAT_VHDX,
        DISK_FORMAT_LUKS,
};
enum disk_cache {
        DISK_CACHE_DEFAULT,
        DISK_CACHE_NONE,
        DISK_CACHE_WRITETHROUGH,
        DISK_CACHE_WRITEBACK,
        DISK_CACHE_DIRECTSYNC,
        DISK_CACHE_UNSAFE
};
enum disk_io { DISK_IO_NONE, DISK_IO_THREADS, DISK_IO_NATIVE, DISK_IO_URING };
enum disk_discard { DISK_DISCARD_NONE, DISK_DISCARD_IGNORE, DISK_DISCARD_UNMAP };
enum disk_detect_zeroes { DISK_ZEROES_NONE, DISK_ZEROES_OFF, DISK_ZEROES_ON, DISK_ZEROES_UNMAP };
enum disk_error_policy {
        DISK_ERRORS_NONE,
        DISK_ERRORS_STOP,
        DISK_ERRORS_REPORT,
        DISK_ERRORS_IGNORE,
        DISK_ERRORS_ENOSPACE /* stop when the storage is full, else report */
};
enum disk_persistent_type { DISK_PERSISTENT_NONE, DISK_PERSISTENT_IMMUTABLE, DISK_PERSISTENT_SHAREABLE };
/* File systems of volatile disks: what there is a mkfs for. */
enum disk_fs {
        DISK_FS_NONE,
        DISK_FS_EXT2,
        DISK_FS_EXT3,
        DISK_FS_EXT4,
        DISK_FS_XFS,
        DISK_FS_BTRFS,
        DISK_FS_F2FS,
        DISK_FS_VFAT,
        DISK_FS_NTFS,
        DISK_FS_SWAP, /* of TYPE swap; no word of FS */
};
/* opennebula-semantics section 3.9.2; by the first letter of TARGET: v, s, h (and others). */
enum disk_bus { DISK_BUS_VIRTIO, DISK_BUS_SCSI, DISK_BUS_SATA, DISK_BUS_IDE, DISK_BUS_FLOPPY };

/* The limits of opennebula-semantics section 3.9.4, in the order total, read, write. */
enum disk_limit {
        DISK_TOTAL_BYTES,
        DISK_READ_BYTES,
        DISK_WRITE_BYTES,
        DISK_TOTAL_IOPS,
        DISK_READ_IOPS,
        DISK_WRITE_IOPS,
        DISK_LIMITS /* how many */
};

struct disk_rate {
        uint64_t base, burst; /* per second; 0: no limit */
        uint64_t length;      /* seconds that a burst may last */
};

struct disk_throttle {
        struct disk_rate rates[DISK_LIMITS];
        uint64_t iops_size; /* bytes that count as one operation */
};

struct disk_spec {
        struct section section;
        uint32_t id;  /* DISK_ID, or the first free number: the position when nobody gave one */
        char *source; /* SOURCE as written */
        char *image;  /* IMAGE as written */
        char *media;  /* MEDIA as written; NULL: none */
        char *path; /* absolute: SOURCE beside the template, or IMAGE in IMAGE_DIR; NULL: no file of the host */
        char *luks_path;   /* absolute: the file with the passphrase; NULL: the image is not encrypted */
        char *auth_path;   /* absolute: the file with the key of Ceph or the password of CHAP; NULL: none */
        char *conf_path;   /* absolute: CEPH_CONF; NULL: none */
        char *socket_path; /* absolute: NBD_SOCKET; NULL: none */
        enum disk_type type, storage;
        enum disk_medium medium;
        enum disk_store store;
        /* explicit FORMAT or DRIVER, else the suffix .qcow2, else the layers' DRIVER, else raw */
        enum disk_format format;
        bool format_is_guess; /* the template does not say it: by suffix, or raw because nobody did */
        bool is_clone;        /* the guest writes to an overlay of ours, over what the rest says */
        bool is_kept;         /* what the start has made (overlay, volatile disk) stays after the end */
        char *target;         /* "vda"; filled in by rule when absent */
        char *dev_prefix;
        enum disk_bus bus; /* from TARGET, medium and the machine's family */
        enum disk_cache cache;
        enum disk_io io;
        enum disk_discard discard;
        enum disk_detect_zeroes detect_zeroes;
        uint64_t l2_cache_size; /* SPEC_AUTO_U64: for the whole disk */
        bool readonly;          /* true for a CD whatever was said */
        bool shareable;
        bool copy_on_read;
        bool clone, persistent;                    /* as written; is_clone and is_kept are what counts */
        enum disk_persistent_type persistent_type; /* as written */
        uint64_t size;                             /* of what the start makes */
        enum disk_fs fs;                           /* of a volatile disk */
        char *serial, *wwn, *vendor, *product; /* serial "auto": spec_set_disks() has put one in its place */
        uint32_t rotation_rate;                /* per minute; 1: a solid state disk */
        uint32_t logical_block_size, physical_block_size;
        uint32_t iothread;          /* 1 to FEATURES/IOTHREADS; 0: given out in turn */
        uint32_t virtio_blk_queues; /* SPEC_AUTO_U32: one per vCPU; 0: QEMU's own choice */
        uint32_t order;             /* position among the devices that are booted from; 0: none */
        enum disk_error_policy error_policy, rerror_policy;
        struct disk_throttle throttle;
        char *luks_secret;
        char *ceph_host, *ceph_secret, *ceph_key, *ceph_user, *ceph_conf, *pool_name;
        char *iscsi_host, *iscsi_iqn, *iscsi_user, *iscsi_usage;
        char *gluster_host, *gluster_volume;
        char *nbd_host, *nbd_socket;
        char *address; /* ADDRESS of live.tmpl and machine.lock: "rp3:0x0"; NULL otherwise */
};

/* Lower-case words of the enums as templates write them; for printers and live.tmpl. */
const char *disk_format_name(enum disk_format format);
/* DISK_FORMAT_NONE: no such format. */
enum disk_format disk_format_by_name(const char *name);
const char *disk_bus_name(enum disk_bus bus);
/* "disk", "lun", "cdrom", "floppy" */
const char *disk_medium_name(enum disk_medium medium);
/* "TOTAL_BYTES", ...: _SEC, _SEC_MAX and _SEC_MAX_LENGTH follow. */
const char *disk_limit_name(enum disk_limit limit);

/* Is there something in the drive? Only CD and floppy drives can be empty. */
bool disk_has_medium(const struct disk_spec *disk);
/* In the guest's eyes. */
bool disk_is_readonly(const struct disk_spec *disk);
/* Does the start make a file for it? */
bool disk_is_made(const struct disk_spec *disk);
/* The format of the image that the guest has: that of the overlay, where there is one. */
enum disk_format disk_top_format(const struct disk_spec *disk);
/* A drive without a medium is not, whatever it will be. */
bool disk_is_throttled(const struct disk_spec *disk);

/* Frees what the rules have worked out; the rows' own texts are their section's. */
void spec_disk_done(struct disk_spec *disk);
