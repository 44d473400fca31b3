/*
 * apply - fragments carried out on a running VM: all of one, or nothing.
 *
 * On the loop; never blocks. One fragment is worked on at a time, a few wait. Before its first step nothing is left to
 * be found wrong but by QEMU and the host: what it wants to make must not be there. Each step is in the VM's journal
 * before it is done (fragment_journal.h): QMP steps are ours, host steps the host helper's. When all are done the
 * fragment is committed: at once if the client is still there, or when the client says so in time. Until then a step that
 * fails, a client that goes or a supervisor that dies undoes it, newest step first. A step whose outcome is unknown, or
 * an undo that QEMU or the guest does not do now, is owed: the client is told so (ERROR_DEADLINE), and it is tried again
 * until it is done or QEMU ends. What is owed keeps other fragments off its objects. A fragment that only takes away is
 * never undone (apply_forward.c).
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "base/loop.h"
#include "cgroups/cgroup_host.h"
#include "launcher/run/fragment.h"
#include "launcher/state/state_dir.h"
#include "qmp/qmp_client.h"

/* Fragments that wait for the one being worked on. */
#define APPLY_QUEUE            4
#define APPLY_COMMIT_S         30
#define APPLY_COMMIT_MAX_S     600
#define APPLY_UNPLUG_MS        5000u  /* for a guest to give a device back, when an undo has taken it away */
#define APPLY_HOST_MS          10000u /* for the host helper */
#define APPLY_IMAGE_MS         60000u /* and for each image that it makes */
#define APPLY_SCRIPT_MS        30000u /* and for each NIC/SCRIPT */
#define APPLY_RETRY_MS         1000u  /* what is owed is tried again, each time after twice that */
#define APPLY_RETRY_LONGEST_MS 30000u

/* What it needs of its supervisor. */
struct apply_host {
        /* NULL: QEMU cannot be asked at the moment. */
        struct qmp_client *(*qemu)(void *data);
        /* live.tmpl with these changes: a new string, or NULL and *err. */
        char *(*change_live)(const json_t *live, void *data, struct error **err);
        /* The record's devices now; lent. */
        const json_t *(*devices)(void *data);
        /* Committed: live.tmpl's new text, the record's new devices, and places that machine.lock gets; NULL: as they were.
         * helpers: some may have come. */
        void (*committed)(const char *live, const json_t *devices, const json_t *places, bool helpers,
                          void *data);
        void (*story)(const char *text, void *data);
        /* Locks of images (lock_file.h); taking one does not wait. */
        int (*take_lock)(const char *name, const char *what, bool shared, void *data, struct error **err);
        void (*drop_lock)(const char *name, void *data);
        /* "unplug-pending", "unplug-refused"; NULL: it is as any other. */
        void (*device_state)(const char *id, const char *state, void *data);
        /* For reading a fragment of the journal. */
        struct fragment_vm (*fragment_vm)(void *data);
        /* After applies_end(): no helper works on the journal any more. */
        void (*ended)(void *data);
};

struct applies;

/* What options point to is borrowed. */
struct applies *applies_new(struct loop *loop, const struct vm_dir *vm, const struct cgroup_host *cgroup,
                            const char *generation, const struct apply_host *host, void *data);
/* After the client that host->qemu lends. */
void applies_free(struct applies *applies);
DEFINE_FREEP(struct applies, applies_free)

/* Exactly one of the two; value is stolen. */
typedef void apply_answer_fn(json_t *value_consume, const struct error *error, void *data);

struct apply_request {
        struct fragment *fragment;
        int *fds;                  /* as many as fragment->n_fds; those that are kept are set to -1 */
        unsigned long long client; /* number of the connection */
        const char *who;           /* "uid 0 (pid 4711)" */
        bool wait_for_commit;      /* else it is committed when its last step is done */
        unsigned commit_ms;        /* how long */
};

/*
 * What QEMU has is asked for a client that is about to make a fragment, while it does: fn is called with {"fdsets"}, before
 * this returns if QEMU was asked after the last change. Fragments are checked by that, too, as long as no command that
 * could change something was sent to QEMU and no event came. QEMU can be asked.
 */
void applies_look(struct applies *applies, apply_answer_fn *fn, void *data);

/* Does one more have to be refused? */
bool applies_are_full(const struct applies *applies);
/* Takes the fragment, of which there are not too many. fn is called from the loop with {"id"}. */
void applies_begin(struct applies *applies, const struct apply_request *request, apply_answer_fn *fn,
                   void *data);
/* Does this one of this connection's wait for its commit? Then that can be done or not: fn is called with {"id"} when it
 * is committed, or undone. */
bool applies_waits(const struct applies *applies, json_int_t id, unsigned long long client);
void applies_commit(struct applies *applies, apply_answer_fn *fn, void *data);
void applies_abort(struct applies *applies, apply_answer_fn *fn, void *data);

/* The number of the last change, and that numbers go on from one. */
json_int_t applies_last(const struct applies *applies);
void applies_go_on(struct applies *applies, json_int_t last);

/* For a supervisor that takes over: finishes what is committed, and undoes the rest once QEMU can be asked. */
int applies_adopt(struct applies *applies, struct error **err);

/* What happened. */
void applies_client_gone(struct applies *applies, unsigned long long client);
void applies_event(struct applies *applies, const char *name, const json_t *event_data);
/* QEMU answers (again): what is owed is tried now. */
void applies_try_again(struct applies *applies);
/* QEMU has ended: nothing is begun any more, who waits gets ERROR_NOT_RUNNING. Before the client that host->qemu lends is
 * freed. True: nobody works on the journal; else host->ended will be called. */
bool applies_end(struct applies *applies);

/* Nothing is being worked on or waits; what is owed is in the journal, for whoever takes over. */
bool applies_are_idle(const struct applies *applies);
/* Is something on one of these keys (control_command_keys()) being changed, or owed? ERROR_BUSY; returns -1 then. */
int applies_check_keys(const struct applies *applies, const json_t *keys, struct error **err);
