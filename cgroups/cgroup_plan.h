/*
 * cgroup_plan - which control files of the VM's group get which values.
 *
 * Pure: opens nothing. CPU is the template's CPU, in host CPUs. Errors: ERROR_INVALID for a limit outside
 * what makes sense. A host without cgroups (version 0) gets an empty list, and the
 * caller says so.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

struct cgroup_limits {
        double cpu; /* CPU of the template, > 0; 0: not given, nothing is written */
};

/* One control file and its value. Strings are owned by the plan, or lent by the JSON it was read from. */
struct cgroup_setting {
        const char *controller; /* v1: "cpu", ...; NULL on v2 */
        const char *file;       /* "cpu.shares" */
        const char *value;
};

struct cgroup_plan {
        char *path; /* "machine.slice/vmlaunch-web", below each hierarchy's mount point */
        struct cgroup_setting *settings; /* n of them */
        size_t n;
};

/* version: 1, 2, or 0 for none (cgroup_host_version()). */
struct cgroup_plan *cgroup_plan_build(const struct cgroup_limits *limits, unsigned version, const char *path,
                                      struct error **err);
void cgroup_plan_free(struct cgroup_plan *plan);
DEFINE_FREEP(struct cgroup_plan, cgroup_plan_free)

/*
 * clamp(ceil((float)base * (float)CPU), min, max) in single precision, as OpenNebula's KVM driver computes
 * it: base, min, max = 1024, 2, 262144 for cpu.shares (v1) and 100, 1, 10000 for cpu.weight (v2). cpu > 0.
 */
uint64_t cgroup_cpu_shares(unsigned version, double cpu);

/* "machine.slice/vmlaunch-NAME"; new string. */
#define CGROUP_VM_PARENT "machine.slice"
#define CGROUP_VM_PREFIX "vmlaunch-"
char *cgroup_vm_path(const char *name);
/* Relative, no empty, "." or ".." component, no control byte: what create, write and remove accept. */
int cgroup_path_check(const char *path, struct error **err);

/* {"path":P,"controller":"cpu" or null,"file":F,"value":V}; new reference. */
json_t *cgroup_setting_to_json(const char *path, const struct cgroup_setting *setting);
/* Strings are lent by json. */
int cgroup_setting_from_json(const json_t *json, const char **ret_path, struct cgroup_setting *ret,
                             struct error **err);
/* The printed plan's line after the word "cgroup": "write         PATH/cpu.weight = 200". */
void cgroup_setting_text(const char *path, const struct cgroup_setting *setting, struct text *out);
