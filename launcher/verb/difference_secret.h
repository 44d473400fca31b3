/*
 * difference_secret - whether a template's PASSWD is that of the running VM.
 *
 * Values are compared here and go nowhere. Who may not read QEMU's (root and the VM's own user may) is told so.
 */
#pragma once

#include "launcher/verb/change.h"

/* true: it is another one, or nobody knows; *ret_why: a constant. */
bool difference_of_secret(const struct change *change, const struct vm_spec *wanted, const char **ret_why);
