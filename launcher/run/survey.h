/*
 * survey - what of this host could be ours: taps, control groups, processes, directories and lock files, as found.
 *
 * Reads only, changes nothing, waits for nobody but a process between fork and exec. Everything that is marked (taps,
 * groups) is read first, then who holds which VM, then the processes: so a run that nobody holds in a survey has no
 * process that is not in it, and a marked thing of a run that is over will never be of one that goes on (orphan.h
 * decides by that). Needs the rights of a start.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cgroups/cgroup_apply.h"
#include "conf/site.h"

/* A directory of RUN. */
struct survey_vm {
        char *name;
        bool held;        /* somebody has its lock: a supervisor, a keeper, a start */
        char *generation; /* of the run that goes on or has to be undone; NULL: not known */
        json_t *named;    /* what its journal's undo takes away: "tap IFNAME", ... (execute.h); never NULL */
        pid_t qemu;       /* of a VM that nobody holds: its QEMU, proven; 0: none */
};

/* A process whose command line says that it is QEMU of a run of a VM, with a uid that only QEMU has. */
struct survey_process {
        pid_t pid;
        unsigned long long start;
        uid_t uid;
        char *vm, *generation;
};

struct survey_tap {
        char *ifname, *alias, *bridge; /* bridge "": none */
        int index;                     /* 0: not the tap but its port of Open vSwitch */
};

/* A lock file of RUN that nobody holds. */
struct survey_lock {
        char *name; /* "images/8:1-123", "uids/1900000017" */
};

/* A file below STATE/NAME/overlays that no run but its own needs, by its name. */
struct survey_image {
        char *vm, *file; /* "disk1-dropped.qcow2" */
};

struct survey {
        char *instance;            /* NULL: no run of this instance was ever begun */
        uid_t uid_first, uid_last; /* UID_RANGE: QEMU's uids */
        struct survey_tap *taps;
        size_t n_taps;
        struct cgroup_found *groups;
        size_t n_groups;
        struct survey_vm *vms;
        size_t n_vms;
        struct survey_process *processes;
        size_t n_processes;
        struct survey_lock *locks;
        size_t n_locks;
        struct survey_image *images;
        size_t n_images;
        char **gone; /* ".gone-NAME-INODE": directories whose removal was begun; NULL-terminated */
};

struct survey_options {
        const struct site *site;
        const struct cgroup_host *cgroup;
        const char *vm; /* only what could be of this VM; NULL: all. Locks have no VM: all of them */
        bool locked;    /* the caller has vm's lock and has undone its journal: no run of it goes on */
};

int survey_host(const struct survey_options *options, struct survey *ret, struct error **err);
void survey_done(struct survey *survey);
#define _cleanup_survey_ _cleanup_(survey_done)

/* The QEMUs of this VM and instance, by command line and UID_RANGE. */
int survey_processes(const struct site *site, const char *vm, struct survey_process **ret, size_t *ret_n,
                     struct error **err);
void survey_processes_free(struct survey_process *processes, size_t n);
/* A pidfd of that process if it is still the one of the survey, else -1 (*err only when it cannot be known). */
int survey_process_open(const struct survey_process *process, struct error **err);
