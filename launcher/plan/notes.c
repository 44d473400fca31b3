/* What a template chose that costs something, said to those who ask (DESIGN section 5.4). */
#include <string.h>

#include "launcher/plan/builder.h"
#include "launcher/plan/nic.h"

void notes_add(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct disk_spec *disk = &spec->disks[i];
                _cleanup_free_ char *reference = xasprintf("DISK[%zu]/TARGET", i);
                bool is_emulated = disk->bus == DISK_BUS_IDE || disk->bus == DISK_BUS_SATA;

                if (is_emulated && disk->medium == DISK_MEDIUM_DISK)
                        build_note(
                                build, reference,
                                "a disk on %s is slower than virtio (TARGET vda, or sda on SCSI), and cannot be "
                                "plugged while the VM runs",
                                disk->bus == DISK_BUS_IDE ? "IDE" : "SATA");
        }
        for (size_t i = 0; i < spec->n_nics; i++) {
                _cleanup_free_ char *reference = xasprintf("NIC[%zu]/MODEL", i);

                if (spec->nics[i].bridge_type == NIC_BRIDGE_USER && !spec->nics[i].backend &&
                    !nic_wants_passt(build, &spec->nics[i])) {
                        _cleanup_free_ char *user = xasprintf("NIC[%zu]/BRIDGE_TYPE", i);
                        const struct device_facts *facts = build->in->devices;

                        if (build->in->running)
                                build_note(build, user, "slirp: passt comes with a start only");
                        else if (facts->passt_fault)
                                build_note(build, user, "slirp: passt does not work here: %s",
                                           facts->passt_fault);
                        else
                                build_note(
                                        build, user,
                                        facts->passt
                                                ? "slirp: this QEMU cannot have passt"
                                                : "slirp: there is no passt on this host, which is faster");
                }
                if (!nic_is_virtio(&spec->nics[i]))
                        build_note(
                                build, reference,
                                "an emulated %s is slower than virtio, for guest and host, and has one queue",
                                spec->nics[i].model);
        }
}
