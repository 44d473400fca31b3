/*
 * cgroup_apply - makes the VM's group, writes its limits, puts the VM in, empties and removes it.
 *
 * The group is path ("machine.slice/vmlaunch-NAME") below the mount point of each hierarchy in use: on v1 and
 * hybrid each writable one with cpu, cpuacct, cpuset, memory, pids, blkio, freezer or devices, on v2 the one
 * there is. machine.slice is shared by all VMs and stays: removing it would race with the next start.
 * Whoever calls holds the VM's lock. Errors: ERROR_HOST when no hierarchy can be written, ERROR_BUSY when the
 * group has processes already, ERROR_OS else.
 *
 * Getting in costs: writing a pid to cgroup.procs makes the kernel wait for an RCU grace period (5 to 12 ms
 * measured, once for all hierarchies). A single-threaded child that writes "0" to `tasks` itself (v1), or is
 * born in the group by clone3(CLONE_INTO_CGROUP) (v2), does not (0.03 ms per hierarchy). So QEMU enters by
 * a struct cgroup_entry.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/argv.h"
#include "base/error.h"
#include "cgroups/cgroup_host.h"

/*
 * ret_directories: the group's directories, absolute, one per hierarchy (for the record); may be NULL. An
 * empty group left over by a dead VM is removed first, so that none of its limits are inherited. On failure
 * nothing is left.
 */
int cgroup_create(const struct cgroup_host *host, const char *path, struct argv *ret_directories,
                  struct error **err);
/*
 * Whose group it is, in the extended attribute trusted.vmlaunch of each of its directories, which only root reads or
 * writes. A host that has no such attributes there goes without: nothing can be proven of its groups then.
 */
void cgroup_mark(const struct cgroup_host *host, const char *path, const char *mark);
/*
 * What is known of a group: its mark, and how many processes it has. Directories that have none yet (a crash came
 * between) do not count, different ones make it nobody's: mark NULL and n_pids as it is.
 */
struct cgroup_found {
        char *path;
        char *mark; /* NULL: none */
        bool marked_twice;
        pid_t *pids; /* n_pids of them */
        size_t n_pids;
};
void cgroup_found_done(struct cgroup_found *found);
/* 1: *ret; 0: there is no such group in any hierarchy; -1: *err. */
int cgroup_look(const struct cgroup_host *host, const char *path, struct cgroup_found *ret,
                struct error **err);
/* Every group of a VM's name, whoever's: machine.slice/vmlaunch-*. *ret: cgroup_found_done() each, free(). */
int cgroup_find_all(const struct cgroup_host *host, struct cgroup_found **ret, size_t *ret_n,
                    struct error **err);
/* A sub-group of one that is another's (systemd's): it groups processes, no controller is switched on for it. On v2 only; its
 * parent has to be there. Otherwise as cgroup_create(). */
int cgroup_create_below(const struct cgroup_host *host, const char *path, struct error **err);
/* In the hierarchy of this v1 controller alone. Otherwise as cgroup_create(). */
int cgroup_create_in(const struct cgroup_host *host, const char *path, const char *controller,
                     struct error **err);
/* controller is needed on v1, where it names the hierarchy, and not looked at on v2. */
int cgroup_write(const struct cgroup_host *host, const char *path, const char *controller, const char *file,
                 const char *value, struct error **err);
/* The file's text without its last newline; at most 64 KiB. controller NULL on v1: the first hierarchy. */
int cgroup_read(const struct cgroup_host *host, const char *path, const char *controller, const char *file,
                char **ret_text, struct error **err);

/* The way in for a child that is about to be forked. */
#define CGROUP_HIERARCHIES_MAX 16
struct cgroup_entry {
        int task_fds[CGROUP_HIERARCHIES_MAX]; /* v1: the tasks files, n of them, open for writing */
        size_t n;
        int v2_dir_fd;  /* the v2 directory, -1: none */
        bool inside_v2; /* set in the child that was born there */
};
#define CGROUP_ENTRY_INIT ((struct cgroup_entry){ .v2_dir_fd = -1 })
int cgroup_entry_open(const struct cgroup_host *host, const char *path, struct cgroup_entry *ret,
                      struct error **err);
/* Closes the fds; in the child they go at exec. */
void cgroup_entry_done(struct cgroup_entry *entry);
#define _cleanup_cgroup_entry_ _cleanup_(cgroup_entry_done)
/*
 * fork(), on v2 into the group. entry may be CGROUP_ENTRY_INIT: then it is just fork(). ret_pidfd (may be
 * NULL): close-on-exec pidfd of the child, in the parent. -1 and errno. In the child only async-signal-safe
 * functions should follow, then exec.
 */
pid_t cgroup_entry_fork(struct cgroup_entry *entry, int *ret_pidfd);
/* In the child, before it drops privileges, while it has one thread. Async-signal-safe; 0 or -1 and errno. */
int cgroup_entry_enter(const struct cgroup_entry *entry);

/*
 * Kills what is left in the group and its sub-groups (cgroup.kill on v2, frozen and SIGKILLed on v1) and
 * removes it; a group that is not there is fine. ERROR_DEADLINE after timeout_ms, with the pids that stay
 * (a process stuck in the kernel). Waits: not for the supervisor's loop. Needs CAP_KILL for QEMU's uid.
 */
int cgroup_remove(const struct cgroup_host *host, const char *path, int timeout_ms, struct error **err);
/* Removes the group where it has no processes, at once; one that has some is left as it is, and none is killed. 1: it
 * is gone, 0: it has processes. */
int cgroup_remove_empty(const struct cgroup_host *host, const char *path, struct error **err);
