/* Disks on QEMU's command line, and the steps that give QEMU their images. */
#include <stdio.h>
#include <string.h>

#include "base/json_member.h"
#include "launcher/plan/disk_parts.h"

static const char *const fs_names[] = {
        [DISK_FS_EXT2] = "ext2", [DISK_FS_EXT3] = "ext3",   [DISK_FS_EXT4] = "ext4",
        [DISK_FS_XFS] = "xfs",   [DISK_FS_BTRFS] = "btrfs", [DISK_FS_F2FS] = "f2fs",
        [DISK_FS_VFAT] = "vfat", [DISK_FS_NTFS] = "ntfs",   [DISK_FS_SWAP] = "swap",
};

bool disk_needs_scsi(const struct build *build)
{
        for (size_t i = 0; i < build->spec->n_disks; i++)
                if (build->spec->disks[i].bus == DISK_BUS_SCSI)
                        return true;
        return false;
}

static bool needs_floppy_controller(const struct build *build)
{
        for (size_t i = 0; i < build->spec->n_disks; i++)
                if (build->spec->disks[i].bus == DISK_BUS_FLOPPY)
                        return build->kind == MACHINE_Q35;
        return false;
}

/* What the user calls the secret of a disk's store. */
static const char *auth_key(const struct disk_spec *disk)
{
        if (disk->store == DISK_STORE_ISCSI)
                return "ISCSI_USAGE";
        return disk->ceph_key && *disk->ceph_key ? "CEPH_KEY" : "CEPH_SECRET";
}

static void number_secrets(struct build *build, size_t i)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        bool is_ceph = disk->store == DISK_STORE_RBD;

        if (disk->luks_path) {
                _cleanup_free_ char *id = disk_secret_id(disk, "luks");
                _cleanup_free_ char *reference = xasprintf("DISK[%zu]/LUKS_SECRET", i);

                secret_add_file(build, id, reference, disk->luks_path, false);
        }
        if (disk->auth_path) {
                _cleanup_free_ char *id = disk_secret_id(disk, is_ceph ? "ceph" : "chap");
                _cleanup_free_ char *reference = xasprintf("DISK[%zu]/%s", i, auth_key(disk));

                secret_add_file(build, id, reference, disk->auth_path, is_ceph);
        }
}

static void number_layers(struct build *build, size_t i)
{
        const struct disk_spec *disk = &build->spec->disks[i];

        for (size_t l = 0; l < build->disks[i].n_layers; l++) {
                struct disk_layer *layer = &build->disks[i].layers[l];
                _cleanup_free_ char *node = NULL;
                struct text text = TEXT_INIT;

                if (!layer->path)
                        continue;
                node = disk_node_name(disk, l, "file");
                text_add(&text, layer->readonly ? "image ro " : "image rw ");
                text_add(&text, layer->path);
                layer->fd = build_fd_take(build, xasprintf("image:%s", node), text_take(&text));
                layer->set = build->next_set++;
        }
}

void disk_number_fds(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_disks; i++) {
                const struct disk_spec *disk = &build->spec->disks[i];

                number_layers(build, i);
                if (disk->conf_path) {
                        build->disks[i].conf_fd =
                                build_fd_take(build, xasprintf("conf:disk%u", disk->id),
                                              xasprintf("configuration %s", disk->conf_path));
                }
                if (disk->socket_path) {
                        build->disks[i].socket_fd =
                                build_fd_take(build, xasprintf("connect:disk%u", disk->id),
                                              xasprintf("connection %s", disk->socket_path));
                }
                number_secrets(build, i);
        }
}

static void iothread_args(struct build *build)
{
        for (unsigned i = 1; i <= build->spec->features.iothreads; i++) {
                _cleanup_free_ char *id = iothread_id(i);

                build_json(build, "FEATURES/IOTHREADS", "-object",
                           json_pack("{s:s, s:s}", "qom-type", "iothread", "id", id));
        }
}

static void refer_boot(const struct build *build, struct text *because, size_t i)
{
        unsigned bootindex = build->disks[i].bootindex;

        if (bootindex && build->spec->os.n_boot_order)
                build_refer(build, because, "OS/BOOT");
        else if (bootindex && build->spec->disks[i].order)
                build_refer_key(build, because, &attr_disk, i, "ORDER");
        else if (bootindex)
                text_addf(because, "%srule: the first disk is booted from", because->length ? " " : "");
}

static void scsi_controller_args(struct build *build)
{
        _cleanup_text_ struct text because = TEXT_INIT;
        json_t *device = json_pack("{s:s, s:s}", "driver", "virtio-scsi-pci", "id", "scsi0");

        build_set_address(device, build_pci_address(build, "scsi0"));
        if (build->scsi_iothread) {
                _cleanup_free_ char *thread = iothread_id(build->scsi_iothread);

                build_refer(build, &because, "FEATURES/IOTHREADS");
                json_object_set_new(device, "iothread", json_string(thread));
        }
        if (build->scsi_queues) {
                build_refer(build, &because, "FEATURES/VIRTIO_SCSI_QUEUES");
                json_object_set_new(device, "num_queues", json_integer(build->scsi_queues));
        }
        text_addf(&because, "%srule: the controller of the SCSI disks", because.length ? " " : "");
        build_json(build, text_str(&because), "-device", device);
}

static void floppy_boot_args(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_disks; i++) {
                const struct disk_spec *disk = &build->spec->disks[i];
                _cleanup_text_ struct text because = TEXT_INIT;

                if (disk->bus != DISK_BUS_FLOPPY || !build->disks[i].bootindex)
                        continue;
                refer_boot(build, &because, i);
                build_option(build, text_str(&because), "-global", "isa-fdc.bootindex%c=%u",
                             text_ends_with(build->disks[i].address, ":1") ? 'B' : 'A',
                             build->disks[i].bootindex);
        }
}

void disk_controller_args(struct build *build)
{
        floppy_boot_args(build);
        iothread_args(build);
        if (disk_needs_scsi(build))
                scsi_controller_args(build);
        if (needs_floppy_controller(build))
                build_json(build, "rule: the controller of the floppy drives", "-device",
                           json_pack("{s:s, s:s}", "driver", "isa-fdc", "id", "fdc0"));
}

/* The references that say something of where a disk's bytes are and how they are reached. */
static void refer_source(const struct build *build, struct text *because, size_t i)
{
        static const char *const network[] = { "CEPH_HOST",  "CEPH_USER",   "CEPH_SECRET",  "CEPH_KEY",
                                               "CEPH_CONF",  "POOL_NAME",   "ISCSI_HOST",   "ISCSI_IQN",
                                               "ISCSI_USER", "ISCSI_USAGE", "GLUSTER_HOST", "GLUSTER_VOLUME",
                                               "NBD_HOST",   "NBD_SOCKET" };
        const struct disk_spec *disk = &build->spec->disks[i];

        if (disk->store == DISK_STORE_VOLATILE)
                build_refer_key(build, because, &attr_disk, i, "TYPE");
        else
                build_refer_key(build, because, &attr_disk, i, disk_source_key(disk));
        for (size_t k = 0; disk->store > DISK_STORE_VOLATILE && k < ARRAY_SIZE(network); k++)
                build_refer_key(build, because, &attr_disk, i, network[k]);
        if (disk->store > DISK_STORE_VOLATILE && (disk->clone || !disk->source))
                build_refer(build, because, "VMID");
        if (disk_is_made(disk)) {
                build_refer_key(build, because, &attr_disk, i, "CLONE");
                build_refer_key(build, because, &attr_disk, i, "PERSISTENT");
                build_refer_key(build, because, &attr_disk, i, "SIZE");
        }
}

static void network_args(struct build *build, size_t i, const char *because)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct plan_disk *planned = &build->disks[i];
        _cleanup_free_ char *number = disk_vm_number(build);
        const struct disk_network network = { .vm_number = number,
                                              .conf_fd = planned->conf_fd,
                                              .socket_fd = planned->socket_fd };

        build_json(build, because, "-blockdev", disk_network_blockdev(disk, &network));
}

static void layer_args(struct build *build, size_t i, size_t l)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct plan_disk *planned = &build->disks[i];
        const struct disk_layer *layer = &planned->layers[l];
        _cleanup_free_ char *file = disk_node_name(disk, l, "file");
        struct text *source = build_reason(build, 0), *nodes = build_reason(build, 1),
                    *format = build_reason(build, 2);
        _cleanup_text_ struct text add = TEXT_INIT;
        /* Not the overlay of ours, and not what an image names. */
        size_t given = disk->is_clone ? 1 : 0;

        refer_source(build, source, i);
        if (l > given)
                text_add(source, " rule: the image's header names this backing file");
        text_add(nodes, text_str(source));
        if (l <= given) {
                build_refer_key(build, nodes, &attr_disk, i, "TYPE");
                build_refer_key(build, nodes, &attr_disk, i, "DISK_TYPE");
        }
        build_refer_key(build, nodes, &attr_disk, i, "CACHE");
        if (!l) {
                build_refer_key(build, nodes, &attr_disk, i, "READONLY");
                build_refer_key(build, nodes, &attr_disk, i, "PERSISTENT_TYPE");
        }
        text_add(format, text_str(nodes));
        build_refer_key(build, nodes, &attr_disk, i, "IO");
        build_refer_key(build, format, &attr_disk, i, "FORMAT");
        build_refer_key(build, format, &attr_disk, i, "DRIVER");
        build_refer_key(build, format, &attr_disk, i, "DISCARD");
        build_refer_key(build, format, &attr_disk, i, "L2_CACHE_SIZE");
        if (l == 0)
                build_refer_key(build, format, &attr_disk, i, "DETECT_ZEROES");
        if (layer->encrypted)
                build_refer_key(build, format, &attr_disk, i, "LUKS_SECRET");

        if (layer->path) {
                text_add(&add, "fd=");
                text_add_u64(&add, (uint64_t)layer->fd);
                text_add(&add, ",set=");
                text_add_u64(&add, layer->set);
                text_add(&add, ",opaque=");
                text_add(&add, file);
                build_word(build, text_str(source), "-add-fd", text_str(&add));
                disk_file_blockdev(build_object_begin(build), disk, planned->layers, l);
                build_object_end(build, text_str(nodes), "-blockdev");
        } else {
                network_args(build, i, text_str(nodes));
        }
        disk_format_blockdev(build_object_begin(build), disk, planned->layers, planned->n_layers, l);
        build_object_end(build, text_str(format), "-blockdev");
}

static void filter_args(struct build *build, size_t i)
{
        static const char *const suffixes[] = { "_SEC", "_SEC_MAX", "_SEC_MAX_LENGTH" };
        const struct disk_spec *disk = &build->spec->disks[i];
        _cleanup_text_ struct text limits = TEXT_INIT, reading = TEXT_INIT;

        if (disk->copy_on_read) {
                build_refer_key(build, &reading, &attr_disk, i, "COPY_ON_READ");
                build_json(build, text_str(&reading), "-blockdev", disk_copy_on_read_blockdev(disk));
        }
        if (!disk_is_throttled(disk))
                return;
        for (enum disk_limit limit = 0; limit < DISK_LIMITS; limit++)
                for (size_t k = 0; k < ARRAY_SIZE(suffixes); k++)
                        build_refer(build, &limits, "DISK[%zu]/%s%s", i, disk_limit_name(limit), suffixes[k]);
        build_refer_key(build, &limits, &attr_disk, i, "SIZE_IOPS_SEC");
        build_json(build, text_str(&limits), "-object", disk_throttle_object(disk));
        build_json(build, text_str(&limits), "-blockdev", disk_throttle_blockdev(disk));
}

static void refer_device(const struct build *build, struct text *because, size_t i)
{
        static const char *const keys[] = { "SERIAL",
                                            "WWN",
                                            "VENDOR",
                                            "PRODUCT",
                                            "ROTATION_RATE",
                                            "LOGICAL_BLOCK_SIZE",
                                            "PHYSICAL_BLOCK_SIZE",
                                            "PERSISTENT_TYPE",
                                            "ERROR_POLICY",
                                            "RERROR_POLICY" };
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct plan_disk *planned = &build->disks[i];
        const struct origin *target =
                &disk->section.origins[attr_find(&attr_disk, "TARGET") - attr_disk.rows];

        build_refer_key(build, because, &attr_disk, i, "TARGET");
        if (target->layer == LAYER_RULE)
                build_refer_key(build, because, &attr_disk, i, "DEV_PREFIX");
        build_refer_key(build, because, &attr_disk, i, "TYPE");
        if (disk->medium == DISK_MEDIUM_DISK)
                build_refer_key(build, because, &attr_disk, i, "CACHE");
        build_refer_key(build, because, &attr_disk, i, "ADDRESS");
        for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
                build_refer_key(build, because, &attr_disk, i, keys[k]);
        if (disk->shareable)
                build_refer_key(build, because, &attr_disk, i, "SHAREABLE");
        if (planned->iothread) {
                build_refer_key(build, because, &attr_disk, i, "IOTHREAD");
                build_refer(build, because, "FEATURES/IOTHREADS");
        }
        if (planned->queues)
                build_refer(build, because,
                            disk->virtio_blk_queues ? "DISK[%zu]/VIRTIO_BLK_QUEUES"
                                                    : "FEATURES/VIRTIO_BLK_QUEUES",
                            i);
        if (disk->bus != DISK_BUS_FLOPPY)
                refer_boot(build, because, i);
}

/* For status. */
static void add_device(struct build *build, size_t i)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct plan_disk *planned = &build->disks[i];
        json_t *device = json_object();
        char id[16];

        snprintf(id, sizeof(id), "disk%u", disk->id);
        json_member_add(device, "id", id);
        json_member_add(device, "kind", disk_medium_name(disk->medium));
        json_member_add(device, "target", disk->target);
        json_member_add(device, "bus", disk_bus_name(disk->bus));
        json_member_add(device, "address", planned->address);
        if (planned->n_layers) {
                const struct disk_layer *top = &planned->layers[0];
                const char *source = top->path ? top->path : disk->source;

                if (source)
                        json_member_add(device, "source", source);
                else
                        json_object_set_new(device, "source", json_null());
                json_member_add(device, "format", disk_format_name(top->format));
                json_member_add_bool(device, "readonly", top->readonly);
        }
        /* The supervisor tries again by itself unless it is told not to (supervisor_storage.c). */
        if (disk->error_policy == DISK_ERRORS_STOP)
                json_object_set_new(device, "error_policy", json_string("stop"));
        build_device(build, device);
}

static void device_args(struct build *build, size_t i)
{
        const struct plan_disk *planned = &build->disks[i];
        const struct disk_place place = { .address = planned->address,
                                          .bootindex = planned->bootindex,
                                          .iothread = planned->iothread,
                                          .queues = planned->queues,
                                          .has_medium = planned->n_layers > 0 };
        struct text *because = build_reason(build, 0);

        refer_device(build, because, i);
        disk_device(build_object_begin(build), &build->spec->disks[i], &place);
        build_object_end(build, text_str(because), "-device");
        add_device(build, i);
}

void disk_args(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_disks; i++) {
                /* Bottom-up: a node is named after it exists. */
                for (size_t l = build->disks[i].n_layers; l-- > 0;)
                        layer_args(build, i, l);
                if (build->disks[i].n_layers)
                        filter_args(build, i);
                device_args(build, i);
        }
}

static void make_step(struct build *build, size_t i, const char *because)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct plan_disk *planned = &build->disks[i];
        const struct disk_layer *top = &planned->layers[0];
        json_t *args = json_pack("{s:s, s:s, s:I, s:b, s:o, s:b}", "path", top->path, "format",
                                 disk_format_name(top->format), "size", (json_int_t)top->virtual_size, "keep",
                                 disk->is_kept, "fd", json_sprintf("image:disk%u-file", disk->id), "direct",
                                 disk_cache_is_direct(disk));

        if (disk->fs != DISK_FS_NONE)
                json_object_set_new(args, "fs", json_string(fs_names[disk->fs]));
        if (planned->n_layers > 1) {
                json_object_set_new(args, "backing", json_string(planned->layers[1].path));
                json_object_set_new(args, "backing-format",
                                    json_string(disk_format_name(planned->layers[1].format)));
        }
        build_step(build, because, EFFECT_IMAGE_CREATE, args);
}

static void open_step(struct build *build, size_t i, size_t l, const char *because)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct disk_layer *layer = &build->disks[i].layers[l];
        _cleanup_free_ char *node = disk_node_name(disk, l, "file");
        _cleanup_text_ struct text fd = TEXT_INIT;
        bool is_shared = layer->readonly || disk->shareable;
        json_t *args = json_object();

        text_add(&fd, "image:");
        text_add(&fd, node);
        json_member_add(args, "path", layer->path);
        json_member_add(args, "access", layer->readonly ? "ro" : "rw");
        json_member_add(args, "lock", is_shared ? "shared" : "exclusive");
        json_member_add(args, "fd", text_str(&fd));
        json_member_add_bool(args, "direct", disk_cache_is_direct(disk));
        build_step(build, because, EFFECT_IMAGE_OPEN, args);
}

static void network_steps(struct build *build, size_t i)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        _cleanup_text_ struct text conf = TEXT_INIT, sock = TEXT_INIT;

        build_refer_key(build, &conf, &attr_disk, i, "CEPH_CONF");
        build_refer_key(build, &sock, &attr_disk, i, "NBD_SOCKET");
        if (disk->conf_path)
                build_step(build, text_str(&conf), EFFECT_FILE_OPEN,
                           json_pack("{s:s, s:o, s:b, s:I}", "path", disk->conf_path, "fd",
                                     json_sprintf("conf:disk%u", disk->id), "copy", 1, "uid",
                                     (json_int_t)build->uid));
        if (disk->socket_path)
                build_step(build, text_str(&sock), EFFECT_CONNECT,
                           json_pack("{s:s, s:o}", "path", disk->socket_path, "fd",
                                     json_sprintf("connect:disk%u", disk->id)));
}

void disk_steps(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_disks; i++) {
                struct text *because = build_reason(build, 0), *making = build_reason(build, 1);

                build_refer_key(build, because, &attr_disk, i, disk_source_key(&build->spec->disks[i]));
                build_refer_key(build, because, &attr_disk, i, "READONLY");
                refer_source(build, making, i);
                build_refer_key(build, making, &attr_disk, i, "FS");
                build_refer_key(build, making, &attr_disk, i, "FILESYSTEM");
                for (size_t l = 0; l < build->disks[i].n_layers; l++) {
                        const struct disk_layer *layer = &build->disks[i].layers[l];

                        if (layer->is_made)
                                make_step(build, i, text_str(making));
                        else if (layer->path)
                                open_step(build, i, l, text_str(because));
                }
                network_steps(build, i);
        }
}
