/*
 * state_dir - where a VM's files are, its lock, journal and record.
 *
 * RUN/NAME (0755): lock journal record.json (0644, for list) live.tmpl control.sock (0666) and private/
 * (0700). STATE/NAME: machine.lock. RUN/images, RUN/uids, RUN/ports: lock files (lock_file.h).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "conf/site.h"

struct vm_dir {
        char *name;
        char *path;  /* RUN/NAME */
        int fd;      /* of the directory */
        int lock_fd; /* holds the lock, -1: opened without */
        bool is_new; /* holds a lock file that was not there */
};

/*
 * Creates RUN/NAME when missing and takes its lock (OFD, so it belongs to the open file and ends with the
 * last process that has it). Taken already: ERROR_BUSY that names the holder's pid; one that has it briefly is waited
 * for up to 5 s. A previous run's
 * journal that is not empty is the caller's business: journal_is_empty(). "images", "uids" and "ports" are no VM
 * names: ERROR_INVALID.
 */
int vm_dir_lock(const struct paths *paths, const char *name, struct vm_dir **ret, struct error **err);
/* For one who repairs and lets go: others wait for it, it waits for nobody. */
int vm_dir_lock_briefly(const struct paths *paths, const char *name, struct vm_dir **ret, struct error **err);
/*
 * The same with a lock that an earlier holder has passed on (the fd's open file has it); what is no lock of this VM is
 * ERROR_FAILED.
 */
int vm_dir_take_over(const struct paths *paths, const char *name, int lock_fd_consume, struct vm_dir **ret,
                     struct error **err);
/* Opens without lock. ERROR_NO_SUCH_VM when there is no such directory. */
int vm_dir_open(const struct paths *paths, const char *name, struct vm_dir **ret, struct error **err);
/* Is somebody holding the lock? Tests without taking it; a caller who may not open the lock file learns it
 * from /proc/locks. ret_pid may be NULL and gets 0 when the pid is not known. */
bool vm_dir_is_locked(const struct vm_dir *vm, pid_t *ret_pid);
/*
 * Has its last run ended in order? It takes journal and lock file away then, and leaves its record. A start and those who
 * look ask that first: to read the record is a tenth of a start's work.
 */
bool vm_dir_is_at_rest(const struct vm_dir *vm);
/* Closes and frees; accepts NULL. keep_directory false: removes RUN/NAME first, if we hold its lock. */
void vm_dir_release(struct vm_dir *vm, bool keep_directory);

/* Journal: one JSON object per line, appended before a step is done. At most 4 MiB. */
int journal_append(int vm_dirfd, const json_t *entry, struct error **err);
/* The same for many entries of one writer, while nobody else writes or replaces the journal. Close with fd_close(&fd). */
struct journal {
        int fd; /* -1: closed */
        off_t size;
        bool torn; /* the file ends inside a line, which the next entry ends */
};
int journal_open(struct journal *journal, int vm_dirfd, struct error **err);
int journal_write(struct journal *journal, const json_t *entry, struct error **err);
/* Array of all whole entries; a torn last one is left out. Empty array: nothing is owed. */
int journal_read(int vm_dirfd, json_t **ret, struct error **err);
/* The same, and lines that are no JSON object as a list of errors in *ret_garbage (NULL: none), for a log. */
int journal_read_lines(int vm_dirfd, json_t **ret, struct error **ret_garbage, struct error **err);
/* No journal, or one of no bytes. */
bool journal_is_empty(int vm_dirfd);
int journal_clear(int vm_dirfd, struct error **err);

/* record.json: {"schema":1,"name","uuid","generation","state","reason","verdict","exit_status","pid","pid_start",
 * "supervisor_pid","uid","cgroup","template","frozen","jobs","changed_by_hand","last_change","differences","compared","agent",
 * "devices","warnings","policy" (as in a plan),"end":{"asked","guest_off","panicked","quit","killed","request"},
 * "started","ended","story":[{"time","text"}],"stderr"}. Written by rename. */
int record_write(int vm_dirfd, const json_t *record, struct error **err);
/* ERROR_NO_SUCH_VM when there is none. Bounded and checked: schema 1 and an object. */
int record_read(int vm_dirfd, json_t **ret, struct error **err);
/* Of a VM that nobody holds: does the process that its record calls QEMU still run? */
bool record_says_qemu_lives(const json_t *record);
/* Not looked at yet. */
int record_read_text(int vm_dirfd, char **ret, size_t *ret_length, struct error **err);

/* A fd of RUN, which is made (0755) when missing: for lock_file. */
int run_dir_open(const struct paths *paths, int *ret_fd, struct error **err);
/* Names of all VMs that have a directory in RUN, sorted, NULL-terminated; owned by the caller. */
int vm_dir_names(const struct paths *paths, char ***ret, struct error **err);
/* The same below any directory (STATE). A missing one is empty. */
int directory_vm_names(const char *path, char ***ret, struct error **err);
void names_free(char **names);
/* The start time of a process in clock ticks (field 22 of /proc/PID/stat), 0 when it is gone. */
unsigned long long process_start_time(pid_t pid);
/* Its state, one letter of proc(5): 'T' when a signal has stopped it, 'D' when the kernel holds it; 0: it is gone. */
char process_state(pid_t pid);
/* The same from the text of a /proc/.../stat. */
char process_state_in(const char *stat_text);
