/*
 * cgroup_unit - the VM's limits where systemd owns its group: as properties of its unit, a service or a scope. Pure.
 *
 * systemd writes the control files then, and again whenever it likes: what we wrote there would not last. No controller is
 * enabled below the unit, because systemd could not start it again. What systemd knows no property for (on v1 the soft
 * limit and the one with swap) is written by us, into files that it never touches.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/argv.h"
#include "base/text.h"
#include "cgroups/cgroup_plan.h"

/* One property and the control file in which its effect is seen. */
struct cgroup_property {
        enum cgroup_limit limit;
        const char *name, *type; /* "CPUWeight", "t": of D-Bus */
        char *value;             /* as bus_call() takes it */
        char *controller;        /* NULL on v2 */
        char *file, *expected;   /* NULL: not looked at */
};

struct cgroup_unit_plan {
        struct cgroup_property *properties;
        size_t n;
        struct cgroup_plan
                *files; /* what is written by us, and what this host lacks; its path is the unit's group */
};

/* "machine.slice/machine-gold.slice/vmlaunch@web.service": where systemd puts a unit of a slice; new string. slice is valid
 * (conf/slice.h). */
char *cgroup_unit_path(const char *slice, const char *unit);

/* group: the unit's. */
struct cgroup_unit_plan *cgroup_unit_plan_build(const struct cgroup_limits *limits,
                                                const struct cgroup_host *host, const char *group,
                                                struct error **err);
void cgroup_unit_plan_free(struct cgroup_unit_plan *plan);
DEFINE_FREEP(struct cgroup_unit_plan, cgroup_unit_plan_free)

/* {"name","type","value","controller","file","expected"}, the last three or nulls; new reference. */
json_t *cgroup_property_to_json(const struct cgroup_property *property);
/* Appends the property as the arguments of D-Bus' (sv); false: it is none. */
bool cgroup_property_words(const json_t *property, struct argv *words);

/* The same limits as lines of a unit file, "CPUWeight=200\n...", whatever the host has: systemd leaves out what it cannot
 * do. What is not asked for is not said. */
void cgroup_unit_text(const struct cgroup_limits *limits, struct text *out);
