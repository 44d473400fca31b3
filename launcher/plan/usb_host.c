/* USB devices of the host: usb-host on an fd of the device's node, so QEMU needs no right to open it. */
#include <string.h>

#include "base/text.h"
#include "launcher/host/device_facts.h"
#include "launcher/plan/device.h"

#define DRIVER    "usb-host"
#define NAMED_MAX 8
/* Of qemu-xhci. Devices of the host have its last ones, each the one of its number: the others count from the first. */
#define LAST_PORT 15

char *usb_host_id(const struct usb_spec *usb)
{
        return xasprintf("usbhost%u", usb->id);
}

static const char *naming_key(const struct usb_spec *usb)
{
        return usb->port      ? "PORT"
               : usb->device  ? "DEVICE"
               : usb->product ? "PRODUCT"
               : usb->vendor  ? "VENDOR"
                              : "BUS";
}

static bool fits(const struct usb_spec *usb, const struct usb_facts *facts)
{
        return (!usb->vendor || strcmp(usb->vendor, facts->vendor) == 0) &&
               (!usb->product || strcmp(usb->product, facts->product) == 0) &&
               (!usb->bus_number || usb->bus_number == facts->bus) &&
               (!usb->device_number || usb->device_number == facts->device) &&
               (!usb->port || strcmp(usb->port, facts->port) == 0);
}

/* live.tmpl says all of a device: one that was pulled out is what the running VM has still. */
static bool is_known_well(const struct usb_spec *usb)
{
        return usb->vendor && usb->product && usb->bus && usb->device && usb->port;
}

static int find(struct build *build, size_t i, struct usb_facts *ret, struct error **err)
{
        const struct hostdev_facts *facts = &build->in->devices->hostdevs;
        const struct usb_spec *usb = &build->spec->usbs[i];
        _cleanup_free_ char *what = xasprintf("USB[%zu]/%s", i, naming_key(usb));
        _cleanup_text_ struct text named = TEXT_INIT;
        size_t n = 0;

        for (size_t k = 0; k < facts->n_usbs; k++) {
                const struct usb_facts *each = &facts->usbs[k];

                if (!fits(usb, each))
                        continue;
                *ret = *each;
                if (n++ < NAMED_MAX)
                        text_addf(&named, "%sbus %u port %s", n > 1 ? ", " : "", each->bus, each->port);
        }
        if (n == 1)
                return 0;
        if (n) {
                build_error(build, err, ERROR_HOST, what, "%zu USB devices of this host fit: %s%s", n,
                            text_str(&named), n > NAMED_MAX ? ", ..." : "");
                return error_hint(err, "say which one: BUS = \"%u\", PORT = \"%s\"", ret->bus, ret->port);
        }
        if (build->in->running && is_known_well(usb)) {
                *ret = (struct usb_facts){ .bus = usb->bus_number,
                                           .device = usb->device_number,
                                           .port = usb->port,
                                           .vendor = usb->vendor,
                                           .product = usb->product };
                return 0;
        }
        build_error(build, err, ERROR_HOST, what, "no USB device of this host fits");
        return error_hint(err, "lsusb shows what is plugged in");
}

int usb_host_check(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_usbs; i++) {
                struct plan_usb *plan = &build->devices->usbs[i];
                _cleanup_free_ char *what = xasprintf("USB[%zu]/%s", i, naming_key(&spec->usbs[i])),
                                    *node = NULL;

                if (build_need_device(build, what, DRIVER, err) < 0 || find(build, i, &plan->facts, err) < 0)
                        return -1;
                node = usb_node(&plan->facts);
                plan->bus = xasprintf("%u", plan->facts.bus);
                plan->device = xasprintf("%u", plan->facts.device);
                if (!build->in->running && !device_facts_file(build->in->devices, node).exists)
                        return build_error(build, err, ERROR_HOST, what, "there is no %s on this host", node);
                for (size_t k = 0; k < i; k++)
                        if (plan->facts.bus == build->devices->usbs[k].facts.bus &&
                            plan->facts.device == build->devices->usbs[k].facts.device) {
                                _cleanup_free_ char *where = source_pos_name(&spec->usbs[k].section.pos,
                                                                             &spec->usbs[i].section.pos);

                                return build_error(build, err, ERROR_INVALID, what,
                                                   "it is also the device of %s", where);
                        }
        }
        return 0;
}

void usb_host_number_fds(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_usbs; i++) {
                struct plan_usb *plan = &build->devices->usbs[i];
                _cleanup_free_ char *id = usb_host_id(&spec->usbs[i]), *source = xasprintf("usb:%s", id),
                                    *node = usb_node(&plan->facts), *text = xasprintf("device %s", node);

                plan->fdset = build_fdset(build, source, text);
        }
}

json_t *usb_host_device(const struct usb_spec *usb, const char *hostdevice)
{
        _cleanup_free_ char *id = usb_host_id(usb);

        return json_pack("{s:s, s:s, s:s, s:s, s:o}", "driver", DRIVER, "id", id, "hostdevice", hostdevice,
                         "bus", "usb0.0", "port", json_sprintf("%u", LAST_PORT - usb->id));
}

/* After the controller. */
void usb_host_args(struct build *build)
{
        static const char *const keys[] = { "VENDOR", "PRODUCT", "BUS", "DEVICE", "PORT", "USB_ID" };
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_usbs; i++) {
                const struct plan_usb *plan = &build->devices->usbs[i];
                _cleanup_free_ char *id = usb_host_id(&spec->usbs[i]),
                                    *set = xasprintf("/dev/fdset/%u", plan->fdset.set);
                _cleanup_text_ struct text because = TEXT_INIT;

                for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
                        build_refer(build, &because, "USB[%zu]/%s", i, keys[k]);
                build_fdset_args(build, text_str(&because), &plan->fdset, id);
                build_json(build, text_str(&because), "-device", usb_host_device(&spec->usbs[i], set));
                build_device(build,
                             json_pack("{s:s, s:s, s:o, s:o}", "id", id, "kind", "usb", "host",
                                       json_sprintf("bus %u port %s", plan->facts.bus, plan->facts.port),
                                       "ids",
                                       json_sprintf("%s:%s", plan->facts.vendor, plan->facts.product)));
        }
}

/* The node may be another device's by then: what is opened has to be of these ids. */
void usb_host_steps(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_usbs; i++) {
                const struct usb_facts *facts = &build->devices->usbs[i].facts;
                _cleanup_free_ char *because = xasprintf("USB[%zu]/%s", i, naming_key(&spec->usbs[i])),
                                    *id = usb_host_id(&spec->usbs[i]), *node = usb_node(facts);

                build_step(build, because, EFFECT_DEVICE_OPEN,
                           json_pack("{s:s, s:[s+], s:s++}", "path", node, "fds", "usb:", id, "usb",
                                     facts->vendor, ":", facts->product));
        }
}

/* Numbers change each time a device is plugged in; its port and ids say which it was. */
void usb_host_live(const struct build *build, size_t i, struct usb_spec *live)
{
        struct plan_usb *plan = &build->devices->usbs[i];

        live->vendor = plan->facts.vendor;
        live->product = plan->facts.product;
        live->bus = plan->bus;
        live->device = plan->device;
        live->port = plan->facts.port;
}
