/* DISK: rows of opennebula-semantics section 3.9. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

static const struct attr_word type_words[] = {
        WORD("file", DISK_TYPE_FILE),
        WORD("block", DISK_TYPE_BLOCK),
        WORD("cdrom", DISK_TYPE_CDROM),
        WORD("disk", DISK_TYPE_FILE), /* the published documentation's word */
        SOON("fs"),
        SOON("swap"),
        SOON("filesystem"),
        SOON("block_cdrom"),
        SOON("rbd"),
        SOON("rbd_cdrom"),
        SOON("iscsi"),
        SOON("gluster"),
        SOON("gluster_cdrom"),
        SOON("sheepdog"),
        SOON("sheepdog_cdrom"),
        WORDS_END,
};

static const struct attr_word format_words[] = {
        WORD("raw", DISK_FORMAT_RAW),
        WORD("qcow2", DISK_FORMAT_QCOW2),
        SOON("vmdk"),
        SOON("vdi"),
        SOON("vpc"),
        SOON("vhdx"),
        SOON("luks"),
        WORDS_END,
};

static const struct attr_word cache_words[] = {
        WORD("default", DISK_CACHE_DEFAULT),
        WORD("none", DISK_CACHE_NONE),
        WORD("writethrough", DISK_CACHE_WRITETHROUGH),
        WORD("writeback", DISK_CACHE_WRITEBACK),
        WORD("directsync", DISK_CACHE_DIRECTSYNC),
        WORD("unsafe", DISK_CACHE_UNSAFE),
        WORDS_END,
};

static const struct attr_word io_words[] = {
        WORD("threads", DISK_IO_THREADS),
        WORD("native", DISK_IO_NATIVE),
        WORD("io_uring", DISK_IO_URING),
        WORDS_END,
};

static const struct attr_word discard_words[] = {
        WORD("ignore", DISK_DISCARD_IGNORE),
        WORD("unmap", DISK_DISCARD_UNMAP),
        WORDS_END,
};

#define THROTTLE(op, unit_text)                                                              \
        COMING_IN(#op "_SEC", C, "Limit per second, " unit_text "."),                        \
                COMING_IN(#op "_SEC_MAX", C, "Limit of a burst, " unit_text " per second."), \
                COMING_IN(#op "_SEC_MAX_LENGTH", C, "Length of a burst, seconds.")

#define ATTR_OF struct disk_spec
static const struct attr disk_rows[] = {
        { "SOURCE", PATH(source), .lookup = LOOKUP_D, .lands = "argv",
          .doc = "Image file or block device; relative paths start from the template's directory.",
          .source = "DESIGN 5.3" },
        { "IMAGE", TEXT(image), .lookup = LOOKUP_D, .max = 255, .lands = "argv",
          .doc = "Name of an image in host.conf's IMAGE_DIR, instead of SOURCE.", .source = "DESIGN 5.3" },
        { "TYPE", ENUM(type, disk_type, type_words), .lookup = LOOKUP_D, .dflt = "file", .lands = "argv",
          .doc = "file: image file; block: block device of the host; cdrom: image file in a CD drive.",
          .source = "opennebula-semantics 3.9.1" },
        { "FORMAT", ENUM(format, disk_format, format_words), .lookup = LOOKUP_D, .lands = "argv",
          .doc = "Format of the image. Absent: DRIVER, else by the file's suffix: .qcow2 is qcow2, anything else raw. "
                 "Never probed.",
          .source = "DESIGN 5.5" },
        { "DRIVER", ENUM(format, disk_format, format_words), .lookup = LOOKUP_C, .lands = "argv",
          .doc = "Upstream's other word for FORMAT.", .source = "opennebula-semantics 3.9.3" },
        { "TARGET", TARGET(target), .lookup = LOOKUP_D, .lands = "argv",
          .doc = "Name that decides bus and place: vd*: virtio, sd*: SCSI, hd*: SATA or IDE. Absent: the first free name "
                 "of DEV_PREFIX.",
          .source = "opennebula-semantics 3.9.2" },
        { "DEV_PREFIX", TEXT(dev_prefix), .lookup = LOOKUP_C, .chars = "abcdefghijklmnopqrstuvwxyz", .max = 8,
          .dflt = "sd", .lands = "rule",
          .doc = "First letters of an automatic TARGET: vd, sd or hd. A CD gets sd on q35 and hd elsewhere.",
          .source = "opennebula-semantics 3.9.2" },
        { "CACHE", ENUM(cache, disk_cache, cache_words), .lookup = LOOKUP_C, .dflt = "none", .lands = "argv",
          .doc = "How the host's page cache is used; the word default leaves it to QEMU (writeback).",
          .source = "opennebula-semantics 3.9.3" },
        { "IO", ENUM(io, disk_io, io_words), .lookup = LOOKUP_C, .lands = "argv",
          .doc = "How requests reach the host's kernel. native needs CACHE none or directsync. Absent: QEMU's own choice "
                 "(threads).",
          .source = "opennebula-semantics 3.9.3" },
        { "DISCARD", ENUM(discard, disk_discard, discard_words), .lookup = LOOKUP_C, .dflt = "unmap",
          .lands = "argv", .doc = "What happens to blocks that the guest gives back.",
          .source = "opennebula-semantics 3.9.3" },
        { "READONLY", BOOL(readonly), .lookup = LOOKUP_D, .dflt = "no", .lands = "argv",
          .doc = "The guest may only read. A CD is always read-only.",
          .source = "opennebula-semantics 3.9.3" },
        { "ADDRESS", TEXT(address), .lookup = LOOKUP_D, .chars = "abcdefghijklmnopqrstuvwxyz0123456789:._-",
          .max = 64, .lands = "guest address",
          .doc = "PCI address of the device as live.tmpl has it, so that it stays the same.",
          .source = "DESIGN 5.5" },
        COMING_IN("SHAREABLE", C, "Several VMs may write at the same time."),
        COMING("SERIAL", "Serial number the guest sees."),
        COMING("IOTHREAD", "I/O thread of a virtio disk."),
        COMING_IN("VIRTIO_BLK_QUEUES", C, "Queues of a virtio disk: a number or auto."),
        COMING("ORDER", "Position in the boot order; OS/BOOT sets it."),
        THROTTLE(TOTAL_BYTES, "bytes"),
        THROTTLE(READ_BYTES, "bytes"),
        THROTTLE(WRITE_BYTES, "bytes"),
        THROTTLE(TOTAL_IOPS, "operations"),
        THROTTLE(READ_IOPS, "operations"),
        THROTTLE(WRITE_IOPS, "operations"),
        COMING_IN("SIZE_IOPS_SEC", C, "Bytes that count as one operation."),
        COMING("SIZE", "Size of a volatile disk, MiB."),
        COMING("FS", "File system of a volatile disk."),
        COMING("FILESYSTEM", "File system of a volatile disk."),
        COMING("CLONE", "Work on a copy of the image."),
        COMING("PERSISTENT", "Keep changes at the end."),
        COMING("PERSISTENT_TYPE", "IMMUTABLE or SHAREABLE."),
        COMING("SAVE", "Keep changes at the end."),
        COMING_IN("UID_MAP", B, "First host user id of a shared directory."),
        COMING_IN("GID_MAP", B, "First host group id of a shared directory."),
        COMING("MOUNT_POINT", "Where the guest mounts a shared directory."),
        COMING("MOUNT_TAG", "Name of a shared directory in the guest."),
        COMING("LUKS_SECRET", "Secret of an encrypted image."),
        COMING("CEPH_HOST", "Monitors of a Ceph cluster."),
        COMING("CEPH_SECRET", "Secret of a Ceph user."),
        COMING("CEPH_KEY", "Key of a Ceph user."),
        COMING("CEPH_USER", "User of a Ceph cluster."),
        COMING("CEPH_CONF", "Configuration file of a Ceph cluster."),
        COMING("POOL_NAME", "Pool of a Ceph cluster."),
        COMING("ISCSI_HOST", "iSCSI portal."),
        COMING("ISCSI_IQN", "iSCSI target."),
        COMING("ISCSI_USER", "User of an iSCSI target."),
        COMING("ISCSI_USAGE", "Secret of an iSCSI user."),
        COMING("GLUSTER_HOST", "Gluster server."),
        COMING("GLUSTER_VOLUME", "Gluster volume."),
        COMING("SHEEPDOG_HOST", "Sheepdog server."),
        COMING("DISK_TYPE", "Kind of storage of OpenNebula's datastore."),
        { "DISK_ID", U32(id), .lookup = LOOKUP_D, .max = SPEC_MAX_ID, .lands = "name",
          .doc = "Number of the disk, in the names of its devices and in BOOT; absent: the first one that is free, from 0.",
          .source = "opennebula-semantics 3.9" },
        LEFT_ALONE("IMAGE_ID", "OpenNebula's number of the image"),
        LEFT_ALONE("IMAGE_UNAME", "owner of the image in OpenNebula"),
        LEFT_ALONE("IMAGE_UID", "owner of the image in OpenNebula"),
        LEFT_ALONE("IMAGE_STATE", "state of the image in OpenNebula"),
        LEFT_ALONE("ORIGINAL_SIZE", "filled in by OpenNebula"),
        LEFT_ALONE("SIZE_PREV", "filled in by OpenNebula"),
        LEFT_ALONE("DATASTORE", "OpenNebula's datastore"),
        LEFT_ALONE("DATASTORE_ID", "OpenNebula's datastore"),
        LEFT_ALONE("TM_MAD", "OpenNebula's transfer driver"),
        LEFT_ALONE("TM_MAD_SYSTEM", "OpenNebula's transfer driver"),
        LEFT_ALONE("CLONE_TARGET", "OpenNebula's transfer driver"),
        LEFT_ALONE("LN_TARGET", "OpenNebula's transfer driver"),
        LEFT_ALONE("CLUSTER_ID", "OpenNebula's cluster"),
        LEFT_ALONE("DISK_SNAPSHOT_TOTAL_SIZE", "filled in by OpenNebula"),
        LEFT_ALONE("ALLOW_ORPHANS", "OpenNebula's datastore"),
        LEFT_ALONE("NAME", "OpenNebula's name of the disk"),
        LEFT_ALONE("OPENNEBULA_MANAGED", "filled in by OpenNebula"),
        LEFT_ALONE("SCHED_REQUIREMENTS", "for OpenNebula's scheduler"),
};
#undef ATTR_OF

const struct attr_section attr_disk = {
        .name = "DISK",
        .repeats = true,
        .rows = disk_rows,
        .n_rows = ARRAY_SIZE(disk_rows),
        .doc = "A disk or CD drive; one vector each, counted from 0.",
        .source = "opennebula-semantics 3.9",
};
