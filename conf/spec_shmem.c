/* SHMEM: which keys go with which model. */
#include <string.h>

#include "conf/spec_rules.h"

static void check_key(struct spec_builder *builder, struct shmem_spec *shmem, const char *key, bool may,
                      const char *model)
{
        const struct origin *origin = spec_origin(&attr_shmem, shmem, key);

        if (may)
                return;
        if (origin->layer <= LAYER_DEFAULT)
                spec_forget(&attr_shmem, attr_find(&attr_shmem, key), shmem);
        else
                spec_fail(builder, &origin->pos, "SHMEM/%s: is of MODEL %s", key, model);
}

static void set_shmem(struct spec_builder *builder, struct shmem_spec *shmem, const char *base_dir)
{
        const struct shmem_spec *other = builder->spec->shmems;
        bool is_plain = shmem->model == SHMEM_PLAIN;
        _cleanup_free_ char *path = TAKE_PTR(shmem->path);

        while (other < shmem && (!other->name || !shmem->name || strcmp(other->name, shmem->name) != 0))
                other++;
        if (!spec_is_given(&attr_shmem, shmem, "NAME"))
                spec_fail(builder, &shmem->section.pos, "SHMEM/NAME: has to be given");
        else if (other < shmem)
                spec_fail_twice(builder, &spec_origin(&attr_shmem, shmem, "NAME")->pos, &other->section.pos,
                                "SHMEM/NAME: '%s' is also the name of the one of", shmem->name);
        /* A word that is none has been said already. */
        if (!spec_is_read(&attr_shmem, shmem, "MODEL"))
                return;
        check_key(builder, shmem, "SIZE", is_plain, "ivshmem-plain");
        check_key(builder, shmem, "PATH", !is_plain, "ivshmem-doorbell");
        check_key(builder, shmem, "VECTORS", !is_plain, "ivshmem-doorbell");
        if (is_plain && (shmem->size & (shmem->size - 1)))
                spec_fail(builder, &spec_origin(&attr_shmem, shmem, "SIZE")->pos,
                          "SHMEM/SIZE: is no power of two (try 4 or 8)");
        if (!is_plain && (!path || !*path))
                spec_fail(builder, &shmem->section.pos,
                          "SHMEM/PATH: has to be given for ivshmem-doorbell, the socket of ivshmem-server");
        else if (!is_plain)
                shmem->path = spec_resolve_path(builder, "SHMEM/PATH",
                                                spec_origin(&attr_shmem, shmem, "PATH"), base_dir, path);
}

void spec_set_shmems(struct spec_builder *builder, const char *base_dir)
{
        for (size_t i = 0; i < builder->spec->n_shmems; i++)
                set_shmem(builder, &builder->spec->shmems[i], base_dir);
}
