/*
 * plan_change - what makes a running VM of one plan one of another: a fragment (docs/control-socket.md).
 *
 * Pure. Both plans are of the same VM and host: `was` of live.tmpl as it is, `wanted` of live.tmpl as it shall be. What has
 * a name in QEMU (plan_parts.h) and is in one of them only is added or removed; steps of the host likewise; the order is
 * that of argv for what comes, and the reverse for what goes. So what is hot-plugged is what a start would have made, to
 * the letter. What differs and cannot be changed while the VM runs is told, an error for each.
 */
#pragma once

#include "launcher/plan/launch_plan.h"
#include "launcher/state/machine_lock.h"

/* A file that the client opens with its own rights and sends along under this name. */
struct change_file {
        char *name, *path;
        bool rw, direct;
        bool connects; /* it is a socket to connect to */
};

/* A secret whose value the client puts in place of "@secret:disk1-luks" before it sends the fragment. */
#define CHANGE_SECRET "@secret:"
struct change_secret {
        char *name;         /* "secret:disk1-luks", as the plan has it */
        char *path, *value; /* the file it is in, or itself */
};

struct plan_change {
        json_t *fragment; /* {"what","steps","live","devices"}; "steps" may be empty: nothing to do. "forward": it removes */
        struct change_file *files;
        size_t n_files;
        struct change_secret *secrets;
        size_t n_secrets;
        struct error *next_start; /* what comes with the next start only; a list, owned */
};

/* In front of the number of a set that QEMU has, among the names of its fd sets: {"#1073741824": 1073741824}. */
#define PLAN_FDSET_TAKEN "#"

struct plan_change_options {
        const char *what; /* for the story: "attach disk vdb" */
        /* {"disk1-file": 3, "#3": 3}: the fd sets that QEMU has, by what they were called and by number; NULL: those of
         * the plans. */
        const json_t *fdsets;
        bool force_tray;   /* take a medium away that the guest has locked */
        unsigned unplug_s; /* how long the guest may take to give a device back */
};

int plan_change_build(const struct launch_plan *was, const struct launch_plan *wanted,
                      const struct plan_change_options *options, struct plan_change *ret, struct error **err);
void plan_change_done(struct plan_change *change);
#define _cleanup_plan_change_ _cleanup_(plan_change_done)

/* What a start of this plan writes to machine.lock: where its devices are. New, or NULL. */
struct machine_lock *plan_lock(const struct launch_plan *plan);

/* Are there steps? */
bool plan_change_is_empty(const struct plan_change *change);
/* One line a step, as plan prints them; new string. */
char *plan_change_text(const struct plan_change *change);
