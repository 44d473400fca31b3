#include "launcher/plan/disk.h"

#include <ctype.h>
#include <string.h>

#include "launcher/plan/builder.h"

/* docs of each: SCSI id of virtio-scsi 0..255; ICH9 AHCI 6 ports; PIIX IDE 2 channels of 2. */
#define SCSI_IDS   256
#define SATA_PORTS 6
#define IDE_PLACES 4

/* opennebula-semantics section 3.9.3: what each CACHE means on the nodes and on the device. */
static const struct cache_row {
        bool nodes; /* a cache member at all */
        bool direct, no_flush;
        const char *write_cache;
} cache_rows[] = {
        [DISK_CACHE_DEFAULT] = { false, false, false, NULL },
        [DISK_CACHE_NONE] = { true, true, false, "on" },
        [DISK_CACHE_WRITETHROUGH] = { true, false, false, "off" },
        [DISK_CACHE_WRITEBACK] = { true, false, false, "on" },
        [DISK_CACHE_DIRECTSYNC] = { true, true, false, "off" },
        [DISK_CACHE_UNSAFE] = { true, false, true, "on" },
};

static const char *const aio_names[] = {
        [DISK_IO_THREADS] = "threads",
        [DISK_IO_NATIVE] = "native",
        [DISK_IO_URING] = "io_uring",
};

static bool layer_is_readonly(const struct disk_spec *disk, size_t layer)
{
        return layer > 0 || disk->readonly || disk->type == DISK_TYPE_CDROM;
}

char *disk_node_name(const struct disk_spec *disk, size_t layer, const char *kind)
{
        if (layer)
                return xasprintf("disk%u-base%zu-%s", disk->id, layer, kind);
        return xasprintf("disk%u-%s", disk->id, kind);
}

static void set_cache(json_t *node, const struct disk_spec *disk)
{
        const struct cache_row *row = &cache_rows[disk->cache];

        if (row->nodes)
                json_object_set_new(
                        node, "cache",
                        json_pack("{s:b, s:b}", "direct", row->direct, "no-flush", row->no_flush));
}

json_t *disk_file_blockdev(const struct disk_spec *disk, const struct image_chain *chain, size_t layer,
                           const char *filename)
{
        _cleanup_free_ char *name = disk_node_name(disk, layer, "file");
        bool is_block = S_ISBLK(chain->layers[layer].file.mode);
        json_t *node =
                json_pack("{s:s, s:s, s:s, s:b}", "driver", is_block ? "host_device" : "file", "node-name",
                          name, "filename", filename, "read-only", layer_is_readonly(disk, layer));

        if (disk->io != DISK_IO_NONE)
                json_object_set_new(node, "aio", json_string(aio_names[disk->io]));
        set_cache(node, disk);
        /* The format node decides what becomes of a guest's discard; what it lets through reaches the file. */
        json_object_set_new(node, "discard", json_string("unmap"));
        return node;
}

json_t *disk_format_blockdev(const struct disk_spec *disk, const struct image_chain *chain, size_t layer)
{
        _cleanup_free_ char *name = disk_node_name(disk, layer, "format");
        _cleanup_free_ char *file = disk_node_name(disk, layer, "file");
        enum disk_format format = chain->layers[layer].format;
        json_t *node = json_pack("{s:s, s:s, s:s, s:b}", "driver", disk_format_name(format), "node-name",
                                 name, "file", file, "read-only", layer_is_readonly(disk, layer));

        set_cache(node, disk);
        if (disk->discard != DISK_DISCARD_NONE)
                json_object_set_new(node, "discard",
                                    json_string(disk->discard == DISK_DISCARD_UNMAP ? "unmap" : "ignore"));
        if (layer + 1 < chain->n_layers) {
                _cleanup_free_ char *backing = disk_node_name(disk, layer + 1, "format");

                json_object_set_new(node, "backing", json_string(backing));
        } else if (format == DISK_FORMAT_QCOW2) {
                json_object_set_new(node, "backing", json_null());
        }
        return node;
}

const char *disk_device_type(const struct disk_spec *disk)
{
        bool is_cd = disk->type == DISK_TYPE_CDROM;

        switch (disk->bus) {
        case DISK_BUS_VIRTIO:
                return "virtio-blk-pci";
        case DISK_BUS_SCSI:
                return is_cd ? "scsi-cd" : "scsi-hd";
        default:
                return is_cd ? "ide-cd" : "ide-hd";
        }
}

json_t *disk_device(const struct disk_spec *disk, const char *address, unsigned bootindex, bool has_medium)
{
        const char *colon = strrchr(address, ':'), *write_cache = cache_rows[disk->cache].write_cache;
        _cleanup_free_ char *bus = xstrndup(address, (size_t)(colon - address));
        json_t *device = json_pack("{s:s, s:o}", "driver", disk_device_type(disk), "id",
                                   json_sprintf("disk%u", disk->id));
        uint32_t number = 0;

        if (has_medium) {
                _cleanup_free_ char *node = disk_node_name(disk, 0, "format");

                json_object_set_new(device, "drive", json_string(node));
        }
        json_object_set_new(device, "bus", json_string(bus));
        if (disk->bus == DISK_BUS_VIRTIO) {
                json_object_set_new(device, "addr", json_string(colon + 1));
        } else {
                text_parse_u32(colon + 1, &number);
                if (disk->bus == DISK_BUS_SCSI) {
                        json_object_set_new(device, "channel", json_integer(0));
                        json_object_set_new(device, "scsi-id", json_integer(number));
                        json_object_set_new(device, "lun", json_integer(0));
                } else {
                        json_object_set_new(device, "unit", json_integer(number));
                }
        }
        if (write_cache && disk->type != DISK_TYPE_CDROM)
                json_object_set_new(device, "write-cache", json_string(write_cache));
        if (bootindex)
                json_object_set_new(device, "bootindex", json_integer(bootindex));
        return device;
}

static int disk_error(struct build *build, struct error **err, enum error_code code, size_t i,
                      const char *key, const char *text)
{
        _cleanup_free_ char *reference = xasprintf("DISK[%zu]/%s", i, key);

        return build_error(build, err, code, reference, "%s", text);
}

static const char *source_key(const struct disk_spec *disk)
{
        return disk->image && *disk->image ? "IMAGE" : "SOURCE";
}

static int check_kind(struct build *build, size_t i, struct error **err)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct image_chain *chain = build->in->chains[i];
        _cleanup_free_ char *text = NULL;
        bool is_block;

        if (!chain) {
                if (disk->type == DISK_TYPE_CDROM)
                        return 0;
                return disk_error(build, err, ERROR_INVALID, i, source_key(disk), "a disk needs an image");
        }
        is_block = S_ISBLK(chain->layers[0].file.mode);
        if (disk->type == DISK_TYPE_BLOCK && !is_block)
                text = xasprintf("TYPE is block, but '%s' is not a block device", chain->layers[0].path);
        else if (disk->type == DISK_TYPE_FILE && is_block)
                text = xasprintf("TYPE is file, but '%s' is a block device", chain->layers[0].path);
        return text ? disk_error(build, err, ERROR_INVALID, i, "TYPE", text) : 0;
}

static int check_disk(struct build *build, size_t i, struct error **err)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        _cleanup_free_ char *reference = NULL;

        if (check_kind(build, i, err) < 0)
                return -1;
        if (disk->io == DISK_IO_NATIVE && !cache_rows[disk->cache].direct) {
                disk_error(build, err, ERROR_INVALID, i, "IO",
                           "'native' needs a cache that goes past the host's");
                return error_hint(err, "CACHE = \"none\" or \"directsync\"");
        }
        if (disk->readonly && disk->type != DISK_TYPE_CDROM &&
            (disk->bus == DISK_BUS_IDE || disk->bus == DISK_BUS_SATA)) {
                disk_error(build, err, ERROR_INVALID, i, "READONLY",
                           "an IDE or SATA disk cannot be read-only");
                return error_hint(err, "a TARGET of vda or sda style can");
        }
        if ((disk->bus == DISK_BUS_SATA) != (build->kind == MACHINE_Q35) &&
            (disk->bus == DISK_BUS_SATA || disk->bus == DISK_BUS_IDE)) {
                _cleanup_free_ char *text =
                        xasprintf("a '%s' has no %s bus", build->machine->name, disk_bus_name(disk->bus));

                return disk_error(build, err, ERROR_INVALID, i, "TARGET", text);
        }
        reference = xasprintf("DISK[%zu]/TARGET", i);
        if (disk->bus == DISK_BUS_SCSI && build_need_device(build, reference, "virtio-scsi-pci", err) < 0)
                return -1;
        return build_need_device(build, reference, disk_device_type(disk), err);
}

/* One image twice in a VM is fine only while nobody writes. */
static int check_sharing(struct build *build, size_t i, struct error **err)
{
        const struct disk_spec *disks = build->spec->disks;

        for (size_t j = 0; j <= i; j++) {
                const struct image_chain *a = build->in->chains[j], *b = build->in->chains[i];

                for (size_t m = 0; a && b && m < a->n_layers; m++)
                        for (size_t n = 0; n < b->n_layers; n++) {
                                _cleanup_free_ char *text = NULL;

                                if ((i == j && m == n) ||
                                    !image_layer_is_same(&a->layers[m], &b->layers[n]) ||
                                    (layer_is_readonly(&disks[j], m) && layer_is_readonly(&disks[i], n)))
                                        continue;
                                text = xasprintf(
                                        "'%s' is an image of disk %u already, and one of them writes to it",
                                        b->layers[n].path, disks[j].id);
                                return disk_error(build, err, ERROR_INVALID, i, source_key(&disks[i]), text);
                        }
        }
        return 0;
}

/* BOOT as written; without: the first hard disk, or the first CD-ROM where there is none. A kernel boots itself. */
static int decide_boot(struct build *build, struct error **err)
{
        const struct os_spec *os = &build->spec->os;
        const struct vm_spec *spec = build->spec;

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
        if (os->n_boot_order || os->kernel)
                return 0;
        for (int cdrom = 0; cdrom < 2; cdrom++)
                for (size_t i = 0; i < spec->n_disks; i++)
                        if ((spec->disks[i].type == DISK_TYPE_CDROM) == cdrom) {
                                build->disks[i].bootindex = 1;
                                return 0;
                        }
        return 0;
}

int disk_check_all(struct build *build, struct error **err)
{
        for (size_t i = 0; i < build->spec->n_disks; i++)
                if (check_disk(build, i, err) < 0 || check_sharing(build, i, err) < 0)
                        return -1;
        return decide_boot(build, err);
}

/* "sda" is 0, "sdz" 25, "sdaa" 26; -1: no letters after the prefix. */
static int target_index(const char *target)
{
        int index = 0;

        if (strlen(target) < 3)
                return -1;
        for (const char *p = target + 2; *p; p++) {
                if (*p < 'a' || *p > 'z' || index > 1000)
                        return -1;
                index = index * 26 + (*p - 'a') + 1;
        }
        return index - 1;
}

/* IDE and SATA places by number: the place it had, else the one its letter says, else the first free one. */
static int place_on_ports(struct build *build, struct error **err)
{
        bool is_sata = build->kind == MACHINE_Q35, taken[SATA_PORTS] = { false };
        unsigned n_places = is_sata ? SATA_PORTS : IDE_PLACES;

        for (int pass = 0; pass < 3; pass++)
                for (size_t i = 0; i < build->spec->n_disks; i++) {
                        const struct disk_spec *disk = &build->spec->disks[i];
                        _cleanup_free_ char *id = xasprintf("disk%u", disk->id);
                        const char *known = disk->address ? disk->address : build_locked_address(build, id);
                        int letter = target_index(disk->target);

                        if ((disk->bus != DISK_BUS_SATA && disk->bus != DISK_BUS_IDE) ||
                            build->disks[i].address)
                                continue;
                        for (unsigned p = 0; p < n_places && !build->disks[i].address; p++) {
                                _cleanup_free_ char *name = is_sata ? xasprintf("ide.%u:0", p)
                                                                    : xasprintf("ide.%u:%u", p / 2, p % 2);

                                if (taken[p] || (pass == 0 && (!known || strcmp(known, name) != 0)) ||
                                    (pass == 1 && letter != (int)p))
                                        continue;
                                taken[p] = true;
                                build->disks[i].address = TAKE_PTR(name);
                        }
                        if (!build->disks[i].address && pass == 0 && disk->address)
                                return disk_error(build, err, ERROR_INVALID, i, "ADDRESS",
                                                  "no such place, or it is taken");
                        if (!build->disks[i].address && pass == 2) {
                                _cleanup_free_ char *text =
                                        xasprintf("a '%s' has room for %u %s disks and CD-ROMs",
                                                  build->machine->name, n_places, disk_bus_name(disk->bus));

                                disk_error(build, err, ERROR_INVALID, i, "TARGET", text);
                                return error_hint(err, "use TARGET vda, vdb, ... for disks");
                        }
                }
        return 0;
}

int disk_place_all(struct build *build, struct error **err)
{
        bool taken[SCSI_IDS] = { false };

        for (size_t i = 0; i < build->spec->n_disks; i++) {
                const struct disk_spec *disk = &build->spec->disks[i];
                int index = target_index(disk->target);

                if (disk->bus == DISK_BUS_VIRTIO) {
                        _cleanup_free_ char *id = xasprintf("disk%u", disk->id);

                        build->disks[i].address = xstrdup(build_pci_address(build, id));
                } else if (disk->bus == DISK_BUS_SCSI) {
                        if (index < 0 || index >= SCSI_IDS || taken[index])
                                return disk_error(
                                        build, err, ERROR_INVALID, i, "TARGET",
                                        "no SCSI id for it: letters a to iv after the prefix, each once");
                        taken[index] = true;
                        build->disks[i].address = xasprintf("scsi0.0:%d", index);
                        if (disk->address && strcmp(disk->address, build->disks[i].address) != 0)
                                return disk_error(build, err, ERROR_INVALID, i, "ADDRESS",
                                                  "a SCSI disk's place follows from its TARGET");
                }
        }
        return place_on_ports(build, err);
}

bool disk_needs_scsi(const struct build *build)
{
        for (size_t i = 0; i < build->spec->n_disks; i++)
                if (build->spec->disks[i].bus == DISK_BUS_SCSI)
                        return true;
        return false;
}

void disk_number_fds(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_disks; i++) {
                const struct disk_spec *disk = &build->spec->disks[i];
                const struct image_chain *chain = build->in->chains[i];

                if (!chain)
                        continue;
                build->disks[i].layers = xcalloc(chain->n_layers, sizeof(struct plan_layer));
                for (size_t l = 0; l < chain->n_layers; l++) {
                        _cleanup_free_ char *node = disk_node_name(disk, l, "file");
                        _cleanup_free_ char *source = xasprintf("image:%s", node);
                        _cleanup_free_ char *text =
                                xasprintf("image %s %s", layer_is_readonly(disk, l) ? "ro" : "rw",
                                          chain->layers[l].path);

                        build->disks[i].layers[l].fd = build_fd(build, source, text);
                        build->disks[i].layers[l].set = build->next_set++;
                }
        }
}

void disk_controller_args(struct build *build)
{
        json_t *device;

        if (!disk_needs_scsi(build))
                return;
        device = json_pack("{s:s, s:s}", "driver", "virtio-scsi-pci", "id", "scsi0");
        build_set_address(device, build_pci_address(build, "scsi0"));
        build_json(build, "rule: the controller of the SCSI disks", "-device", device);
}

static void layer_args(struct build *build, size_t i, size_t l)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct image_chain *chain = build->in->chains[i];
        const struct plan_layer *layer = &build->disks[i].layers[l];
        _cleanup_free_ char *filename = xasprintf("/dev/fdset/%u", layer->set);
        _cleanup_free_ char *file = disk_node_name(disk, l, "file");
        _cleanup_text_ struct text add = TEXT_INIT, source = TEXT_INIT, nodes = TEXT_INIT, format = TEXT_INIT;

        build_refer(build, &source, "DISK[%zu]/%s", i, source_key(disk));
        if (l)
                text_add(&source, " rule: the image's header names this backing file");
        text_add(&nodes, text_str(&source));
        if (!l)
                build_refer(build, &nodes, "DISK[%zu]/TYPE", i);
        build_refer(build, &nodes, "DISK[%zu]/CACHE", i);
        if (!l)
                build_refer(build, &nodes, "DISK[%zu]/READONLY", i);
        text_add(&format, text_str(&nodes));
        build_refer(build, &nodes, "DISK[%zu]/IO", i);
        build_refer(build, &format, "DISK[%zu]/FORMAT", i);
        build_refer(build, &format, "DISK[%zu]/DRIVER", i);
        build_refer(build, &format, "DISK[%zu]/DISCARD", i);

        keyval_add(&add, "fd", "%d", layer->fd);
        keyval_add(&add, "set", "%u", layer->set);
        keyval_add(&add, "opaque", "%s", file);
        build_option(build, text_str(&source), "-add-fd", "%s", text_str(&add));
        build_json(build, text_str(&nodes), "-blockdev", disk_file_blockdev(disk, chain, l, filename));
        build_json(build, text_str(&format), "-blockdev", disk_format_blockdev(disk, chain, l));
}

static void device_args(struct build *build, size_t i)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        const struct image_chain *chain = build->in->chains[i];
        const struct plan_disk *place = &build->disks[i];
        _cleanup_free_ char *reference = xasprintf("DISK[%zu]/TARGET", i);
        const struct origin *target = vm_spec_origin(build->spec, reference);
        _cleanup_text_ struct text because = TEXT_INIT;
        json_t *device;

        build_refer(build, &because, "DISK[%zu]/TARGET", i);
        if (target && target->layer == LAYER_RULE)
                build_refer(build, &because, "DISK[%zu]/DEV_PREFIX", i);
        build_refer(build, &because, "DISK[%zu]/TYPE", i);
        if (disk->type != DISK_TYPE_CDROM)
                build_refer(build, &because, "DISK[%zu]/CACHE", i);
        build_refer(build, &because, "DISK[%zu]/ADDRESS", i);
        if (place->bootindex && build->spec->os.n_boot_order)
                build_refer(build, &because, "OS/BOOT");
        else if (place->bootindex)
                text_add(&because, " rule: the first disk is booted from");
        build_json(build, text_str(&because), "-device",
                   disk_device(disk, place->address, place->bootindex, chain != NULL));

        device = json_pack("{s:o, s:s, s:s, s:s, s:s}", "id", json_sprintf("disk%u", disk->id), "kind",
                           disk->type == DISK_TYPE_CDROM ? "cdrom" : "disk", "target", disk->target, "bus",
                           disk_bus_name(disk->bus), "address", place->address);
        if (chain) {
                json_object_set_new(device, "source", json_string(chain->layers[0].path));
                json_object_set_new(device, "format", json_string(disk_format_name(chain->layers[0].format)));
                json_object_set_new(device, "readonly", json_boolean(layer_is_readonly(disk, 0)));
        }
        build_device(build, device);
}

void disk_args(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_disks; i++) {
                const struct image_chain *chain = build->in->chains[i];

                /* Bottom-up: a node is named after it exists. */
                for (size_t l = chain ? chain->n_layers : 0; l-- > 0;)
                        layer_args(build, i, l);
                device_args(build, i);
        }
}

void disk_steps(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_disks; i++) {
                const struct disk_spec *disk = &build->spec->disks[i];
                const struct image_chain *chain = build->in->chains[i];
                _cleanup_text_ struct text because = TEXT_INIT;

                build_refer(build, &because, "DISK[%zu]/%s", i, source_key(disk));
                build_refer(build, &because, "DISK[%zu]/READONLY", i);
                for (size_t l = 0; chain && l < chain->n_layers; l++) {
                        _cleanup_free_ char *node = disk_node_name(disk, l, "file");
                        bool readonly = layer_is_readonly(disk, l);

                        build_step(build, text_str(&because), EFFECT_IMAGE_OPEN,
                                   json_pack("{s:s, s:s, s:s, s:o, s:b}", "path", chain->layers[l].path,
                                             "access", readonly ? "ro" : "rw", "lock",
                                             readonly ? "shared" : "exclusive", "fd",
                                             json_sprintf("image:%s", node), "direct",
                                             cache_rows[disk->cache].direct));
                }
        }
}
