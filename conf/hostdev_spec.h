/*
 * hostdev_spec - devices of the host that a guest gets; part of vm_spec.
 *
 * Strings are the rows' and owned by the spec. Numbers of devices are lower-case hexadecimal after spec_set_hostdevs().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf/origin.h"

enum mdev_mode { MDEV_LEGACY, MDEV_NVIDIA };
enum pci_type { PCI_TYPE_ANY, PCI_TYPE_NIC };
enum pci_root { PCI_ROOT_SHARED, PCI_ROOT_DEDICATED };

/* Places in the guest: the port of a PCI Express root of one device alone, and port number (from 1) of that of a NUMA
 * node. The numbers are those of roots and nodes, from 0. */
#define PCI_ROOT_PLACE "root%up1:0x0"
#define PCI_NODE_PLACE "node%up%u:0x0"
/* Bus numbers 0xa0 + 8 * N, and 0x20 + 0x10 * N below them (opennebula-semantics 3.12). */
#define PCI_ROOTS_MAX  12u
#define PCI_NODES_MAX  8u
#define PCI_NODE_PORTS 8u
/* QEMU's MAX_NODES. */
#define PCI_ACPI_NODES_MAX 128u

struct pci_spec {
        struct section section;
        uint32_t id;         /* PCI_ID, or the first free number */
        char *address;       /* on the host, "0000:3b:00.1", whichever key said it; NULL: by ids */
        char *short_address; /* as given */
        char *domain, *bus, *slot, *function;
        char *vendor, *device, *class_id; /* four digits each; NULL: any */
        char *uuid;                       /* of a mediated device */
        enum mdev_mode mode;
        char *profile;         /* the type that the mediated device must have; NULL: any */
        char *vm_address;      /* in the guest, "rp3:0x0"; NULL: the plan's choice */
        uint32_t vm_bus_index; /* 0: none */
        char *vm_domain, *vm_bus, *vm_slot, *vm_function; /* as given; vm_address says the same */
        enum pci_type type;
        enum pci_root root;
        bool iommu;   /* an IOMMU of its own */
        bool iommufd; /* not by a group of vfio */
        char *acpi_nodes_text;
        bool acpi_nodes[PCI_ACPI_NODES_MAX]; /* NUMA nodes of the guest that it initiates transfers for */
};

struct usb_spec {
        struct section section;
        uint32_t id;                        /* USB_ID, or the first free number */
        char *vendor, *product;             /* four digits; NULL: any */
        char *bus, *device;                 /* of the host, decimal; NULL: not said */
        char *port;                         /* "1.4"; NULL: not said */
        uint32_t bus_number, device_number; /* parsed; 0: not said */
};

#define USB_ID_MAX 7
