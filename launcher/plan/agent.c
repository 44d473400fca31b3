/* The guest agent's channel: a virtio serial port on agent.sock. */
#include "launcher/plan/device.h"
#include "launcher/plan/display.h"

#define BECAUSE "FEATURES/GUEST_AGENT"

int agent_check(struct build *build, struct error **err)
{
        if (build->spec->features.guest_agent)
                return build_need_device(build, BECAUSE, "virtio-serial-pci", err);
        return 0;
}

bool virtio_serial_is_needed(const struct vm_spec *spec)
{
        bool is_needed = spec->features.guest_agent || display_needs_virtio_serial(spec) || spec->n_channels;

        for (size_t i = 0; i < spec->n_consoles; i++)
                is_needed = is_needed || spec->consoles[i].target == CONSOLE_VIRTIO;
        return is_needed;
}

static const char *controller_reason(const struct build *build)
{
        if (build->spec->features.guest_agent)
                return BECAUSE;
        return display_needs_virtio_serial(build->spec)
                       ? "GRAPHICS/VDAGENT"
                       : "rule: the controller of the virtio consoles and channels";
}

void agent_args(struct build *build)
{
        _cleanup_free_ char *chardev = NULL;
        json_t *controller;

        if (!virtio_serial_is_needed(build->spec))
                return;
        controller = json_pack("{s:s, s:s}", "driver", "virtio-serial-pci", "id", "vser0");
        build_set_address(controller, build_pci_address(build, "vser0"));
        build_json(build, controller_reason(build), "-device", controller);
        if (!build->spec->features.guest_agent)
                return;
        chardev = chardev_option("agent0", build->agent_fd);
        build_option(build, BECAUSE, "-chardev", "%s", chardev);
        /* Without id QEMU sends no VSERPORT_CHANGE. */
        build_json(build, BECAUSE, "-device",
                   json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", "virtserialport", "id", "agent0", "bus",
                             "vser0.0", "chardev", "agent0", "name", "org.qemu.guest_agent.0"));
        build_device(build, json_pack("{s:s, s:s, s:s}", "id", "agent0", "kind", "agent", "address",
                                      build_pci_address(build, "vser0")));
}
