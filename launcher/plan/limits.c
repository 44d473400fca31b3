/* The VM's control group and its limits. */
#include "launcher/plan/limits.h"

#include <string.h>

#include "cgroups/cgroup_plan.h"
#include "cgroups/cgroup_unit.h"
#include "launcher/plan/builder.h"

/* Beyond the guest's own deadline: QEMU's end, the undo, and systemd's patience. */
#define STOP_GRACE_S 30
/* Where a user's systemd puts what the user starts (systemd.special(7)). */
#define USER_SLICE   "app.slice"
#define FREEZER      "freezer"
#define SCOPE_SUFFIX ".scope"
#define RULE_GROUP   "rule: every VM has its group"

static const char *const references[CGROUP_LIMITS] = {
        [CGROUP_LIMIT_CPU] = "CPU",
        [CGROUP_LIMIT_CPU_QUOTA] = "CPUTUNE/QUOTA",
        [CGROUP_LIMIT_IO_WEIGHT] = "BLKIOTUNE/WEIGHT",
        [CGROUP_LIMIT_PIDS] = "PIDS_LIMIT",
        [CGROUP_LIMIT_MEMORY_SOFT] = "MEMTUNE/SOFT_LIMIT",
        [CGROUP_LIMIT_MEMORY_HARD] = "MEMTUNE/HARD_LIMIT",
        [CGROUP_LIMIT_MEMORY_SWAP] = "MEMTUNE/SWAP_HARD_LIMIT",
};

/* One warning for all of them: a host without control groups is not told of each attribute in turn. */
static void warn_missing(struct build *build, const struct cgroup_plan *plan)
{
        const struct cgroup_missing *first = plan->missing;
        _cleanup_text_ struct text others = TEXT_INIT;

        if (!plan->n_missing)
                return;
        for (size_t i = 1; i < plan->n_missing; i++) {
                const char *why = plan->missing[i].why;
                bool same = strcmp(why, first->why) == 0;

                text_addf(&others, "%s%s%s%s%s", i > 1 ? ", " : "; nor has ",
                          references[plan->missing[i].limit], same ? "" : " (", same ? "" : why,
                          same ? "" : ")");
        }
        build_warn(build, references[first->limit], "has no effect on this host, which has %s%s", first->why,
                   text_str(&others));
}

static void refer_limit(struct build *build, struct text *because, enum cgroup_limit limit)
{
        build_refer(build, because, "%s", references[limit]);
        if (limit == CGROUP_LIMIT_CPU_QUOTA)
                build_refer(build, because, "CPUTUNE/PERIOD");
}

static void add_write(struct build *build, const struct cgroup_plan *plan,
                      const struct cgroup_setting *setting)
{
        _cleanup_text_ struct text because = TEXT_INIT;

        refer_limit(build, &because, setting->limit);
        build_step(build, text_str(&because), EFFECT_CGROUP_WRITE,
                   cgroup_setting_to_json(plan->path, setting));
}

struct cgroup_limits limits_of(const struct vm_spec *spec)
{
        return (struct cgroup_limits){
                .cpu = spec->cpu,
                .quota_us = spec->cputune.quota_us,
                .period_us = spec->cputune.period_us,
                .io_weight = spec->blkiotune.weight,
                .pids = spec->pids_limit,
                .memory_hard = spec->memtune.hard_limit,
                .memory_soft = spec->memtune.soft_limit,
                .memory_swap_hard = spec->memtune.swap_hard_limit,
        };
}

static int own_group(struct build *build, const struct cgroup_limits *limits, struct error **err)
{
        const struct vm_spec *spec = build->spec;
        _cleanup_free_ char *path = cgroup_vm_path_in(spec->slice, spec->name);
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *plan =
                cgroup_plan_build(limits, &build->in->host->cgroup, path, err);
        _cleanup_text_ struct text because = TEXT_INIT;

        if (!plan)
                return -1;
        warn_missing(build, plan);
        if (!plan->path)
                return 0;
        build->plan->cgroup = xstrdup(plan->path);
        build->plan->qemu_group = xstrdup(plan->path);
        build_refer(build, &because, "SLICE");
        build_step(build, because.length ? text_str(&because) : RULE_GROUP, EFFECT_CGROUP_CREATE,
                   json_pack("{s:s}", "path", plan->path));
        for (size_t i = 0; i < plan->n; i++)
                add_write(build, plan, &plan->settings[i]);
        return 0;
}

static void add_scope(struct build *build, const char *slice, const char *because, json_t *properties)
{
        const struct plan_policy *policy = &build->plan->policy;

        build_step(build, because, EFFECT_SCOPE,
                   json_pack("{s:s, s:s, s:s+, s:s, s:i, s:o, s:o*}", "unit", build->plan->unit, "slice",
                             slice, "description", "VM ", build->spec->name, "group", build->plan->cgroup,
                             "stop_s", (int)policy->shutdown_timeout_s + STOP_GRACE_S, "properties",
                             properties, "user", build->in->site->owner.user ? json_true() : NULL));
}

/* What the template asks for is listed; nothing is said of a VM that asks for nothing. */
static void no_group(struct build *build, const struct cgroup_limits *limits)
{
        const struct origin *cpu = vm_spec_origin(build->spec, "CPU");
        const bool asked[CGROUP_LIMITS] = {
                [CGROUP_LIMIT_CPU] = cpu && cpu->layer > LAYER_DEFAULT,
                [CGROUP_LIMIT_CPU_QUOTA] = limits->quota_us,
                [CGROUP_LIMIT_IO_WEIGHT] = limits->io_weight,
                [CGROUP_LIMIT_PIDS] = limits->pids,
                [CGROUP_LIMIT_MEMORY_SOFT] = limits->memory_soft,
                [CGROUP_LIMIT_MEMORY_HARD] = limits->memory_hard,
                [CGROUP_LIMIT_MEMORY_SWAP] = limits->memory_swap_hard,
        };
        _cleanup_text_ struct text others = TEXT_INIT;
        const char *first = NULL;

        for (size_t i = 0; i < CGROUP_LIMITS; i++) {
                if (asked[i] && first)
                        text_addf(&others, "%s%s", others.length ? ", " : "; nor has ", references[i]);
                else if (asked[i])
                        first = references[i];
        }
        if (first)
                build_warn(build, first,
                           "has no effect: an ordinary user has control groups from a systemd of its own, on "
                           "cgroup v2, and here is none%s",
                           text_str(&others));
}

/* What a user's own systemd can do: the controllers that it was given, in the unified hierarchy. Strings are lent. */
static struct cgroup_host user_cgroup_host(const struct build *build)
{
        return (struct cgroup_host){ .kind = CGROUP_V2,
                                     .v2_mount = build->in->host->cgroup.v2_mount,
                                     .v2_controllers = build->in->site->owner.manager_controllers,
                                     .v2_writable = true,
                                     .files = build->in->host->cgroup.files };
}

/* "user.slice/.../app.slice/vmlaunch-web.scope"; new string. */
static char *unit_group_path(const struct build *build, const char *slice)
{
        _cleanup_free_ char *below = cgroup_unit_path(slice, build->in->unit);
        const char *manager = build->in->site->owner.manager_group;

        if (build->in->unit_group)
                return xstrdup(build->in->unit_group);
        return manager ? xasprintf("%s/%s", manager, below) : TAKE_PTR(below);
}

/* Why systemd cannot be asked for a scope; NULL: it can, or has been. A user's systemd is known to have its bus. */
static const char *no_scope(const struct plan_input *in)
{
        if (in->group != PLAN_GROUP_SCOPE || in->unit_group)
                return NULL;
        if (!in->site->owner.user && !in->host->systemd.has_bus)
                return "there is no D-Bus";
        return in->host->systemd.has_client ? NULL : "there is neither libsystemd nor busctl";
}

/*
 * On v1 QEMU and its helpers stay where systemd has put the supervisor, in each hierarchy that systemd uses. The freezer is
 * none of them: a group there is what ends all of them and nobody else.
 */
static bool is_freezer_ours(const struct cgroup_host *host)
{
        const struct cgroup_hierarchy *freezer = cgroup_host_v1(host, FREEZER);

        return freezer && freezer->writable && strcmp(freezer->controllers, FREEZER) == 0;
}

/* New string. VMs of one name are of one instance each, as the name of the scope says. */
static char *freezer_group(const struct build *build)
{
        const char *unit = build->plan->unit;

        return text_ends_with(unit, SCOPE_SUFFIX)
                       ? xasprintf(CGROUP_VM_PARENT "/%.*s", (int)(strlen(unit) - strlen(SCOPE_SUFFIX)), unit)
                       : cgroup_vm_path(build->spec->name);
}

/* Its group is made by systemd, which has to know the limits. */
static int unit_group(struct build *build, const struct cgroup_limits *limits, struct error **err)
{
        const struct plan_input *in = build->in;
        bool user = in->site->owner.user;
        const char *slice = build->spec->slice ? build->spec->slice : user ? USER_SLICE : CGROUP_VM_PARENT;
        _cleanup_free_ char *inside = cgroup_unit_path(slice, "");
        _cleanup_free_ char *group = unit_group_path(build, slice);
        const struct cgroup_host of_user = user_cgroup_host(build);
        const struct cgroup_host *host = user ? &of_user : &in->host->cgroup;
        _cleanup_(cgroup_unit_plan_freep) struct cgroup_unit_plan *plan =
                cgroup_unit_plan_build(limits, host, group, err);
        _cleanup_text_ struct text because = TEXT_INIT;
        json_t *properties;

        if (!plan)
                return -1;
        /* Before what else has no effect: that is said with it. */
        if (no_scope(in)) {
                build_warn(
                        build, NULL,
                        "systemd cannot be talked to, %s: the VM gets no control group, and CPU and limits "
                        "have no effect",
                        no_scope(in));
                return 0;
        }
        warn_missing(build, plan->files);
        if (in->slice_is_new)
                build_warn(build, "SLICE",
                           "nobody has defined '%s': systemd makes it, without limits of its own", slice);
        else if (in->unit_group && !text_starts_with(group, inside))
                build_warn(build, "SLICE",
                           "systemd has put the VM's unit into '%s': 'systemctl daemon-reload' tells "
                           "it of the change, for the next start",
                           group);
        build->plan->unit = xstrdup(in->unit);
        if (!plan->files->path)
                return 0;
        build->plan->cgroup = xstrdup(group);
        properties = json_array();
        for (size_t i = 0; i < plan->n; i++) {
                json_array_append_new(properties, cgroup_property_to_json(&plan->properties[i]));
                /* A quota is two properties. */
                if (i == 0 || plan->properties[i].limit != plan->properties[i - 1].limit)
                        refer_limit(build, &because, plan->properties[i].limit);
        }
        build_refer(build, &because, "SLICE");
        if (!because.length)
                text_add(&because, RULE_GROUP);
        if (in->group == PLAN_GROUP_SCOPE)
                add_scope(build, slice, text_str(&because), properties);
        else
                build_step(build, text_str(&because), EFFECT_UNIT_SET,
                           json_pack("{s:s, s:s, s:o}", "unit", in->unit, "group", group, "properties",
                                     properties));
        for (size_t i = 0; i < plan->files->n; i++)
                add_write(build, plan->files, &plan->files->settings[i]);
        if (host->kind == CGROUP_V2 && host->v2_writable) {
                build->plan->qemu_group = xasprintf("%s/vm", group);
                build_step(build, "rule: QEMU has a group of its own below its unit's", EFFECT_CGROUP_CREATE,
                           json_pack("{s:s, s:b}", "path", build->plan->qemu_group, "below", 1));
        } else if (is_freezer_ours(host)) {
                build->plan->qemu_group = freezer_group(build);
                build_step(build, "rule: what belongs to a VM is known by its group", EFFECT_CGROUP_CREATE,
                           json_pack("{s:s, s:s}", "path", build->plan->qemu_group, "controller", FREEZER));
        }
        return 0;
}

void unit_late_steps(struct build *build)
{
        if (build->plan->unit && !build->in->site->owner.user)
                build_step(build, "rule: systemd-machined knows the VMs of units, where it runs",
                           EFFECT_MACHINED,
                           json_pack("{s:s, s:s}", "name", build->plan->name, "uuid", build->plan->uuid));
}

int limits_steps(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;
        const struct cgroup_limits limits = limits_of(spec);
        unsigned version = cgroup_host_version(&build->in->host->cgroup);

        if (spec->cgroups_version && version && version != spec->cgroups_version)
                build_warn(build, "CGROUPS_VERSION", "is %u and this host has version %u, which counts",
                           spec->cgroups_version, version);
        if (build->in->group == PLAN_GROUP_NONE)
                return no_group(build, &limits), 0;
        return build->in->group == PLAN_GROUP_OWN ? own_group(build, &limits, err)
                                                  : unit_group(build, &limits, err);
}
