/* Where in the guest the host's PCI devices are, and what of NUMA nodes and IOMMUs is theirs (opennebula-semantics 3.12). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "conf/spec_rules.h"

static const struct source_pos *place(const struct pci_spec *pci, const char *key)
{
        const struct source_pos *pos = &spec_origin(&attr_pci, pci, key)->pos;

        return pos->file ? pos : &pci->section.pos;
}

static bool given(const struct pci_spec *pci, const char *key)
{
        return spec_is_given(&attr_pci, pci, key) && spec_is_read(&attr_pci, pci, key);
}

bool spec_read_pci_address(const char *text, bool has_domain, struct spec_pci_address *ret)
{
        struct spec_pci_address a = { 0 };
        char dot = 0;
        int n = 0;

        if (has_domain ? sscanf(text, "%4x:%2x:%2x%c%1x%n", &a.domain, &a.bus, &a.slot, &dot, &a.function,
                                &n) != 5
                       : sscanf(text, "%2x:%2x%c%1x%n", &a.bus, &a.slot, &dot, &a.function, &n) != 4)
                return false;
        if (text[n] || (dot != '.' && dot != ':') || a.slot > 0x1f || a.function > 7)
                return false;
        *ret = a;
        return true;
}

/* A place of ours has a p: rp3:0x0, pci.0:0x4, node0p1:0x0. */
static bool is_ours(const struct pci_spec *pci)
{
        return pci->vm_address && strchr(pci->vm_address, 'p');
}

static void set_address(struct pci_spec *pci, char *address_consume)
{
        free(pci->vm_address);
        pci->vm_address = address_consume;
}

/* The four parts as VM_ADDRESS, where that is not given. */
static void read_parts(struct spec_builder *builder, struct pci_spec *pci)
{
        static const char *const keys[] = { "VM_DOMAIN", "VM_BUS", "VM_SLOT", "VM_FUNCTION" };
        static const unsigned most[] = { 0, 0xff, 0x1f, 7 };
        const char *const texts[] = { pci->vm_domain, pci->vm_bus, pci->vm_slot, pci->vm_function };
        unsigned numbers[ARRAY_SIZE(keys)] = { 0 };
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                char *end = NULL;

                if (!given(pci, keys[i]))
                        continue;
                n++;
                numbers[i] = (unsigned)strtoul(texts[i], &end, 16);
                if (*end || numbers[i] > most[i]) {
                        spec_fail(builder, place(pci, keys[i]), "PCI/%s: '%s' is not 0 to %x", keys[i],
                                  texts[i], most[i]);
                        return;
                }
        }
        if (!n || given(pci, "VM_ADDRESS"))
                return;
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (!given(pci, keys[i])) {
                        spec_fail(builder, &pci->section.pos,
                                  "PCI/%s: goes with VM_DOMAIN, VM_BUS, VM_SLOT and VM_FUNCTION, of which "
                                  "others are given",
                                  keys[i]);
                        return;
                }
        set_address(pci, xasprintf("%02x:%02x.%x", numbers[1], numbers[2], numbers[3]));
}

static bool has_node_roots(const struct spec_builder *builder)
{
        return builder->site->q35_numa_pcie && builder->spec->n_numa_nodes;
}

/* OpenNebula's controllers: 1 a root port, 2 the bridge, then of each node its root and eight ports. New string; NULL:
 * there is no such port. */
static char *by_index(const struct spec_builder *builder, uint32_t index)
{
        uint32_t node, port;

        if (!has_node_roots(builder) || index == 1)
                return xasprintf("rp%u:0x0", index);
        if (index < 4)
                return NULL;
        node = (index - 3) / (PCI_NODE_PORTS + 1);
        port = (index - 3) % (PCI_NODE_PORTS + 1);
        return port && node < PCI_NODES_MAX ? xasprintf(PCI_NODE_PLACE, node, port) : NULL;
}

/* OpenNebula's bus numbers: of a node with its own root from 0x21 + 0x10 * node on. */
static char *by_bus(const struct spec_builder *builder, unsigned bus)
{
        unsigned node = (bus - 0x21) / 0x10, port = (bus - 0x21) % 0x10 + 1;

        if (has_node_roots(builder) && bus >= 0x21 && node < PCI_NODES_MAX && port <= PCI_NODE_PORTS)
                return xasprintf(PCI_NODE_PLACE, node, port);
        return bus ? xasprintf("rp%u:0x0", bus) : NULL;
}

/* OpenNebula's BUS:SLOT.FUNCTION in the guest as a place of ours. */
static void set_guest_place(struct spec_builder *builder, struct pci_spec *pci)
{
        const struct vm_spec *spec = builder->spec;
        bool is_q35 = vm_spec_is_q35(spec);
        const struct source_pos *pos = place(pci, given(pci, "VM_ADDRESS") ? "VM_ADDRESS" : "VM_BUS");
        const char *key = given(pci, "VM_ADDRESS") ? "VM_ADDRESS" : "VM_BUS";
        struct spec_pci_address address;
        char *ours = NULL;

        if (given(pci, "VM_BUS_INDEX")) {
                if (!is_q35)
                        spec_fail(builder, place(pci, "VM_BUS_INDEX"),
                                  "PCI/VM_BUS_INDEX: root ports are of q35, and OS/MACHINE is '%s'",
                                  spec->os.machine ? spec->os.machine : "pc");
                else if (pci->vm_address && !is_ours(pci))
                        spec_warn(builder, pos, "PCI/%s: without effect, VM_BUS_INDEX says the place", key);
                if (is_ours(pci))
                        return;
                ours = by_index(builder, pci->vm_bus_index);
                if (!ours)
                        spec_fail(
                                builder, place(pci, "VM_BUS_INDEX"),
                                "PCI/VM_BUS_INDEX: %u is no port (1, and 4 to 11 of node 0, 13 to 20 of node 1, ...)",
                                pci->vm_bus_index);
                set_address(pci, ours);
        } else if (!pci->vm_address || is_ours(pci)) {
                return;
        } else if (!spec_read_pci_address(pci->vm_address, false, &address)) {
                spec_fail(builder, pos,
                          "PCI/VM_ADDRESS: '%s' is neither a place such as rp3:0x0 nor BUS:SLOT.0 (01:00.0)",
                          pci->vm_address);
        } else {
                if (is_q35 && !address.slot && !address.function)
                        ours = by_bus(builder, address.bus);
                else if (!is_q35 && !address.bus && !address.function)
                        ours = xasprintf("pci.0:0x%x", address.slot);
                if (!ours)
                        spec_warn(builder, pos,
                                  is_q35 ? "PCI/%s: '%s' is behind no root port, so the place is chosen here"
                                         : "PCI/%s: '%s' is on another bus than the machine's one, so the "
                                           "place is chosen here",
                                  key, pci->vm_address);
                set_address(pci, ours);
        }
}

/* Each has the root of the first number that is free, or that of its VM_ADDRESS. */
static void set_root(struct spec_builder *builder, struct pci_spec *pci, bool *taken)
{
        unsigned number = 0;

        if (pci->root != PCI_ROOT_DEDICATED)
                return;
        if (!vm_spec_is_q35(builder->spec)) {
                spec_fail(builder, place(pci, "ROOT"),
                          "PCI/ROOT: dedicated needs MACHINE = \"q35\": a pc has one bus");
                return;
        }
        if (pci->vm_address && sscanf(pci->vm_address, "root%2up1:", &number) == 1)
                return;
        if (pci->vm_address)
                spec_warn(builder, place(pci, given(pci, "VM_BUS_INDEX") ? "VM_BUS_INDEX" : "VM_ADDRESS"),
                          "PCI/%s: without effect, ROOT dedicated has a place of its own",
                          given(pci, "VM_BUS_INDEX") ? "VM_BUS_INDEX" : "VM_ADDRESS");
        while (number < PCI_ROOTS_MAX && taken[number])
                number++;
        if (number == PCI_ROOTS_MAX) {
                spec_fail(builder, place(pci, "ROOT"),
                          "PCI/ROOT: more than %u devices have a root of their own", PCI_ROOTS_MAX);
                return;
        }
        taken[number] = true;
        set_address(pci, xasprintf(PCI_ROOT_PLACE, number));
}

static void set_roots(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        bool taken[PCI_ROOTS_MAX] = { false };

        for (size_t i = 0; i < spec->n_pcis; i++) {
                unsigned number;

                if (spec->pcis[i].vm_address &&
                    sscanf(spec->pcis[i].vm_address, "root%2up1:", &number) == 1 && number < PCI_ROOTS_MAX)
                        taken[number] = true;
        }
        for (size_t i = 0; i < spec->n_pcis; i++)
                set_root(builder, &spec->pcis[i], taken);
}

static void check_iommu(struct spec_builder *builder, const struct pci_spec *pci)
{
        const struct iommu_spec *iommu = &builder->spec->iommu;

        if (!pci->iommu)
                return;
        if (!iommu->present)
                spec_fail(builder, place(pci, "IOMMU"),
                          "PCI/IOMMU: goes with IOMMU, which says what it is (MODEL, MODE device)");
        else if (iommu->mode != IOMMU_MODE_DEVICE)
                spec_warn(
                        builder, place(pci, "IOMMU"),
                        "PCI/IOMMU: without effect, the machine's one IOMMU is of all devices (IOMMU/MODE)");
        else if (pci->root != PCI_ROOT_DEDICATED)
                spec_fail(builder, place(pci, "IOMMU"),
                          "PCI/IOMMU: goes with ROOT dedicated: an IOMMU is of all devices behind a root");
}

/* "2-5,7". False: it is not. */
static bool read_nodes(struct pci_spec *pci)
{
        const char *p = pci->acpi_nodes_text;

        while (*p) {
                unsigned first, last;
                int n = 0;

                if (sscanf(p, "%3u%n", &first, &n) != 1)
                        return false;
                p += n;
                last = first;
                if (*p == '-') {
                        if (sscanf(p, "-%3u%n", &last, &n) != 1)
                                return false;
                        p += n;
                }
                if (last < first || last >= PCI_ACPI_NODES_MAX || (*p && (*p != ',' || !p[1])))
                        return false;
                for (unsigned node = first; node <= last; node++)
                        pci->acpi_nodes[node] = true;
                p += *p == ',';
        }
        return true;
}

static void set_acpi_nodes(struct spec_builder *builder, struct pci_spec *pci)
{
        if (!given(pci, "ACPI_NODES"))
                return;
        if (!read_nodes(pci)) {
                spec_fail(builder, place(pci, "ACPI_NODES"),
                          "PCI/ACPI_NODES: '%s' is no list of nodes such as 2-5,7", pci->acpi_nodes_text);
                return;
        }
        for (size_t node = builder->spec->n_numa_nodes; node < PCI_ACPI_NODES_MAX; node++)
                if (pci->acpi_nodes[node]) {
                        spec_fail(builder, place(pci, "ACPI_NODES"),
                                  "PCI/ACPI_NODES: there is no NUMA_NODE %zu, the template has %zu", node,
                                  builder->spec->n_numa_nodes);
                        return;
                }
}

void spec_set_hostdev_places(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        for (size_t i = 0; i < spec->n_pcis; i++) {
                struct pci_spec *pci = &spec->pcis[i];
                bool is_mdev = pci->uuid && pci->mode == MDEV_LEGACY;

                read_parts(builder, pci);
                set_guest_place(builder, pci);
                check_iommu(builder, pci);
                set_acpi_nodes(builder, pci);
                if (is_mdev && pci->type == PCI_TYPE_NIC)
                        spec_fail(builder, place(pci, "TYPE"),
                                  "PCI/TYPE: NIC, and UUID says that it is a mediated device");
                if (is_mdev && pci->iommufd)
                        spec_fail(builder, place(pci, "IOMMUFD"),
                                  "PCI/IOMMUFD: is of whole devices, and this one is a mediated one");
        }
        set_roots(builder);
}
