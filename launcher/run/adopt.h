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
 * Under the VM's lock. A live QEMU that neither the journal nor the record can prove is not found; the caller finds
 * pid 0 then. -1: the journal cannot be understood, or the process not be looked at.
 */
int adoption_read(const struct paths *paths, const struct vm_dir *vm, struct adoption *ret,
                  struct error **err);
/*
 * Writes down again what a journal that lost its end owes for a live QEMU, as far as the record knows it: process, group,
 * uid, private directory and live.tmpl; taps go with QEMU. 1: it was needed.
 */
int adoption_repair(const struct vm_dir *vm, struct adoption *adoption, struct error **err);
void adoption_done(struct adoption *adoption);
#define _cleanup_adoption_ _cleanup_(adoption_done)

/* The record's "end": what its supervisor had seen of the end. */
struct run_end adopt_end_from_json(const json_t *json);
/* The record's "policy". What is missing or of the wrong type keeps its default: ACPI is there, nothing is forced. Its
 * strings are the caller's. */
struct plan_policy adopt_policy_from_json(const json_t *json);
