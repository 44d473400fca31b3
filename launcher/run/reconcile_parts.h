/*
 * reconcile_parts - what the files of reconcile.h share; for no one else.
 *
 * reconcile.c has one VM after the other, reconcile_run.c what a run leaves whose supervisor is gone,
 * reconcile_orphans.c what no journal names, reconcile_destroy.c the end of a QEMU that nobody watches.
 */
#pragma once

#include "launcher/run/reconcile.h"
#include "launcher/run/survey.h"
#include "launcher/run/verdict.h"
#include "launcher/state/state_dir.h"

/* Passes lines on with the VM's name in front. */
struct teller {
        const char *vm, *what; /* vm may be NULL; what goes before each line: "undone: " */
        undo_line_fn *line;
        void *data;
};
/* data: a struct teller. An undo_line_fn. */
void teller_line(const char *line, void *data);
/* Without .what. */
void teller_say(struct teller teller, const char *line);

/* A VM's directory without its lock: stays as it is. */
static inline void reconcile_vm_dir_keepp(struct vm_dir **vm)
{
        vm_dir_release(*vm, true);
}
#define _cleanup_vm_dir_ _cleanup_(reconcile_vm_dir_keepp)
/* With its lock, as a supervisor leaves it: what stays of a VM that owes nothing is its record, of one without record
 * nothing. */
void reconcile_vm_dir_leavep(struct vm_dir **vm);
#define _cleanup_locked_vm_dir_ _cleanup_(reconcile_vm_dir_leavep)

/* 1: the record says of its run how it ended, or there is none; 0: it does not, and *ret is the record, made anew of
 * one that was torn. */
int lost_run_is_closed(const struct vm_dir *vm, json_t **ret);
/*
 * What its supervisor had seen before it was gone is all there is, and what the group's counters say as long as the group
 * is there. Only a record that says so proves that the guest has not run: journal_started may be in what a torn journal
 * has lost. Free with verdict_done().
 */
void lost_run_judge(const json_t *record, bool journal_started, const struct cgroup_host *cgroup,
                    struct verdict *ret);
/* Under the lock. Writes the verdict into the record, unless it has one. */
int lost_run_close(const struct vm_dir *vm, json_t *record, const struct verdict *verdict,
                   struct error **err);
/* What its writer died in the middle of: said, because something may be left that nobody knows of. */
void lost_run_tell_garbage(const struct vm_dir *vm, const struct teller *teller);
/* Removes what is in the VM's directory and not in named (NULL: none is): a torn journal does not know it. */
int lost_run_sweep(const struct vm_dir *vm, const json_t *named, bool dry_run, struct teller teller,
                   struct error **err);
/* Under the lock. Undo, and what a supervisor leaves that is in no journal. */
int lost_run_clean_up(const struct vm_dir *vm, const struct cgroup_host *cgroup, const struct teller *teller,
                      struct error **err);
/* What a run that ended in order leaves: its record. Without one, nothing. The journal is empty, and the record is
 * written: the lock protects that too. */
void lost_run_leave(struct vm_dir *locked_consume);
/*
 * The group of a run that ended badly, on a host where groups cannot be marked or before its was: the VM's name is ours
 * and it is empty. One that is marked is an orphan or somebody's.
 */
int lost_run_remove_group(const struct cgroup_host *host, const char *vm, const struct teller *teller,
                          struct error **err);

struct orphans {
        struct survey survey; /* orphan.at counts in it */
        struct orphan *items;
        size_t n;
};
int orphans_look_for(const struct survey_options *options, struct orphans *ret, struct error **err);
void orphans_done(struct orphans *orphans);
#define _cleanup_orphans_ _cleanup_(orphans_done)

/* Removes what orphans it may, one after the other, whatever becomes of one; *ret_n: how many there were. */
int reconcile_orphans(const struct reconcile_request *request, struct teller teller, size_t *ret_n,
                      struct error **err);
