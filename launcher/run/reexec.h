/*
 * reexec - a running supervisor becomes another program: vmlaunch-reexec and `vmlaunch __reexec`.
 *
 * Same process, so the same pid, children and locks; the guest, QEMU's connection and the clients notice nothing.
 * What goes from the one to the other is handover.h's.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "launcher/run/handover.h"
#include "launcher/run/supervisor.h"

/* The path of this program, without " (deleted)"; new string, NULL: not known. */
char *reexec_own_program(void);

/*
 * Goes on with the VM of the program that this process was. vm, locked, is consumed, and handover freed once all is
 * taken. Returns the exit status of `run`; -1 and *err: the state cannot be taken over. What was taken till then is
 * left open, vm too: the caller has to execute something that adopts.
 */
int supervisor_take_over(struct vm_dir *vm, struct handover *handover,
                         const struct supervisor_options *options, struct error **err);
