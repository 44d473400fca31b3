/* The VM's control group and its limits. */
#include <string.h>

#include "cgroups/cgroup_plan.h"
#include "launcher/plan/builder.h"

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

static void add_write(struct build *build, const struct cgroup_plan *plan,
                      const struct cgroup_setting *setting)
{
        _cleanup_text_ struct text because = TEXT_INIT;

        build_refer(build, &because, "%s", references[setting->limit]);
        if (setting->limit == CGROUP_LIMIT_CPU_QUOTA)
                build_refer(build, &because, "CPUTUNE/PERIOD");
        build_step(build, text_str(&because), EFFECT_CGROUP_WRITE,
                   cgroup_setting_to_json(plan->path, setting));
}

int limits_steps(struct build *build, struct error **err)
{
        const struct cgroup_host *host = &build->in->host->cgroup;
        const struct vm_spec *spec = build->spec;
        const struct cgroup_limits limits = {
                .cpu = spec->cpu,
                .quota_us = spec->cputune.quota_us,
                .period_us = spec->cputune.period_us,
                .io_weight = spec->blkiotune.weight,
                .pids = spec->pids_limit,
                .memory_hard = spec->memtune.hard_limit,
                .memory_soft = spec->memtune.soft_limit,
                .memory_swap_hard = spec->memtune.swap_hard_limit,
        };
        unsigned version = cgroup_host_version(host);
        _cleanup_free_ char *path = cgroup_vm_path(spec->name);
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *plan = cgroup_plan_build(&limits, host, path, err);

        if (!plan)
                return -1;
        warn_missing(build, plan);
        if (spec->cgroups_version && version && version != spec->cgroups_version)
                build_warn(build, "CGROUPS_VERSION", "is %u and this host has version %u, which counts",
                           spec->cgroups_version, version);
        if (!plan->path)
                return 0;
        build->plan->cgroup = xstrdup(plan->path);
        build_step(build, "rule: every VM has its group", EFFECT_CGROUP_CREATE,
                   json_pack("{s:s}", "path", plan->path));
        for (size_t i = 0; i < plan->n; i++)
                add_write(build, plan, &plan->settings[i]);
        return 0;
}
