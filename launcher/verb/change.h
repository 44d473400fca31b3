/*
 * change - a running VM's template as it is and as it shall be, and the way from one to the other.
 *
 * What attach, detach, update and their like share. live.tmpl is read, a verb edits its tree, the plan of both gives the
 * fragment (launcher/plan/plan_change.h), which is printed (--plan) or sent. Files are opened here, with the caller's
 * rights.
 */
#pragma once

#include "conf/template.h"
#include "launcher/live/control_client.h"
#include "launcher/plan/plan_change.h"
#include "launcher/verb/prepare.h"
#include "launcher/verb/verbs.h"

struct change {
        struct verb_context *context;
        char *name;
        struct control_client *control;
        struct prepare_facts facts;
        json_t *record;         /* what facts borrows from */
        char *live;             /* live.tmpl's text */
        struct template *was;   /* its tree */
        struct template *edit;  /* a second one, for the verb */
        struct prepared before; /* the plan of `was` */
        json_t *fdsets;         /* plan_change_options.fdsets */
        bool did;               /* something was done */
};

/* argument: which VM. ERROR_NOT_RUNNING when it does not run. */
int change_open(struct verb_context *context, const char *argument, struct change *ret, struct error **err);
void change_done(struct change *change);
#define _cleanup_change_ _cleanup_(change_done)

/* Reads `edit` anew from live.tmpl. */
int change_edit_again(struct change *change, struct error **err);
/*
 * From `was` to `edit`: *ret_after is the plan of the latter. base_dir: of relative paths that were added; extra: template
 * whose text errors may point into; NULL: none.
 */
int change_plan(struct change *change, const char *what, const char *base_dir, const struct template *extra,
                unsigned unplug_s, bool force_tray, struct prepared *ret_after, struct plan_change *ret,
                struct error **err);
/* What a change is for; *ret_what is printed by the caller of change_once(). */
struct change_request {
        const char *verb; /* "attach disk": for the story and messages */
        const char *vm;   /* the argument */
        const char *base_dir;
        const struct template *extra;
        unsigned unplug_s;
        bool only_plan;         /* print the steps */
        bool force_tray;        /* plan_change_options.force_tray */
        bool refuse_next_start; /* what cannot be changed now is an error, not a warning */
        /* Edits change->edit; called anew when another change was quicker. */
        int (*edit)(struct change *change, void *data, struct error **err);
        /* After it was done; and before its commit, when it has one: -1 undoes it. May be NULL. */
        int (*done)(struct change *change, const struct prepared *after, void *data, struct error **err);
        int (*before_commit)(void *data, struct error **err);
        void *data;
        /* The same for who may not read live.tmpl, as conf/operator_change.h has it; done() has no `after` then. NULL: it is
         * an admin's. Lent. */
        json_t *ask;
};
/* The whole of it. */
int change_do(struct verb_context *context, const struct change_request *request, struct error **err);

/* operator.c: the supervisor is asked for it. */
int change_ask(struct verb_context *context, const struct change_request *request, struct error **err);
/* For that: these keys of a vector. New reference. */
json_t *change_asked(const char *vector, const char *which, const struct template_attribute *keys);
/* resize.c: of fewer vCPUs than before, where QEMU does not live with that. spec: what it is now. */
void resize_warn_of_emulation(struct change *change, const struct vm_spec *spec);
/* change_media.c: is it one that has a medium? */
int media_check_drive(const struct template_attribute *vector, const char *which, struct error **err);

/* dump --diff: what live.tmpl intends, what QEMU has, and what the next start would: a line for each difference. */
int print_states_of(struct verb_context *context, const char *vm, struct error **err);
/* update --plan: the running VM and another template. */
int print_differences(struct verb_context *context, const char *vm, const char *file, struct error **err);

/* The fragment with the values of its secrets (change_secret.c); new reference, NULL: *err. */
json_t *change_with_secrets(const struct plan_change *plan, struct error **err);
/* A guest that is paused does nothing: only who says how long waits for it, for somebody may let it go on meanwhile. */
bool change_waits_for_guest(const struct change *change);
/* Who waits for it is told at once. what: "it gives a device back". */
void change_tell_paused(const struct change *change, const char *what);
/* Sends the fragment with its files. *ret_stale: nothing was done, for live.tmpl is not what it was: begin again. */
int change_send(struct change *change, struct plan_change *plan, const struct change_request *request,
                bool *ret_stale, struct error **err);

/* VECTOR = [ arguments ], as typed on a command line, where quotes may be left out: SOURCE=/a.img,TARGET=vdb. Or a file
 * with such vectors. New template. */
int change_read_vector(const char *vector, const char *text, struct template **ret, struct error **err);
int change_read_file(const char *path, struct template **ret, struct error **err);

/* Edits of a tree. */
void template_remove(struct template *template, size_t i);
/* Sets or adds a pair of a vector; file and place are those of pos (borrowed file). */
void template_set_pair(struct template_attribute *vector, const char *key, const char *value,
                       const struct source_pos *pos);
/* NAME = value, in place or as a further one. */
void template_set(struct template *template, const char *name, const char *value);
void template_remove_pair(struct template_attribute *vector, const char *key);
const char *template_pair(const struct template_attribute *vector, const char *key);
