/* Rules about disks that span attributes. */
#include <string.h>

#include "base/text.h"
#include "conf/spec_disk.h"

enum { MAX_IDE_DISKS = 4, MAX_SCSI_DISKS = 256, MAX_FLOPPIES = 2, SHORT_SERIAL = 20, WWN_DIGITS = 16 };

/* What FORMAT or DRIVER says on its own, NONE when the template does not give it. */
static enum disk_format own_format(const struct disk_spec *disk, const char *key)
{
        struct disk_spec alone = { 0 };
        struct error *error = NULL;

        if (!spec_disk_says(disk, key))
                return DISK_FORMAT_NONE;
        if (attr_set(&attr_disk, attr_find(&attr_disk, key), spec_origin(&attr_disk, disk, key)->text, NULL,
                     &alone, &error) < 0)
                error_free(error); /* said already */
        return alone.format;
}

/* Two words for one thing must not say two things. */
static void check_same(struct spec_builder *builder, const struct disk_spec *disk, const char *key,
                       const char *other)
{
        const struct origin *a = spec_origin(&attr_disk, disk, key),
                            *b = spec_origin(&attr_disk, disk, other);

        if (spec_disk_says(disk, key) && spec_disk_says(disk, other) && strcasecmp(a->text, b->text) != 0)
                spec_fail(builder, &b->pos, "DISK/%s: is not the %s of line %u", other, key, a->pos.line);
}

static void check_format(struct spec_builder *builder, const struct disk_spec *disk)
{
        enum disk_format format = own_format(disk, "FORMAT"), driver = own_format(disk, "DRIVER");
        enum disk_format said = format != DISK_FORMAT_NONE ? format : driver;
        const struct source_pos *pos = spec_disk_pos(disk, format != DISK_FORMAT_NONE ? "FORMAT" : "DRIVER");

        check_same(builder, disk, "FORMAT", "DRIVER");
        if (said > DISK_FORMAT_RAW && disk->medium == DISK_MEDIUM_CDROM)
                spec_fail(builder, pos, "DISK: the image of a CD is raw");
        else if (said > DISK_FORMAT_RAW && disk->medium == DISK_MEDIUM_LUN)
                spec_fail(builder, pos, "DISK: a LUN is raw");
        else if (said > DISK_FORMAT_RAW && disk->type == DISK_TYPE_SWAP)
                spec_fail(builder, pos, "DISK: a swap disk is raw");
        else if (said > DISK_FORMAT_QCOW2 && disk->store == DISK_STORE_VOLATILE)
                spec_fail(builder, pos, "DISK: a disk is made as raw or qcow2");
        else if (disk->format == DISK_FORMAT_QCOW2 && disk->store > DISK_STORE_VOLATILE)
                spec_warn(
                        builder, pos,
                        "DISK/FORMAT: the header of a qcow2 image that is not on this host is not looked at: it "
                        "must not have a backing file");
        if (disk->format == DISK_FORMAT_LUKS && !disk->luks_path)
                spec_fail(builder, pos,
                          "DISK/FORMAT: luks needs LUKS_SECRET, which says where the passphrase is");
        if (disk->luks_path && disk->format != DISK_FORMAT_LUKS && disk->format != DISK_FORMAT_QCOW2)
                spec_fail(builder, spec_disk_pos(disk, "LUKS_SECRET"),
                          "DISK/LUKS_SECRET: a %s image cannot be encrypted", disk_format_name(disk->format));
        if (disk->luks_path && disk_is_made(disk))
                spec_fail(builder, spec_disk_pos(disk, "LUKS_SECRET"),
                          "DISK/LUKS_SECRET: what is made at the start is not encrypted");
}

static void check_image_name(struct spec_builder *builder, const struct disk_spec *disk)
{
        _cleanup_free_ char *shown = NULL;

        if (!disk->image || !(strchr(disk->image, '/') || strchr(disk->image, '\n') || *disk->image == '.'))
                return;
        shown = text_printable(disk->image);
        spec_fail(builder, spec_disk_pos(disk, "IMAGE"),
                  "DISK/IMAGE: '%s' is not the name of an image: no '/', not starting with '.'", shown);
}

/* Where the bytes are, of what is on this host. */
static void check_local_source(struct spec_builder *builder, const struct disk_spec *disk)
{
        bool has_source = spec_is_given(&attr_disk, disk, "SOURCE");
        bool has_image = spec_is_given(&attr_disk, disk, "IMAGE");
        bool is_drive = disk->medium == DISK_MEDIUM_CDROM || disk->medium == DISK_MEDIUM_FLOPPY;

        if (disk->store == DISK_STORE_VOLATILE) {
                if (has_source || has_image)
                        spec_fail(
                                builder, spec_disk_pos(disk, has_source ? "SOURCE" : "IMAGE"),
                                "DISK/%s: a disk of TYPE %s is made at the start (TYPE = \"file\" takes one)",
                                has_source ? "SOURCE" : "IMAGE",
                                disk->type == DISK_TYPE_SWAP ? "swap" : "fs");
                if (!spec_is_given(&attr_disk, disk, "SIZE"))
                        spec_fail(builder, &disk->section.pos,
                                  "DISK/SIZE: has to be given with TYPE %s (for example SIZE = \"10 GiB\")",
                                  disk->type == DISK_TYPE_SWAP ? "swap" : "fs");
                return;
        }
        if (disk->source && disk->image)
                spec_fail(builder, spec_disk_pos(disk, "IMAGE"), "DISK/IMAGE: SOURCE is given too (line %u)",
                          spec_disk_pos(disk, "SOURCE")->line);
        else if (!has_source && !has_image && !is_drive)
                spec_fail(builder, &disk->section.pos,
                          "DISK: SOURCE or IMAGE has to be given (for example SOURCE = \"disk.qcow2\")");
        check_image_name(builder, disk);
}

static void check_auth(struct spec_builder *builder, const struct disk_spec *disk, const char *user_key,
                       const char *secret_key, bool needs_secret)
{
        bool has_user = spec_is_given(&attr_disk, disk, user_key);

        if (has_user && needs_secret && !disk->auth_path)
                spec_fail(builder, spec_disk_pos(disk, user_key),
                          "DISK/%s: needs %s, which says where the secret is", user_key, secret_key);
        if (!has_user && disk->auth_path)
                spec_fail(builder, spec_disk_pos(disk, secret_key),
                          "DISK/%s: goes with %s, which is not given", secret_key, user_key);
}

static void check_network_source(struct spec_builder *builder, const struct disk_spec *disk)
{
        const struct source_pos *here = &disk->section.pos;
        bool has_source = spec_is_given(&attr_disk, disk, "SOURCE");
        const char *need = NULL;

        if (spec_is_given(&attr_disk, disk, "IMAGE"))
                spec_fail(builder, spec_disk_pos(disk, "IMAGE"), "DISK/IMAGE: is a file of this host");
        switch (disk->store) {
        case DISK_STORE_RBD:
                if (!has_source && !spec_is_given(&attr_vm, builder->spec, "VMID"))
                        need = "SOURCE = \"POOL/IMAGE\"";
                check_auth(builder, disk, "CEPH_USER",
                           spec_is_given(&attr_disk, disk, "CEPH_KEY") ? "CEPH_KEY" : "CEPH_SECRET", false);
                break;
        case DISK_STORE_ISCSI:
                if (!spec_is_given(&attr_disk, disk, "ISCSI_HOST"))
                        need = "ISCSI_HOST = \"HOST\"";
                else if (!has_source && !spec_is_given(&attr_disk, disk, "ISCSI_IQN"))
                        need = "ISCSI_IQN = \"IQN/LUN\"";
                check_auth(builder, disk, "ISCSI_USER", "ISCSI_USAGE", true);
                break;
        case DISK_STORE_GLUSTER:
                if (!spec_is_given(&attr_disk, disk, "GLUSTER_HOST"))
                        need = "GLUSTER_HOST = \"HOST\"";
                else if (!spec_is_given(&attr_disk, disk, "GLUSTER_VOLUME"))
                        need = "GLUSTER_VOLUME = \"VOLUME\"";
                else if (!has_source && !disk->clone)
                        need = "SOURCE = \"PATH\" in the volume";
                break;
        case DISK_STORE_NBD:
                if (!spec_is_given(&attr_disk, disk, "NBD_HOST") && !disk->socket_path)
                        need = "NBD_HOST = \"HOST\" or NBD_SOCKET = \"PATH\"";
                else if (spec_is_given(&attr_disk, disk, "NBD_HOST") && disk->socket_path)
                        spec_fail(builder, spec_disk_pos(disk, "NBD_SOCKET"),
                                  "DISK/NBD_SOCKET: NBD_HOST is given too (line %u)",
                                  spec_disk_pos(disk, "NBD_HOST")->line);
                break;
        default:
                break;
        }
        if (need)
                spec_fail(builder, here, "DISK: give %s", need);
}

/* A copy of what is on this host is an overlay of ours; what a cluster has, it copies itself. */
static void check_making(struct spec_builder *builder, struct disk_spec *disk)
{
        const char *key = disk->clone ? "CLONE" : "PERSISTENT";
        bool names_a_copy =
                disk->clone && (disk->store == DISK_STORE_RBD || disk->store == DISK_STORE_GLUSTER);

        if (!disk->is_clone) {
                if (disk->readonly && spec_disk_says(disk, "CLONE") && disk->clone)
                        spec_warn(builder, spec_disk_pos(disk, "CLONE"),
                                  "DISK/CLONE: no copy is made of what is only read");
                return;
        }
        if (names_a_copy && disk->is_kept) {
                /* The copy has a name of its own, by OpenNebula's number (opennebula-semantics 3.9.1). */
                disk->is_clone = false;
                if (!spec_is_given(&attr_vm, builder->spec, "VMID"))
                        spec_fail(
                                builder, spec_disk_pos(disk, "CLONE"),
                                "DISK/CLONE: the name of the copy on the cluster has the VM's number, and VMID is not "
                                "given");
                return;
        }
        if (disk->store > DISK_STORE_BLOCK || disk->medium != DISK_MEDIUM_DISK)
                spec_fail(builder, spec_disk_pos(disk, key),
                          "DISK/%s: copies are made of image files and block devices only", key);
        if (disk->shareable)
                spec_fail(builder, spec_disk_pos(disk, key), "DISK/%s: a shareable disk is no copy", key);
}

static void check_cache(struct spec_builder *builder, const struct disk_spec *disk)
{
        const struct origin *cache = spec_origin(&attr_disk, disk, "CACHE");
        const char *cache_text = cache->text && *cache->text ? cache->text : "none";
        bool is_direct = disk->cache == DISK_CACHE_NONE || disk->cache == DISK_CACHE_DIRECTSYNC;

        if (disk->io == DISK_IO_NATIVE && !is_direct) {
                const struct origin *io = spec_origin(&attr_disk, disk, "IO");

                spec_fail(builder,
                          io->layer == LAYER_TEMPLATE || cache->layer != LAYER_TEMPLATE ? &io->pos
                                                                                        : &cache->pos,
                          "DISK/IO: native needs CACHE none or directsync, and CACHE is %s (%s)", cache_text,
                          layer_name(cache->layer));
        }
        if (disk->detect_zeroes == DISK_ZEROES_UNMAP && disk->discard != DISK_DISCARD_UNMAP)
                spec_fail(builder, spec_disk_pos(disk, "DETECT_ZEROES"),
                          "DISK/DETECT_ZEROES: unmap needs DISCARD unmap, or zeroes are written as ever");
        if (disk->shareable && !is_direct && disk->cache != DISK_CACHE_DEFAULT)
                spec_warn(
                        builder, spec_disk_pos(disk, "CACHE"),
                        "DISK/CACHE: %s keeps data of a shareable disk where other hosts do not see it (none and "
                        "directsync do not)",
                        cache_text);
        if (disk->shareable && disk->format != DISK_FORMAT_RAW)
                spec_fail(builder, spec_disk_pos(disk, "SHAREABLE"),
                          "DISK/SHAREABLE: only a raw image can be shared, and this is %s",
                          disk_format_name(disk->format));
}

static bool is_power_of_two(uint32_t n)
{
        return n && !(n & (n - 1));
}

static void check_identity(struct spec_builder *builder, struct disk_spec *disk)
{
        uint32_t logical = disk->logical_block_size ? disk->logical_block_size : 512;
        bool is_long = disk->bus == DISK_BUS_SCSI;

        if (disk->serial && strlen(disk->serial) > SHORT_SERIAL && !is_long)
                spec_fail(builder, spec_disk_pos(disk, "SERIAL"),
                          "DISK/SERIAL: longer than %d characters, which is all that a %s disk can tell",
                          SHORT_SERIAL, disk_bus_name(disk->bus));
        if (disk->wwn) {
                const char *digits = disk->wwn + (text_starts_with(disk->wwn, "0x") ? 2 : 0);

                if (strlen(digits) != WWN_DIGITS || digits[strspn(digits, "0123456789abcdefABCDEF")])
                        spec_fail(builder, spec_disk_pos(disk, "WWN"),
                                  "DISK/WWN: is not %d hexadecimal digits", WWN_DIGITS);
        }
        if (disk->logical_block_size && !is_power_of_two(disk->logical_block_size))
                spec_fail(builder, spec_disk_pos(disk, "LOGICAL_BLOCK_SIZE"),
                          "DISK/LOGICAL_BLOCK_SIZE: %u is not a power of two", disk->logical_block_size);
        else if (logical != 512 && (disk->bus == DISK_BUS_IDE || disk->bus == DISK_BUS_SATA))
                spec_fail(builder, spec_disk_pos(disk, "LOGICAL_BLOCK_SIZE"),
                          "DISK/LOGICAL_BLOCK_SIZE: an IDE or SATA disk has 512 bytes");
        if (disk->physical_block_size && !is_power_of_two(disk->physical_block_size))
                spec_fail(builder, spec_disk_pos(disk, "PHYSICAL_BLOCK_SIZE"),
                          "DISK/PHYSICAL_BLOCK_SIZE: %u is not a power of two", disk->physical_block_size);
        else if (disk->physical_block_size && disk->physical_block_size < logical)
                spec_fail(builder, spec_disk_pos(disk, "PHYSICAL_BLOCK_SIZE"),
                          "DISK/PHYSICAL_BLOCK_SIZE: is smaller than the logical block size, %u", logical);
}

static void check_threads(struct spec_builder *builder, const struct disk_spec *disk)
{
        uint32_t threads = builder->spec->features.iothreads;

        if (disk->iothread > threads)
                spec_fail(builder, spec_disk_pos(disk, "IOTHREAD"),
                          "DISK/IOTHREAD: there are %u I/O threads (FEATURES = [ IOTHREADS = \"%u\" ])",
                          threads, disk->iothread);
}

/* What a key needs of its disk. */

static bool is_local(const struct disk_spec *disk)
{
        return disk->store <= DISK_STORE_VOLATILE;
}

static bool is_made(const struct disk_spec *disk)
{
        return disk->type == DISK_TYPE_FS && disk->store == DISK_STORE_VOLATILE;
}

static bool is_qcow2(const struct disk_spec *disk)
{
        return disk_top_format(disk) == DISK_FORMAT_QCOW2;
}

static bool has_layers_to_write(const struct disk_spec *disk)
{
        return is_qcow2(disk) && !disk_is_readonly(disk) && disk->store <= DISK_STORE_BLOCK;
}

static bool has_identity(const struct disk_spec *disk)
{
        return disk->medium == DISK_MEDIUM_DISK || disk->medium == DISK_MEDIUM_CDROM;
}

static bool has_wwn(const struct disk_spec *disk)
{
        return has_identity(disk) && disk->bus != DISK_BUS_VIRTIO;
}

static bool is_scsi(const struct disk_spec *disk)
{
        return disk->bus == DISK_BUS_SCSI && disk->medium == DISK_MEDIUM_DISK;
}

static bool rotates(const struct disk_spec *disk)
{
        return has_wwn(disk) && disk->medium == DISK_MEDIUM_DISK;
}

static bool is_drive(const struct disk_spec *disk)
{
        return disk->medium == DISK_MEDIUM_CDROM || disk->medium == DISK_MEDIUM_FLOPPY;
}

static bool is_disk(const struct disk_spec *disk)
{
        return disk->medium == DISK_MEDIUM_DISK;
}

static bool is_virtio(const struct disk_spec *disk)
{
        return disk->bus == DISK_BUS_VIRTIO;
}

static bool has_error_policy(const struct disk_spec *disk)
{
        return disk->medium != DISK_MEDIUM_FLOPPY;
}

static bool is_rbd(const struct disk_spec *disk)
{
        return disk->store == DISK_STORE_RBD;
}

static bool is_iscsi(const struct disk_spec *disk)
{
        return disk->store == DISK_STORE_ISCSI;
}

static bool is_gluster(const struct disk_spec *disk)
{
        return disk->store == DISK_STORE_GLUSTER;
}

static bool is_nbd(const struct disk_spec *disk)
{
        return disk->store == DISK_STORE_NBD;
}

static const struct {
        const char *key;
        bool (*fits)(const struct disk_spec *disk);
        const char *needs;
        bool passed_over; /* OpenNebula copies it from the datastore, whatever the disk is: a warning */
} rules[] = {
        { "MEDIA", is_drive, "is of a CD or floppy drive", false },
        { "IO", is_local, "counts for files and block devices", false },
        { "FS", is_made, "counts for a disk that is made, of TYPE fs", false },
        { "FILESYSTEM", is_made, "counts for a disk that is made, of TYPE fs", false },
        { "L2_CACHE_SIZE", is_qcow2, "is for qcow2 images", false },
        { "COPY_ON_READ", has_layers_to_write,
          "is for qcow2 images with a backing file, which are written to", false },
        { "SERIAL", has_identity, "is of a disk or CD", false },
        { "WWN", has_wwn, "is of a disk or CD on SCSI, SATA or IDE (TARGET sda or hda)", false },
        { "VENDOR", is_scsi, "is of a disk on SCSI (TARGET sda)", false },
        { "PRODUCT", is_scsi, "is of a disk on SCSI (TARGET sda)", false },
        { "ROTATION_RATE", rotates, "is of a disk on SCSI, SATA or IDE (TARGET sda or hda)", false },
        { "LOGICAL_BLOCK_SIZE", is_disk, "is of a disk", false },
        { "PHYSICAL_BLOCK_SIZE", is_disk, "is of a disk", false },
        { "IOTHREAD", is_virtio, "needs a virtio disk (TARGET vda)", false },
        { "VIRTIO_BLK_QUEUES", is_virtio, "is of virtio disks (TARGET vda)", false },
        { "ERROR_POLICY", has_error_policy, "is not for floppies", false },
        { "RERROR_POLICY", has_error_policy, "is not for floppies", false },
        { "CEPH_HOST", is_rbd, "counts for TYPE rbd", true },
        { "CEPH_USER", is_rbd, "counts for TYPE rbd", true },
        { "CEPH_SECRET", is_rbd, "counts for TYPE rbd", true },
        { "CEPH_KEY", is_rbd, "counts for TYPE rbd", true },
        { "CEPH_CONF", is_rbd, "counts for TYPE rbd", true },
        { "POOL_NAME", is_rbd, "counts for TYPE rbd", true },
        { "ISCSI_HOST", is_iscsi, "counts for TYPE iscsi", true },
        { "ISCSI_IQN", is_iscsi, "counts for TYPE iscsi", true },
        { "ISCSI_USER", is_iscsi, "counts for TYPE iscsi", true },
        { "ISCSI_USAGE", is_iscsi, "counts for TYPE iscsi", true },
        { "GLUSTER_HOST", is_gluster, "counts for TYPE gluster", true },
        { "GLUSTER_VOLUME", is_gluster, "counts for TYPE gluster", true },
        { "NBD_HOST", is_nbd, "counts for TYPE nbd", false },
        { "NBD_SOCKET", is_nbd, "counts for TYPE nbd", false },
};

/* From a layer it is a default for those disks that it fits. */
static void check_fitting(struct spec_builder *builder, struct disk_spec *disk)
{
        static const struct attr *rows[ARRAY_SIZE(rules)];

        for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
                const struct attr *row = rows[i] ? rows[i] : (rows[i] = attr_find(&attr_disk, rules[i].key));
                const struct origin *origin = &disk->section.origins[row - attr_disk.rows];

                if (origin->layer <= LAYER_DEFAULT || !spec_disk_has(disk, rules[i].key) ||
                    rules[i].fits(disk) || (row->kind == ATTR_BOOL && !*(bool *)attr_field(row, disk)))
                        continue;
                if (origin->layer == LAYER_TEMPLATE && rules[i].passed_over)
                        spec_warn(builder, &origin->pos, "DISK/%s: without effect here, it %s", row->name,
                                  rules[i].needs);
                else if (origin->layer == LAYER_TEMPLATE)
                        spec_fail(builder, &origin->pos, "DISK/%s: %s", row->name, rules[i].needs);
                spec_forget(&attr_disk, row, disk);
        }
}

static void check_media(struct spec_builder *builder, const struct disk_spec *disk)
{
        _cleanup_free_ char *words = xstrdup_null(disk->media);

        for (char *save = NULL, *word = words ? strtok_r(words, " ", &save) : NULL; word;
             word = strtok_r(NULL, " ", &save)) {
                _cleanup_free_ char *shown = text_printable(word);

                if (*word != '/')
                        spec_fail(builder, spec_disk_pos(disk, "MEDIA"),
                                  "DISK/MEDIA: '%s' is not an absolute path", shown);
        }
}

static void check_disk(struct spec_builder *builder, struct disk_spec *disk)
{
        if (disk->store <= DISK_STORE_VOLATILE)
                check_local_source(builder, disk);
        else
                check_network_source(builder, disk);
        check_fitting(builder, disk);
        check_media(builder, disk);
        check_same(builder, disk, "FS", "FILESYSTEM");
        check_format(builder, disk);
        check_making(builder, disk);
        check_cache(builder, disk);
        check_identity(builder, disk);
        check_threads(builder, disk);
        spec_check_throttle(builder, disk);
        if (disk->medium == DISK_MEDIUM_LUN && disk->bus != DISK_BUS_SCSI)
                spec_fail(builder, spec_disk_pos(disk, "TARGET"),
                          "DISK/TARGET: a LUN is on SCSI (TARGET = \"sda\")");
        if (disk->type == DISK_TYPE_SWAP)
                disk->fs = DISK_FS_SWAP;
}

/* Each place of the boot order once, and in one place only. */
static void check_order(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;

        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct disk_spec *disk = &spec->disks[i];

                if (!disk->order)
                        continue;
                if (spec->os.n_boot_order) {
                        spec_warn(builder, spec_disk_pos(disk, "ORDER"),
                                  "DISK/ORDER: without effect, OS/BOOT says what is booted from (line %u)",
                                  spec_origin(&attr_os, &spec->os, "BOOT")->pos.line);
                        continue;
                }
                for (size_t j = 0; j < i; j++)
                        if (spec->disks[j].order == disk->order)
                                spec_fail_twice(builder, spec_disk_pos(disk, "ORDER"),
                                                spec_disk_pos(&spec->disks[j], "ORDER"),
                                                "DISK/ORDER: %u is also that of", disk->order);
        }
}

void spec_check_disks(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        unsigned ide = 0, scsi = 0, floppies = 0;

        for (size_t i = 0; i < spec->n_disks; i++)
                check_disk(builder, &builder->spec->disks[i]);
        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct disk_spec *disk = &spec->disks[i];

                if (disk->bus == DISK_BUS_IDE && ++ide == MAX_IDE_DISKS + 1)
                        spec_fail(
                                builder, &disk->section.pos,
                                "DISK: machine '%s' has room for %d IDE disks and CDs (try DEV_PREFIX = \"vd\")",
                                spec->os.machine, MAX_IDE_DISKS);
                if (disk->bus == DISK_BUS_SCSI && ++scsi == MAX_SCSI_DISKS + 1)
                        spec_fail(builder, &disk->section.pos, "DISK: more than %d SCSI disks",
                                  MAX_SCSI_DISKS);
                if (disk->bus == DISK_BUS_FLOPPY && ++floppies == MAX_FLOPPIES + 1)
                        spec_fail(builder, &disk->section.pos, "DISK: more than %d floppy drives",
                                  MAX_FLOPPIES);
        }
        check_order(builder);
}
