/* Places of disks that are not on PCI: SCSI ids, ports of SATA, IDE and floppy controllers. */
#include <string.h>

#include "launcher/plan/disk_parts.h"

/* docs of each: SCSI id of virtio-scsi 0..255; ICH9 AHCI 6 ports; PIIX IDE 2 channels of 2; a floppy controller 2. */
#define SCSI_IDS      256
#define SATA_PORTS    6
#define IDE_PLACES    4
#define FLOPPY_PLACES 2

/* "sda" is 0, "sdz" 25, "sdaa" 26; -1: no letters after the prefix. */
static int target_index(const char *target)
{
        int index = 0;

        if (strlen(target) < 3)
                return -1;
        for (const char *p = target + 2; *p; p++) {
                if (*p < 'a' || *p > 'z' || index > 1000)
                        return -1;
                index = index * 26 + (*p - 'a') + 1;
        }
        return index - 1;
}

/* The ports of a kind of controller. */
struct ports {
        enum disk_bus bus;
        const char *floppies; /* name of the floppy controller's bus */
        unsigned n;
        bool *taken;
};

static char *port_name(const struct ports *ports, unsigned port)
{
        switch (ports->bus) {
        case DISK_BUS_SATA:
                return xasprintf("ide.%u:0", port);
        case DISK_BUS_FLOPPY:
                return xasprintf("%s:%u", ports->floppies, port);
        default:
                return xasprintf("ide.%u:%u", port / 2, port % 2);
        }
}

enum pass { PASS_KNOWN, PASS_LETTER, PASS_FREE, PASSES };

/* The place it had, then the one its letter says, then the first free one. */
static void try_place(struct build *build, size_t i, const struct ports *ports, enum pass pass)
{
        const struct disk_spec *disk = &build->spec->disks[i];
        _cleanup_free_ char *id = xasprintf("disk%u", disk->id);
        const char *known = disk->address ? disk->address : build_locked_address(build, id);
        int letter = target_index(disk->target);

        for (unsigned p = 0; p < ports->n; p++) {
                _cleanup_free_ char *name = port_name(ports, p);

                if (ports->taken[p] || (pass == PASS_KNOWN && (!known || strcmp(known, name) != 0)) ||
                    (pass == PASS_LETTER && letter != (int)p))
                        continue;
                ports->taken[p] = true;
                build->disks[i].address = TAKE_PTR(name);
                return;
        }
}

static int place_on_ports(struct build *build, const struct ports *ports, struct error **err)
{
        for (enum pass pass = PASS_KNOWN; pass < PASSES; pass++)
                for (size_t i = 0; i < build->spec->n_disks; i++) {
                        const struct disk_spec *disk = &build->spec->disks[i];

                        if (disk->bus != ports->bus || build->disks[i].address)
                                continue;
                        try_place(build, i, ports, pass);
                        if (build->disks[i].address)
                                continue;
                        if (pass == PASS_KNOWN && disk->address)
                                return disk_error(build, err, ERROR_INVALID, i, "ADDRESS",
                                                  "no such place, or it is taken");
                        if (pass == PASS_FREE) {
                                disk_error(build, err, ERROR_INVALID, i, "TARGET",
                                           "a '%s' has room for %u %s disks and CD-ROMs",
                                           build->machine->name, ports->n, disk_bus_name(disk->bus));
                                return error_hint(err, "use TARGET vda, vdb, ... for disks");
                        }
                }
        return 0;
}

int disk_place_all(struct build *build, struct error **err)
{
        bool taken[SCSI_IDS] = { false }, ports[SATA_PORTS] = { false }, drives[FLOPPY_PLACES] = { false };
        bool is_q35 = build->kind == MACHINE_Q35;
        const struct ports disks = { .bus = is_q35 ? DISK_BUS_SATA : DISK_BUS_IDE,
                                     .n = is_q35 ? SATA_PORTS : IDE_PLACES,
                                     .taken = ports };
        const struct ports floppies = { .bus = DISK_BUS_FLOPPY,
                                        /* Ours, or the one that a PC has built in. */
                                        .floppies = is_q35 ? "fdc0.0" : "floppy-bus.0",
                                        .n = FLOPPY_PLACES,
                                        .taken = drives };

        for (size_t i = 0; i < build->spec->n_disks; i++) {
                const struct disk_spec *disk = &build->spec->disks[i];
                int index = target_index(disk->target);

                if (disk->bus == DISK_BUS_VIRTIO) {
                        _cleanup_free_ char *id = xasprintf("disk%u", disk->id);

                        build->disks[i].address = xstrdup(build_pci_address(build, id));
                } else if (disk->bus == DISK_BUS_SCSI) {
                        if (index < 0 || index >= SCSI_IDS || taken[index])
                                return disk_error(
                                        build, err, ERROR_INVALID, i, "TARGET",
                                        "no SCSI id for it: letters a to iv after the prefix, each once");
                        taken[index] = true;
                        build->disks[i].address = xasprintf("scsi0.0:%d", index);
                        if (disk->address && strcmp(disk->address, build->disks[i].address) != 0)
                                return disk_error(build, err, ERROR_INVALID, i, "ADDRESS",
                                                  "a SCSI disk's place follows from its TARGET");
                }
        }
        return place_on_ports(build, &disks, err) < 0 || place_on_ports(build, &floppies, err) < 0 ? -1 : 0;
}
