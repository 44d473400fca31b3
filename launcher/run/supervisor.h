/*
 * supervisor - from fork to exit one process per VM holds QMP and the agent.
 *
 * lock VM -> journal -> execute plan -> QMP up -> qmp steps -> ready; then one epoll loop over QEMU's pidfd, QMP,
 * agent, control socket, signals and deadlines. What it does is a table and a pure function (supervisor_state.h).
 * QEMU's end -> verdict -> undo in reverse -> exit status (DESIGN section 3).
 */
#pragma once

#include "conf/site.h"
#include "launcher/host/host_facts.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/run/adopt.h"

struct supervisor_options {
        const struct site *site;
        const struct host_facts *host;
        int ready_fd; /* gets one JSON line: {"pid":N} once the guest runs, or {"error":{...}}; -1: none; consumed */
        bool foreground;      /* errors and warnings on stderr, SIGINT is a request to shut down */
        int fail_step;        /* tests, -1: none */
        int keeper_fd;        /* its socket (keeper.h), -1: none; consumed */
        bool keeper_has_lock; /* adoption: the keeper has started this supervisor, and has the VM's lock */
        bool leases_only;     /* adoption: only until the leases found are over; QEMU and its journal stay */
};

/* Runs the VM to its end. Returns the exit status of `run`. */
int supervisor_run(struct launch_plan *plan, const struct supervisor_options *options);
/*
 * Takes over the run that lost its supervisor: its QEMU, or what that one left. vm_consume is locked, adoption as just
 * read; borrowed but for its fds. Returns the exit status of `run`.
 */
int supervisor_adopt(struct vm_dir *vm_consume, struct adoption *adoption,
                     const struct supervisor_options *options);
