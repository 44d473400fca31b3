#include "conf/foreign.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"

struct foreign {
        const char *name, *what;
};

static const struct foreign attributes[] = {
        /* The Compute guide's page on KVM, and nova.conf since. */
        { "COMPUTE_DRIVER", "is of OpenStack (nova.conf), and there is one driver here" },
        { "LIBVIRT_TYPE", "is of OpenStack (nova.conf); here: ACCEL = \"kvm\"" },
        { "VIRT_TYPE", "is of OpenStack (nova.conf); here: ACCEL = \"kvm\"" },
        { "LIBVIRT_CPU_MODE",
          "is of OpenStack (nova.conf); here: CPU_MODEL = [ MODEL = \"host-model\" ], or host-passthrough, none, "
          "or the model's name" },
        { "LIBVIRT_CPU_MODEL", "is of OpenStack (nova.conf); here: CPU_MODEL = [ MODEL = \"NAME\" ]" },
        { "LIBVIRT_CPU_MODEL_EXTRA_FLAGS",
          "is of OpenStack (nova.conf); here: CPU_MODEL = [ FEATURES = \"FLAG,...\" ]" },
        { "LIBVIRT_DISK_CACHEMODES", "is of OpenStack (nova.conf); here: DISK = [ CACHE = \"...\" ]" },
        /* opennebula-semantics 2.3, and the KVM driver's guides. */
        { "VM_MAD", "is of OpenNebula's oned.conf: no attribute of a VM" },
        { "IM_MAD", "is of OpenNebula's oned.conf: no attribute of a VM" },
        { "LIVE_DISK_SNAPSHOTS", "is of OpenNebula's oned.conf: no attribute of a VM" },
        { "MAX_HOST", "is of OpenNebula's scheduler (sched.conf): no attribute of a VM" },
        { "LISTEN_TLS", "is of libvirtd.conf: there is no libvirtd here" },
        { "LISTEN_TCP", "is of libvirtd.conf: there is no libvirtd here" },
        { "TCP_PORT", "is of libvirtd.conf: there is no libvirtd here" },
        { "AUTH_TCP", "is of libvirtd.conf: there is no libvirtd here" },
        { "LIBVIRTD_ARGS", "is of libvirtd: there is none here" },
        { "LIBVIRT_URI", "is of kvmrc, and there is no libvirt here" },
        { "MIGRATE_OPTIONS", "is of kvmrc" },
        { "FORCE_DESTROY", "is of kvmrc" },
        { "CLEANUP_MEMORY_ON_START", "is of kvmrc" },
        { "CLEANUP_MEMORY_ON_STOP", "is of kvmrc" },
};

static const struct foreign elements[] = {
        { "bootloader", "is for Xen's paravirtualised guests; a kernel is OS/KERNEL" },
        { "bootloader_args", "is for Xen's paravirtualised guests" },
        { "name", "is NAME" },
        { "uuid", "is UUID" },
        { "id", "is libvirt's number of a domain that runs" },
        { "seclabel", "is of libvirt's security drivers: a VM here has a user of its own and a sandbox" },
        { "resource", "is libvirt's control group; here: SLICE" },
        { "vcpus", "is no element of libvirt; did you mean <vcpu>?" },
        { "idmap", "is of libvirt's containers" },
        { "keywrap", "is of s390" },
        { "genid", "is no device that an attribute has" },
        { "perf", "is libvirt's counting of events on the host" },
        { "capabilities", "is what libvirt says of a host: no part of a domain" },
        { "features/viridian",
          "is Xen's name of Hyper-V's enlightenments; here: FEATURES = [ HYPERV = \"yes\" ]" },
        { "features/xen", "is Xen's" },
        { "features/hap", "is Xen's: under KVM the host's CPU decides" },
        { "features/capabilities", "is of libvirt's containers" },
        { "devices/lease", "is of libvirt's lock daemon" },
        { "devices/hub", "is a USB hub, which comes with the devices that need it" },
};

static const char *find(const struct foreign *rows, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(rows[i].name, name) == 0)
                        return rows[i].what;
        return NULL;
}

const char *foreign_attribute(const char *name)
{
        return find(attributes, ARRAY_SIZE(attributes), name);
}

const char *foreign_element(const char *path)
{
        return find(elements, ARRAY_SIZE(elements), path);
}
