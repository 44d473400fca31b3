/*
 * spec_pending - in which attributes one spec differs from another of the same VM. Pure.
 *
 * What a start works out of an attribute (the version of an alias of a machine, addresses) is no difference.
 */
#pragma once

#include "conf/vm_spec.h"

/* reference: "MEMTUNE/HARD_LIMIT", "DISK[1]/CACHE", or "DISK[2]" where only one of them has it. */
typedef void spec_pending_fn(const char *reference, void *data);
/* live: what the VM runs with, as live.tmpl says. */
void spec_pending(const struct vm_spec *wanted, const struct vm_spec *live, spec_pending_fn *fn, void *data);
