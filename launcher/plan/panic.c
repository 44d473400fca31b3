/* The device through which a guest says that its kernel panicked. */
#include "launcher/plan/device.h"

const char *panic_device_type(const struct panic_spec *panic)
{
        if (!panic->present || panic->model == PANIC_MODEL_HYPERV)
                return NULL;
        return panic->model == PANIC_MODEL_PCI ? "pvpanic-pci" : "pvpanic";
}

int panic_check(struct build *build, struct error **err)
{
        const struct panic_spec *panic = &build->spec->panic;
        const char *type = panic_device_type(panic);

        if (panic->present && !type && build->kind == MACHINE_VIRT)
                return build_error(build, err, ERROR_INVALID, "PANIC/MODEL", "hyperv is for PCs");
        if (panic->present && !type && build->accel == ACCEL_TCG)
                build_warn(build, "PANIC/MODEL", "hyperv needs KVM, and this guest is emulated");
        return type ? build_need_device(build, "PANIC/MODEL", type, err) : 0;
}

void panic_args(struct build *build)
{
        const char *address = build_pci_address(build, "panic0"),
                   *type = panic_device_type(&build->spec->panic);
        json_t *device;

        if (!type)
                return;
        device = json_pack("{s:s, s:s}", "driver", type, "id", "panic0");
        if (address)
                build_set_address(device, address);
        build_json(build, "PANIC/MODEL", "-device", device);
        build_device(build,
                     json_pack("{s:s, s:s, s:s*}", "id", "panic0", "kind", "panic", "address", address));
}
