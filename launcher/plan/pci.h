/*
 * pci - where each PCI device of the guest sits: the same place in every run.
 *
 * Pure. q35: every device sits alone behind a root port rp1, rp2, ... at slot 0; root ports are functions 0 to 7
 * of pcie.0's slots from 2 on, and at least PCI_FREE_PORTS stay free for hotplug. Conventional cards share the
 * bridge pci1, a device that the caller lists like any other. pc: slots of pci.0 from 3 on (0: host bridge, 1:
 * PIIX, 2: kept for the first video card). An address is written "rp3:0x0", "pci.0:0x4", "pci1:0x1".
 *
 * A device asks for the place it had (machine.lock); others take the first place that nobody had, and only when
 * there is none left, a place of a device that is gone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "launcher/state/machine_lock.h"

#define PCI_FREE_PORTS 4
#define PCI_BRIDGE     "pci1"

struct pci_device {
        const char *id;     /* "disk0" */
        const char *wanted; /* the template's ADDRESS: taken or an error; NULL: none */
        bool is_legacy;     /* behind the bridge on q35 */
        char *address; /* result; owned. Given beforehand it is behind another root (expander.h), and stays */
};

struct pci_layout {
        unsigned n_ports; /* root ports on q35, 0 on pc */
        char **forgotten; /* ids in the lock whose place was given away; owned */
        size_t n_forgotten;
};

/* root_ports: Q35_ROOT_PORTS. lock may be NULL. ERROR_INVALID when a place does not exist, is taken, or places run
 * out; then nothing is written to ret, but addresses may have been. */
int pci_place(bool is_q35, unsigned root_ports, const struct machine_lock *lock, struct pci_device *devices,
              size_t n, struct pci_layout *ret, struct error **err);
void pci_layout_done(struct pci_layout *layout);

/* Root port number n (from 1) is function ret_function of pcie.0's slot ret_slot. */
void pci_root_port_place(unsigned n, unsigned *ret_slot, unsigned *ret_function);
