/* Devices of the host that the guest gets: PCI, USB. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

#define HEX   "0123456789abcdefABCDEF"
#define PLACE "abcdefghijklmnopqrstuvwxyzABCDEF0123456789:._-"
/* A q35 machine has no more root ports (pci.h). */
#define ROOT_PORTS_MAX 232
/* USB 3.2: five tiers of hubs below the root's port, 15 ports each. */
#define PORT_PATH_MAX 16

static const struct attr_word type_words[] = { WORD("NIC", PCI_TYPE_NIC), WORDS_END };
static const struct attr_word root_words[] = {
        WORD("shared", PCI_ROOT_SHARED),
        WORD("dedicated", PCI_ROOT_DEDICATED),
        WORDS_END,
};
static const struct attr_word mdev_words[] = {
        WORD("legacy", MDEV_LEGACY),
        WORD("nvidia", MDEV_NVIDIA),
        WORDS_END,
};

#define ATTR_OF struct pci_spec
static const struct attr pci_rows[] = {
        { "PCI_ID", U32(id), .lookup = LOOKUP_D, .max = SPEC_MAX_ID, .lands = LANDS_NAME,
          .doc = "Number of the device, in its name hostdevN; absent: the first one that is free, from 0.",
          .source = "opennebula-semantics 3.12" },
        { "ADDRESS", TEXT(address), .lookup = LOOKUP_D, .chars = HEX ":.", .max = 12, .lands = LANDS_ARGV,
          .doc = "Which device of the host: 0000:3b:00.1 (lspci -D). It has to be bound to vfio-pci.",
          .source = "opennebula-semantics 3.12" },
        { "SHORT_ADDRESS", TEXT(short_address), .lookup = LOOKUP_D, .chars = HEX ":.", .max = 7,
          .lands = LANDS_ARGV, .doc = "The same without the domain, which is 0000 then: 3b:00.1.",
          .source = "opennebula-semantics 3.12" },
        { "DOMAIN", TEXT(domain), .lookup = LOOKUP_D, .chars = HEX, .max = 4, .lands = LANDS_ARGV,
          .doc = "The same in four parts, hexadecimal digits, as OpenNebula writes them: DOMAIN, BUS, SLOT and FUNCTION "
                 "go together.",
          .source = "opennebula-semantics 3.12" },
        { "BUS", TEXT(bus), .lookup = LOOKUP_D, .chars = HEX, .max = 2, .lands = LANDS_ARGV,
          .doc = "See DOMAIN.", .source = "opennebula-semantics 3.12" },
        { "SLOT", TEXT(slot), .lookup = LOOKUP_D, .chars = HEX, .max = 2, .lands = LANDS_ARGV,
          .doc = "See DOMAIN.", .source = "opennebula-semantics 3.12" },
        { "FUNCTION", TEXT(function), .lookup = LOOKUP_D, .chars = HEX, .max = 1, .lands = LANDS_ARGV,
          .doc = "See DOMAIN.", .source = "opennebula-semantics 3.12" },
        { "VENDOR", TEXT(vendor), .lookup = LOOKUP_D, .chars = HEX, .max = 4, .lands = LANDS_ARGV,
          .doc = "Vendor id, hexadecimal digits (lspci -n). Without an address the one device of the host that VENDOR, "
                 "DEVICE and CLASS fit is meant; with one, that device has to be of it.",
          .source = "opennebula-semantics 3.12" },
        { "DEVICE", TEXT(device), .lookup = LOOKUP_D, .chars = HEX, .max = 4, .lands = LANDS_ARGV,
          .doc = "Device id; see VENDOR.", .source = "opennebula-semantics 3.12" },
        { "CLASS", TEXT(class_id), .lookup = LOOKUP_D, .chars = HEX, .max = 4, .lands = LANDS_ARGV,
          .doc = "Class and subclass, 0300 for a VGA card; see VENDOR.",
          .source = "opennebula-semantics 3.12" },
        { "UUID", UUID(uuid), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "A mediated device, which is there already: /sys/bus/mdev/devices/UUID.",
          .source = "opennebula-semantics 3.12" },
        { "MDEV_MODE", ENUM(mode, mdev_mode, mdev_words), .lookup = LOOKUP_D, .dflt = "legacy",
          .lands = LANDS_ARGV,
          .doc = "legacy: UUID names a mediated device; nvidia: the address is a virtual function with a vGPU of the "
                 "vendor's own driver, and UUID says nothing.",
          .source = "opennebula-semantics 3.12" },
        { "PROFILE", TEXT(profile), .lookup = LOOKUP_D, .chars = PLACE, .max = 64, .lands = LANDS_RULE,
          .doc = "The type that the mediated device must be of: nvidia-35, i915-GVTg_V5_4.",
          .source = "opennebula-semantics 3.12" },
        { "VM_ADDRESS", TEXT(vm_address), .lookup = LOOKUP_D, .chars = PLACE, .max = 16,
          .lands = LANDS_GUEST_ADDRESS,
          .doc = "PCI address in the guest, as live.tmpl has it (rp3:0x0), or BUS:SLOT.0 as OpenNebula writes it: on q35 "
                 "bus N is root port N.",
          .source = "opennebula-semantics 3.12" },
        { "VM_BUS_INDEX", U32(vm_bus_index), .lookup = LOOKUP_D, .min = 1, .max = ROOT_PORTS_MAX,
          .lands = LANDS_GUEST_ADDRESS, .doc = "The root port of a q35 machine that it sits behind.",
          .source = "opennebula-semantics 3.12" },
        LEFT_ALONE("NUMA_NODE", "filled in by OpenNebula, the node of the host follows from the address"),
        { "VM_DOMAIN", TEXT(vm_domain), .lookup = LOOKUP_D, .chars = HEX "xX", .max = 6,
          .lands = LANDS_GUEST_ADDRESS,
          .doc = "The place in the guest in four parts, hexadecimal numbers, as OpenNebula writes them: VM_DOMAIN, VM_BUS, "
                 "VM_SLOT and VM_FUNCTION go together. VM_ADDRESS, when given, counts instead.",
          .source = "opennebula-semantics 3.12" },
        { "VM_BUS", TEXT(vm_bus), .lookup = LOOKUP_D, .chars = HEX "xX", .max = 4,
          .lands = LANDS_GUEST_ADDRESS, .doc = "See VM_DOMAIN.", .source = "opennebula-semantics 3.12" },
        { "VM_SLOT", TEXT(vm_slot), .lookup = LOOKUP_D, .chars = HEX "xX", .max = 4,
          .lands = LANDS_GUEST_ADDRESS, .doc = "See VM_DOMAIN.", .source = "opennebula-semantics 3.12" },
        { "VM_FUNCTION", TEXT(vm_function), .lookup = LOOKUP_D, .chars = HEX "xX", .max = 3,
          .lands = LANDS_GUEST_ADDRESS, .doc = "See VM_DOMAIN.", .source = "opennebula-semantics 3.12" },
        { "TYPE", ENUM(type, pci_type, type_words), .lookup = LOOKUP_D, .lands = LANDS_RULE,
          .doc = "NIC: the device has to be a network card, such as a virtual function of one.",
          .source = "opennebula-semantics 3.12" },
        { "ROOT", ENUM(root, pci_root, root_words), .lookup = LOOKUP_D, .dflt = "shared", .lands = LANDS_ARGV,
          .doc = "shared: the device is behind a root port of the machine; dedicated: a PCI Express root (pxb-pcie) is there "
                 "for it alone. It comes and goes with starts only.",
          .source = "opennebula-semantics 3.12" },
        { "IOMMU", BOOL(iommu), .lookup = LOOKUP_D, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "With IOMMU/MODE device: a virtual IOMMU is there for this device alone, which needs ROOT dedicated.",
          .source = "opennebula-semantics 3.12" },
        { "IOMMUFD", BOOL(iommufd), .lookup = LOOKUP_D, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "QEMU reaches the device by /dev/iommu and the device's own node, and not by a group of vfio. Needs QEMU "
                 "9.0 and Linux 6.6.",
          .source = "opennebula-semantics 3.12" },
        { "ACPI_NODES", TEXT(acpi_nodes_text), .lookup = LOOKUP_D, .chars = "0123456789,-", .max = 255,
          .lands = LANDS_ARGV,
          .doc = "NUMA nodes of the guest whose memory is the device's own, such as a GPU's: 2-5,7. A node without CPUs and "
                 "memory is for that. Needs QEMU 9.0.",
          .source = "opennebula-semantics 3.12" },
        COMING("MAC", "Of a virtual function."),
        COMING("VLAN_ID", "Of a virtual function."),
        COMING("NETWORK", "Of a virtual function."),
};
#undef ATTR_OF

const struct attr_section attr_pci = {
        .name = "PCI",
        .repeats = true,
        .rows = pci_rows,
        .n_rows = ARRAY_SIZE(pci_rows),
        .doc = "A PCI device of the host, or a mediated device, for the guest alone.",
        .source = "opennebula-semantics 3.12",
};

#define ATTR_OF struct usb_spec
static const struct attr usb_rows[] = {
        { "USB_ID", U32(id), .lookup = LOOKUP_D, .max = USB_ID_MAX, .lands = LANDS_NAME,
          .doc = "Number of the device, in its name usbhostN; absent: the first one that is free, from 0.",
          .source = "DESIGN 5.5" },
        { "VENDOR", TEXT(vendor), .lookup = LOOKUP_D, .chars = HEX, .max = 4, .lands = LANDS_ARGV,
          .doc = "Vendor id, hexadecimal digits (lsusb). Everything that is given has to fit, and fit one device alone.",
          .source = "DESIGN 3; libvirt-behaviour 9" },
        { "PRODUCT", TEXT(product), .lookup = LOOKUP_D, .chars = HEX, .max = 4, .lands = LANDS_ARGV,
          .doc = "Product id.", .source = "DESIGN 3; libvirt-behaviour 9" },
        { "BUS", TEXT(bus), .lookup = LOOKUP_D, .chars = "0123456789", .max = 3, .lands = LANDS_ARGV,
          .doc = "Bus of the host, 1 to 255.", .source = "DESIGN 3; libvirt-behaviour 9" },
        { "DEVICE", TEXT(device), .lookup = LOOKUP_D, .chars = "0123456789", .max = 3, .lands = LANDS_ARGV,
          .doc = "Number on the bus, 1 to 127; another one each time the device is plugged in.",
          .source = "DESIGN 3; libvirt-behaviour 9" },
        { "PORT", TEXT(port), .lookup = LOOKUP_D, .chars = "0123456789.", .max = PORT_PATH_MAX,
          .lands = LANDS_ARGV,
          .doc = "Port on the bus, through its hubs: 4, 1.2 (lsusb -t). It stays the same.",
          .source = "DESIGN 3" },
};
#undef ATTR_OF

const struct attr_section attr_usb = {
        .name = "USB",
        .repeats = true,
        .rows = usb_rows,
        .n_rows = ARRAY_SIZE(usb_rows),
        .doc = "A USB device of the host, for the guest alone.",
        .source = "DESIGN 3",
};
