/*
 * plan_build - spec + host facts -> launch plan. Pure.
 *
 * chains[i] belongs to spec->disks[i]. files: facts of the other files the spec names. lock: what machine.lock
 * said, NULL when the VM has none.
 */
#pragma once

#include "conf/site.h"
#include "conf/vm_spec.h"
#include "launcher/host/device_facts.h"
#include "launcher/host/firmware.h"
#include "launcher/host/host_facts.h"
#include "launcher/host/qemu_facts.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/state/clock_state.h"
#include "launcher/state/machine_lock.h"
#include "launcher/storage/image_chain.h"

/* Who makes the VM's control group (DESIGN section 7). */
enum plan_group {
        PLAN_GROUP_OWN,     /* vmlaunch: no systemd */
        PLAN_GROUP_NONE,    /* nobody: an ordinary user has none to give */
        PLAN_GROUP_SCOPE,   /* systemd, for a VM that is started by hand: a transient scope */
        PLAN_GROUP_SERVICE, /* systemd, whose unit runs vmlaunch */
};

struct plan_input {
        const struct vm_spec *spec;
        const struct site *site;
        const struct host_facts *host;
        const struct qemu_facts *qemu;
        struct image_chain *const *chains; /* [spec->n_disks] */
        struct file_facts kernel, initrd;
        const struct firmware_list *firmware; /* NULL: the VM has no UEFI */
        const char *timezone_rule; /* of CLOCK/TIMEZONE, as TZ takes it; NULL: this host has no such zone */
        const struct clock_state *clock; /* NULL: the guest's clock was never set */
        const struct device_facts *devices;
        const struct machine_lock *lock;
        enum plan_group group;
        const char *unit;       /* its name; NULL with PLAN_GROUP_OWN */
        const char *unit_group; /* of PLAN_GROUP_SERVICE, as it is; NULL: where SLICE puts it */
        bool running;           /* the VM runs with it already: what it has of the host may be gone since */
        bool slice_is_new;      /* nobody has defined SLICE: it is made, and limits nothing */
};

int plan_build(const struct plan_input *input, struct launch_plan **ret, struct error **err);

/* Each argv element <- template line, default layer or rule; each attribute -> what it made, or why nothing.
 * Text, or JSON {"schema":1,"argv":[...],"attributes":[...]}. */
char *plan_explain_text(const struct launch_plan *plan, const struct vm_spec *spec);
json_t *plan_explain_json(const struct launch_plan *plan, const struct vm_spec *spec);
