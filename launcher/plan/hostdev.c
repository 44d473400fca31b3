/*
 * PCI devices of the host and mediated devices: vfio-pci. QEMU opens /dev/vfio/GROUP itself (7.2 takes no fd of it), so
 * the group's node is given to the VM's user while it runs. The administrator binds devices to vfio-pci: taking a device
 * from a driver that is in use is no plan's business.
 */
#include <string.h>

#include "base/text.h"
#include "launcher/host/device_facts.h"
#include "launcher/plan/device.h"
#include "launcher/plan/expander.h"

#define DRIVER    "vfio-pci"
#define CONTAINER "/dev/vfio/vfio"
#define IOMMU     "/dev/iommu"
#define BRIDGE    "0604"
#define NETWORK   "02"
/* Of devices that an ambiguity names. */
#define NAMED_MAX 8
/* What QEMU and the devices themselves pin besides the guest's memory: libvirt's number (libvirt-behaviour 4). */
#define MEMLOCK_BEYOND (1ull << 30)

static bool is_mdev(const struct pci_spec *pci)
{
        return pci->uuid && pci->mode == MDEV_LEGACY;
}

char *hostdev_id(const struct pci_spec *pci)
{
        return xasprintf("hostdev%u", pci->id);
}

char *hostdev_initiator_id(const char *id, unsigned node)
{
        return xasprintf("%s-node%u", id, node);
}

static char *reference(size_t i, const char *key)
{
        return xasprintf("PCI[%zu]/%s", i, key);
}

/* The key that says which device it is. */
static const char *naming_key(const struct pci_spec *pci)
{
        if (is_mdev(pci))
                return "UUID";
        if (pci->short_address)
                return "SHORT_ADDRESS";
        if (pci->domain)
                return "DOMAIN";
        return pci->address ? "ADDRESS" : pci->device ? "DEVICE" : pci->vendor ? "VENDOR" : "CLASS";
}

static bool fits(const struct pci_spec *pci, const struct pci_facts *facts)
{
        return (!pci->vendor || strcmp(pci->vendor, facts->vendor) == 0) &&
               (!pci->device || strcmp(pci->device, facts->device) == 0) &&
               (!pci->class_id || strcmp(pci->class_id, facts->class_id) == 0);
}

/* One that another vector of the template names by its address is not meant. */
static bool is_anothers(const struct vm_spec *spec, const struct pci_spec *pci, const char *address)
{
        for (size_t i = 0; i < spec->n_pcis; i++)
                if (&spec->pcis[i] != pci && !is_mdev(&spec->pcis[i]) && spec->pcis[i].address &&
                    strcmp(spec->pcis[i].address, address) == 0)
                        return true;
        return false;
}

static int find_by_ids(struct build *build, size_t i, const struct pci_facts **ret, struct error **err)
{
        const struct hostdev_facts *facts = &build->in->devices->hostdevs;
        const struct pci_spec *pci = &build->spec->pcis[i];
        _cleanup_free_ char *what = reference(i, naming_key(pci));
        _cleanup_text_ struct text named = TEXT_INIT;
        const struct pci_facts *found = NULL;
        size_t n = 0;

        for (size_t k = 0; k < facts->n_pcis; k++) {
                const struct pci_facts *each = &facts->pcis[k];

                if (!fits(pci, each) || strcmp(each->class_id, BRIDGE) == 0 ||
                    is_anothers(build->spec, pci, each->address))
                        continue;
                found = each;
                if (n++ < NAMED_MAX)
                        text_addf(&named, "%s%s", n > 1 ? ", " : "", each->address);
        }
        if (n == 1) {
                *ret = found;
                return 0;
        }
        if (!n) {
                build_error(build, err, ERROR_HOST, what, "no PCI device of this host has these ids");
                return error_hint(err, "lspci -nn shows them");
        }
        build_error(build, err, ERROR_HOST, what, "%zu PCI devices of this host have these ids: %s%s", n,
                    text_str(&named), n > NAMED_MAX ? ", ..." : "");
        return error_hint(err, "say which one: ADDRESS = \"%s\"", found->address);
}

static int find_by_address(struct build *build, size_t i, const struct pci_facts **ret, struct error **err)
{
        const struct pci_spec *pci = &build->spec->pcis[i];
        const struct pci_facts *found = hostdev_facts_pci(&build->in->devices->hostdevs, pci->address);
        _cleanup_free_ char *what = reference(i, naming_key(pci));

        if (!found) {
                build_error(build, err, ERROR_HOST, what, "there is no PCI device %s on this host",
                            pci->address);
                return error_hint(err, "lspci -D shows what there is");
        }
        if (!fits(pci, found))
                return build_error(
                        build, err, ERROR_HOST, what,
                        "%s is a device %s:%s of class %s, which is not what VENDOR, DEVICE and CLASS say",
                        pci->address, found->vendor, found->device, found->class_id);
        *ret = found;
        return 0;
}

static bool is_vfio(const char *driver)
{
        return driver && strstr(driver, "vfio");
}

static int check_driver(struct build *build, const char *what, const struct pci_spec *pci,
                        const struct pci_facts *facts, struct error **err)
{
        if (strcmp(facts->class_id, BRIDGE) == 0)
                return build_error(build, err, ERROR_HOST, what, "%s is a bridge, which stays the host's",
                                   facts->address);
        if (!facts->group) {
                build_error(
                        build, err, ERROR_HOST, what,
                        "%s is in no IOMMU group: without an IOMMU the guest would reach all of the host's memory",
                        facts->address);
                return error_hint(
                        err,
                        "switch VT-d or AMD-Vi on in the firmware, and intel_iommu=on or amd_iommu=on on "
                        "the kernel's command line");
        }
        if (is_vfio(facts->driver) || pci->mode == MDEV_NVIDIA)
                return 0;
        build_error(build, err, ERROR_HOST, what, "%s is not bound to vfio-pci: its driver is %s",
                    facts->address, facts->driver ? facts->driver : "none");
        return error_hint(err, "driverctl set-override %s vfio-pci", facts->address);
}

/* The kernel hands out a group as a whole (Documentation/driver-api/vfio.rst). */
static int check_group(struct build *build, const char *what, const struct pci_facts *pci, struct error **err)
{
        const struct hostdev_facts *facts = &build->in->devices->hostdevs;

        for (size_t i = 0; i < facts->n_pcis; i++) {
                const struct pci_facts *each = &facts->pcis[i];

                if (each == pci || !each->group || strcmp(each->group, pci->group) != 0 || !each->driver ||
                    is_vfio(each->driver) || strcmp(each->driver, "pci-stub") == 0 ||
                    strcmp(each->class_id, BRIDGE) == 0)
                        continue;
                build_error(build, err, ERROR_HOST, what,
                            "%s shares IOMMU group %s with %s, which the driver '%s' of the host has",
                            pci->address, pci->group, each->address, each->driver);
                return error_hint(
                        err,
                        "bind that one to vfio-pci, too, or to no driver: driverctl set-override %s "
                        "vfio-pci",
                        each->address);
        }
        return 0;
}

/* Another VM's name by its uid; NULL: it is nobody's. */
static const char *vm_of_uid(const struct build *build, uid_t uid)
{
        const struct host_facts *host = build->in->host;

        for (size_t i = 0; i < host->n_claimed_uids; i++)
                if (host->claimed_uids[i].uid == uid && uid != build->uid)
                        return host->claimed_uids[i].vm;
        return NULL;
}

/* through: what all VMs open, /dev/vfio/vfio or /dev/iommu. */
static int check_nodes(struct build *build, const char *what, const char *node, const char *through,
                       struct error **err)
{
        struct file_facts group = device_facts_file(build->in->devices, node),
                          container = device_facts_file(build->in->devices, through);
        const char *other;

        if (!group.exists || !container.exists || !S_ISCHR(group.mode)) {
                build_error(build, err, ERROR_HOST, what, "there is no %s on this host",
                            container.exists ? node : through);
                return error_hint(err,
                                  strcmp(through, IOMMU) == 0 ? "modprobe iommufd" : "modprobe vfio-pci");
        }
        other = vm_of_uid(build, group.uid);
        if (other)
                return build_error(build, err, ERROR_BUSY, what, "its group (%s) is in use by VM '%s'", node,
                                   other);
        if (!file_facts_allow(&container, build->uid, (gid_t)build->uid, (gid_t)-1, true, true)) {
                build_error(build, err, ERROR_HOST, what, "user %u, as which QEMU runs, may not open %s",
                            (unsigned)build->uid, through);
                return error_hint(err, "chmod 0666 %s: alone it gives nobody a device", through);
        }
        return 0;
}

static int find_mdev(struct build *build, size_t i, const struct mdev_facts **ret, struct error **err)
{
        const struct pci_spec *pci = &build->spec->pcis[i];
        const struct mdev_facts *found = hostdev_facts_mdev(&build->in->devices->hostdevs, pci->uuid);
        _cleanup_free_ char *uuid = reference(i, "UUID"), *profile = reference(i, "PROFILE");

        if (!found) {
                build_error(build, err, ERROR_HOST, uuid, "there is no mediated device %s on this host",
                            pci->uuid);
                return error_hint(err, "echo %s > /sys/class/mdev_bus/PARENT/mdev_supported_types/%s/create",
                                  pci->uuid, pci->profile ? pci->profile : "TYPE");
        }
        if (pci->profile && (!found->type || strcmp(pci->profile, found->type) != 0))
                return build_error(build, err, ERROR_HOST, profile, "the mediated device is a '%s'",
                                   found->type ? found->type : "?");
        if (!found->group)
                return build_error(build, err, ERROR_HOST, uuid, "the mediated device is in no IOMMU group");
        *ret = found;
        return 0;
}

/* iommufd and acpi-generic-initiator came with it. */
static int check_version(struct build *build, size_t i, const char *key, bool is_wanted, struct error **err)
{
        const struct qemu_facts *qemu = build->in->qemu;
        _cleanup_free_ char *what = reference(i, key);

        if (!is_wanted || qemu->major >= 9)
                return 0;
        return build_error(build, err, ERROR_HOST, what, "needs QEMU 9.0, and this one is %u.%u", qemu->major,
                           qemu->minor);
}

static int check_card(struct build *build, size_t i, const struct pci_facts *facts, struct error **err)
{
        _cleanup_free_ char *what = reference(i, "TYPE");

        if (build->spec->pcis[i].type != PCI_TYPE_NIC || text_starts_with(facts->class_id, NETWORK))
                return 0;
        return build_error(build, err, ERROR_HOST, what, "%s is no network card, its class is %s",
                           facts->address, facts->class_id);
}

/* The node that is the VM's own, and what it is opened through. */
static int find_node(struct build *build, size_t i, const struct pci_facts *facts, char **ret,
                     const char **ret_through, struct error **err)
{
        _cleanup_free_ char *what = reference(i, "IOMMUFD");

        if (!build->spec->pcis[i].iommufd) {
                *ret = vfio_group_node(facts->group);
                *ret_through = CONTAINER;
                return 0;
        }
        if (!facts->cdev) {
                build_error(build, err, ERROR_HOST, what, "the kernel has no node of its own for %s",
                            facts->address);
                return error_hint(err,
                                  "Linux 6.6 with CONFIG_VFIO_DEVICE_CDEV makes /dev/vfio/devices/vfioN");
        }
        *ret = vfio_device_node(facts->cdev);
        *ret_through = IOMMU;
        return 0;
}

static int check_one(struct build *build, size_t i, struct error **err)
{
        const struct pci_spec *pci = &build->spec->pcis[i];
        struct plan_hostdev *plan = &build->devices->pcis[i];
        _cleanup_free_ char *what = reference(i, naming_key(pci)), *node = NULL;
        const char *through = CONTAINER;

        if (build_need_device(build, what, DRIVER, err) < 0 ||
            check_version(build, i, "IOMMUFD", pci->iommufd, err) < 0 ||
            check_version(build, i, "ACPI_NODES", pci->acpi_nodes_text && *pci->acpi_nodes_text, err) < 0)
                return -1;
        if (is_mdev(pci)) {
                if (find_mdev(build, i, &plan->mdev, err) < 0)
                        return -1;
                node = vfio_group_node(plan->mdev->group);
        } else {
                if ((pci->address ? find_by_address : find_by_ids)(build, i, &plan->pci, err) < 0 ||
                    check_driver(build, what, pci, plan->pci, err) < 0 ||
                    check_group(build, what, plan->pci, err) < 0 ||
                    check_card(build, i, plan->pci, err) < 0 ||
                    find_node(build, i, plan->pci, &node, &through, err) < 0)
                        return -1;
        }
        if (check_nodes(build, what, node, through, err) < 0)
                return -1;
        plan->node = TAKE_PTR(node);
        return 0;
}

int hostdev_check(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_pcis; i++)
                if (check_one(build, i, err) < 0)
                        return -1;
        /* Only once all have been found: ids that leave the choice open could meet. */
        for (size_t i = 0; i < spec->n_pcis; i++)
                for (size_t k = 0; k < i; k++)
                        if (build->devices->pcis[i].pci &&
                            build->devices->pcis[i].pci == build->devices->pcis[k].pci) {
                                _cleanup_free_ char *what = reference(i, naming_key(&spec->pcis[i])),
                                                    *where = source_pos_name(&spec->pcis[k].section.pos,
                                                                             &spec->pcis[i].section.pos);

                                return build_error(build, err, ERROR_INVALID, what,
                                                   "%s is also the device of %s",
                                                   build->devices->pcis[i].pci->address, where);
                        }
        if (spec->n_pcis && spec->balloon.model != BALLOON_MODEL_NONE)
                build_note(
                        build, "PCI[0]/PCI_ID",
                        "the device may write to all of the guest's memory, so the balloon takes none away");
        return expander_check(build, err);
}

void hostdev_place(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_pcis; i++) {
                const char *address = spec->pcis[i].vm_address;
                bool is_elsewhere = expander_has(address);

                build_place(build, hostdev_id(&spec->pcis[i]), is_elsewhere ? NULL : address, false);
                if (is_elsewhere)
                        build->pci_devices[build->n_pci_devices - 1].address = xstrdup(address);
        }
}

json_t *hostdev_device(const char *id, const char *host, const char *uuid, const char *address)
{
        json_t *device = json_pack("{s:s, s:s}", "driver", DRIVER, "id", id);

        if (uuid) {
                json_object_set_new(device, "sysfsdev", json_sprintf("/sys/bus/mdev/devices/%s", uuid));
                /* Said, as libvirt does: the guest's screen is another one. */
                json_object_set_new(device, "display", json_string("off"));
        } else {
                json_object_set_new(device, "host", json_string(host));
        }
        build_set_address(device, address);
        return device;
}

/* One for all of them. */
static void iommufd_args(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        _cleanup_text_ struct text because = TEXT_INIT;
        bool any = false;

        for (size_t i = 0; i < spec->n_pcis; i++)
                if (spec->pcis[i].iommufd) {
                        build_refer(build, &because, "PCI[%zu]/IOMMUFD", i);
                        any = true;
                }
        if (any)
                build_json(build, text_str(&because), "-object",
                           json_pack("{s:s, s:s}", "qom-type", "iommufd", "id", HOSTDEV_IOMMUFD));
}

static void initiator_args(struct build *build, size_t i, const char *id)
{
        const struct pci_spec *pci = &build->spec->pcis[i];
        _cleanup_free_ char *because = reference(i, "ACPI_NODES");

        for (unsigned node = 0; node < PCI_ACPI_NODES_MAX; node++) {
                _cleanup_free_ char *name = hostdev_initiator_id(id, node);

                if (pci->acpi_nodes[node])
                        build_json(build, because, "-object",
                                   json_pack("{s:s, s:s, s:s, s:i}", "qom-type", "acpi-generic-initiator",
                                             "id", name, "pci-dev", id, "node", (int)node));
        }
}

void hostdev_args(struct build *build)
{
        static const char *const keys[] = { "ADDRESS",     "SHORT_ADDRESS", "DOMAIN", "VENDOR",
                                            "DEVICE",      "CLASS",         "UUID",   "MDEV_MODE",
                                            "VM_ADDRESS",  "VM_DOMAIN",     "VM_BUS", "VM_SLOT",
                                            "VM_FUNCTION", "VM_BUS_INDEX",  "PCI_ID", "ROOT",
                                            "IOMMUFD" };
        const struct vm_spec *spec = build->spec;

        iommufd_args(build);
        for (size_t i = 0; i < spec->n_pcis; i++) {
                const struct plan_hostdev *plan = &build->devices->pcis[i];
                const char *host = plan->pci ? plan->pci->address : NULL,
                           *uuid = plan->mdev ? plan->mdev->uuid : NULL, *address;
                _cleanup_free_ char *id = hostdev_id(&spec->pcis[i]);
                _cleanup_text_ struct text because = TEXT_INIT;
                json_t *device;

                address = build_pci_address(build, id);
                for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
                        build_refer(build, &because, "PCI[%zu]/%s", i, keys[k]);
                device = hostdev_device(id, host, uuid, address);
                if (spec->pcis[i].iommufd)
                        json_object_set_new(device, "iommufd", json_string(HOSTDEV_IOMMUFD));
                build_json(build, text_str(&because), "-device", device);
                initiator_args(build, i, id);
                build_device(build, json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "id", id, "kind", "pci",
                                              "address", address, "host", host, "uuid", uuid));
        }
}

/* Several devices may be of one group. */
static bool is_given_before(const struct build *build, size_t i)
{
        for (size_t k = 0; k < i; k++)
                if (strcmp(build->devices->pcis[k].node, build->devices->pcis[i].node) == 0)
                        return true;
        return false;
}

void hostdev_steps(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_pcis; i++) {
                _cleanup_free_ char *because = reference(i, naming_key(&spec->pcis[i]));

                if (!is_given_before(build, i))
                        build_step(build, because, EFFECT_DEVICE_GRANT,
                                   json_pack("{s:s, s:I}", "path", build->devices->pcis[i].node, "uid",
                                             (json_int_t)build->uid));
        }
}

/* A device may write to any page at any time, so all are pinned; with an IOMMU of its own once for each device. */
void hostdev_confine(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        struct plan_confinement *confine = &build->plan->confine;
        uint64_t guest = vm_spec_ram(spec) + vm_spec_memory_room(spec), times, needed;

        if (!spec->n_pcis)
                return;
        times = spec->iommu.present ? spec->n_pcis : 1;
        needed = guest > (UINT64_MAX - MEMLOCK_BEYOND) / times ? UINT64_MAX : guest * times + MEMLOCK_BEYOND;
        if (confine->memlock < needed)
                confine->memlock = needed;
}

/* As the device is now: which it was, and where. */
void hostdev_live(const struct build *build, size_t i, struct pci_spec *live)
{
        const struct plan_hostdev *plan = &build->devices->pcis[i];
        _cleanup_free_ char *id = hostdev_id(live);

        if (plan->pci)
                live->address = plan->pci->address;
        live->vm_address = (char *)build_pci_address(build, id);
}
