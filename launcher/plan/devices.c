#include "launcher/plan/device.h"

struct device_plan *device_plan_new(const struct vm_spec *spec)
{
        struct device_plan *devices = xcalloc(1, sizeof(*devices));

        devices->filesystem_fds = xcalloc(spec->n_filesystems + 1, sizeof(int));
        devices->shmem_fds = xcalloc(spec->n_shmems + 1, sizeof(int));
        devices->pcis = xcalloc(spec->n_pcis + 1, sizeof(struct plan_hostdev));
        devices->usbs = xcalloc(spec->n_usbs + 1, sizeof(struct plan_usb));
        return devices;
}

void device_plan_free(struct device_plan *devices, const struct vm_spec *spec)
{
        free(devices->filesystem_fds);
        free(devices->shmem_fds);
        for (size_t i = 0; i < devices->n_lines; i++) {
                free(devices->lines[i].id);
                free(devices->lines[i].socket);
                free(devices->lines[i].log);
                free(devices->lines[i].name);
        }
        free(devices->lines);
        for (size_t i = 0; i < spec->n_pcis; i++)
                free(devices->pcis[i].node);
        free(devices->pcis);
        for (size_t i = 0; i < spec->n_usbs; i++) {
                free(devices->usbs[i].bus);
                free(devices->usbs[i].device);
        }
        free(devices->usbs);
        free(devices);
}

struct plan_fdset build_fdset(struct build *build, const char *source, const char *text)
{
        return (struct plan_fdset){ .fd = build_fd(build, source, text), .set = build->next_set++ };
}

void build_fdset_args(struct build *build, const char *because, const struct plan_fdset *fdset,
                      const char *opaque)
{
        _cleanup_text_ struct text add = TEXT_INIT;

        keyval_add(&add, "fd", "%d", fdset->fd);
        keyval_add(&add, "set", "%u", fdset->set);
        keyval_add(&add, "opaque", "%s", opaque);
        build_option(build, because, "-add-fd", "%s", text_str(&add));
}

int devices_check(struct build *build, struct error **err)
{
        if (serial_check(build, err) < 0 || panic_check(build, err) < 0 || rng_check(build, err) < 0 ||
            watchdog_check(build, err) < 0 || tpm_check(build, err) < 0 || vsock_check(build, err) < 0 ||
            shmem_check(build, err) < 0 || hostdev_check(build, err) < 0 || usb_host_check(build, err) < 0 ||
            raw_check(build, err) < 0)
                return -1;
        return filesystem_check_all(build, err);
}

static bool has_i6300esb(const struct vm_spec *spec)
{
        return spec->watchdog.present && spec->watchdog.model == WATCHDOG_I6300ESB;
}

bool devices_need_bridge(const struct build *build)
{
        return has_i6300esb(build->spec) || build->spec->n_shmems;
}

void devices_place(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        if (spec->rng.present)
                build_place(build, xstrdup("rng0"), NULL, false);
        if (has_i6300esb(spec))
                build_place(build, xstrdup("watchdog0"), NULL, true);
        if (spec->vsock.present)
                build_place(build, xstrdup("vsock0"), NULL, false);
        for (size_t i = 0; i < spec->n_filesystems; i++)
                build_place(build, filesystem_id(&spec->filesystems[i]), spec->filesystems[i].address, false);
        hostdev_place(build);
        shmem_place(build);
}

void devices_number_fds(struct build *build)
{
        rng_number_fds(build);
        tpm_number_fds(build);
        vsock_number_fds(build);
        filesystem_number_fds(build);
        usb_host_number_fds(build);
        shmem_number_fds(build);
}

void devices_args(struct build *build)
{
        panic_args(build);
        rng_args(build);
        watchdog_args(build);
        tpm_args(build);
        vsock_args(build);
        filesystem_args(build);
        hostdev_args(build);
        shmem_args(build);
}

void devices_file_steps(struct build *build)
{
        serial_steps(build);
        rng_steps(build);
        vsock_steps(build);
        tpm_file_steps(build);
        hostdev_steps(build);
        usb_host_steps(build);
        shmem_steps(build);
}

void devices_helper_steps(struct build *build)
{
        tpm_helper_steps(build);
        filesystem_helper_steps(build);
        nic_helper_steps(build);
}
