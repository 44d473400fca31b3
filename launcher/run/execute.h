/*
 * execute - a plan's steps in order, and the undo stack.
 *
 * Each effect is a row of one table: carry out and undo (effects.h). Before a step is done it is in the
 * journal; when a step fails the steps before it are undone in reverse, and the same undo serves stop, crash
 * and reconcile. Undo needs nothing but the journal's record of the step and is idempotent: what is gone is
 * fine, what belongs to another run is left. The execution owns the fds that steps opened, by name, until
 * spawn has passed them on or execution_free(), and the locks until execution_free().
 *
 * The journal of a run, one object per line:
 *
 *   {"run":{"name","generation","run_dir","executor"}}   first
 *   {"n":3,"effect":"net","args":{...}}                   before step 3; @GENERATION@ filled in
 *   {"n":3,"learned":{...}}                               what its undo needs besides, before it comes to be
 *   {"n":3,"failed":true}                                 it left nothing behind: no undo
 *   {"n":3,"undone":true}                                 of a fragment whose VM goes on
 *   {"apply":{...}}                                       begin and end of a fragment: fragment_journal.h
 *   {"started":true}                                      the guest has run: machine.lock stays
 */
#pragma once

#include "launcher/plan/launch_plan.h"
#include "launcher/state/state_dir.h"

struct execution;

/* A step as one line, for a log: "directory /run/vmlaunch/web/private". */
typedef void undo_line_fn(const char *line, void *data);

struct execution_options {
        struct vm_dir *vm; /* locked; borrowed */
        const char *generation;
        const struct cgroup_host *cgroup; /* the host's, for cgroup steps; borrowed */
        pid_t keeper;                     /* of this process, 0: none */
        int fail_step;                    /* tests: the step that fails instead of being done, -1: none */
        void (*forked)(void); /* tests: QEMU's process is there and in no journal yet; NULL: none */
        undo_line_fn *undone; /* each step a failed start takes back; may be NULL */
        void *undone_data;
};

/* The plan and what options point to are borrowed. */
struct execution *execution_new(const struct launch_plan *plan, const struct execution_options *options);
/* Closes what it has and gives the locks back: after QEMU's end. */
void execution_free(struct execution *execution);
DEFINE_FREEP(struct execution, execution_free)

/*
 * Does all host steps and spawn, in order. On failure everything done is undone and *err says which step
 * failed. Blocking; before QEMU runs the supervisor has nothing else to do. A journal that is not empty:
 * ERROR_BUSY.
 */
int execution_run(struct execution *execution, struct error **err);
/* A step that comes after spawn (affinity, machined), with args in place of the plan's; a failure undoes nothing. */
int execution_do_late(struct execution *execution, size_t n, json_t *args, struct error **err);
/* The guest runs: from now on the machine.lock that this start wrote is kept. Without it the undo puts back
 * the one there was, so that a start that failed leaves no trace. */
int execution_mark_started(struct execution *execution, struct error **err);
/* Before others write to the journal, or replace it: this start has no more to write. */
void execution_close_journal(struct execution *execution);
/* After execution_run(): pid, start time and pidfd (owned by the execution) of QEMU, the sealed stderr memfd (-1: none;
 * read it with pread(), the first NUL is its end). */
pid_t execution_qemu_pid(const struct execution *execution);
unsigned long long execution_qemu_start(const struct execution *execution);
int execution_qemu_pidfd(const struct execution *execution);
int execution_stderr_fd(const struct execution *execution);
/* The fd that a step named; -1: there is none. Borrowed. */
int execution_fd(const struct execution *execution, const char *name);
/* Closes what QEMU has now: images, kernel, taps, its ends of listeners; and, with qmp_done, what the plan's QMP commands
 * took along. Locks stay. */
void execution_close_passed(struct execution *execution, bool qmp_done);

/*
 * Undoes, newest first, every step the journal at dirfd names as begun; goes on after an error and reports
 * the first few as a list. Ends with an empty journal when all is undone. Blocking with deadlines: run it
 * before QEMU runs, in the host helper, or in a verb. what_done may be NULL: called with one line per undone
 * step.
 */
int undo_journal(int vm_dirfd, const struct cgroup_host *cgroup, undo_line_fn *what_done, void *data,
                 struct error **err);
/* The same for the steps first to last of a run that goes on: each is marked as undone, the journal stays. */
int undo_journal_steps(int vm_dirfd, const struct cgroup_host *cgroup, json_int_t first, json_int_t last,
                       undo_line_fn *what_done, void *data, struct error **err);
/* Calls fn with the line of every step that undo_journal() would look at, in its order; changes nothing. */
int undo_describe(int vm_dirfd, undo_line_fn *fn, void *data, struct error **err);
/* What adoption has to know of a journal; owned. name NULL: it says nothing. */
struct journal_run {
        char *name, *generation, *run_dir;
        bool started;
        json_t *spawned; /* {"pid","start","uid"} of QEMU's process; NULL: none is known */
        json_t *locks;   /* [{"name","what","shared"}] of images and uid */
        json_t *named;   /* "tap IFNAME", "cgroup PATH", "file NAME" in RUN/VM: what its undo takes away */
};
int journal_run_read(int vm_dirfd, struct journal_run *ret, struct error **err);
void journal_run_done(struct journal_run *run);
#define _cleanup_journal_run_ _cleanup_(journal_run_done)
/* [{"n","effect","args","learned"}] of every step that has begun and not failed: what the run holds. New reference. */
int journal_steps_read(int vm_dirfd, json_t **ret, struct error **err);

/*
 * The execution of a run whose executor is gone: QEMU as proven (qemu_prove()), and the locks its supervisor had.
 * Those that another one has meanwhile are named in *ret_lost (a list; NULL: none). pid 0: QEMU has ended.
 */
struct execution *execution_adopt(const struct launch_plan *plan, const struct execution_options *options,
                                  pid_t pid, int pidfd_consume, int stderr_fd_consume, const json_t *locks,
                                  struct error **ret_lost);

/* Lock n of those that the execution holds, lent; false: there are no more. */
bool execution_lock_at(const struct execution *execution, size_t n, const char **ret_name, int *ret_fd);
/* One more of an image (lock_file.h): ERROR_BUSY names who has it. And one less. */
int execution_take_lock(struct execution *execution, const char *name, const char *what, bool shared,
                        struct error **err);
void execution_drop_lock(struct execution *execution, const char *name);
/* One more, which the process has already. */
void execution_keep_lock(struct execution *execution, const char *name, int fd_consume);

/* Waits until no process is between fork and exec for this VM's journal; one that is not there has none. */
int journal_wait_settled(int vm_dirfd, struct error **err);
/* What a record says of QEMU's process, in the journal's words; NULL: nothing. New reference. */
json_t *spawned_by_record(const json_t *record);
/* Does the QEMU of this run live, by its journal or, where that lost its end, by its record? 1: yes, *ret_pid; 0: no, or
 * none was spawned; -1: *err. */
int journal_qemu_lives(int vm_dirfd, pid_t *ret_pid, struct error **err);
