/* The plan for programs: schema 1 (docs of DESIGN section 3). */
#include "launcher/plan/launch_plan.h"

static json_t *steps_json(const struct launch_plan *plan, bool (*wanted)(enum plan_effect effect), bool whole)
{
        json_t *array = json_array();

        for (size_t i = 0; i < plan->n_steps; i++) {
                const struct plan_step *step = &plan->steps[i];

                if (!wanted(step->effect))
                        continue;
                if (whole)
                        json_array_append_new(array, json_pack("{s:s, s:O, s:s}", "effect",
                                                               plan_effect_name(step->effect), "args",
                                                               step->args, "because", step->because));
                else
                        json_array_append(array, step->args);
        }
        return array;
}

static bool is_any(enum plan_effect effect)
{
        (void)effect;
        return true;
}

static bool is_net(enum plan_effect effect)
{
        return effect == EFFECT_NET || effect == EFFECT_SCRIPT;
}

static bool is_qmp(enum plan_effect effect)
{
        return effect == EFFECT_QMP;
}

/* Control files and their values, whoever writes them: properties of a unit say in which file they show. */
static json_t *cgroup_json(const struct launch_plan *plan)
{
        json_t *array = json_array(), *property;
        size_t n;

        for (size_t i = 0; i < plan->n_steps; i++) {
                const struct plan_step *step = &plan->steps[i];

                if (step->effect == EFFECT_CGROUP_WRITE)
                        json_array_append(array, step->args);
                if (step->effect != EFFECT_SCOPE && step->effect != EFFECT_UNIT_SET)
                        continue;
                json_array_foreach (json_object_get(step->args, "properties"), n, property) {
                        if (!json_is_string(json_object_get(property, "file")))
                                continue;
                        json_array_append_new(array,
                                              json_pack("{s:O, s:O, s:O, s:O, s:O}", "path",
                                                        json_object_get(step->args, "group"), "controller",
                                                        json_object_get(property, "controller"), "file",
                                                        json_object_get(property, "file"), "value",
                                                        json_object_get(property, "expected"), "property",
                                                        json_object_get(property, "name")));
                }
        }
        return array;
}

static bool is_helper(enum plan_effect effect)
{
        return effect == EFFECT_HELPER;
}

/* {"effect":E} and the step's own members. */
static json_t *files_json(const struct launch_plan *plan)
{
        json_t *array = json_array();

        for (size_t i = 0; i < plan->n_steps; i++) {
                const struct plan_step *step = &plan->steps[i];
                json_t *file;

                if (step->effect > EFFECT_MACHINE_LOCK && step->effect != EFFECT_LIVE_TEMPLATE)
                        continue;
                file = json_pack("{s:s}", "effect", plan_effect_name(step->effect));
                json_object_update(file, step->args);
                json_array_append_new(array, file);
        }
        return array;
}

static json_t *confine_json(const struct plan_confinement *confine)
{
        json_t *groups = json_array(), *json;

        for (size_t i = 0; i < confine->n_groups; i++)
                json_array_append_new(groups, json_pack("{s:I, s:s}", "gid", (json_int_t)confine->groups[i],
                                                        "name", confine->group_names[i]));
        json = json_pack("{s:I, s:I, s:o, s:[], s:b, s:s, s:s*, s:s*}", "uid", (json_int_t)confine->uid,
                         "gid", (json_int_t)confine->gid, "groups", groups, "capabilities", "no_new_privs",
                         true, "seccomp", "qemu", "cpus", confine->cpus, "memory_nodes",
                         confine->memory_nodes);
        if (confine->memlock)
                json_object_set_new(json, "memlock",
                                    confine->memlock == UINT64_MAX
                                            ? json_string("unlimited")
                                            : json_integer((json_int_t)confine->memlock));
        if (confine->no_thp)
                json_object_set_new(json, "no_thp", json_true());
        return json;
}

static json_t *warnings_json(const struct error *warning)
{
        json_t *array = json_array();

        for (; warning; warning = warning->next) {
                json_t *entry = json_pack("{s:s}", "message", warning->message);

                if (warning->pos.file) {
                        json_object_set_new(entry, "file", json_string(warning->pos.file));
                        json_object_set_new(entry, "line", json_integer(warning->pos.line));
                        json_object_set_new(entry, "column", json_integer(warning->pos.column));
                }
                if (warning->hint)
                        json_object_set_new(entry, "hint", json_string(warning->hint));
                json_array_append_new(array, entry);
        }
        return array;
}

json_t *plan_policy_to_json(const struct plan_policy *policy)
{
        const char *on_crash = policy->restart_on_panic ? "restart"
                               : policy->keep_on_panic  ? "preserve"
                                                        : "destroy";

        const struct plan_clock *clock = &policy->clock;

        return json_pack(
                "{s:b, s:b, s:b, s:s, s:i, s:b, s:b, s:b, s:b, s:b, s:s?, s:I, s:o*}", "agent",
                policy->has_agent, "acpi", policy->has_acpi, "panic", policy->has_panic, "on_crash", on_crash,
                "shutdown_timeout", (int)policy->shutdown_timeout_s, "force_destroy", policy->force_destroy,
                "cancel_no_acpi", policy->cancel_no_acpi, "watchdog_poweroff", policy->poweroff_on_watchdog,
                "sync_time", policy->sync_time, "ready_on_agent", policy->ready_on_agent, "agent_allow",
                policy->agent_allow, "balloon_floor", (json_int_t)policy->balloon_floor, "clock",
                clock->path ? json_pack("{s:s, s:I, s:I}", "path", clock->path, "adjustment",
                                        (json_int_t)clock->adjustment, "ahead", (json_int_t)clock->ahead)
                            : NULL);
}

json_t *launch_plan_json(const struct launch_plan *plan)
{
        json_t *argv = json_array(), *env = json_array(), *fds = json_array(), *root;

        for (size_t i = 0; i < plan->n_args; i++)
                json_array_append_new(argv, json_string(plan->args[i].text));
        for (char **variable = plan->env; variable && *variable; variable++)
                json_array_append_new(env, json_string(*variable));
        for (size_t i = 0; i < plan->n_fds; i++)
                json_array_append_new(fds, json_pack("{s:i, s:s, s:s}", "fd", plan->fds[i].child_fd, "source",
                                                     plan->fds[i].source, "what", plan->fds[i].text));
        root = json_pack("{s:i, s:s, s:s}", "schema", 1, "name", plan->name, "uuid", plan->uuid);
        /* Left out when there is none, or when its directory's name is not UTF-8. */
        if (plan->template_file)
                json_object_set_new(root, "template", json_string(plan->template_file));
        json_object_set_new(root, "emulator", json_string(plan->emulator));
        json_object_set_new(root, "argv", argv);
        json_object_set_new(root, "env", env);
        json_object_set_new(root, "fds", fds);
        json_object_set_new(root, "net", steps_json(plan, is_net, false));
        json_object_set_new(root, "cgroup", cgroup_json(plan));
        json_object_set_new(root, "files", files_json(plan));
        json_object_set_new(root, "confine", confine_json(&plan->confine));
        json_object_set_new(root, "helpers", steps_json(plan, is_helper, false));
        json_object_set_new(root, "qmp", steps_json(plan, is_qmp, false));
        json_object_set_new(root, "devices", json_incref(plan->devices));
        json_object_set_new(root, "policy", plan_policy_to_json(&plan->policy));
        json_object_set_new(root, "warnings", warnings_json(plan->warnings));
        json_object_set_new(root, "notes", warnings_json(plan->notes));
        json_object_set_new(root, "steps", steps_json(plan, is_any, true));
        return root;
}
