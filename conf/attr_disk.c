/* DISK: rows of opennebula-semantics section 3.9. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

static const struct attr_word type_words[] = {
        WORD("file", DISK_TYPE_FILE),
        WORD("disk", DISK_TYPE_FILE), /* the published documentation's word */
        WORD("block", DISK_TYPE_BLOCK),
        WORD("lun", DISK_TYPE_LUN),
        WORD("cdrom", DISK_TYPE_CDROM),
        WORD("block_cdrom", DISK_TYPE_BLOCK_CDROM),
        WORD("floppy", DISK_TYPE_FLOPPY),
        WORD("fs", DISK_TYPE_FS),
        WORD("swap", DISK_TYPE_SWAP),
        WORD("rbd", DISK_TYPE_RBD),
        WORD("rbd_cdrom", DISK_TYPE_RBD_CDROM),
        WORD("iscsi", DISK_TYPE_ISCSI),
        WORD("gluster", DISK_TYPE_GLUSTER),
        WORD("gluster_cdrom", DISK_TYPE_GLUSTER_CDROM),
        WORD("nbd", DISK_TYPE_NBD),
        WORD("filesystem", DISK_TYPE_FILESYSTEM),
        GONE("sheepdog", "QEMU has no Sheepdog since version 6.1"),
        GONE("sheepdog_cdrom", "QEMU has no Sheepdog since version 6.1"),
        WORDS_END,
};

static const struct attr_word storage_words[] = {
        WORD("file", DISK_TYPE_FILE),
        WORD("block", DISK_TYPE_BLOCK),
        WORD("rbd", DISK_TYPE_RBD),
        WORD("iscsi", DISK_TYPE_ISCSI),
        WORD("nbd", DISK_TYPE_NBD),
        WORD("gluster", DISK_TYPE_GLUSTER),
        WORDS_END,
};

static const struct attr_word format_words[] = {
        WORD("raw", DISK_FORMAT_RAW),   WORD("qcow2", DISK_FORMAT_QCOW2),
        WORD("vmdk", DISK_FORMAT_VMDK), WORD("vdi", DISK_FORMAT_VDI),
        WORD("vpc", DISK_FORMAT_VPC),   WORD("vhdx", DISK_FORMAT_VHDX),
        WORD("luks", DISK_FORMAT_LUKS), WORDS_END,
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

static const struct attr_word zeroes_words[] = {
        WORD("off", DISK_ZEROES_OFF),
        WORD("on", DISK_ZEROES_ON),
        WORD("unmap", DISK_ZEROES_UNMAP),
        WORDS_END,
};

static const struct attr_word error_words[] = {
        WORD("stop", DISK_ERRORS_STOP),
        WORD("report", DISK_ERRORS_REPORT),
        WORD("ignore", DISK_ERRORS_IGNORE),
        WORD("enospace", DISK_ERRORS_ENOSPACE),
        WORDS_END,
};

static const struct attr_word read_error_words[] = {
        WORD("stop", DISK_ERRORS_STOP),
        WORD("report", DISK_ERRORS_REPORT),
        WORD("ignore", DISK_ERRORS_IGNORE),
        WORDS_END,
};

static const struct attr_word persistent_words[] = {
        WORD("immutable", DISK_PERSISTENT_IMMUTABLE),
        WORD("shareable", DISK_PERSISTENT_SHAREABLE),
        WORDS_END,
};

static const struct attr_word fs_words[] = {
        WORD("ext2", DISK_FS_EXT2),   WORD("ext3", DISK_FS_EXT3), WORD("ext4", DISK_FS_EXT4),
        WORD("xfs", DISK_FS_XFS),     WORD("vfat", DISK_FS_VFAT), WORD("ntfs", DISK_FS_NTFS),
        WORD("btrfs", DISK_FS_BTRFS), WORD("f2fs", DISK_FS_F2FS), WORDS_END,
};

static const struct attr_word auto_words[] = { WORD("auto", -1), WORDS_END };

/* QEMU's bound for each (block/throttle-groups: THROTTLE_VALUE_MAX). */
#define RATE_MAX 1000000000000000ull

#define THROTTLE(op, number, unit_text)                                                                      \
        { #op "_SEC",                                                                                        \
          U64(throttle.rates[number].base),                                                                  \
          .lookup = LOOKUP_C,                                                                                \
          .max = RATE_MAX,                                                                                   \
          .unit = unit_text "/s",                                                                            \
          .lands = LANDS_ARGV,                                                                               \
          .live = true,                                                                                      \
          .operators = true,                                                                                 \
          .doc = "Limit, " unit_text " per second; 0 or absent: none.",                                      \
          .source = "opennebula-semantics 3.9.4" },                                                          \
                { #op "_SEC_MAX",                                                                            \
                  U64(throttle.rates[number].burst),                                                         \
                  .lookup = LOOKUP_C,                                                                        \
                  .max = RATE_MAX,                                                                           \
                  .unit = unit_text "/s",                                                                    \
                  .lands = LANDS_ARGV,                                                                       \
                  .live = true,                                                                              \
                  .operators = true,                                                                         \
                  .doc = "Limit of a burst, " unit_text " per second, above " #op "_SEC.",                   \
                  .source = "opennebula-semantics 3.9.4" },                                                  \
        {                                                                                                    \
#op "_SEC_MAX_LENGTH", U64(throttle.rates[number].length),                                   \
                        .lookup = LOOKUP_C, .min = 1, .max = 1000000, .unit = "s", .lands = LANDS_ARGV,      \
                        .live = true, .operators = true, .doc = "Seconds that a burst may last. Absent: 1.", \
                        .source = "opennebula-semantics 3.9.4"                                               \
        }

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

#define ATTR_OF struct disk_spec
static const struct attr disk_rows[] = {
        { "SOURCE", PATH(source), .lookup = LOOKUP_D, .lands = LANDS_ARGV, .operators = true,
          .doc = "Image file or block device; relative paths start from the template's directory.",
          .source = "DESIGN 5.3" },
        { "MEDIA", TEXT(media), .lookup = LOOKUP_D, .lands = LANDS_RULE,
          .doc = "Of a CD or floppy drive: the media that an operator may put in with change-media, absolute paths "
                 "separated by blanks. Absent: an operator can only eject.",
          .source = "DESIGN 6" },
        { "IMAGE", TEXT(image), .lookup = LOOKUP_D, .max = 255, .lands = LANDS_ARGV,
          .doc = "Name of an image in host.conf's IMAGE_DIR, instead of SOURCE.", .source = "DESIGN 5.3" },
        { "TYPE", ENUM(type, disk_type, type_words), .lookup = LOOKUP_D, .dflt = "file", .lands = LANDS_ARGV,
          .doc = "file, block: image file or block device of the host; lun: the same device as a SCSI unit whose commands "
                 "reach it; cdrom, floppy: a medium in a drive, which may be empty; fs, swap: a disk that is made at the "
                 "start and dropped at the end; rbd, iscsi, gluster, nbd: over the network; _cdrom: those in a CD drive; "
                 "filesystem: no disk but a shared directory, as FILESYSTEM.",
          .source = "opennebula-semantics 3.9.1" },
        { "FORMAT", ENUM(format, disk_format, format_words), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Format of the image. Absent: DRIVER, else by the file's suffix: .qcow2 is qcow2, anything else raw. "
                 "Never probed.",
          .source = "DESIGN 5.5" },
        { "DRIVER", ENUM(format, disk_format, format_words), .lookup = LOOKUP_C, .lands = LANDS_ARGV,
          .doc = "Upstream's other word for FORMAT.", .source = "opennebula-semantics 3.9.3" },
        { "TARGET", TARGET(target), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Name that decides bus and place: vd*: virtio, sd*: SCSI, hd*: SATA or IDE. Absent: the first free name "
                 "of DEV_PREFIX.",
          .source = "opennebula-semantics 3.9.2" },
        { "DEV_PREFIX", TEXT(dev_prefix), .lookup = LOOKUP_C, .chars = "abcdefghijklmnopqrstuvwxyz", .max = 8,
          .dflt = "sd", .lands = LANDS_RULE,
          .doc = "First letters of an automatic TARGET: vd, sd or hd. A CD gets sd on q35 and hd elsewhere.",
          .source = "opennebula-semantics 3.9.2" },
        { "CACHE", ENUM(cache, disk_cache, cache_words), .lookup = LOOKUP_C, .dflt = "none",
          .lands = LANDS_ARGV,
          .doc = "How the host's page cache is used; the word default leaves it to QEMU (writeback).",
          .source = "opennebula-semantics 3.9.3" },
        { "IO", ENUM(io, disk_io, io_words), .lookup = LOOKUP_C, .lands = LANDS_ARGV,
          .doc = "How requests reach the host's kernel. native needs CACHE none or directsync. Absent: QEMU's own choice "
                 "(threads).",
          .source = "opennebula-semantics 3.9.3" },
        { "DISCARD", ENUM(discard, disk_discard, discard_words), .lookup = LOOKUP_C, .dflt = "unmap",
          .lands = LANDS_ARGV, .doc = "What happens to blocks that the guest gives back.",
          .source = "opennebula-semantics 3.9.3" },
        { "READONLY", BOOL(readonly), .lookup = LOOKUP_D, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "The guest may only read. A CD is always read-only.",
          .source = "opennebula-semantics 3.9.3" },
        { "ADDRESS", TEXT(address), .lookup = LOOKUP_D, .chars = "abcdefghijklmnopqrstuvwxyz0123456789:._-",
          .max = 64, .lands = LANDS_GUEST_ADDRESS,
          .doc = "PCI address of the device as live.tmpl has it, so that it stays the same.",
          .source = "DESIGN 5.5" },
        { "DISK_TYPE", ENUM(storage, disk_type, storage_words), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Where a disk lies whose TYPE says only what it is (file, lun, cdrom, floppy, fs, swap): OpenNebula's kind of "
                 "datastore.",
          .source = "opennebula-semantics 3.9.1" },
        { "SIZE", SIZE(size, 1 << 20, "MiB"), .lookup = LOOKUP_D, .min = 1 << 10, .max = 1ull << 53,
          .lands = LANDS_RULE,
          .doc = "Size of a disk that is made (TYPE fs or swap), or of a clone, which may be larger than its image. Of "
                 "another image it is only compared.",
          .source = "opennebula-semantics 3.2, 3.9" },
        { "FS", ENUM(fs, disk_fs, fs_words), .lookup = LOOKUP_D, .lands = LANDS_RULE,
          .doc = "File system that a disk of TYPE fs is made with, by mkfs.FS of the host. Absent: none.",
          .source = "opennebula-semantics 3.9" },
        { "FILESYSTEM", ENUM(fs, disk_fs, fs_words), .lookup = LOOKUP_D, .lands = LANDS_RULE,
          .doc = "Another word for FS.", .source = "opennebula-semantics 3.9" },
        { "CLONE", BOOL(clone), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "yes: the guest writes to an overlay of its own, made at the first start over the image, which stays as it "
                 "is.",
          .source = "DESIGN 5.3" },
        { "PERSISTENT", BOOL(persistent), .lookup = LOOKUP_D, .lands = LANDS_RULE,
          .doc = "no: what the guest writes goes to an overlay that is dropped at the end. yes: a disk of TYPE fs or swap, or "
                 "the overlay of a clone, is kept. Absent: overlays are kept, fs and swap are not.",
          .source = "DESIGN 5.3" },
        { "PERSISTENT_TYPE", ENUM(persistent_type, disk_persistent_type, persistent_words),
          .lookup = LOOKUP_D, .lands = LANDS_ARGV, .doc = "immutable: as READONLY; shareable: as SHAREABLE.",
          .source = "opennebula-semantics 2.1" },
        { "SHAREABLE", BOOL(shareable), .lookup = LOOKUP_C, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "Other VMs may write to it at the same time; raw images only, and their guests have to agree.",
          .source = "opennebula-semantics 3.9.3" },
        { "SERIAL", TEXT(serial), .lookup = LOOKUP_D, .max = 36, .lands = LANDS_ARGV, .chars = ALNUM "_.+- ",
          .doc = "Serial number the guest sees: 20 characters, of a SCSI disk 36. auto: the start of the VM's UUID and the "
                 "number of the disk.",
          .source = "opennebula-semantics 3.9.3" },
        { "WWN", TEXT(wwn), .lookup = LOOKUP_D, .chars = "0123456789abcdefABCDEFxX", .max = 18,
          .lands = LANDS_ARGV, .doc = "World wide name of a SCSI, SATA or IDE disk: 16 hexadecimal digits.",
          .source = "libvirt-behaviour 6.2" },
        { "VENDOR", TEXT(vendor), .lookup = LOOKUP_D, .chars = ALNUM "_.+- ", .max = 8, .lands = LANDS_ARGV,
          .doc = "Vendor that a SCSI disk or CD tells.", .source = "libvirt-behaviour 6.2" },
        { "PRODUCT", TEXT(product), .lookup = LOOKUP_D, .chars = ALNUM "_.+- ", .max = 16,
          .lands = LANDS_ARGV, .doc = "Product that a SCSI disk or CD tells.",
          .source = "libvirt-behaviour 6.2" },
        { "ROTATION_RATE", U32(rotation_rate), .lookup = LOOKUP_D, .min = 1, .max = 65534, .unit = "rpm",
          .lands = LANDS_ARGV,
          .doc = "Rotation rate that a SCSI, SATA or IDE disk tells; 1 is a solid state disk.",
          .source = "libvirt-behaviour 6.2" },
        { "LOGICAL_BLOCK_SIZE", U32(logical_block_size), .lookup = LOOKUP_C, .min = 512, .max = 2097152,
          .unit = "bytes", .lands = LANDS_ARGV,
          .doc = "Smallest unit of reading and writing that the guest sees, a power of two. Absent: 512.",
          .source = "libvirt-behaviour 6.2" },
        { "PHYSICAL_BLOCK_SIZE", U32(physical_block_size), .lookup = LOOKUP_C, .min = 512, .max = 2097152,
          .unit = "bytes", .lands = LANDS_ARGV,
          .doc = "Unit in which the storage works, as the guest sees it, a power of two. Absent: 512.",
          .source = "libvirt-behaviour 6.2" },
        { "IOTHREAD", U32(iothread), .lookup = LOOKUP_D, .min = 1, .max = 64, .lands = LANDS_ARGV,
          .doc = "I/O thread of a virtio disk, 1 to FEATURES/IOTHREADS. Absent: they take turns.",
          .source = "opennebula-semantics 3.9.3" },
        { "VIRTIO_BLK_QUEUES", U32(virtio_blk_queues), .lookup = LOOKUP_C, .min = 1, .max = 1024,
          .words = auto_words, .lands = LANDS_ARGV,
          .doc = "Queues of a virtio disk: a number, or auto for one per vCPU. Absent: FEATURES/VIRTIO_BLK_QUEUES, else "
                 "QEMU's own choice.",
          .source = "opennebula-semantics 3.9.3" },
        { "ORDER", U32(order), .lookup = LOOKUP_D, .min = 1, .max = 999, .lands = LANDS_ARGV,
          .doc = "Position in the boot order, from 1, where OS/BOOT is absent.",
          .source = "opennebula-semantics 3.9.3" },
        { "DETECT_ZEROES", ENUM(detect_zeroes, disk_detect_zeroes, zeroes_words), .lookup = LOOKUP_C,
          .lands = LANDS_ARGV,
          .doc = "Zeroes that the guest writes take no space: on writes them as such, unmap gives the blocks back, which needs "
                 "DISCARD unmap. Absent: off.",
          .source = "libvirt-behaviour 6.2" },
        { "L2_CACHE_SIZE", SIZE(l2_cache_size, 1, "bytes"), .lookup = LOOKUP_C, .min = 1024,
          .max = 1ull << 40, .words = auto_words, .lands = LANDS_ARGV,
          .doc = "Memory for the tables of a qcow2 image; auto: an 8192th of the disk, enough for all of it at the usual "
                 "cluster size. Absent: QEMU's own choice, at most 32 MiB.",
          .source = "issue 5; qemu qcow2-cache.txt" },
        { "COPY_ON_READ", BOOL(copy_on_read), .lookup = LOOKUP_D, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "What the guest reads from a backing image is copied to the image on top.",
          .source = "libvirt-behaviour 6.2" },
        { "ERROR_POLICY", ENUM(error_policy, disk_error_policy, error_words), .lookup = LOOKUP_C,
          .lands = LANDS_ARGV,
          .doc = "After an error in writing: stop pauses the VM, report tells the guest, ignore goes on, enospace pauses when "
                 "the storage is full and reports everything else. Absent: QEMU's own choice (enospace).",
          .source = "libvirt-behaviour 6.2" },
        { "RERROR_POLICY", ENUM(rerror_policy, disk_error_policy, read_error_words), .lookup = LOOKUP_C,
          .lands = LANDS_ARGV,
          .doc = "After an error in reading: stop, report or ignore. Absent: as ERROR_POLICY, but report for enospace.",
          .source = "libvirt-behaviour 6.2" },
        THROTTLE(TOTAL_BYTES, DISK_TOTAL_BYTES, "bytes"),
        THROTTLE(READ_BYTES, DISK_READ_BYTES, "bytes"),
        THROTTLE(WRITE_BYTES, DISK_WRITE_BYTES, "bytes"),
        THROTTLE(TOTAL_IOPS, DISK_TOTAL_IOPS, "operations"),
        THROTTLE(READ_IOPS, DISK_READ_IOPS, "operations"),
        THROTTLE(WRITE_IOPS, DISK_WRITE_IOPS, "operations"),
        { "SIZE_IOPS_SEC", U64(throttle.iops_size), .lookup = LOOKUP_C, .max = RATE_MAX, .unit = "bytes",
          .lands = LANDS_ARGV, .live = true, .operators = true,
          .doc = "Bytes that count as one operation: larger requests count as several. 0 or absent: each counts once.",
          .source = "opennebula-semantics 3.9.4" },
        { "LUKS_SECRET", TEXT(luks_secret), .lookup = LOOKUP_D, .max = 255, .lands = LANDS_ARGV,
          .doc = "The image is encrypted: name of the file in /etc/vmlaunch/secrets that holds the passphrase, or its absolute "
                 "path.",
          .source = "opennebula-semantics 3.9.1" },
        { "CEPH_HOST", TEXT(ceph_host), .lookup = LOOKUP_D, .max = 1023, .lands = LANDS_ARGV,
          .doc = "Monitors of a Ceph cluster, HOST or HOST:PORT, separated by blanks. Absent: those of CEPH_CONF.",
          .source = "opennebula-semantics 3.9.1" },
        { "CEPH_USER", TEXT(ceph_user), .lookup = LOOKUP_D, .max = 255, .lands = LANDS_ARGV,
          .doc = "User of the Ceph cluster, without client.", .source = "opennebula-semantics 3.9.1" },
        { "CEPH_SECRET", TEXT(ceph_secret), .lookup = LOOKUP_D, .max = 255, .lands = LANDS_ARGV,
          .doc = "Name of the file in /etc/vmlaunch/secrets that holds the user's key, base64, or its absolute path.",
          .source = "opennebula-semantics 3.9.1" },
        { "CEPH_KEY", PATH(ceph_key), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "File that holds the user's key, base64; goes before CEPH_SECRET.",
          .source = "opennebula-semantics 2.1" },
        { "CEPH_CONF", PATH(ceph_conf), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Configuration file of the Ceph cluster, on this host.",
          .source = "opennebula-semantics 2.1" },
        { "POOL_NAME", TEXT(pool_name), .lookup = LOOKUP_D, .max = 255, .lands = LANDS_ARGV,
          .doc = "Pool of the Ceph cluster, where SOURCE names only the image. Absent: one.",
          .source = "opennebula-semantics 3.9.1" },
        { "ISCSI_HOST", TEXT(iscsi_host), .lookup = LOOKUP_D, .max = 255, .lands = LANDS_ARGV,
          .doc = "iSCSI portal, HOST or HOST:PORT (3260).", .source = "opennebula-semantics 3.9.1" },
        { "ISCSI_IQN", TEXT(iscsi_iqn), .lookup = LOOKUP_D, .max = 255, .lands = LANDS_ARGV,
          .doc = "iSCSI target and unit, IQN/LUN, instead of SOURCE.",
          .source = "opennebula-semantics 3.9.1" },
        { "ISCSI_USER", TEXT(iscsi_user), .lookup = LOOKUP_D, .max = 255, .lands = LANDS_ARGV,
          .doc = "CHAP user of the iSCSI target.", .source = "opennebula-semantics 3.9.1" },
        { "ISCSI_USAGE", TEXT(iscsi_usage), .lookup = LOOKUP_D, .max = 255, .lands = LANDS_ARGV,
          .doc = "Name of the file in /etc/vmlaunch/secrets that holds the CHAP password, or its absolute path.",
          .source = "opennebula-semantics 3.9.1" },
        { "GLUSTER_HOST", TEXT(gluster_host), .lookup = LOOKUP_D, .max = 1023, .lands = LANDS_ARGV,
          .doc = "Gluster servers, HOST or HOST:PORT (24007), separated by blanks.",
          .source = "opennebula-semantics 3.9.1" },
        { "GLUSTER_VOLUME", TEXT(gluster_volume), .lookup = LOOKUP_D, .max = 255, .lands = LANDS_ARGV,
          .doc = "Gluster volume.", .source = "opennebula-semantics 3.9.1" },
        { "NBD_HOST", TEXT(nbd_host), .lookup = LOOKUP_D, .max = 255, .lands = LANDS_ARGV,
          .doc = "NBD server, HOST or HOST:PORT (10809). SOURCE is the name of the export.",
          .source = "libvirt-behaviour 6.2" },
        { "NBD_SOCKET", PATH(nbd_socket), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Unix socket of the NBD server, instead of NBD_HOST.", .source = "libvirt-behaviour 6.2" },
        { "MOUNT_TAG", .kind = ATTR_TEXT, .lookup = LOOKUP_D, .max = FILESYSTEM_TAG_MAX, .lands = LANDS_ARGV,
          .doc = "Name of a shared directory (TYPE filesystem), by which the guest mounts it. It is a FILESYSTEM with this "
                 "TARGET, DRIVER virtiofs and CACHE always, of the same SOURCE and READONLY.",
          .source = "opennebula-semantics 3.9.6" },
        { "UID_MAP", .kind = ATTR_U32, .lookup = LOOKUP_B, .max = FILESYSTEM_MAP_MAX, .lands = LANDS_HELPER,
          .doc = "OpenNebula's word for FILESYSTEM/UID_MAP, where that is not given.",
          .source = "opennebula-semantics 3.9.6" },
        { "GID_MAP", .kind = ATTR_U32, .lookup = LOOKUP_B, .max = FILESYSTEM_MAP_MAX, .lands = LANDS_HELPER,
          .doc = "OpenNebula's word for FILESYSTEM/GID_MAP, where that is not given.",
          .source = "opennebula-semantics 3.9.6" },
        LEFT_ALONE("MOUNT_POINT", "for CONTEXT: the guest mounts a shared directory itself"),
        { "DISK_ID", U32(id), .lookup = LOOKUP_D, .max = SPEC_MAX_ID, .lands = LANDS_NAME,
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
        LEFT_ALONE("SAVE", "what OpenNebula's transfer driver does at the end; PERSISTENT says it here"),
        LEFT_ALONE("SHEEPDOG_HOST", "QEMU has no Sheepdog any more"),
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
