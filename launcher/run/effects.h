/*
 * effects - the table of what plan steps do on the host, and how each is undone.
 *
 * One row per enum plan_effect. carry_out does all or nothing: when it fails it leaves nothing behind. undo
 * works from the journal's record only (args, and what carry_out had learned), perhaps in another process and
 * after a crash in the middle of carry_out: it is idempotent, does not mind what is gone, and leaves what
 * belongs to another run. All block, with deadlines: for the executor and the host helper, not for the
 * supervisor's loop.
 */
#pragma once

#include <jansson.h>

#include "cgroups/cgroup_apply.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/state/state_dir.h"
#include "net/netlink.h"

/* An fd a step opened, by the name the plan gave it; or one that waits for QEMU in a socket: opened_files. */
struct named_fd {
        char *name;
        int fd;       /* -1: it waits, or is closed */
        int received; /* which of the socket's it is, -1: none */
};

/*
 * Files of the plan that were opened apart (launcher/storage/apart.h), before the first step. Their fds are in nobody's
 * table but QEMU's: closing one can hang as well as opening it.
 */
struct opened_files {
        json_t *steps; /* {"N": {"lock": NAME} or {} or {"error": ...}} */
        int sock;      /* -1: none */
        unsigned n;    /* fds that wait there */
};

/* A lock file below RUN that this execution holds. */
struct held_lock {
        char *name;
        int fd;
};

/* What a step works with while it is carried out. */
struct effect_run {
        const struct launch_plan *plan; /* borrowed, as the next three */
        const struct vm_dir *vm;
        const char *generation;
        const struct cgroup_host *cgroup;
        int run_dirfd;      /* effect_run_dir() */
        struct netlink *nl; /* opened when the first step needs it: effect_netlink() */
        unsigned step;      /* the number in the journal */
        bool restores;      /* of a VM that goes on after the undo: what was there before is learned */
        bool holds_journal; /* the caller does (journal_hold()) */
        /* Borrowed; NULL: opened for each entry. */
        struct journal *journal;
        struct named_fd *fds;
        size_t n_fds;
        struct held_lock *locks;
        size_t n_locks;
        struct opened_files opened;
        unsigned long long qemu_start;
        pid_t qemu_pid; /* 0: none */
        int qemu_pidfd;
        pid_t keeper;         /* goes where the executor goes; 0: none */
        void (*forked)(void); /* tests, NULL: none */
};

/* What an undo works with: all of it from the journal but for the host's own. */
struct effect_undo {
        int vm_dirfd, run_dirfd;
        const char *name, *generation;
        const char *run_dir; /* RUN/NAME as the plan spelt it */
        pid_t executor;      /* the process that carried the steps out; maybe gone */
        bool started;        /* the guest has run: what a failed start takes back stays */
        bool uncommitted;    /* the step is of a fragment that was not */
        bool holds_journal;  /* the caller does: nobody else is in the middle of a step */
        const struct cgroup_host *cgroup;
        struct netlink *nl;
        bool switch_is_mute; /* net_apply.h */
        /* Until when helpers that were asked to end, or killed, are waited for; 0: none was. */
        long long helpers_until[2];
};

struct effect {
        int (*carry_out)(struct effect_run *run, const json_t *args, struct error **err);
        /* 1: undone, 0: there was nothing to undo, -1: *err. learned: an object, empty when nothing was
         * learned. */
        int (*undo)(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
};

/* Rows with carry_out NULL are the supervisor's own (QMP): the executor passes them over. */
extern const struct effect effects[PLAN_EFFECTS];

/*
 * One step: journalled with what more says besides (an object, may be NULL), then done. args has no placeholder left.
 * A step that fails is marked so. fail: it fails instead of being done, for tests.
 */
int effect_do(struct effect_run *run, unsigned n, enum plan_effect effect, json_t *args, json_t *more,
              bool fail, struct error **err);
/* An entry of the run's journal. */
int effect_journal(const struct effect_run *run, const json_t *entry, struct error **err);
/* Closes fds, gives locks back, closes netlink: whoever filled run in. */
void effect_run_done(struct effect_run *run);
void effect_release_locks(struct effect_run *run);
/* A fd of RUN, for lock files: opened when it is first needed. -1 and errno. */
int effect_run_dir(struct effect_run *run);

/* For the rows. */

/* Journals something undo needs that the arguments do not say. */
int effect_learn(struct effect_run *run, json_t *learned_consume, struct error **err);
void effect_keep_fd(struct effect_run *run, const char *name, int fd_consume);
/* The next of the opened files, under the name that the plan gave its fd. */
void effect_keep_waiting(struct effect_run *run, const char *name);
/* NULL: no step gave this name. Borrowed. */
const struct named_fd *effect_find(const struct effect_run *run, const char *name);
/* -1: no step gave this name, or it waits. Borrowed. */
int effect_find_fd(const struct effect_run *run, const char *name);
int effect_take_lock(struct effect_run *run, const char *name, const char *what, bool shared,
                     struct error **err);
/* *nl is opened when it is NULL. */
int effect_netlink(struct netlink **nl, struct error **err);
/* NULL when path is not strictly below run_dir or has "..", "." or empty parts: undo removes what it is. */
const char *effect_path_in_run(const char *run_dir, const char *path);

/*
 * Opens the files of all image-open, file-open, log-open and secret steps apart. A file that cannot be opened is its step's
 * error, one whose storage does not answer is ERROR_DEADLINE at once.
 */
int effect_open_files(struct effect_run *run, struct error **err);
/* What of a step was opened apart: 1 and its lock's name (NULL: none, owned by the caller); 0: not; -1: *err. */
int effect_opened(struct effect_run *run, char **ret_lock, struct error **err);
/* The carry_out of a step that only opens a file: keeps what was opened apart, else what open_fd opens now, as args' fd. */
int effect_carry_out_open(struct effect_run *run, const json_t *args, const char *what,
                          int (*open_fd)(const json_t *args, int *ret_fd, struct error **err),
                          struct error **err);
/* In the child: opens what such a step names. effect_open_path: as whoever may read it, -1 and *err. */
int effect_open_path(const char *path, int access, struct error **err);
int image_open_fd(const json_t *args, int *ret_fd, char **ret_lock, struct error **err);
int file_open_fd(const json_t *args, int *ret_fd, struct error **err);
int secret_open_fd(const json_t *args, int *ret_fd, struct error **err);
int log_open_fd(const json_t *args, int *ret_fd, struct error **err);

/* The lock file of a uid, below RUN; new string. */
char *uid_lock_name(unsigned uid);
int uid_claim_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int uid_claim_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
int image_open_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int image_open_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
int image_create_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int image_create_undo(struct effect_undo *undo, const json_t *args, const json_t *learned,
                      struct error **err);
int connect_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int file_open_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int secret_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int device_open_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int device_grant_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int device_grant_undo(struct effect_undo *undo, const json_t *args, const json_t *learned,
                      struct error **err);
int shared_memory_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int shared_memory_undo(struct effect_undo *undo, const json_t *args, const json_t *learned,
                       struct error **err);
int memory_lock_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int memory_lock_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
int log_open_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int socket_pair_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int state_directory_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int state_directory_undo(struct effect_undo *undo, const json_t *args, const json_t *learned,
                         struct error **err);
int directory_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int directory_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
int listen_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int listen_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
/* The lock file of a TCP port, below RUN; new string. */
char *port_lock_name(unsigned port);
int port_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int port_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
int stderr_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int machine_lock_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int machine_lock_undo(struct effect_undo *undo, const json_t *args, const json_t *learned,
                      struct error **err);
int live_template_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int live_template_undo(struct effect_undo *undo, const json_t *args, const json_t *learned,
                       struct error **err);
int nvram_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int nvram_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
int net_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int net_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
int script_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int cgroup_create_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int cgroup_create_undo(struct effect_undo *undo, const json_t *args, const json_t *learned,
                       struct error **err);
int memory_cleanup_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int scope_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int unit_set_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int unit_set_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
int cgroup_write_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int cgroup_write_undo(struct effect_undo *undo, const json_t *args, const json_t *learned,
                      struct error **err);
int helper_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int helper_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
int affinity_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int affinity_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
int machined_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int machined_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);
int spawn_carry_out(struct effect_run *run, const json_t *args, struct error **err);
int spawn_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err);

/*
 * The journal's first byte is locked (OFD, so it ends with the last process that has it) by the executor while it spawns,
 * by the child until its exec, and by a host helper whose supervisor may die. Blocks until it is free; ERROR_DEADLINE
 * after some seconds.
 */
int journal_hold(int vm_dirfd, int *ret_fd, struct error **err);
/*
 * Waits until nobody holds the journal: a process between fork and exec has fds and locks of its executor, which may
 * have died, and may be in no journal; a host helper may be in the middle of a step.
 */
int spawn_wait_settled(int vm_dirfd, struct error **err);
/*
 * Is the process that the journal learned of still there, and ours? Proven by pid, start time and, because
 * pids and clock ticks could meet again, by the VM's uid or the generation on its command line (the latter
 * QEMU can overwrite, the former it cannot). 1: yes, with a pidfd; 0: no; -1: *err. ret_pidfd may be NULL.
 */
int qemu_prove(const json_t *learned, const char *generation, int *ret_pidfd, struct error **err);
/* The run's QEMU by its journal, proven so; 0, and no pidfd: it is gone. ret_pidfd may be NULL. */
int spawned_find(int vm_dirfd, const char *generation, pid_t *ret, int *ret_pidfd, struct error **err);
/* The same of a helper process, by pid, start time, and uid or the words of its argv. */
int helper_prove(const json_t *args, const json_t *learned, int *ret_pidfd, struct error **err);
/* Has every id in /proc/PID/status this uid? */
bool process_has_uid(pid_t pid, uid_t uid);

/* Of a file with a secret what is the secret: an editor ends a text with a newline that nobody means; random bytes are taken
 * as they are. */
size_t secret_without_line_end(const char *text, size_t length);
/* A connected stream socket, with the caller's rights. */
int connect_open_fd(const char *path, int *ret_fd, struct error **err);
