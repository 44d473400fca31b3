/* The watchdog: a card, or the timer in q35's chip set, and what QEMU does when it fires. */
#include "launcher/plan/device.h"

const char *watchdog_action_word(const struct vm_spec *spec)
{
        static const char *const words[] = {
                [WATCHDOG_RESET] = "reset",
                [WATCHDOG_SHUTDOWN] = "shutdown",
                /* QEMU's own poweroff is exit(), with nothing flushed: it stays paused, and the supervisor ends it. */
                [WATCHDOG_POWEROFF] = "pause",
                [WATCHDOG_PAUSE] = "pause",
                [WATCHDOG_DEBUG] = "debug",
                [WATCHDOG_NONE] = "none",
                [WATCHDOG_INJECT_NMI] = "inject-nmi",
        };

        return spec->watchdog.present ? words[spec->watchdog.action] : NULL;
}

const char *watchdog_device_type(const struct watchdog_spec *watchdog)
{
        switch (watchdog->model) {
        case WATCHDOG_I6300ESB:
                return "i6300esb";
        case WATCHDOG_IB700:
                return "ib700";
        case WATCHDOG_ITCO:
                break;
        }
        return NULL;
}

int watchdog_check(struct build *build, struct error **err)
{
        const struct watchdog_spec *watchdog = &build->spec->watchdog;

        if (!watchdog->present)
                return 0;
        if (!build->in->qemu->has_action)
                return build_error(build, err, ERROR_HOST, "WATCHDOG/ACTION",
                                   "%s has no -action (QEMU 6.0 has it)", build->in->qemu->path);
        if (watchdog_device_type(watchdog))
                return build_need_device(build, "WATCHDOG/MODEL", watchdog_device_type(watchdog), err);
        if (build->kind != MACHINE_Q35)
                return build_error(build, err, ERROR_INVALID, "WATCHDOG/MODEL",
                                   "itco is part of q35, and the machine is '%s'", build->machine->name);
        return 0;
}

void watchdog_args(struct build *build)
{
        const struct watchdog_spec *watchdog = &build->spec->watchdog;
        const char *address = build_pci_address(build, "watchdog0"), *type;
        json_t *device;

        if (!watchdog->present)
                return;
        type = watchdog_device_type(watchdog);
        if (type) {
                device = json_pack("{s:s, s:s}", "driver", type, "id", "watchdog0");
                if (address)
                        build_set_address(device, address);
                build_json(build, "WATCHDOG/MODEL", "-device", device);
        } else {
                /* The chip set's strap that keeps the timer from acting is set otherwise (ICH9, GCS.NR). */
                build_option(build, "WATCHDOG/MODEL", "-global", "ICH9-LPC.noreboot=off");
        }
        build_device(build, json_pack("{s:s, s:s, s:s*}", "id", "watchdog0", "kind", "watchdog", "address",
                                      address));
}
