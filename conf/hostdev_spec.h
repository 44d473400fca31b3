/*
 * hostdev_spec - devices of the host that a guest gets; part of vm_spec.
 *
 * Strings are the rows' and owned by the spec. Numbers of devices are lower-case hexadecimal after spec_set_hostdevs().
 */
#pragma once

#include <stdint.h>

#include "conf/origin.h"

enum mdev_mode { MDEV_LEGACY, MDEV_NVIDIA };

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
