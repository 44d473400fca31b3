#include "launcher/plan/expander.h"

#include <stdio.h>
#include <string.h>

#include "launcher/plan/iommu.h"

#define DRIVER "pxb-pcie"
/* Slots of pcie.0: 0x1e is the virtio IOMMU's, 0x1f the chip set's. */
#define NODE_SLOT 0x1d
#define ROOT_SLOT (NODE_SLOT - PCI_NODES_MAX)
/* opennebula-semantics 3.12. */
#define NODE_BUS(n) (0x20 + 0x10 * (n))
#define ROOT_BUS(n) (0xa0 + 8 * (n))
/* Root ports have 1 to 232 (pci.h); those of one expander are told apart by their slots. */
#define CHASSIS       233
#define NODES_BECAUSE "rule: a PCI Express root for each NUMA node (Q35_NUMA_PCIE)"

static bool has_node(const struct build *build, size_t node)
{
        const struct vm_spec *spec = build->spec;

        return build->kind != MACHINE_PC && build->in->site->q35_numa_pcie && node < PCI_NODES_MAX &&
               node < spec->n_numa_nodes && spec->numa_nodes[node].total_cpus &&
               spec->numa_nodes[node].memory;
}

/* Port 0: of a device alone. */
static bool read_place(const char *address, unsigned *ret_number, unsigned *ret_port)
{
        _cleanup_free_ char *node = NULL, *root = NULL;
        unsigned number = 0, port = 0;

        if (!address || (sscanf(address, "node%3up%3u:", &number, &port) != 2 &&
                         sscanf(address, "root%3up1:", &number) != 1))
                return false;
        node = xasprintf(PCI_NODE_PLACE, number, port);
        root = xasprintf(PCI_ROOT_PLACE, number);
        if (strcmp(address, root) == 0)
                port = 0;
        else if (strcmp(address, node) != 0 || !port)
                return false;
        *ret_number = number;
        *ret_port = port;
        return true;
}

bool expander_has(const char *address)
{
        return address && (text_starts_with(address, "node") || text_starts_with(address, "root"));
}

bool expander_is_part(const char *id)
{
        const char *digits = id + strlen("node");
        size_t n;

        if (!expander_has(id))
                return false;
        n = strspn(digits, "0123456789");
        return n && (!digits[n] || (digits[n] == 'p' && digits[n + 1] &&
                                    !digits[n + 1 + strspn(digits + n + 1, "0123456789")]));
}

static int check_one(struct build *build, size_t i, struct error **err)
{
        const struct pci_spec *pcis = build->spec->pcis, *pci = &pcis[i];
        const char *key = pci->vm_bus_index ? "VM_BUS_INDEX" : pci->vm_bus ? "VM_BUS" : "VM_ADDRESS";
        _cleanup_free_ char *reference = xasprintf("PCI[%zu]/%s", i, key);
        unsigned number, port;
        bool is_alone;

        if (!expander_has(pci->vm_address))
                return 0;
        if (!read_place(pci->vm_address, &number, &port) ||
            (port ? port > PCI_NODE_PORTS || !has_node(build, number)
                  : number >= PCI_ROOTS_MAX || pci->root != PCI_ROOT_DEDICATED))
                return build_error(build, err, ERROR_INVALID, reference,
                                   "this machine has no PCI address '%s'", pci->vm_address);
        is_alone = !port;
        for (size_t k = 0; k < i; k++)
                if (pcis[k].vm_address && strcmp(pcis[k].vm_address, pci->vm_address) == 0)
                        return build_error(build, err, ERROR_INVALID, reference,
                                           "PCI address '%s' is taken by the device of line %u",
                                           pci->vm_address, pcis[k].section.pos.line);
        if (is_alone) {
                _cleanup_free_ char *root = xasprintf("PCI[%zu]/ROOT", i),
                                    *iommu = xasprintf("PCI[%zu]/IOMMU", i);

                if (build_need_device(build, root, DRIVER, err) < 0)
                        return -1;
                return iommu_is_of(build->spec, pci)
                               ? build_need_device(build, iommu, IOMMU_SMMUV3_DEVICE, err)
                               : 0;
        }
        return 0;
}

int expander_check(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;

        if (has_node(build, 0) && !qemu_has_device(build->in->qemu, DRIVER))
                return error_set(err, ERROR_HOST, "Q35_NUMA_PCIE: this QEMU has no device " DRIVER);
        if (build->in->site->q35_numa_pcie && build->kind != MACHINE_PC && spec->n_numa_nodes > PCI_NODES_MAX)
                build_warn(build, NULL,
                           "Q35_NUMA_PCIE: the first %u NUMA nodes have a PCI Express root, %zu have none",
                           PCI_NODES_MAX, spec->n_numa_nodes - PCI_NODES_MAX);
        for (size_t i = 0; i < spec->n_pcis; i++)
                if (check_one(build, i, err) < 0)
                        return -1;
        return 0;
}

int expander_check_place(struct build *build, struct error **err)
{
        unsigned lowest = NODE_SLOT + 1, slot, function;

        for (unsigned node = 0; node < PCI_NODES_MAX; node++)
                if (has_node(build, node))
                        lowest = NODE_SLOT - node;
        for (size_t i = 0; i < build->spec->n_pcis; i++) {
                unsigned number, port;

                if (read_place(build->spec->pcis[i].vm_address, &number, &port) && !port &&
                    ROOT_SLOT - number < lowest)
                        lowest = ROOT_SLOT - number;
        }
        pci_root_port_place(build->pci.n_ports, &slot, &function);
        if (build->kind == MACHINE_PC || slot < lowest || lowest > NODE_SLOT)
                return 0;
        return error_set(err, ERROR_INVALID,
                         "no place for a PCI Express root of NUMA nodes or devices beside %u root ports",
                         build->pci.n_ports);
}

static void port_args(struct build *build, const char *because, const char *root, unsigned chassis,
                      unsigned port)
{
        json_t *device = json_pack("{s:s, s:o, s:s, s:o, s:i, s:i, s:i}", "driver", "pcie-root-port", "id",
                                   json_sprintf("%sp%u", root, port), "bus", root, "addr",
                                   port > 1 ? json_sprintf("0x0.0x%x", port - 1) : json_string("0x0"), "port",
                                   (int)port - 1, "chassis", (int)chassis, "slot", (int)port);

        if (port == 1)
                json_object_set_new(device, "multifunction", json_true());
        build_json(build, because, "-device", device);
}

static json_t *root_device(const char *id, unsigned slot, unsigned bus)
{
        return json_pack("{s:s, s:s, s:s, s:o, s:i}", "driver", DRIVER, "id", id, "bus", "pcie.0", "addr",
                         json_sprintf("0x%x", slot), "bus_nr", (int)bus);
}

static void node_args(struct build *build, unsigned node)
{
        _cleanup_free_ char *id = xasprintf("node%u", node);
        json_t *device = root_device(id, NODE_SLOT - node, NODE_BUS(node));

        json_object_set_new(device, "numa_node", json_integer(node));
        build_json(build, NODES_BECAUSE, "-device", device);
        for (unsigned port = 1; port <= PCI_NODE_PORTS; port++)
                port_args(build, NODES_BECAUSE, id, CHASSIS + node, port);
}

static void root_args(struct build *build, size_t i, unsigned number)
{
        _cleanup_free_ char *id = xasprintf("root%u", number);
        _cleanup_text_ struct text because = TEXT_INIT, iommu = TEXT_INIT;

        build_refer(build, &because, "PCI[%zu]/ROOT", i);
        build_json(build, text_str(&because), "-device",
                   root_device(id, ROOT_SLOT - number, ROOT_BUS(number)));
        if (iommu_is_of(build->spec, &build->spec->pcis[i])) {
                build_refer(build, &iommu, "PCI[%zu]/IOMMU", i);
                build_refer(build, &iommu, "IOMMU/MODEL");
                build_refer(build, &iommu, "IOMMU/MODE");
                build_json(build, text_str(&iommu), "-device",
                           json_pack("{s:s, s:o, s:s}", "driver", IOMMU_SMMUV3_DEVICE, "id",
                                     json_sprintf("iommu%u", number), "primary-bus", id));
        }
        port_args(build, text_str(&because), id, CHASSIS + PCI_NODES_MAX + number, 1);
}

void expander_args(struct build *build)
{
        for (unsigned node = 0; node < PCI_NODES_MAX; node++)
                if (has_node(build, node))
                        node_args(build, node);
        for (size_t i = 0; i < build->spec->n_pcis; i++) {
                unsigned number, port;

                if (read_place(build->spec->pcis[i].vm_address, &number, &port) && !port)
                        root_args(build, i, number);
        }
}
