/* What QEMU has to have for a template. */
#include <string.h>

#include "launcher/plan/disk.h"
#include "launcher/plan/display.h"
#include "launcher/plan/iommu.h"
#include "launcher/plan/memory.h"
#include "launcher/plan/nic.h"
#include "launcher/plan/pci.h"
#include "launcher/plan/plugged.h"
#include "launcher/run/state_compare.h"
#include "launcher/run/state_devices.h"

static void expect(json_t *list, const char *id, const char *type)
{
        json_object_set_new(list, id, type ? json_string(type) : json_true());
}

static void expect_disk_objects(const struct disk_spec *disk, json_t *objects)
{
        _cleanup_free_ char *limits = disk_throttle_id(disk), *luks = disk_secret_id(disk, "luks");
        _cleanup_free_ char *auth = disk_secret_id(disk, disk->store == DISK_STORE_RBD ? "ceph" : "chap");

        if (disk_is_throttled(disk))
                expect(objects, limits, "throttle-group");
        if (disk->luks_path)
                expect(objects, luks, "secret");
        if (disk->auth_path)
                expect(objects, auth, "secret");
}

static void expect_disk_nodes(const struct disk_spec *disk, json_t *nodes)
{
        _cleanup_free_ char *file = disk_node_name(disk, 0, "file"), *cor = disk_node_name(disk, 0, "cor");
        _cleanup_free_ char *format = disk_node_name(disk, 0, "format"),
                            *throttle = disk_node_name(disk, 0, "throttle");

        if (!disk_has_medium(disk))
                return;
        expect(nodes, file, NULL);
        expect(nodes, format, disk_format_name(disk_top_format(disk)));
        if (disk->copy_on_read)
                expect(nodes, cor, "copy-on-read");
        if (disk_is_throttled(disk))
                expect(nodes, throttle, "throttle");
}

static void expect_disks(const struct vm_spec *spec, json_t *devices, json_t *nodes, json_t *objects)
{
        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct disk_spec *disk = &spec->disks[i];
                _cleanup_free_ char *id = xasprintf("disk%u", disk->id);

                if (disk->bus == DISK_BUS_SCSI)
                        expect(devices, "scsi0", "virtio-scsi-pci");
                if (disk->bus == DISK_BUS_FLOPPY && vm_spec_is_q35(spec))
                        expect(devices, "fdc0", "isa-fdc");
                expect(devices, id, disk_device_type(disk));
                expect_disk_nodes(disk, nodes);
                expect_disk_objects(disk, objects);
        }
        for (unsigned i = 1; i <= spec->features.iothreads; i++) {
                _cleanup_free_ char *id = iothread_id(i);

                expect(objects, id, "iothread");
        }
}

static void expect_nics(const struct vm_spec *spec, json_t *devices, json_t *netdevs)
{
        for (size_t i = 0; i < spec->n_nics; i++) {
                const struct nic_spec *nic = &spec->nics[i];
                _cleanup_free_ char *id = xasprintf("nic%u", nic->id), *net = xasprintf("net%u", nic->id);

                if (nic_is_legacy(nic) && vm_spec_is_q35(spec))
                        expect(devices, PCI_BRIDGE, "pcie-pci-bridge");
                expect(devices, id, nic_device_type(nic->model));
                expect(netdevs, net,
                       nic->bridge_type != NIC_BRIDGE_USER ? "tap"
                       : nic->backend == NIC_BACKEND_PASST ? "stream"
                                                           : "user");
        }
}

struct expected_objects {
        json_t *objects;
        const char *type;
};

static void expect_object(const char *id, const struct numa_node_spec *node, uint64_t size, void *data)
{
        const struct expected_objects *expected = data;

        (void)node, (void)size;
        expect(expected->objects, id, expected->type);
}

static void expect_memory(const struct vm_spec *spec, json_t *devices, json_t *objects)
{
        struct expected_objects expected = { objects, memory_backend_type(spec) };

        memory_objects(spec, expect_object, &expected);
        if (spec->memory_encryption.type != MEMORY_ENCRYPTION_NONE)
                expect(objects, "sev0", "sev-guest");
        for (unsigned i = spec->vcpu; i < spec->vcpu + spec->vcpu_plugged; i++) {
                _cleanup_free_ char *id = plugged_cpu_id(i);

                expect(devices, id, NULL);
        }
        for (size_t i = 0; i < spec->n_dimms; i++) {
                _cleanup_free_ char *dimm = xasprintf("dimm%u", spec->dimms[i].id),
                                    *object = xasprintf("ram-dimm%u", spec->dimms[i].id);

                expect(devices, dimm, "pc-dimm");
                expect(objects, object, memory_backend_type(spec));
        }
        if (memory_has_virtio_mem(spec))
                expect(devices, "vmem0", "virtio-mem-pci");
        if (spec->balloon.model != BALLOON_MODEL_NONE)
                expect(devices, "balloon0", "virtio-balloon-pci");
}

struct display_expected {
        json_t *devices, *chardevs;
};

static void expect_display(const char *id, const char *type, void *data)
{
        struct display_expected *expected = data;

        expect(type ? expected->devices : expected->chardevs, id, type);
}

json_t *state_expected(const struct vm_spec *spec)
{
        json_t *devices = json_object(), *chardevs = json_object(), *netdevs = json_object(),
               *nodes = json_object(), *objects = json_object();
        struct display_expected display = { devices, chardevs };

        expect(chardevs, "mon0", NULL);
        expect_memory(spec, devices, objects);
        if (graphics_password_object(spec))
                expect(objects, graphics_password_object(spec), "secret");
        display_each_device(spec, expect_display, &display);
        if (virtio_serial_is_needed(spec))
                expect(devices, "vser0", "virtio-serial-pci");
        if (vm_spec_is_q35(spec) && display_needs_bridge(spec))
                expect(devices, PCI_BRIDGE, "pcie-pci-bridge");
        if (spec->features.guest_agent) {
                expect(devices, "agent0", "virtserialport");
                expect(chardevs, "agent0", NULL);
        }
        expect_disks(spec, devices, nodes, objects);
        expect_nics(spec, devices, netdevs);
        for (size_t i = 0; i < spec->n_pcis; i++) {
                _cleanup_free_ char *id = iommu_id_of(spec, &spec->pcis[i]);

                if (id)
                        expect(devices, id, IOMMU_SMMUV3_DEVICE);
        }
        if (spec->iommu.present && iommu_device_type(spec->iommu.model))
                expect(devices, "iommu0", iommu_device_type(spec->iommu.model));
        if (spec->os.firmware_kind != FIRMWARE_BIOS) {
                expect(nodes, "pflash0-file", "file");
                expect(nodes, "pflash0-format", NULL);
                expect(nodes, "pflash1-file", "file");
                expect(nodes, "pflash1-format", disk_format_name(spec->os.firmware_format));
        }
        state_expect_devices(spec, devices, objects, chardevs);
        state_expect_raw(spec, devices, objects, netdevs, chardevs, nodes);
        return json_pack("{s:o, s:o, s:o, s:o, s:o}", "devices", devices, "objects", objects, "netdevs",
                         netdevs, "chardevs", chardevs, "nodes", nodes);
}
