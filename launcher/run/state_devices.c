#include "launcher/run/state_devices.h"

#include <strings.h>

#include "launcher/plan/device.h"

static void expect(json_t *list, const char *id, const char *type)
{
        json_object_set_new(list, id, type ? json_string(type) : json_true());
}

struct line_lists {
        json_t *devices, *chardevs;
};

static void expect_line(const char *id, const char *type, bool has_chardev, void *data)
{
        const struct line_lists *lists = data;

        if (type)
                expect(lists->devices, id, type);
        if (has_chardev)
                expect(lists->chardevs, id, NULL);
}

static void expect_filesystems(const struct vm_spec *spec, json_t *devices, json_t *chardevs)
{
        for (size_t i = 0; i < spec->n_filesystems; i++) {
                const struct filesystem_spec *fs = &spec->filesystems[i];
                _cleanup_free_ char *id = filesystem_id(fs), *socket = xasprintf("%s-socket", id);

                expect(devices, id, filesystem_device_type(fs));
                if (fs->driver == FILESYSTEM_VIRTIOFS)
                        expect(chardevs, socket, NULL);
        }
}

struct raw_lists {
        json_t *lists[5]; /* by enum raw_named */
};

static void expect_raw(enum raw_named kind, const char *id, void *data)
{
        const struct raw_lists *lists = data;

        expect(lists->lists[kind], id, NULL);
}

void state_expect_raw(const struct vm_spec *spec, json_t *devices, json_t *objects, json_t *netdevs,
                      json_t *chardevs, json_t *nodes)
{
        struct raw_lists lists = { {
                [RAW_DEVICE] = devices,
                [RAW_OBJECT] = objects,
                [RAW_NETDEV] = netdevs,
                [RAW_CHARDEV] = chardevs,
                [RAW_NODE] = nodes,
        } };

        raw_each_named(spec, expect_raw, &lists);
}

void state_expect_devices(const struct vm_spec *spec, json_t *devices, json_t *objects, json_t *chardevs)
{
        struct line_lists lines = { devices, chardevs };

        serial_each(spec, expect_line, &lines);
        shmem_each(spec, expect_line, &lines);
        for (size_t i = 0; i < spec->n_shmems; i++) {
                _cleanup_free_ char *memory = xasprintf("shmem%zu-memory", i);

                if (spec->shmems[i].model == SHMEM_PLAIN)
                        expect(objects, memory, "memory-backend-file");
        }
        if (spec->n_shmems && vm_spec_is_q35(spec))
                expect(devices, PCI_BRIDGE, "pcie-pci-bridge");
        if (panic_device_type(&spec->panic))
                expect(devices, "panic0", panic_device_type(&spec->panic));
        if (spec->rng.present) {
                expect(devices, "rng0", "virtio-rng-pci");
                expect(objects, "rng0-source",
                       strcasecmp(spec->rng.source, "builtin") == 0 ? "rng-builtin" : "rng-random");
        }
        if (spec->watchdog.present && watchdog_device_type(&spec->watchdog)) {
                if (spec->watchdog.model == WATCHDOG_I6300ESB && vm_spec_is_q35(spec))
                        expect(devices, PCI_BRIDGE, "pcie-pci-bridge");
                expect(devices, "watchdog0", watchdog_device_type(&spec->watchdog));
        }
        if (spec->tpm.present) {
                expect(devices, "tpm0", tpm_device_type(&spec->tpm));
                expect(chardevs, "tpm0-socket", NULL);
        }
        if (spec->vsock.present)
                expect(devices, "vsock0", "vhost-vsock-pci");
        expect_filesystems(spec, devices, chardevs);
        for (size_t i = 0; i < spec->n_pcis; i++) {
                _cleanup_free_ char *id = hostdev_id(&spec->pcis[i]);

                expect(devices, id, "vfio-pci");
                if (spec->pcis[i].iommufd)
                        expect(objects, HOSTDEV_IOMMUFD, "iommufd");
                for (unsigned node = 0; node < PCI_ACPI_NODES_MAX; node++) {
                        _cleanup_free_ char *initiator = hostdev_initiator_id(id, node);

                        if (spec->pcis[i].acpi_nodes[node])
                                expect(objects, initiator, "acpi-generic-initiator");
                }
        }
        for (size_t i = 0; i < spec->n_usbs; i++) {
                _cleanup_free_ char *id = usb_host_id(&spec->usbs[i]);

                expect(devices, id, "usb-host");
        }
}
