/*
 * cgroup_plan - which control files of the VM's group get which values, and which limits this host cannot keep.
 *
 * Pure: opens nothing. A limit of 0 was not asked for and nothing is written for it. What the host has no controller
 * or file for is listed as missing, with the reason, and nothing is written for it either: who shows the plan says so.
 * Units: CPU in host CPUs, time in microseconds, memory in bytes.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "cgroups/cgroup_host.h"

/* In the order in which they are written: a v1 group takes a limit with swap only above the one without. */
enum cgroup_limit {
        CGROUP_LIMIT_CPU,
        CGROUP_LIMIT_CPU_QUOTA,
        CGROUP_LIMIT_IO_WEIGHT,
        CGROUP_LIMIT_PIDS,
        CGROUP_LIMIT_MEMORY_SOFT,
        CGROUP_LIMIT_MEMORY_HARD,
        CGROUP_LIMIT_MEMORY_SWAP,
        CGROUP_LIMITS
};

struct cgroup_limits {
        double cpu;                   /* CPU of the template, > 0 */
        uint64_t quota_us, period_us; /* CPU time of the whole group per period; period > 0 with a quota */
        uint32_t io_weight;           /* 1 to 10000, 100 is what a group has that asks for nothing */
        uint32_t pids;                /* processes and threads */
        uint64_t memory_hard, memory_soft;
        uint64_t memory_swap_hard; /* memory and swap together: at least memory_hard, and only with it */
};

/* One control file and its value. Strings are owned by the plan, or lent by the JSON it was read from. */
struct cgroup_setting {
        const char *controller; /* v1: "cpu", ...; NULL on v2 */
        const char *file;       /* "cpu.shares" */
        const char *value;
        enum cgroup_limit limit; /* not in the JSON */
};

struct cgroup_missing {
        enum cgroup_limit limit;
        char *why; /* "no blkio controller", "no memory.memsw.limit_in_bytes" */
};

struct cgroup_plan {
        char *path; /* "machine.slice/vmlaunch-web", below each hierarchy's mount point; NULL: no group can be made */
        struct cgroup_setting *settings; /* n of them */
        size_t n;
        struct cgroup_missing *missing;
        size_t n_missing;
};

/* ERROR_INVALID for a limit or a path that is none. */
struct cgroup_plan *cgroup_plan_build(const struct cgroup_limits *limits, const struct cgroup_host *host,
                                      const char *path, struct error **err);
void cgroup_plan_free(struct cgroup_plan *plan);
DEFINE_FREEP(struct cgroup_plan, cgroup_plan_free)

/* "machine.slice/vmlaunch-NAME"; new string. */
#define CGROUP_VM_PARENT "machine.slice"
#define CGROUP_VM_PREFIX "vmlaunch-"
char *cgroup_vm_path(const char *name);
/* The same below another slice (NULL: machine.slice), which is valid (conf/slice.h): "a.slice/a-b.slice/vmlaunch-NAME". */
char *cgroup_vm_path_in(const char *slice, const char *name);
/* Is it a path of this VM, in whatever slice? */
bool cgroup_is_vm_path(const char *path, const char *name);
/* Relative, no empty, "." or ".." component, no control byte: what create, write and remove accept. */
int cgroup_path_check(const char *path, struct error **err);

/* {"path":P,"controller":"cpu" or null,"file":F,"value":V}; new reference. */
json_t *cgroup_setting_to_json(const char *path, const struct cgroup_setting *setting);
/* Strings are lent by json. */
int cgroup_setting_from_json(const json_t *json, const char **ret_path, struct cgroup_setting *ret,
                             struct error **err);
/* The printed plan's line after the word "cgroup": "write         PATH/cpu.weight = 200". */
void cgroup_setting_text(const char *path, const struct cgroup_setting *setting, struct text *out);
