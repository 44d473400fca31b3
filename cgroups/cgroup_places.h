/*
 * cgroup_places - the directories of one group, a hierarchy each, and what is read and written in them.
 *
 * Private to this folder: cgroup_apply.c, cgroup_entry.c and cgroup_remove.c share it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"
#include "cgroups/cgroup_apply.h"
#include "cgroups/cgroup_host.h"

#define CGROUP_FILE_BYTES_MAX 65536
/* Groups below the VM's: vCPU and helper groups at most, so this is generous. */
#define CGROUP_DEPTH_MAX 8

/* Where the group is: one directory per hierarchy in use. */
struct cgroup_place {
        char *mount, *dir;
        bool cpuset, freezer, v2;
};

struct cgroup_places {
        struct cgroup_place at[CGROUP_HIERARCHIES_MAX];
        size_t n;
};

/* ERROR_HOST when no hierarchy can be written. *ret is zeroed by the caller. */
int cgroup_places_find(const struct cgroup_host *host, const char *path, struct cgroup_places *ret,
                       struct error **err);
void cgroup_places_done(struct cgroup_places *places);
#define _cleanup_cgroup_places_ _cleanup_(cgroup_places_done)

/* Control files of one directory. */
int cgroup_dir_read(const char *dir, const char *file, size_t max, char **ret_text, struct error **err);
int cgroup_dir_write(const char *dir, const char *file, const char *value, struct error **err);
/* 0 done; else the errno. */
int cgroup_dir_try_write(const char *dir, const char *file, const char *value);
/* Removes the groups below dir and dir itself, all without processes. 0 done or not there; else the errno. */
int cgroup_dir_remove(const char *dir, unsigned depth);

/* A list of pids that grows. */
struct cgroup_pids {
        pid_t *items;
        size_t n;
};
void cgroup_pids_done(struct cgroup_pids *pids);
#define _cleanup_cgroup_pids_ _cleanup_(cgroup_pids_done)
bool cgroup_pids_have(const struct cgroup_pids *pids, pid_t pid);
/* Adds the processes of the group at dir and of those below it. A group that is not there has none. */
int cgroup_pids_below(const char *dir, unsigned depth, struct cgroup_pids *pids, struct error **err);
/* The same in every hierarchy. */
int cgroup_pids_collect(const struct cgroup_places *places, struct cgroup_pids *pids, struct error **err);
/* "1, 2, 3 and 7 more" */
void cgroup_pids_text(const struct cgroup_pids *pids, struct text *out);
