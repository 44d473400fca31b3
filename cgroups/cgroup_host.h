/*
 * cgroup_host - which control group hierarchies this host has: part of the host facts.
 *
 * Parsing is pure; cgroup_host_read() and cgroup_host_find_files() open files. Writable means the mount's
 * flags: whether the caller may write there is not looked at, so that a plan does not depend on who
 * prints it. Mounts below another cgroup mount's root (a container's bind) count like others.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/mem.h"

enum cgroup_kind {
        CGROUP_NONE,   /* nothing mounted */
        CGROUP_V1,     /* v1 controllers only */
        CGROUP_V2,     /* the unified hierarchy only */
        CGROUP_HYBRID, /* v1 controllers and a v2 mount: v1 as far as controllers go */
};

/* A mounted v1 hierarchy with at least one controller (name=systemd alone is not one). */
struct cgroup_hierarchy {
        char *controllers; /* comma list as the kernel gives it: "cpu", "cpu,cpuacct" */
        char *mount;
        bool writable;
};

struct cgroup_host {
        enum cgroup_kind kind;
        struct cgroup_hierarchy *v1; /* n_v1 of them, sorted by controllers */
        size_t n_v1;
        char *v2_mount;       /* NULL: none */
        char *v2_controllers; /* blank-separated as in cgroup.controllers; NULL without v2 */
        bool v2_writable;
        /* Blank-separated: those of memory.memsw.limit_in_bytes, blkio.weight, blkio.bfq.weight (v1), memory.swap.max,
         * io.weight, io.bfq.weight (v2) that this kernel has. NULL: none, or nobody has looked. */
        char *files;
};

void cgroup_host_done(struct cgroup_host *host);
#define _cleanup_cgroup_host_ _cleanup_(cgroup_host_done)

/* 1 for v1 and hybrid (as OpenNebula's host probe says it), 2 for v2, 0 for none. */
unsigned cgroup_host_version(const struct cgroup_host *host);
/* Can limits of this controller ("cpu", "memory", ...) be written on this host? */
bool cgroup_host_has(const struct cgroup_host *host, const char *controller);
/* Has this kernel the control file, one of those that not all have (cgroup_host.files)? */
bool cgroup_host_has_file(const struct cgroup_host *host, const char *file);
/* Can a group for a VM be made at all? On v1 and hybrid in a hierarchy of a controller that VMs use. */
bool cgroup_host_can_group(const struct cgroup_host *host);
/* Does a VM have a group in this v1 hierarchy, given that it can be written? */
bool cgroup_hierarchy_is_used(const struct cgroup_hierarchy *hierarchy);
/* The v1 hierarchy with this controller, lent; NULL when none is mounted. */
const struct cgroup_hierarchy *cgroup_host_v1(const struct cgroup_host *host, const char *controller);

/*
 * mountinfo: /proc/self/mountinfo (proc_pid_mountinfo(5)); proc_cgroups: /proc/cgroups, "" when there is
 * none; v2_controllers: cgroup.controllers of the v2 mount's root, NULL when not read. Lines that are not
 * understood are skipped: the kernel adds fields.
 */
void cgroup_host_parse(const char *mountinfo, const char *proc_cgroups, const char *v2_controllers,
                       struct cgroup_host *ret);
/*
 * The host below root ("": this one), its control files not looked for. No /proc at all is CGROUP_NONE. Where
 * /sys/fs/cgroup has all the controllers of a VM's limits in a unified hierarchy, it is CGROUP_V2 whatever else of v1 is
 * mounted somewhere, as it is to systemd.
 */
int cgroup_host_read(const char *root, struct cgroup_host *ret, struct error **err);
/* Looks which control files there are: only limits of I/O and swap depend on them. */
void cgroup_host_find_files(const char *root, struct cgroup_host *host);

/* {"kind":"hybrid","v1":[{"controllers":["cpu","cpuacct"],"mount":M,"writable":true}],
 *  "v2":{"mount":M,"controllers":[],"writable":true} or null, "files":["blkio.weight"]}; new reference. Without
 * "files" there are none. */
json_t *cgroup_host_to_json(const struct cgroup_host *host);
int cgroup_host_from_json(const json_t *json, struct cgroup_host *ret, struct error **err);
/* Is word one of the words of list, which are separated by any of separators? */
bool cgroup_has_word(const char *list, const char *separators, const char *word);
const char *cgroup_kind_name(enum cgroup_kind kind);
