/*
 * reconcile - cleaning up after runs whose supervisor is gone, and ending a QEMU it left behind.
 *
 * Works on what each VM's own journal names, and only on VMs that nobody has locked. A QEMU that lives is
 * left alone and reported: taking it over is a supervisor's business. The record of a run that ended unseen
 * gets the verdict "lost". Needs the rights of a start; blocks with deadlines.
 */
#pragma once

#include "cgroups/cgroup_host.h"
#include "conf/site.h"
#include "launcher/run/execute.h"

/*
 * name NULL: all VMs; one that does not exist: ERROR_NO_SUCH_VM. dry_run: changes nothing and says what would
 * be done. line gets one line per thing done or found, "web: undone: spawn process 17". Goes on with the next
 * VM after an error; *err is a list then.
 */
int reconcile(const struct paths *paths, const struct cgroup_host *cgroup, const char *name, bool dry_run,
              undo_line_fn *line, void *data, struct error **err);

/* Does the VM's QEMU live without a supervisor? false also when that cannot be known. */
bool orphan_exists(const struct paths *paths, const char *name);
/*
 * Kills that QEMU and undoes its run; the verdict is "asked", for somebody did. A supervisor that lives:
 * ERROR_BUSY; no QEMU: ERROR_NOT_RUNNING.
 */
int orphan_destroy(const struct paths *paths, const struct cgroup_host *cgroup, const char *name,
                   undo_line_fn *line, void *data, struct error **err);
