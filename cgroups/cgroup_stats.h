/*
 * cgroup_stats - what a group's control files say: the limits in force, and who was killed for want of memory.
 *
 * Reading costs some tens of microseconds and waits for nothing; files and groups that are not there are passed over.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cgroups/cgroup_host.h"

/* {file: value} for the CPU share and every limit that is set; empty without a group. New reference. */
json_t *cgroup_limits_read(const struct cgroup_host *host, const char *path);

/* Kills of the kernel's out-of-memory killer in a group, whether its own limit or the host's memory was at an end. */
struct cgroup_oom {
        uint64_t kills;       /* processes, since the group was made */
        bool at_limit;        /* the group had reached a limit of its own */
        uint64_t limit, peak; /* bytes of memory; 0: no limit, not known */
};
/* All zeros where there is no group, no memory controller, or a kernel that does not count (v1 before 4.13). */
void cgroup_oom_read(const struct cgroup_host *host, const char *path, struct cgroup_oom *ret);
/* "1 process killed, the VM's limit is 256 MiB, 256 MiB were in use at most"; new string. */
char *cgroup_oom_text(const struct cgroup_oom *oom);
