/*
 * hostdev_facts - the host's PCI, mediated and USB devices, as sysfs tells of them.
 *
 * To and from JSON as members of the device facts, so that a test can be a host with other hardware:
 *   "pci":  [{"address": "0000:3b:00.0", "vendor": "10de", "device": "1eb8", "class": "0302", "driver": "vfio-pci",
 *             "group": "27", "cdev": "vfio0"}, ...]
 *   "mdev": [{"uuid": "83b8f4f2-...", "type": "i915-GVTg_V5_4", "parent": "0000:00:02.0", "group": "28"}, ...]
 *   "usb":  [{"bus": 1, "device": 4, "port": "1.2", "vendor": "0951", "product": "1625", "name": "DataTraveler"}, ...]
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "conf/vm_spec.h"

struct pci_facts {
        char *address, *vendor, *device, *class_id; /* lower-case hexadecimal digits */
        char *driver;                               /* NULL: none is bound */
        char *group;                                /* of the IOMMU; NULL: there is no IOMMU */
        char *cdev; /* "vfio3", its own node for iommufd; NULL: the kernel has none, or vfio-pci has not got it */
};

struct mdev_facts {
        char *uuid, *type, *parent, *group; /* all but uuid may be NULL */
};

struct usb_facts {
        uint32_t bus, device;
        char *port, *vendor, *product;
        char *name; /* as the device says; NULL: nothing */
};

struct hostdev_facts {
        struct pci_facts *pcis; /* by address */
        size_t n_pcis;
        struct mdev_facts *mdevs;
        size_t n_mdevs;
        struct usb_facts *usbs; /* by bus and device; no hubs */
        size_t n_usbs;
};

/* What the spec needs of it; sysfs: "/sys". Devices that go meanwhile are left out. */
int hostdev_facts_read(const char *sysfs, const struct vm_spec *spec, struct hostdev_facts *ret,
                       struct error **err);
/* Into the object, where there are any. */
void hostdev_facts_to_json(const struct hostdev_facts *facts, json_t *json);
int hostdev_facts_from_json(const json_t *json, struct hostdev_facts *ret, struct error **err);
void hostdev_facts_done(struct hostdev_facts *facts);

/* NULL: there is no such device. */
const struct pci_facts *hostdev_facts_pci(const struct hostdev_facts *facts, const char *address);
const struct mdev_facts *hostdev_facts_mdev(const struct hostdev_facts *facts, const char *uuid);
/* "/dev/vfio/27", "/dev/bus/usb/001/004"; new strings. */
char *vfio_group_node(const char *group);
/* "/dev/vfio/devices/vfio3"; new string. */
char *vfio_device_node(const char *cdev);
char *usb_node(const struct usb_facts *usb);
