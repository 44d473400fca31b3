/*
 * difference_size - what a template's VCPU and MEMORY are to a VM that has some of them plugged in.
 *
 * live.tmpl has what the VM was started with, and beside it what came since. A template says how much there shall be.
 */
#pragma once

#include "launcher/verb/change.h"

/* wanted, the template that spec was read from, says the same in live.tmpl's way as far as it can be reached now. */
void difference_of_size(const struct change *change, const struct vm_spec *spec, struct template *wanted);
