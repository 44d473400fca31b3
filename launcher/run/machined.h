/*
 * machined - makes a VM known to systemd-machined, where that runs: `machinectl` lists it then.
 *
 * In a process of its own, `vmlaunch __machined`, because systemd-machined may not answer. It is never started for this.
 * Nothing has to be undone: systemd-machined forgets a machine whose unit is gone.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"
#include "launcher/plan/launch_plan.h"

/* Begins it for the plan's step "machined", if there is one; what went wrong is a line in the log. */
void machined_begin(struct loop *loop, const struct launch_plan *plan, pid_t qemu);

/* `vmlaunch __machined NAME UUID PID` */
int machined_register(const char *name, const char *uuid, pid_t leader, struct error **err);
