/*
 * unit_text - what a VM's template says to systemd: the drop-in of its unit. Pure.
 */
#pragma once

#include <stddef.h>

#include "conf/site.h"
#include "conf/vm_spec.h"

/* One of the VMs that are started at boot, as far as order goes. */
struct unit_place {
        const char *vm; /* borrowed */
        uint32_t order; /* START_ORDER, 0: after all that have one */
        uint32_t delay; /* START_DELAY in seconds */
};

/* 10-vmlaunch.conf of the VM, but for its order; new string. */
char *unit_dropin(const struct vm_spec *spec, const struct site *site);
/* Its order, to be added to that; places: all VMs there are, in any order. New string, empty when it says nothing. */
char *unit_order(const struct unit_place *own, const struct unit_place *places, size_t n);
/* The drop-in of vmlaunch-delay@.service for a VM with START_DELAY; new string. */
char *unit_delay_dropin(const struct vm_spec *spec);
/* Does one VM come after the other? */
bool unit_is_after(const struct unit_place *one, const struct unit_place *other);
