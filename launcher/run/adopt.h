/*
 * adopt - what a run that has lost its supervisor is: read from journal, record and the process itself.
 *
 * The journal says what is owed, the record what was known, QEMU's process what is: it is proven (pid, start time,
 * uid or generation) before anything is done to it. The plan is gone, so the part of it that a supervisor needs for
 * the rest of the run is made again from the record's "policy", "devices" and so on; a record that cannot be read
 * costs those, not the VM. Reading changes nothing on the host.
 */
#pragma once

#include <jansson.h>

#include "launcher/plan/launch_plan.h"
#include "launcher/run/execute.h"
#include "launcher/run/verdict.h"
#include "launcher/state/state_dir.h"

struct adoption {
        struct launch_plan *plan; /* no steps, no argv: name, paths, policy, devices, uid */
        json_t *record;           /* as it was found; an empty object when it could not be read */
        struct error *trouble;    /* why not, for the story; NULL */
        struct journal_run journal;
        char *generation;
        pid_t pid; /* 0: QEMU has ended, or there never was one */
        unsigned long long pid_start;
        pid_t last_pid;       /* of QEMU, also when it has ended; 0: not known */
        bool torn;            /* the journal lost its end: it does not know QEMU */
        int pidfd, stderr_fd; /* -1: none; taken over by whoever sets them to -1 */
};

#define ADOPTION_INIT                        \
        {                                    \
                .pidfd = -1, .stderr_fd = -1 \
        }

/*
 * Under the VM's lock. Where neither journal nor record knows of a process, one whose command line names this VM and
 * instance is QEMU. None: pid 0. -1: the journal cannot be understood, or the process not be looked at.
 */
int adoption_read(const struct site *site, const struct vm_dir *vm, struct adoption *ret, struct error **err);
/*
 * Writes down again what a journal that lost its end owes for a live QEMU, as far as the record and the process itself
 * know it: process, group, uid, locks of the images it has open, private directory and live.tmpl; taps go with QEMU.
 * 1: it was needed.
 */
int adoption_repair(const struct vm_dir *vm, struct adoption *adoption, struct error **err);
/* The plan of what record and journal say; new. */
struct launch_plan *adoption_plan(const struct paths *paths, const struct vm_dir *vm,
                                  const struct adoption *adoption);
void adoption_done(struct adoption *adoption);
#define _cleanup_adoption_ _cleanup_(adoption_done)

/* The record's "end": what its supervisor had seen of the end. */
struct run_end adopt_end_from_json(const json_t *json);
/*
 * Does QEMU of a VM that nobody supervises live, by its journal, its record or its command line? 1: yes, with its pid
 * and generation (a new string in place of what *ret_generation was; may be NULL); 0: no; -1: *err. uid: the VM's own, of
 * which a QEMU that neither names would be; 0: not known, and all processes are looked at.
 */
int vm_qemu_lives(const struct site *site, const struct vm_dir *vm, uid_t uid, pid_t *ret_pid,
                  char **ret_generation, struct error **err);

/* Does the record, NULL or not, say how its run ended? */
bool record_says_end(const json_t *record);

/* The record's "policy". What is missing or of the wrong type keeps its default: ACPI is there, nothing is forced. Its
 * strings are the caller's. */
struct plan_policy adopt_policy_from_json(const json_t *json);
