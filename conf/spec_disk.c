/* What a disk is, where it lies, which format it has: what follows from TYPE, SOURCE, CLONE and their like. */
#include <string.h>

#include "base/text.h"
#include "conf/spec_disk.h"
#include "conf/spec_rules.h"

void spec_disk_done(struct disk_spec *disk)
{
        free(disk->path);
        free(disk->luks_path);
        free(disk->auth_path);
        free(disk->conf_path);
        free(disk->socket_path);
}

bool spec_disk_has(const struct disk_spec *disk, const char *key)
{
        return spec_is_given(&attr_disk, disk, key) && spec_is_read(&attr_disk, disk, key);
}

bool spec_disk_says(const struct disk_spec *disk, const char *key)
{
        return spec_origin(&attr_disk, disk, key)->layer == LAYER_TEMPLATE && spec_disk_has(disk, key);
}

const struct source_pos *spec_disk_pos(const struct disk_spec *disk, const char *key)
{
        return &spec_origin(&attr_disk, disk, key)->pos;
}

static enum disk_store store_of(enum disk_type type)
{
        switch (type) {
        case DISK_TYPE_BLOCK:
        case DISK_TYPE_BLOCK_CDROM:
                return DISK_STORE_BLOCK;
        case DISK_TYPE_RBD:
        case DISK_TYPE_RBD_CDROM:
                return DISK_STORE_RBD;
        case DISK_TYPE_ISCSI:
                return DISK_STORE_ISCSI;
        case DISK_TYPE_GLUSTER:
        case DISK_TYPE_GLUSTER_CDROM:
                return DISK_STORE_GLUSTER;
        case DISK_TYPE_NBD:
                return DISK_STORE_NBD;
        case DISK_TYPE_NONE:
        case DISK_TYPE_FILE:
        case DISK_TYPE_LUN:
        case DISK_TYPE_CDROM:
        case DISK_TYPE_FLOPPY:
        case DISK_TYPE_FS:
        case DISK_TYPE_SWAP:
        case DISK_TYPE_FILESYSTEM:
                break;
        }
        return DISK_STORE_FILE;
}

/* opennebula-semantics section 3.9.1; DISK_TYPE counts where TYPE says only what the guest has. */
static void set_kind(struct disk_spec *disk)
{
        bool is_volatile = disk->type == DISK_TYPE_FS || disk->type == DISK_TYPE_SWAP;

        disk->medium = DISK_MEDIUM_DISK;
        if (disk->type == DISK_TYPE_CDROM || disk->type == DISK_TYPE_BLOCK_CDROM ||
            disk->type == DISK_TYPE_RBD_CDROM || disk->type == DISK_TYPE_GLUSTER_CDROM)
                disk->medium = DISK_MEDIUM_CDROM;
        else if (disk->type == DISK_TYPE_LUN)
                disk->medium = DISK_MEDIUM_LUN;
        else if (disk->type == DISK_TYPE_FLOPPY)
                disk->medium = DISK_MEDIUM_FLOPPY;

        disk->store = store_of(disk->type);
        if (disk->store == DISK_STORE_FILE)
                disk->store = store_of(disk->storage);
        if (disk->store != DISK_STORE_FILE)
                return;
        if (is_volatile)
                disk->store = DISK_STORE_VOLATILE;
        else if (disk->medium == DISK_MEDIUM_LUN)
                disk->store = DISK_STORE_BLOCK;
}

static char *resolve(struct spec_builder *builder, const struct disk_spec *disk, const char *key,
                     const char *base_dir, const char *path)
{
        _cleanup_free_ char *full = xasprintf("DISK/%s", key);

        if (!path || !*path)
                return NULL;
        return spec_resolve_path(builder, full, spec_origin(&attr_disk, disk, key), base_dir, path);
}

/* A file of ETC/secrets by its name, or any by its absolute path. NULL: none is given. */
static char *secret_path(struct spec_builder *builder, const struct disk_spec *disk, const char *key,
                         const char *name)
{
        if (!name || !*name)
                return NULL;
        if (*name == '/')
                return xstrdup(name);
        if (strchr(name, '/') || *name == '.' || strchr(name, '\n')) {
                _cleanup_free_ char *shown = text_printable(name);

                spec_fail(builder, spec_disk_pos(disk, key),
                          "DISK/%s: '%s' is neither the name of a file in %s/secrets nor an absolute path",
                          key, shown, builder->site->paths.etc);
                return NULL;
        }
        return xasprintf("%s/secrets/%s", builder->site->paths.etc, name);
}

static void set_paths(struct spec_builder *builder, struct disk_spec *disk, const char *base_dir)
{
        if (disk->store <= DISK_STORE_BLOCK) {
                disk->path = resolve(builder, disk, "SOURCE", base_dir, disk->source);
                if (!disk->path && disk->image && *disk->image)
                        disk->path = xasprintf("%s/%s", builder->site->image_dir, disk->image);
        }
        disk->luks_path = secret_path(builder, disk, "LUKS_SECRET", disk->luks_secret);
        if (disk->store == DISK_STORE_RBD) {
                disk->conf_path = resolve(builder, disk, "CEPH_CONF", base_dir, disk->ceph_conf);
                disk->auth_path = resolve(builder, disk, "CEPH_KEY", base_dir, disk->ceph_key);
                if (!disk->auth_path)
                        disk->auth_path = secret_path(builder, disk, "CEPH_SECRET", disk->ceph_secret);
        } else if (disk->store == DISK_STORE_ISCSI) {
                disk->auth_path = secret_path(builder, disk, "ISCSI_USAGE", disk->iscsi_usage);
        } else if (disk->store == DISK_STORE_NBD) {
                disk->socket_path = resolve(builder, disk, "NBD_SOCKET", base_dir, disk->nbd_socket);
        }
}

/*
 * FORMAT, else DRIVER, else the suffix .qcow2, else the layers' DRIVER, else raw. The suffix is stronger than a
 * layer's default: upstream's shipped configuration says raw, and a qcow2 file written to as raw is lost.
 */
static void choose_format(struct spec_builder *builder, struct disk_spec *disk)
{
        const struct origin *driver = spec_origin(&attr_disk, disk, "DRIVER");
        const struct origin *format = spec_origin(&attr_disk, disk, "FORMAT");
        bool driver_is_own =
                driver->layer == LAYER_TEMPLATE && driver->text && !spec_text_is_empty(driver->text);
        enum disk_format from_layers = driver_is_own ? DISK_FORMAT_NONE : disk->format;
        struct error *error = NULL;

        if (format->text && !spec_text_is_empty(format->text)) {
                if (attr_set(&attr_disk, attr_find(&attr_disk, "FORMAT"), format->text, &format->pos, disk,
                             &error) < 0)
                        error_free(error); /* said already */
                return;
        }
        if (driver_is_own)
                return;
        if (disk->path && text_ends_with(disk->path, ".qcow2")) {
                disk->format = DISK_FORMAT_QCOW2;
                disk->format_is_guess = true;
                if (from_layers == DISK_FORMAT_RAW)
                        spec_warn(
                                builder, &disk->section.pos,
                                "DISK: taken as qcow2 by its name's suffix, against DRIVER raw of %s; give FORMAT",
                                layer_name(driver->layer));
        } else if (disk->format == DISK_FORMAT_NONE) {
                disk->format = DISK_FORMAT_RAW;
                disk->format_is_guess = true;
        }
}

static void set_format(struct spec_builder *builder, struct disk_spec *disk)
{
        if (disk->medium == DISK_MEDIUM_CDROM || disk->medium == DISK_MEDIUM_LUN ||
            disk->type == DISK_TYPE_SWAP) {
                disk->format = DISK_FORMAT_RAW;
                return;
        }
        choose_format(builder, disk);
        /* Upstream says it so: DRIVER is raw, and LUKS_SECRET that there is LUKS over it. */
        if (disk->luks_path && disk->format == DISK_FORMAT_RAW) {
                disk->format = DISK_FORMAT_LUKS;
                disk->format_is_guess = false;
        }
        /* What is made, and what nobody can look into beforehand. */
        if (disk->store > DISK_STORE_BLOCK)
                disk->format_is_guess = false;
}

static void set_access(struct spec_builder *builder, struct disk_spec *disk)
{
        bool is_given = spec_disk_has(disk, "READONLY");

        if (disk->medium == DISK_MEDIUM_CDROM) {
                if (is_given && !disk->readonly)
                        spec_warn(builder, spec_disk_pos(disk, "READONLY"),
                                  "DISK/READONLY: a CD is read-only all the same");
                disk->readonly = true;
        }
        if (disk->persistent_type == DISK_PERSISTENT_IMMUTABLE) {
                if (is_given && !disk->readonly)
                        spec_fail(builder, spec_disk_pos(disk, "READONLY"),
                                  "DISK/READONLY: no, and PERSISTENT_TYPE is immutable (line %u)",
                                  spec_disk_pos(disk, "PERSISTENT_TYPE")->line);
                disk->readonly = true;
        }
        if (disk->persistent_type == DISK_PERSISTENT_SHAREABLE) {
                if (spec_disk_says(disk, "SHAREABLE") && !disk->shareable)
                        spec_fail(builder, spec_disk_pos(disk, "SHAREABLE"),
                                  "DISK/SHAREABLE: no, and PERSISTENT_TYPE is shareable (line %u)",
                                  spec_disk_pos(disk, "PERSISTENT_TYPE")->line);
                disk->shareable = true;
        }
}

/* Overlays and volatile disks: what is made, and whether it stays. */
static void set_making(struct spec_builder *builder, struct disk_spec *disk)
{
        bool clone = spec_disk_has(disk, "CLONE") && disk->clone;
        bool no_clone = spec_disk_has(disk, "CLONE") && !disk->clone;
        bool kept = spec_disk_has(disk, "PERSISTENT") && disk->persistent;
        bool dropped = spec_disk_has(disk, "PERSISTENT") && !disk->persistent;

        if (disk->store == DISK_STORE_VOLATILE) {
                disk->is_kept = kept;
                return;
        }
        if (no_clone && dropped && !disk->readonly) {
                spec_fail(
                        builder, spec_disk_pos(disk, "PERSISTENT"),
                        "DISK/PERSISTENT: what is dropped at the end has to be a copy, and CLONE is no (line %u)",
                        spec_disk_pos(disk, "CLONE")->line);
                return;
        }
        if (disk->readonly || !(clone || dropped))
                return;
        disk->is_clone = true;
        disk->is_kept = !dropped;
}

static void set_serial(struct vm_spec *spec, struct disk_spec *disk)
{
        if (!disk->serial || strcmp(disk->serial, "auto") != 0)
                return;
        free(disk->serial);
        disk->serial = spec_is_given(&attr_vm, spec, "VMID")
                               ? xasprintf("%u-%u", spec->vmid, disk->id)
                               : xasprintf("%.8s-%u", spec->uuid_text, disk->id);
}

void spec_set_disks(struct spec_builder *builder, const char *base_dir)
{
        struct vm_spec *spec = builder->spec;

        for (size_t i = 0; i < spec->n_disks; i++)
                set_kind(&spec->disks[i]);
        spec_set_targets(builder);
        for (size_t i = 0; i < spec->n_disks; i++) {
                struct disk_spec *disk = &spec->disks[i];

                set_paths(builder, disk, base_dir);
                set_format(builder, disk);
                set_access(builder, disk);
                set_making(builder, disk);
                set_serial(spec, disk);
        }
}
