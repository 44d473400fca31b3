/*
 * reconcile - putting this host in order after supervisors that are gone.
 *
 * First each VM that nobody has locked. Its QEMU lives: a supervisor takes it over, which ends the leases it finds, so
 * that no guest stays frozen or paused for ever. Else what its journal names is undone, what is left in its directory
 * removed, and the record of a run that ended unseen gets the verdict "lost". Then what no journal names: orphans, by
 * proof (orphan.h). Needs the rights of a start; blocks with deadlines.
 *
 * Nothing here races with a start: a VM is worked on under its lock, and what is removed without it is of a generation
 * that is over, which never comes back.
 */
#pragma once

#include "cgroups/cgroup_host.h"
#include "conf/site.h"
#include "launcher/run/execute.h"
#include "launcher/run/orphan.h"

struct reconcile_request {
        const struct site *site;
        const struct cgroup_host *cgroup;
        const char *name; /* NULL: all VMs; one that is not there and left nothing: ERROR_NO_SUCH_VM */
        bool dry_run;     /* changes nothing and says what would be done */
        /* Leaves a supervisor behind for a VM whose QEMU lives without one, and says what came of it (a new string).
         * NULL: such a VM is only reported. */
        int (*adopt)(const char *name, void *data, char **ret_line, struct error **err);
        /* One line per thing done or found: "web: undone: spawn process 17", "removed: lock file ..." */
        undo_line_fn *line;
        /* Every orphan besides; removed: it is, or would be. May be NULL. */
        void (*orphan)(const struct orphan *orphan, bool removed, void *data);
        void *data;
};

/* Goes on after an error; *err is a list then. */
int reconcile(const struct reconcile_request *request, struct error **err);
/*
 * Before a start, whose vm is locked and owes nothing: taps of the plan's names and the group that an earlier run of
 * this VM has left. ERROR_BUSY: its QEMU lives, unknown to everybody. Costs next to nothing when there is neither.
 */
int reconcile_for_start(const struct site *site, const struct cgroup_host *cgroup,
                        const struct launch_plan *plan, undo_line_fn *line, void *data, struct error **err);

/* Does the VM's QEMU live without a supervisor? false also when that cannot be known. */
bool orphan_exists(const struct site *site, const char *name);
/*
 * Kills that QEMU and undoes its run; the verdict is "asked", for somebody did. A supervisor that lives:
 * ERROR_BUSY; no QEMU: ERROR_NOT_RUNNING.
 */
int orphan_destroy(const struct site *site, const struct cgroup_host *cgroup, const char *name,
                   undo_line_fn *line, void *data, struct error **err);
/* Kills the QEMUs of earlier runs of this VM that nobody knows any more, and removes what they used. How many there
 * were, or -1. */
int strays_destroy(const struct site *site, const struct cgroup_host *cgroup, const char *name,
                   undo_line_fn *line, void *data, struct error **err);
