/*
 * machined - makes a VM known to systemd-machined, where that runs: `machinectl` lists it then.
 *
 * Asked and heard by the supervisor's loop, which waits for nobody: systemd-machined may not answer. It is never started
 * for this. The undo takes it back while the VM's unit is still there: else systemd-machined has the unit stopped when it
 * sees that it is inactive, and by then it may be that of the VM's next run.
 */
#pragma once

#include <sys/types.h>

#include "base/loop.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/run/execute.h"

struct machined;

/* Begins it, half a second later, for the plan's step "machined", whose note is made by execution; NULL: there is none.
 * What goes wrong is a line in the log. loop is borrowed until machined_free(), which ends it wherever it is and accepts
 * NULL. */
struct machined *machined_begin(struct loop *loop, struct execution *execution,
                                const struct launch_plan *plan, pid_t qemu);
/* The same for a supervisor that finds the note of one before it, who may have come to it or not. */
struct machined *machined_resume(struct loop *loop, const json_t *args);
void machined_free(struct machined *machined);
