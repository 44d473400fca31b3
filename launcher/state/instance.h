/*
 * instance - to which of this host's instances of vmlaunch something belongs.
 *
 * Instances (--root) live side by side on one kernel and may have VMs of the same names. Each has an id of its own,
 * and every generation begins with it: so whatever carries a generation (a tap's alias, a control group's mark, QEMU's
 * command line) says whose it is when no file of its run is left to ask.
 *
 * The id is made of STATE/.instance, random bytes written by the first start, and of that file's device and inode: a
 * copy of the directory is another instance, an emptied RUN is the same.
 */
#pragma once

#include "base/error.h"
#include "conf/site.h"

#define INSTANCE_DIGITS 8 /* hexadecimal, lower case */

/* New string in *ret. make false: NULL in *ret and 0 when there is none yet, so nothing on this host is its own. */
int instance_id(const struct paths *paths, bool make, char **ret, struct error **err);
/* What a first start that died has left: its file under another name. */
void instance_sweep(const struct paths *paths);
