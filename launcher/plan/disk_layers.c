/* The images of each disk, from the top down: what is on this host, what the start makes, what is over the network. */
#include <string.h>

#include "launcher/plan/disk_parts.h"

void disk_layers_done(struct plan_disk *disk)
{
        free(disk->layers);
        free(disk->made_path);
        free(disk->address);
}

char *disk_vm_number(const struct build *build)
{
        const struct origin *origin = vm_spec_origin(build->spec, "VMID");

        return origin && origin->layer != LAYER_NONE ? xasprintf("%u", build->spec->vmid) : NULL;
}

/* What is dropped at the end has another name than what is kept: after a crash of the host nobody else knows. */
static char *made_path(const struct build *build, const struct disk_spec *disk)
{
        return xasprintf("%s/%s/overlays/disk%u%s.%s", build->in->site->paths.state, build->spec->name,
                         disk->id, disk->is_kept ? "" : DISK_DROPPED,
                         disk_format_name(disk_top_format(disk)));
}

static struct disk_layer layer_of_image(const struct disk_spec *disk, const struct image_layer *image,
                                        bool is_below)
{
        return (struct disk_layer){
                .path = image->path,
                .format = image->format,
                .is_block = S_ISBLK(image->file.mode),
                .readonly = is_below || disk_is_readonly(disk),
                .encrypted = image->encrypted,
                .virtual_size = image->virtual_size,
                .fd = -1,
        };
}

/* SIZE, else that of the image below, which it must not be smaller than. */
static int made_size(const struct build *build, size_t i, uint64_t base, uint64_t *ret, struct error **err)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        _cleanup_free_ char *given = text_from_size(disk->size), *below = text_from_size(base);

        *ret = disk->size ? disk->size : base;
        if (disk->size && disk->size < base)
                return disk_error(build, err, ERROR_INVALID, i, "SIZE", "%s is less than the image's %s",
                                  given, below);
        if (!*ret)
                return disk_error(build, err, ERROR_INVALID, i, "SIZE",
                                  "has to be given: how large the image is, its header does not say");
        return 0;
}

int disk_decide_layers(struct build *build, struct error **err)
{
        for (size_t i = 0; i < build->spec->n_disks; i++) {
                const struct disk_spec *disk = &build->spec->disks[i];
                const struct image_chain *chain = build->in->chains[i];
                size_t n_images = chain ? chain->n_layers : 0;
                struct plan_disk *planned = &build->disks[i];
                uint64_t base = n_images ? chain->layers[0].virtual_size : 0;

                planned->conf_fd = planned->socket_fd = -1;
                planned->layers = xcalloc(n_images + 1, sizeof(*planned->layers));
                if (disk_is_made(disk)) {
                        struct disk_layer *top = &planned->layers[planned->n_layers++];

                        planned->made_path = made_path(build, disk);
                        *top = (struct disk_layer){ .path = planned->made_path,
                                                    .format = disk_top_format(disk),
                                                    .readonly = disk_is_readonly(disk),
                                                    .is_made = true,
                                                    .fd = -1 };
                        if ((n_images || disk->store == DISK_STORE_VOLATILE) &&
                            made_size(build, i, base, &top->virtual_size, err) < 0)
                                return -1;
                } else if (disk->store > DISK_STORE_VOLATILE) {
                        planned->layers[planned->n_layers++] =
                                (struct disk_layer){ .format = disk->format,
                                                     .readonly = disk_is_readonly(disk),
                                                     .encrypted = disk->luks_path != NULL,
                                                     .fd = -1 };
                }
                for (size_t l = 0; l < n_images; l++)
                        planned->layers[planned->n_layers++] =
                                layer_of_image(disk, &chain->layers[l], l > 0 || disk->is_clone);
        }
        return 0;
}
