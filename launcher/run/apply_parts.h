/*
 * apply_parts - what apply.c (the queue), apply_check.c, apply_do.c (doing) and apply_undo.c (undoing) share; for no one else.
 */
#pragma once

#include "launcher/run/apply.h"
#include "launcher/run/fragment_journal.h"
#include "launcher/run/host_helper.h"

enum apply_state {
        APPLY_QUEUED,
        APPLY_CHECKING, /* what it makes must not be there: QEMU is asked */
        APPLY_HOST,     /* the host helper works */
        APPLY_QMP,      /* QEMU works */
        APPLY_AWAITING, /* QEMU has answered, the step's event has not come */
        APPLY_WAITING,  /* for the client's commit */
        APPLY_UNDOING,
        APPLY_OWED, /* what is left of the undo waits for another try */
};

struct apply {
        struct applies *applies;
        json_int_t id;
        enum apply_state state;
        struct fragment *fragment; /* NULL: begun by a supervisor that is gone */
        int *fds;                  /* of fragment->fds */
        struct named_fd *opened;   /* by its host steps */
        size_t n_opened;
        unsigned long long client; /* 0: gone */
        char *who;
        bool wait_for_commit;
        unsigned commit_ms;
        apply_answer_fn *answer; /* NULL: nobody waits */
        void *answer_data;
        char *live; /* live.tmpl's new text */

        json_int_t first;      /* number of its first step */
        json_int_t then_id;    /* of the one that takes away what it leaves over */
        size_t at;             /* the step that is worked on */
        size_t n_host;         /* host steps in the helper's hands */
        unsigned asked;        /* queries without an answer */
        bool seen;             /* the awaited event has come */
        struct error *refused; /* by the guest: the event that says so */
        struct loop_source *timer;
        struct host_helper *helper;
        bool in_qemu;        /* a command has no answer yet */
        bool pending;        /* forward: the guest has not given the device back in time */
        struct error *error; /* why it is undone; NULL: asked for */

        /* Undoing. */
        json_t *owed;   /* its steps in the journal that are not undone, oldest first */
        json_t *keys;   /* that others must keep off */
        size_t undo_at; /* the command of the newest step's undo */
        unsigned tries;
        bool due;
        struct apply *next;
};

struct applies {
        struct loop *loop;
        const struct vm_dir *vm;
        const struct cgroup_host *cgroup;
        const char *generation;
        struct apply_host host;
        void *data;
        struct apply *current; /* the only one that works on journal, helper and QEMU */
        struct apply *queue, *owed;
        struct apply_look *look;        /* apply_check.c; NULL: none */
        struct loop_source *look_ahead; /* QEMU is looked at soon */
        struct loop_source *next;       /* the next one is taken up */
        json_int_t last_id;
        struct fragment_journal_seen journal;
        bool ended;
};

/* apply.c */
void apply_story(struct apply *apply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void apply_answer(struct apply *apply, json_t *value_consume, const struct error *error);
/* It is no longer current. */
void apply_step_aside(struct apply *apply);
void apply_free(struct apply *apply);
/* After applies_end(): a callback that came late. True: the apply is gone. */
bool apply_is_over(struct apply *apply);
/* Its helper has ended. false: so has QEMU, and whoever ends the VM is told; apply may be gone. */
bool apply_helper_ended(struct apply *apply);
/* It steps aside, and is freed. */
void apply_leave(struct apply *apply);
void apply_close_fds(struct apply *apply);
void apply_unlink(struct apply **list, struct apply *apply);
/* A fragment with forward ({"id","begin","who","forward"}) is written down, and taken up next. */
int apply_begin_forward(struct applies *applies, const json_t *begin, struct error **err);
/* Who waits for this one's answer waits for the end of the one with its then_id. */
void apply_pass_answer(struct apply *apply);
/* "change 3 (attach nic1)"; new string. */
char *apply_title(const struct apply *apply);

/* apply_check.c */
/* It has become current: it is checked, begun and done. */
void apply_check(struct apply *apply);
/* Nothing of it was begun. Steals the error. */
void apply_refuse(struct apply *apply, struct error *error_consume);
/* What was seen may have changed; and: QEMU has ended, who waits for it is told so. */
void applies_look_is_old(struct applies *applies);
/* Soon, when nobody waits: so that the next client need not. */
void apply_look_ahead(struct applies *applies);
void apply_look_over(struct applies *applies, const struct error *error);

/* The query that shows an object, -1: there is none. */
int apply_query_of(enum fragment_object object);
/* Its id among the arguments, as text; new string. */
char *apply_object_id(const struct fragment_command *command, const json_t *arguments);

/* apply_do.c */
void apply_begin(struct apply *apply);
void apply_step_done(struct apply *apply);
/* The step that is worked on was not done: the rest is undone. */
void apply_step_failed(struct apply *apply, const struct error *error);
void apply_next_step(struct apply *apply);
/* apply_affinity.c: the step has "threads" when it comes to apply_next_step() again. */
void apply_ask_threads(struct apply *apply);
/* An event that may be the one its step waits for. */
void apply_step_event(struct apply *apply, const char *name, const json_t *event_data);
/* Is it to be done no longer? */
bool apply_is_abandoned(const struct apply *apply);
struct error *apply_abandoned(void);
/* All its steps are done. */
void apply_commit_now(struct apply *apply);

/* apply_image.c: takes the lock of an image whose fd came along. */
int apply_image_open(struct apply *apply, const struct fragment_step *step, int fd, struct error **err);
/* Of one that the host helper has made, whose own lock has ended with it. */
int apply_image_made(struct apply *apply, const struct fragment_step *step, int fd, struct error **err);

/* apply_forward.c: fragments that only take away */
void apply_forward_begin(struct apply *apply);
/* All is taken away and the journal cannot say so: tried again. Steals the error. */
void apply_forward_uncommitted(struct apply *apply, struct error *why_consume);
/* It has become current again. */
void apply_forward_again(struct apply *apply);
/* Is the event about what it waits for? */
bool apply_forward_event(struct apply *apply, const char *name, const json_t *event_data);
/* The device that it takes away; NULL: none. */
const char *apply_forward_device(const struct apply *apply);

/* apply_undo.c */
/* What is owed is tried again after a while, each time a longer one. */
void apply_retry_later(struct apply *apply);
/* why_consume NULL: asked for. What the journal says of it is undone. */
void apply_undo(struct apply *apply, struct error *why_consume);
/* The same when nobody can say now what was done: QEMU does not answer. */
void apply_owe(struct apply *apply, struct error *why_consume);
/* It has become current again. */
void apply_undo_again(struct apply *apply);
/* A device was given back, or not: what an undo waits for. */
void apply_undo_event(struct apply *apply, const char *name, const json_t *event_data);
