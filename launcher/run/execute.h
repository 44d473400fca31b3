/*
 * execute - a plan's steps in order, and the undo stack.
 *
 * Each effect is a row of one table: do and undo. Before a step is done it is in the journal; when a step fails the
 * steps before it are undone in reverse, and the same undo serves stop, crash and reconcile. Undo needs nothing but
 * the journal's record of the step and is idempotent: what is gone is fine, what belongs to another run is left.
 * The execution owns the fds that steps opened, by name, until spawn has passed them on or execution_free().
 */
#pragma once

#include "launcher/plan/launch_plan.h"
#include "launcher/state/state_dir.h"

struct execution;

struct execution_options {
        struct vm_dir *vm; /* locked; borrowed */
        const char *generation;
        const struct cgroup_host *cgroup; /* the host's, for cgroup steps; borrowed */
        int fail_step;                    /* tests: the step that fails instead of being done, -1: none */
};

struct execution *execution_new(const struct launch_plan *plan, const struct execution_options *options);
void execution_free(struct execution *execution);
DEFINE_FREEP(struct execution, execution_free)

/*
 * Does all host steps and spawn, in order. On failure everything done is undone and *err says which step failed.
 * Blocking; before QEMU runs the supervisor has nothing else to do.
 */
int execution_run(struct execution *execution, struct error **err);
/* After execution_run(): pid and pidfd (owned by the execution) of QEMU, the sealed stderr memfd. */
pid_t execution_qemu_pid(const struct execution *execution);
int execution_qemu_pidfd(const struct execution *execution);
int execution_stderr_fd(const struct execution *execution);
/* Closes what QEMU has now: images, kernel, taps, its ends of listeners. Locks stay. */
void execution_close_passed(struct execution *execution);

/*
 * Undoes, newest first, every step the journal at dirfd names as begun; goes on after an error and reports the first
 * few as a list. Ends with an empty journal when all is undone. Blocking with deadlines: run it before QEMU runs, in
 * the host helper, or in a verb. what_done may be NULL: called with one line per undone step.
 */
int undo_journal(int vm_dirfd, const struct cgroup_host *cgroup,
                 void (*what_done)(const char *line, void *data), void *data, struct error **err);
