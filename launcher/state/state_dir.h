/*
 * state_dir - where a VM's files are, its lock, journal and record.
 *
 * RUN/NAME (0755): lock journal record.json (0644, for list) live.tmpl control.sock (0666) and private/ (0700).
 * STATE/NAME: machine.lock. RUN/images, RUN/uids: lock files (lock_file.h).
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
};

/*
 * Creates RUN/NAME when missing and takes its lock (OFD, so it belongs to the open file and ends with the last
 * process that has it). Taken already: ERROR_BUSY that names the holder's pid. A previous run's journal that is not
 * empty is the caller's business: state_journal_is_empty().
 */
int vm_dir_lock(const struct paths *paths, const char *name, struct vm_dir **ret, struct error **err);
/* Opens without lock. ERROR_NO_SUCH_VM when there is no such directory. */
int vm_dir_open(const struct paths *paths, const char *name, struct vm_dir **ret, struct error **err);
/* Is somebody holding the lock? Tests without taking it. ret_pid may be NULL. */
bool vm_dir_is_locked(const struct vm_dir *vm, pid_t *ret_pid);
/* Closes; keep_directory false: removes RUN/NAME first (with the lock still held). */
void vm_dir_release(struct vm_dir *vm, bool keep_directory);

/* Journal: one JSON object per line, appended before a step is done. */
int journal_append(int vm_dirfd, const json_t *entry, struct error **err);
/* Array of all whole lines; a torn last line is left out. Empty array: nothing is owed. */
int journal_read(int vm_dirfd, json_t **ret, struct error **err);
int journal_clear(int vm_dirfd, struct error **err);

/* record.json: {"schema":1,"name","uuid","generation","state","reason","verdict","exit_status","pid","pid_start",
 * "supervisor_pid","uid","cgroup","template","agent","devices","warnings","started","ended","story":[{"time","text"}],
 * "stderr"}. Written by rename. */
int record_write(int vm_dirfd, const json_t *record, struct error **err);
/* ERROR_NO_SUCH_VM when there is none. Bounded and checked: schema 1 and an object. */
int record_read(int vm_dirfd, json_t **ret, struct error **err);

/* Names of all VMs that have a directory in RUN, sorted, NULL-terminated; owned by the caller. */
int vm_dir_names(const struct paths *paths, char ***ret, struct error **err);
void names_free(char **names);
/* The start time of a process in clock ticks (field 22 of /proc/PID/stat), 0 when it is gone. */
unsigned long long process_start_time(pid_t pid);
