#include "launcher/host/hostdev_facts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

#define ATTRIBUTE_MAX 4096
#define DEVICES_MAX   65536

/* The first line of DIRECTORY/NAME/FILE without "0x"; NULL: there is none, or no UTF-8. */
static char *attribute(const char *directory, const char *name, const char *file)
{
        _cleanup_free_ char *path = xasprintf("%s/%s/%s", directory, name, file), *text = NULL;
        struct error *ignored = NULL;
        const char *start;
        json_t *utf8;

        if (fd_read_file_at(AT_FDCWD, path, ATTRIBUTE_MAX, &text, NULL, &ignored) < 0) {
                error_free(ignored);
                return NULL;
        }
        text[strcspn(text, "\n")] = '\0';
        start = text_starts_with(text, "0x") ? text + 2 : text;
        utf8 = json_string(start);
        if (!utf8)
                return NULL;
        json_decref(utf8);
        return xstrdup(start);
}

/* What the link DIRECTORY/NAME/FILE names, its last part; NULL: there is none. */
static char *link_name(const char *directory, const char *name, const char *file)
{
        _cleanup_free_ char *path = xasprintf("%s/%s/%s", directory, name, file),
                            *target = fd_read_link(AT_FDCWD, path);
        const char *slash = target ? strrchr(target, '/') : NULL;

        return slash ? xstrdup(slash + 1) : TAKE_PTR(target);
}

static int not_hidden(const struct dirent *entry)
{
        return entry->d_name[0] != '.';
}

/* Each name of a directory, sorted; none where there is no such bus. */
static int each_name(const char *directory, void (*fn)(const char *directory, const char *name, void *data),
                     void *data, struct error **err)
{
        struct dirent **entries = NULL;
        int n = scandir(directory, &entries, not_hidden, alphasort);

        if (n < 0 && errno != ENOENT)
                return error_os(err, errno, "list '%s'", directory);
        for (int i = 0; i < n; i++) {
                if (i < DEVICES_MAX)
                        fn(directory, entries[i]->d_name, data);
                free(entries[i]);
        }
        free(entries);
        return 0;
}

/* The one name in DIRECTORY/NAME/vfio-dev (Documentation/driver-api/vfio.rst). */
static char *own_node(const char *directory, const char *name)
{
        _cleanup_free_ char *path = xasprintf("%s/%s/vfio-dev", directory, name);
        struct dirent **entries = NULL;
        int n = scandir(path, &entries, not_hidden, alphasort);
        uint32_t number;
        char *found = NULL;

        for (int i = 0; i < n; i++) {
                const char *entry = entries[i]->d_name;

                if (!found && text_starts_with(entry, "vfio") && text_parse_u32(entry + 4, &number))
                        found = xstrdup(entry);
                free(entries[i]);
        }
        free(entries);
        return found;
}

static void add_pci(const char *directory, const char *name, void *data)
{
        struct hostdev_facts *facts = data;
        struct pci_facts pci = { .vendor = attribute(directory, name, "vendor"),
                                 .device = attribute(directory, name, "device"),
                                 .class_id = attribute(directory, name, "class") };

        if (!pci.vendor || !pci.device || !pci.class_id || strlen(pci.class_id) < 4) {
                free(pci.vendor);
                free(pci.device);
                free(pci.class_id);
                return;
        }
        /* The programming interface is no part of it. */
        pci.class_id[4] = '\0';
        pci.address = xstrdup(name);
        pci.driver = link_name(directory, name, "driver");
        pci.group = link_name(directory, name, "iommu_group");
        pci.cdev = own_node(directory, name);
        ARRAY_GROW(facts->pcis, facts->n_pcis);
        facts->pcis[facts->n_pcis++] = pci;
}

static void add_mdev(const char *sysfs, const char *uuid, struct hostdev_facts *facts)
{
        _cleanup_free_ char *directory = xasprintf("%s/bus/mdev/devices", sysfs),
                            *path = xasprintf("%s/%s", directory, uuid), *real = realpath(path, NULL);
        struct mdev_facts mdev = { 0 };
        char *slash = real ? strrchr(real, '/') : NULL;

        if (!slash)
                return;
        *slash = '\0';
        slash = strrchr(real, '/');
        mdev.uuid = xstrdup(uuid);
        mdev.type = link_name(directory, uuid, "mdev_type");
        mdev.parent = xstrdup(slash ? slash + 1 : real);
        mdev.group = link_name(directory, uuid, "iommu_group");
        ARRAY_GROW(facts->mdevs, facts->n_mdevs);
        facts->mdevs[facts->n_mdevs++] = mdev;
}

/* "1-1.2" is a device, "usb1" the root hub, "1-1.2:1.0" an interface; class 9 is a hub (USB 2.0, 11.23.1). */
static void add_usb(const char *directory, const char *name, void *data)
{
        struct hostdev_facts *facts = data;
        const char *dash = strchr(name, '-');
        _cleanup_free_ char *bus = NULL, *device = NULL, *class = NULL;
        struct usb_facts usb = { 0 };

        if (!dash || strchr(name, ':'))
                return;
        bus = attribute(directory, name, "busnum");
        device = attribute(directory, name, "devnum");
        class = attribute(directory, name, "bDeviceClass");
        if (!bus || !device || !text_parse_u32(bus, &usb.bus) || !text_parse_u32(device, &usb.device) ||
            (class && strcmp(class, "09") == 0))
                return;
        usb.vendor = attribute(directory, name, "idVendor");
        usb.product = attribute(directory, name, "idProduct");
        if (!usb.vendor || !usb.product) {
                free(usb.vendor);
                free(usb.product);
                return;
        }
        usb.port = xstrdup(dash + 1);
        usb.name = attribute(directory, name, "product");
        ARRAY_GROW(facts->usbs, facts->n_usbs);
        facts->usbs[facts->n_usbs++] = usb;
}

int hostdev_facts_read(const char *sysfs, const struct vm_spec *spec, struct hostdev_facts *ret,
                       struct error **err)
{
        _cleanup_free_ char *pci = xasprintf("%s/bus/pci/devices", sysfs),
                            *usb = xasprintf("%s/bus/usb/devices", sysfs);
        struct hostdev_facts facts = { 0 };

        if ((spec->n_pcis && each_name(pci, add_pci, &facts, err) < 0) ||
            (spec->n_usbs && each_name(usb, add_usb, &facts, err) < 0)) {
                hostdev_facts_done(&facts);
                return -1;
        }
        for (size_t i = 0; i < spec->n_pcis; i++)
                if (spec->pcis[i].uuid && spec->pcis[i].mode == MDEV_LEGACY)
                        add_mdev(sysfs, spec->pcis[i].uuid, &facts);
        *ret = facts;
        return 0;
}

static void set_list(json_t *json, const char *name, json_t *list_consume)
{
        if (json_array_size(list_consume))
                json_object_set(json, name, list_consume);
        json_decref(list_consume);
}

void hostdev_facts_to_json(const struct hostdev_facts *facts, json_t *json)
{
        json_t *pcis = json_array(), *mdevs = json_array(), *usbs = json_array();

        for (size_t i = 0; i < facts->n_pcis; i++) {
                const struct pci_facts *pci = &facts->pcis[i];

                json_array_append_new(pcis, json_pack("{s:s, s:s, s:s, s:s, s:s*, s:s*, s:s*}", "address",
                                                      pci->address, "vendor", pci->vendor, "device",
                                                      pci->device, "class", pci->class_id, "driver",
                                                      pci->driver, "group", pci->group, "cdev", pci->cdev));
        }
        for (size_t i = 0; i < facts->n_mdevs; i++) {
                const struct mdev_facts *mdev = &facts->mdevs[i];

                json_array_append_new(mdevs,
                                      json_pack("{s:s, s:s*, s:s*, s:s*}", "uuid", mdev->uuid, "type",
                                                mdev->type, "parent", mdev->parent, "group", mdev->group));
        }
        for (size_t i = 0; i < facts->n_usbs; i++) {
                const struct usb_facts *usb = &facts->usbs[i];

                json_array_append_new(usbs, json_pack("{s:I, s:I, s:s, s:s, s:s, s:s*}", "bus",
                                                      (json_int_t)usb->bus, "device", (json_int_t)usb->device,
                                                      "port", usb->port, "vendor", usb->vendor, "product",
                                                      usb->product, "name", usb->name));
        }
        set_list(json, "pci", pcis);
        set_list(json, "mdev", mdevs);
        set_list(json, "usb", usbs);
}

static int pci_from_json(json_t *json, struct hostdev_facts *facts, struct error **err)
{
        const char *address, *vendor, *device, *class, *driver = NULL, *group = NULL, *cdev = NULL;
        json_error_t why;

        if (json_unpack_ex(json, &why, 0, "{s:s, s:s, s:s, s:s, s?s, s?s, s?s}", "address", &address,
                           "vendor", &vendor, "device", &device, "class", &class, "driver", &driver, "group",
                           &group, "cdev", &cdev) < 0)
                return error_set(err, ERROR_FAILED, "device facts: pci: %s", why.text);
        ARRAY_GROW(facts->pcis, facts->n_pcis);
        facts->pcis[facts->n_pcis++] =
                (struct pci_facts){ xstrdup(address),  xstrdup(vendor),      xstrdup(device),
                                    xstrdup(class),    xstrdup_null(driver), xstrdup_null(group),
                                    xstrdup_null(cdev) };
        return 0;
}

static int mdev_from_json(json_t *json, struct hostdev_facts *facts, struct error **err)
{
        const char *uuid, *type = NULL, *parent = NULL, *group = NULL;
        json_error_t why;

        if (json_unpack_ex(json, &why, 0, "{s:s, s?s, s?s, s?s}", "uuid", &uuid, "type", &type, "parent",
                           &parent, "group", &group) < 0)
                return error_set(err, ERROR_FAILED, "device facts: mdev: %s", why.text);
        ARRAY_GROW(facts->mdevs, facts->n_mdevs);
        facts->mdevs[facts->n_mdevs++] = (struct mdev_facts){ xstrdup(uuid), xstrdup_null(type),
                                                              xstrdup_null(parent), xstrdup_null(group) };
        return 0;
}

static int usb_from_json(json_t *json, struct hostdev_facts *facts, struct error **err)
{
        const char *port, *vendor, *product, *name = NULL;
        json_int_t bus, device;
        json_error_t why;

        if (json_unpack_ex(json, &why, 0, "{s:I, s:I, s:s, s:s, s:s, s?s}", "bus", &bus, "device", &device,
                           "port", &port, "vendor", &vendor, "product", &product, "name", &name) < 0)
                return error_set(err, ERROR_FAILED, "device facts: usb: %s", why.text);
        if (bus < 0 || bus > UINT16_MAX || device < 0 || device > UINT16_MAX)
                return error_set(err, ERROR_FAILED, "device facts: usb: a number is out of range");
        ARRAY_GROW(facts->usbs, facts->n_usbs);
        facts->usbs[facts->n_usbs++] =
                (struct usb_facts){ (uint32_t)bus,   (uint32_t)device, xstrdup(port),
                                    xstrdup(vendor), xstrdup(product), xstrdup_null(name) };
        return 0;
}

int hostdev_facts_from_json(const json_t *json, struct hostdev_facts *ret, struct error **err)
{
        static const struct {
                const char *name;
                int (*read)(json_t *json, struct hostdev_facts *facts, struct error **err);
        } lists[] = { { "pci", pci_from_json }, { "mdev", mdev_from_json }, { "usb", usb_from_json } };
        struct hostdev_facts facts = { 0 };

        for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
                json_t *each;
                size_t i;

                json_array_foreach (json_object_get(json, lists[k].name), i, each) {
                        if (lists[k].read(each, &facts, err) < 0) {
                                hostdev_facts_done(&facts);
                                return -1;
                        }
                }
        }
        *ret = facts;
        return 0;
}

void hostdev_facts_done(struct hostdev_facts *facts)
{
        for (size_t i = 0; i < facts->n_pcis; i++) {
                free(facts->pcis[i].address);
                free(facts->pcis[i].vendor);
                free(facts->pcis[i].device);
                free(facts->pcis[i].class_id);
                free(facts->pcis[i].driver);
                free(facts->pcis[i].group);
                free(facts->pcis[i].cdev);
        }
        for (size_t i = 0; i < facts->n_mdevs; i++) {
                free(facts->mdevs[i].uuid);
                free(facts->mdevs[i].type);
                free(facts->mdevs[i].parent);
                free(facts->mdevs[i].group);
        }
        for (size_t i = 0; i < facts->n_usbs; i++) {
                free(facts->usbs[i].port);
                free(facts->usbs[i].vendor);
                free(facts->usbs[i].product);
                free(facts->usbs[i].name);
        }
        free(facts->pcis);
        free(facts->mdevs);
        free(facts->usbs);
        *facts = (struct hostdev_facts){ 0 };
}

const struct pci_facts *hostdev_facts_pci(const struct hostdev_facts *facts, const char *address)
{
        for (size_t i = 0; i < facts->n_pcis; i++)
                if (strcmp(facts->pcis[i].address, address) == 0)
                        return &facts->pcis[i];
        return NULL;
}

const struct mdev_facts *hostdev_facts_mdev(const struct hostdev_facts *facts, const char *uuid)
{
        for (size_t i = 0; i < facts->n_mdevs; i++)
                if (strcmp(facts->mdevs[i].uuid, uuid) == 0)
                        return &facts->mdevs[i];
        return NULL;
}

char *vfio_group_node(const char *group)
{
        return xasprintf("/dev/vfio/%s", group);
}

char *vfio_device_node(const char *cdev)
{
        return xasprintf("/dev/vfio/devices/%s", cdev);
}

char *usb_node(const struct usb_facts *usb)
{
        return xasprintf("/dev/bus/usb/%03u/%03u", usb->bus, usb->device);
}
