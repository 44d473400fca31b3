/* Memory that virtual machines share: a file of the host, or that of an ivshmem-server. */
#include "launcher/plan/device.h"

static const char *device_type(const struct shmem_spec *shmem)
{
        return shmem->model == SHMEM_PLAIN ? "ivshmem-plain" : "ivshmem-doorbell";
}

static char *shmem_id(size_t i)
{
        return xasprintf("shmem%zu", i);
}

int shmem_check(struct build *build, struct error **err)
{
        for (size_t i = 0; i < build->spec->n_shmems; i++) {
                _cleanup_free_ char *reference = xasprintf("SHMEM[%zu]/MODEL", i);

                if (build_need_device(build, reference, device_type(&build->spec->shmems[i]), err) < 0)
                        return -1;
        }
        return 0;
}

void shmem_place(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_shmems; i++)
                build_place(build, shmem_id(i), NULL, true);
}

void shmem_number_fds(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_shmems; i++) {
                const struct shmem_spec *shmem = &build->spec->shmems[i];
                _cleanup_free_ char *source = xasprintf("shmem%zu", i);
                _cleanup_free_ char *text = shmem->model == SHMEM_PLAIN
                                                    ? xasprintf("shared memory %s", shmem->name)
                                                    : xasprintf("connection to %s", shmem->path);

                build->devices->shmem_fds[i] = build_fd(build, source, text);
        }
}

static json_t *device(const struct shmem_spec *shmem, const char *id, const char *address)
{
        json_t *json = json_pack("{s:s, s:s}", "driver", device_type(shmem), "id", id);

        if (shmem->model == SHMEM_PLAIN) {
                json_object_set_new(json, "memdev", json_sprintf("%s-memory", id));
        } else {
                json_object_set_new(json, "chardev", json_string(id));
                json_object_set_new(json, "vectors", json_integer(shmem->vectors ? shmem->vectors : 1));
        }
        if (shmem->role != SHMEM_ROLE_DEFAULT)
                json_object_set_new(json, "master", json_string(shmem->role == SHMEM_MASTER ? "on" : "off"));
        build_set_address(json, address);
        return json;
}

void shmem_args(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_shmems; i++) {
                const struct shmem_spec *shmem = &build->spec->shmems[i];
                const int fd = build->devices->shmem_fds[i];
                _cleanup_free_ char *id = shmem_id(i);
                _cleanup_text_ struct text because = TEXT_INIT;
                static const char *const keys[] = { "NAME", "MODEL", "SIZE", "ROLE", "PATH", "VECTORS" };

                for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
                        build_refer(build, &because, "SHMEM[%zu]/%s", i, keys[k]);
                if (shmem->model == SHMEM_PLAIN) {
                        build_json(build, text_str(&because), "-object",
                                   json_pack("{s:s, s:s+, s:o, s:I, s:b}", "qom-type", "memory-backend-file",
                                             "id", id, "-memory", "mem-path",
                                             json_sprintf("/proc/self/fd/%d", fd), "size",
                                             (json_int_t)shmem->size, "share", 1));
                } else {
                        const struct chardev chardev = { .id = id, .kind = CHARDEV_CONNECTED, .fd = fd };
                        _cleanup_free_ char *option = chardev_text(&chardev);

                        build_option(build, text_str(&because), "-chardev", "%s", option);
                }
                build_json(build, text_str(&because), "-device",
                           device(shmem, id, build_pci_address(build, id)));
                build_device(build, json_pack("{s:s, s:s, s:s, s:s}", "id", id, "kind", "shmem", "name",
                                              shmem->name, "address", build_pci_address(build, id)));
        }
}

void shmem_steps(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_shmems; i++) {
                const struct shmem_spec *shmem = &build->spec->shmems[i];
                _cleanup_free_ char *because = xasprintf("SHMEM[%zu]/NAME", i), *id = shmem_id(i);

                if (shmem->model == SHMEM_PLAIN)
                        build_step(build, because, EFFECT_SHARED_MEMORY,
                                   json_pack("{s:o, s:I, s:s}", "path",
                                             json_sprintf("%s/.shmem/%s", build->in->site->paths.run,
                                                          shmem->name),
                                             "size", (json_int_t)shmem->size, "fd", id));
                else
                        build_step(build, because, EFFECT_CONNECT,
                                   json_pack("{s:s, s:s}", "path", shmem->path, "fd", id));
        }
}

void shmem_each(const struct vm_spec *spec,
                void (*fn)(const char *id, const char *type, bool has_chardev, void *data), void *data)
{
        for (size_t i = 0; i < spec->n_shmems; i++) {
                _cleanup_free_ char *id = shmem_id(i);

                fn(id, device_type(&spec->shmems[i]), spec->shmems[i].model == SHMEM_DOORBELL, data);
        }
}
