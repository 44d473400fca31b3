/*
 * spawn - forks and confines a process and lets it exec, with exactly the fds and environment given.
 *
 * The child is a new session in directory "/" with umask 077, no blocked or ignored signals, /dev/null as 0
 * and 1 and stderr_fd as 2. It waits before its exec until the parent has written down who it is: a parent
 * that dies before leaves no process behind. Resource limits, priority and affinity stay the caller's.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "cgroups/cgroup_apply.h"
#include "launcher/plan/launch_plan.h"

struct spawn_fd {
        int child_fd; /* > 2 */
        int fd;       /* ours; stays open here. -1: the child receives it */
        int received; /* fd -1: which one of waiting_sock it is, from 0 */
};

/*
 * User, mount, network and IPC namespaces of its own, in which it is root: its ids 0, 1, ... are uid, gid and those that
 * follow, ids of them. It keeps the capabilities that it has there, none of which counts outside.
 */
struct spawn_namespaces {
        uid_t uid;
        gid_t gid;
        unsigned ids;
};

struct spawn_request {
        const char *program; /* absolute path */
        char *const *argv, *const *env;
        const struct spawn_fd *fds;
        size_t n_fds;
        int stderr_fd; /* -1: /dev/null */
        /* Files on storage that may not answer, each in a message of its own (launcher/storage/apart.h): the child takes
         * them out, and nobody else ever closes them. */
        int waiting_sock; /* n_waiting 0: none */
        unsigned n_waiting;
        int hold_fd;           /* open in the child until its exec or end, whatever becomes of us; -1: none */
        const char *directory; /* a directory that it has as directory_fd (O_PATH); NULL: none */
        int directory_fd;
        bool readonly; /* the directory and all that is mounted below, for this process */
        const struct plan_confinement *confine;
        const struct spawn_namespaces *namespaces; /* instead of confine; NULL: none */
        struct cgroup_entry *cgroup;               /* CGROUP_ENTRY_INIT: none */
};

/* Called in the parent while the child waits. -1 and *err: the child ends instead of running the program. */
typedef int spawn_born_fn(pid_t pid, void *data, struct error **err);

/*
 * 0 when the program runs. What failed in the child is the error: "run '/usr/bin/qemu' as uid 1900000017:
 * Permission denied". The caller reaps the process; after a failure there is none to reap.
 */
int spawn(const struct spawn_request *request, spawn_born_fn *born, void *data, pid_t *ret_pid,
          int *ret_pidfd, struct error **err);
