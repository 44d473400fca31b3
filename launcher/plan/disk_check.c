/* Whether this host, this QEMU and the images are what the disks need. */
#include <string.h>

#include "launcher/plan/disk_parts.h"

int disk_error(const struct build *build, struct error **err, enum error_code code, size_t i, const char *key,
               const char *format, ...)
{
        _cleanup_free_ char *reference = xasprintf("DISK[%zu]/%s", i, key);
        _cleanup_text_ struct text text = TEXT_INIT;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&text, format, ap);
        va_end(ap);
        return build_error(build, err, code, reference, "%s", text_str(&text));
}

const char *disk_source_key(const struct disk_spec *disk)
{
        return disk->image && *disk->image ? "IMAGE" : "SOURCE";
}

static int check_kind(const struct build *build, size_t i, struct error **err)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct image_chain *chain = build->in->chains[i];
        bool is_block;

        if (disk->store > DISK_STORE_BLOCK)
                return 0;
        if (!chain) {
                if (disk->medium >= DISK_MEDIUM_CDROM)
                        return 0;
                return disk_error(build, err, ERROR_INVALID, i, disk_source_key(disk),
                                  "a disk needs an image");
        }
        is_block = S_ISBLK(chain->layers[0].file.mode);
        if (disk->store == DISK_STORE_BLOCK && !is_block)
                return disk_error(build, err, ERROR_INVALID, i, "TYPE",
                                  "TYPE is block, but '%s' is not a block device", chain->layers[0].path);
        if (disk->store == DISK_STORE_FILE && is_block && disk->medium != DISK_MEDIUM_CDROM)
                return disk_error(build, err, ERROR_INVALID, i, "TYPE",
                                  "TYPE is file, but '%s' is a block device", chain->layers[0].path);
        return 0;
}

static int check_encryption(const struct build *build, size_t i, struct error **err)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct plan_disk *planned = &build->disks[i];

        for (size_t l = 0; l < planned->n_layers; l++) {
                const struct disk_layer *layer = &planned->layers[l];

                if (layer->encrypted && (l > 0 || !disk->luks_path)) {
                        disk_error(build, err, ERROR_INVALID, i, disk_source_key(disk), "'%s' is encrypted",
                                   layer->path);
                        return l > 0 ? -1
                                     : error_hint(err, "LUKS_SECRET = \"NAME\" says where its passphrase is");
                }
        }
        if (disk->luks_path && planned->n_layers && !planned->layers[0].encrypted)
                return disk_error(build, err, ERROR_INVALID, i, "LUKS_SECRET", "'%s' is not encrypted",
                                  planned->layers[0].path);
        return 0;
}

/* SIZE of an image that is there, which OpenNebula fills in rounded up to MiB. */
static void compare_size(struct build *build, size_t i)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct plan_disk *planned = &build->disks[i];
        _cleanup_free_ char *reference = NULL, *found = NULL;
        uint64_t size = planned->n_layers ? planned->layers[0].virtual_size : 0;

        if (!disk->size || disk_is_made(disk) || !size || (size + (1 << 20) - 1) >> 20 == disk->size >> 20 ||
            size == disk->size)
                return;
        reference = xasprintf("DISK[%zu]/SIZE", i);
        found = text_from_size(size);
        build_warn(build, reference, "the image has %s, and stays as it is", found);
}

static int check_places(const struct build *build, size_t i, struct error **err)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        _cleanup_free_ char *reference = xasprintf("DISK[%zu]/TARGET", i);

        if (disk->readonly && disk->medium == DISK_MEDIUM_DISK &&
            (disk->bus == DISK_BUS_IDE || disk->bus == DISK_BUS_SATA)) {
                disk_error(build, err, ERROR_INVALID, i, "READONLY",
                           "an IDE or SATA disk cannot be read-only");
                return error_hint(err, "a TARGET of vda or sda style can");
        }
        if ((disk->bus == DISK_BUS_SATA) != (build->kind == MACHINE_Q35) &&
            (disk->bus == DISK_BUS_SATA || disk->bus == DISK_BUS_IDE))
                return disk_error(build, err, ERROR_INVALID, i, "TARGET", "a '%s' has no %s bus",
                                  build->machine->name, disk_bus_name(disk->bus));
        if (disk->bus == DISK_BUS_SCSI && build_need_device(build, reference, "virtio-scsi-pci", err) < 0)
                return -1;
        if (disk->bus == DISK_BUS_FLOPPY && build->kind == MACHINE_Q35 &&
            build_need_device(build, reference, "isa-fdc", err) < 0)
                return -1;
        return build_need_device(build, reference, disk_device_type(disk), err);
}

static int check_servers(const struct build *build, size_t i, const char *key, const char *list,
                         bool one_only, struct error **err)
{
        if (!list || !*list || disk_servers_are_valid(list, one_only))
                return 0;
        disk_error(build, err, ERROR_INVALID, i, key, "is not %s",
                   one_only ? "HOST or HOST:PORT" : "a list of HOST or HOST:PORT");
        return error_hint(err, "an IPv6 address goes in brackets where a port follows: [::1]:3260");
}

static int check_unit(const struct build *build, size_t i, struct error **err)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const char *name = disk_iscsi_name(disk), *slash = strrchr(name, '/');
        const char *key = disk->iscsi_iqn && *disk->iscsi_iqn ? "ISCSI_IQN" : "SOURCE";
        uint32_t lun;

        if (*name == '/' || slash == name || (slash && (!text_parse_u32(slash + 1, &lun) || lun > 16383))) {
                _cleanup_free_ char *shown = text_printable(name);

                return disk_error(build, err, ERROR_INVALID, i, key, "'%s' is not IQN or IQN/LUN", shown);
        }
        return 0;
}

static int check_network(const struct build *build, size_t i, struct error **err)
{
        const struct disk_spec *disk = &build->spec->disks[i];

        switch (disk->store) {
        case DISK_STORE_RBD:
                return check_servers(build, i, "CEPH_HOST", disk->ceph_host, false, err);
        case DISK_STORE_ISCSI:
                return check_servers(build, i, "ISCSI_HOST", disk->iscsi_host, true, err) < 0 ||
                                       check_unit(build, i, err) < 0
                               ? -1
                               : 0;
        case DISK_STORE_GLUSTER:
                return check_servers(build, i, "GLUSTER_HOST", disk->gluster_host, false, err);
        case DISK_STORE_NBD:
                return check_servers(build, i, "NBD_HOST", disk->nbd_host, true, err);
        case DISK_STORE_FILE:
        case DISK_STORE_BLOCK:
        case DISK_STORE_VOLATILE:
                break;
        }
        return 0;
}

/* QEMU has a writable image's header in its hands, and what that names as backing file we open with other rights. */
static bool is_named_by_guest(const struct build *build, size_t i)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct plan_disk *planned = &build->disks[i];

        return planned->n_layers && !disk_is_made(disk) && planned->layers[0].path &&
               !planned->layers[0].readonly && planned->layers[0].format == DISK_FORMAT_QCOW2;
}

static char *backing_of(const struct plan_disk *planned)
{
        const struct disk_layer *under = planned->n_layers > 1 ? &planned->layers[1] : NULL;

        return under ? xasprintf("%s:%s", disk_format_name(under->format), under->path) : xstrdup("");
}

static int check_backing(const struct build *build, size_t i, struct error **err)
{
        const struct plan_disk *planned = &build->disks[i];
        const struct machine_lock *lock = build->in->lock;
        _cleanup_free_ char *now = NULL, *shown = NULL, *shown_was = NULL;
        const char *was;

        if (!lock || !is_named_by_guest(build, i))
                return 0;
        was = machine_lock_backing(lock, planned->layers[0].path);
        now = backing_of(planned);
        /* One that has become whole reads nothing of anybody's. */
        if (!was || !*now || strcmp(was, now) == 0)
                return 0;
        shown = text_printable(now);
        shown_was = text_printable(*was ? was : "none");
        disk_error(
                build, err, ERROR_INVALID, i, disk_source_key(&build->spec->disks[i]),
                "its header names another backing file than at the last start, '%s' instead of '%s': the guest may have "
                "written that",
                shown, shown_was);
        return error_hint(
                err,
                "if it was you (qemu-img rebase, another image of that name), remove its IMAGE from "
                "%s/%s/machine.lock",
                build->in->site->paths.state, build->spec->name);
}

/* What each such image has under it now, and those of before: they may come back. */
void disk_lock_images(const struct build *build, struct machine_lock *lock)
{
        for (size_t i = 0; i < build->spec->n_disks; i++) {
                _cleanup_free_ char *backing = NULL;

                if (!is_named_by_guest(build, i) ||
                    machine_lock_backing(lock, build->disks[i].layers[0].path))
                        continue;
                backing = backing_of(&build->disks[i]);
                machine_lock_add_image(lock, build->disks[i].layers[0].path, backing);
        }
        for (size_t i = 0; build->in->lock && i < build->in->lock->n_images; i++) {
                const struct locked_image *old = &build->in->lock->images[i];

                if (!machine_lock_backing(lock, old->path))
                        machine_lock_add_image(lock, old->path, old->backing);
        }
}

static int check_disk(struct build *build, size_t i, struct error **err)
{
        const struct disk_spec *disk = &build->spec->disks[i];

        if (check_kind(build, i, err) < 0 || check_encryption(build, i, err) < 0 ||
            check_network(build, i, err) < 0)
                return -1;
        if (disk->copy_on_read && build->disks[i].n_layers < 2)
                return disk_error(build, err, ERROR_INVALID, i, "COPY_ON_READ",
                                  "the image has no backing file");
        compare_size(build, i);
        return check_backing(build, i, err) < 0 ? -1 : check_places(build, i, err);
}

/* An image of the host's, and the disk that has it. */
struct use {
        const struct image_layer *image;
        size_t disk;
        bool is_written, is_shared;
};

static int compare_images(const struct image_layer *a, const struct image_layer *b)
{
        bool by_path = !(a->dev || a->ino) || !(b->dev || b->ino);

        if (by_path)
                return strcmp(a->path, b->path);
        if (a->dev != b->dev)
                return a->dev < b->dev ? -1 : 1;
        return a->ino < b->ino ? -1 : a->ino > b->ino;
}

static int compare_uses(const void *p, const void *q)
{
        const struct use *a = p, *b = q;
        int order = compare_images(a->image, b->image);

        return order ? order : a->disk < b->disk ? -1 : a->disk > b->disk;
}

static int taken_twice(const struct build *build, const struct use *first, const struct use *second,
                       struct error **err)
{
        const struct disk_spec *disks = build->spec->disks;

        return disk_error(build, err, ERROR_INVALID, second->disk, disk_source_key(&disks[second->disk]),
                          "'%s' is an image of disk %u already, and one of them writes to it",
                          second->image->path, disks[first->disk].id);
}

/* One image twice in a VM is fine only while nobody writes, or all of them know. */
static int check_sharing(const struct build *build, struct error **err)
{
        const struct use *first = NULL, *second = NULL;
        _cleanup_free_ struct use *uses = NULL;
        size_t n = 0;

        for (size_t i = 0; i < build->spec->n_disks; i++) {
                const struct image_chain *chain = build->in->chains[i];
                const struct disk_spec *disk = &build->spec->disks[i];

                for (size_t l = 0; chain && l < chain->n_layers; l++) {
                        ARRAY_GROW(uses, n);
                        uses[n++] = (struct use){ .image = &chain->layers[l],
                                                  .disk = i,
                                                  .is_written = l == 0 && !disk->is_clone &&
                                                                !disk_is_readonly(disk),
                                                  .is_shared = disk->shareable };
                }
        }
        if (n)
                qsort(uses, n, sizeof(*uses), compare_uses);
        for (size_t i = 0; i + 1 < n; i++)
                for (size_t j = i + 1; j < n && compare_images(uses[i].image, uses[j].image) == 0; j++) {
                        if (!(uses[i].is_written || uses[j].is_written) ||
                            (uses[i].is_shared && uses[j].is_shared) ||
                            (second && second->disk <= uses[j].disk))
                                continue;
                        first = &uses[i];
                        second = &uses[j];
                }
        return second ? taken_twice(build, first, second, err) : 0;
}

/* BOOT as written, else each disk's ORDER; without both the first disk, or the first CD where there is none. A kernel
 * boots itself. */
static int decide_boot(struct build *build, struct error **err)
{
        const struct os_spec *os = &build->spec->os;
        const struct vm_spec *spec = build->spec;
        bool ordered = false;

        for (size_t i = 0; i < os->n_boot_order; i++) {
                const struct boot_device *boot = &os->boot_order[i];

                if (boot->kind == BOOT_DISK && boot->index < spec->n_disks)
                        build->disks[boot->index].bootindex = (unsigned)i + 1;
                else if (boot->kind == BOOT_NIC && boot->index < spec->n_nics)
                        build->nics[boot->index].bootindex = (unsigned)i + 1;
                else
                        return build_error(build, err, ERROR_INVALID, "OS/BOOT", "there is no %s%u",
                                           boot->kind == BOOT_DISK ? "disk" : "nic", boot->index);
        }
        if (os->n_boot_order)
                return 0;
        for (size_t i = 0; i < spec->n_disks; i++) {
                build->disks[i].bootindex = spec->disks[i].order;
                ordered = ordered || spec->disks[i].order;
        }
        if (ordered || os->kernel)
                return 0;
        for (enum disk_medium medium = DISK_MEDIUM_DISK; medium <= DISK_MEDIUM_FLOPPY; medium++)
                for (size_t i = 0; i < spec->n_disks; i++)
                        if (spec->disks[i].medium == medium && spec->disks[i].store != DISK_STORE_VOLATILE) {
                                build->disks[i].bootindex = 1;
                                return 0;
                        }
        return 0;
}

/* opennebula-semantics section 3.9.3: who says nothing takes turns; the SCSI controller has the turn after the disks. */
static void decide_threads(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        uint32_t threads = spec->features.iothreads;
        unsigned turn = 1;

        if (!threads)
                return;
        for (size_t i = 0; i < spec->n_disks; i++) {
                if (spec->disks[i].bus != DISK_BUS_VIRTIO)
                        continue;
                build->disks[i].iothread = spec->disks[i].iothread;
                if (build->disks[i].iothread)
                        continue;
                build->disks[i].iothread = turn;
                turn = turn % threads + 1;
        }
        build->scsi_iothread = turn;
}

static unsigned queues_of(const struct vm_spec *spec, uint32_t queues)
{
        return queues == SPEC_AUTO_U32 ? spec->vcpu : queues;
}

static void decide_queues(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_disks; i++)
                if (spec->disks[i].bus == DISK_BUS_VIRTIO)
                        build->disks[i].queues = queues_of(spec, spec->disks[i].virtio_blk_queues
                                                                         ? spec->disks[i].virtio_blk_queues
                                                                         : spec->features.virtio_blk_queues);
        build->scsi_queues = queues_of(spec, spec->features.virtio_scsi_queues);
}

int disk_check_all(struct build *build, struct error **err)
{
        if (disk_decide_layers(build, err) < 0)
                return -1;
        for (size_t i = 0; i < build->spec->n_disks; i++)
                if (check_disk(build, i, err) < 0)
                        return -1;
        if (check_sharing(build, err) < 0 || decide_boot(build, err) < 0)
                return -1;
        decide_threads(build);
        decide_queues(build);
        return 0;
}
