#include "launcher/plan/launch_plan.h"

#include <string.h>

static const char *const effect_names[PLAN_EFFECTS] = {
#define EFFECT_NAME(id, name, word) [EFFECT_##id] = (name),
        PLAN_EFFECT_LIST(EFFECT_NAME)
#undef EFFECT_NAME
};

const char *plan_effect_name(enum plan_effect effect)
{
        return effect_names[effect];
}

bool plan_effect_from_name(const char *name, enum plan_effect *ret)
{
        for (int i = 0; i < PLAN_EFFECTS; i++)
                if (strcmp(effect_names[i], name) == 0) {
                        *ret = (enum plan_effect)i;
                        return true;
                }
        return false;
}

void launch_plan_free(struct launch_plan *plan)
{
        if (!plan)
                return;
        free(plan->name);
        free(plan->uuid);
        free(plan->template_file);
        free(plan->emulator);
        free(plan->run_dir);
        free(plan->log_path);
        free(plan->policy.agent_allow);
        free(plan->policy.clock.path);
        free(plan->cgroup);
        free(plan->qemu_group);
        free(plan->unit);
        for (size_t i = 0; i < plan->n_steps; i++) {
                json_decref(plan->steps[i].args);
                free(plan->steps[i].because);
        }
        free(plan->steps);
        for (size_t i = plan->n_args; i-- > 0;) {
                free(plan->args[i].text);
                if (!i || plan->args[i].because != plan->args[i - 1].because)
                        free(plan->args[i].because);
        }
        free(plan->args);
        for (size_t i = 0; plan->env && plan->env[i]; i++)
                free(plan->env[i]);
        free(plan->env);
        for (size_t i = 0; i < plan->n_fds; i++) {
                free(plan->fds[i].source);
                free(plan->fds[i].text);
        }
        free(plan->fds);
        for (size_t i = 0; i < plan->n_secrets; i++) {
                free(plan->secrets[i].source);
                free(plan->secrets[i].value);
        }
        free(plan->secrets);
        for (size_t i = 0; i < plan->confine.n_groups; i++)
                free(plan->confine.group_names[i]);
        free(plan->confine.cpus);
        free(plan->confine.memory_nodes);
        json_decref(plan->devices);
        error_free(plan->warnings);
        error_free(plan->notes);
        free(plan);
}
