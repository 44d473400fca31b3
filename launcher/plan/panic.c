/* The device through which a guest says that its kernel panicked. */
#include "launcher/plan/device.h"

static const char *driver(const struct build *build)
{
        return build->spec->panic.model == PANIC_MODEL_PCI ? "pvpanic-pci" : "pvpanic";
}

int panic_check(struct build *build, struct error **err)
{
        if (build->spec->panic.present)
                return build_need_device(build, "PANIC/MODEL", driver(build), err);
        return 0;
}

void panic_args(struct build *build)
{
        const char *address = build_pci_address(build, "panic0");
        json_t *device;

        if (!build->spec->panic.present)
                return;
        device = json_pack("{s:s, s:s}", "driver", driver(build), "id", "panic0");
        if (address)
                build_set_address(device, address);
        build_json(build, "PANIC/MODEL", "-device", device);
        build_device(build,
                     json_pack("{s:s, s:s, s:s*}", "id", "panic0", "kind", "panic", "address", address));
}
