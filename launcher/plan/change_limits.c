#include "launcher/plan/change_limits.h"

#include <string.h>

#include "base/json_member.h"
#include "base/text.h"

/* What D-Bus' numbers are when there is no limit: systemd's "infinity", and no weight of its own. */
#define UNSET "18446744073709551615"

/* What a group has that asks for nothing. */
static const struct {
        const char *file, *value;
} defaults[] = {
        { "cpu.max", "max 100000" },        { "io.weight", "default 100" },
        { "io.bfq.weight", "default 100" }, { "pids.max", "max" },
        { "memory.high", "max" },           { "memory.max", "max" },
        { "memory.swap.max", "max" },       { "cpu.cfs_quota_us", "-1" },
        { "cpu.cfs_period_us", "100000" },  { "blkio.weight", "500" },
        { "blkio.bfq.weight", "100" },      { "memory.soft_limit_in_bytes", "-1" },
        { "memory.limit_in_bytes", "-1" },  { "memory.memsw.limit_in_bytes", "-1" },
};

static const char *default_of(const char *file)
{
        for (size_t i = 0; file && i < ARRAY_SIZE(defaults); i++)
                if (strcmp(defaults[i].file, file) == 0)
                        return defaults[i].value;
        return NULL;
}

bool change_limits_has(enum plan_effect effect)
{
        return effect == EFFECT_CGROUP_WRITE || effect == EFFECT_UNIT_SET || effect == EFFECT_SCOPE;
}

static void add(json_t *steps, enum plan_effect effect, json_t *args_consume, const char *because)
{
        json_array_append_new(steps, json_pack("{s:s, s:o, s:s}", "effect", plan_effect_name(effect), "args",
                                               args_consume, "because", because));
}

/* Properties of a unit. */

static const struct plan_step *unit_step(const struct launch_plan *plan)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_UNIT_SET || plan->steps[i].effect == EFFECT_SCOPE)
                        return &plan->steps[i];
        return NULL;
}

static const json_t *find_property(const json_t *properties, const json_t *like)
{
        const json_t *property;
        size_t i;

        json_array_foreach (properties, i, property) {
                if (json_equal(json_object_get(property, "name"), json_object_get(like, "name")))
                        return property;
        }
        return NULL;
}

static json_t *unset_property(const json_t *property)
{
        const char *value = default_of(json_member_string(property, "file"));
        json_t *unset = json_copy((json_t *)property);

        json_object_set_new(unset, "value", json_string(UNSET));
        json_object_set_new(unset, "expected", value ? json_string(value) : json_null());
        return unset;
}

static void add_unit(const struct launch_plan *was, const struct launch_plan *wanted, json_t *steps)
{
        const struct plan_step *from = unit_step(was), *to = unit_step(wanted);
        json_t *changed = json_array();
        const json_t *property, *old, *new;
        size_t i;

        old = from ? json_object_get(from->args, "properties") : NULL;
        new = to ? json_object_get(to->args, "properties") : NULL;
        json_array_foreach (new, i, property) {
                const json_t *before = find_property(old, property);

                if (!before || !json_equal(before, property))
                        json_array_append(changed, (json_t *)property);
        }
        json_array_foreach (old, i, property) {
                if (!find_property(new, property))
                        json_array_append_new(changed, unset_property(property));
        }
        if (!to || !json_array_size(changed)) {
                json_decref(changed);
                return;
        }
        add(steps, EFFECT_UNIT_SET,
            json_pack("{s:O, s:O, s:o, s:O*}", "unit", json_object_get(to->args, "unit"), "group",
                      json_object_get(to->args, "group"), "properties", changed, "user",
                      json_object_get(to->args, "user")),
            to->because);
}

/* Control files. */

static const struct plan_step *find_write(const struct launch_plan *plan, const struct plan_step *like)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_CGROUP_WRITE &&
                    json_equal(json_object_get(plan->steps[i].args, "file"),
                               json_object_get(like->args, "file")))
                        return &plan->steps[i];
        return NULL;
}

static void add_write(json_t *steps, const struct plan_step *step, const char *value)
{
        json_t *args = json_copy(step->args);

        if (value)
                json_object_set_new(args, "value", json_string(value));
        add(steps, EFFECT_CGROUP_WRITE, args, step->because);
}

static bool is_file(const json_t *step, const char *file)
{
        const char *is = json_member_string(json_object_get(step, "args"), "file");

        return is && strcmp(is, file) == 0;
}

/* v1 takes no memory limit above the one with swap, nor that one below: what grows begins with it. */
static void order_memory(const struct launch_plan *was, json_t *steps)
{
        size_t limit = SIZE_MAX, with_swap = SIZE_MAX, i;
        uint64_t before, after;
        const json_t *step;

        json_array_foreach (steps, i, step) {
                if (is_file(step, "memory.limit_in_bytes"))
                        limit = i;
                if (is_file(step, "memory.memsw.limit_in_bytes"))
                        with_swap = i;
        }
        if (limit == SIZE_MAX || with_swap == SIZE_MAX || with_swap < limit)
                return;
        for (i = 0; i < was->n_steps; i++) {
                const char *file = json_member_string(was->steps[i].args, "file");
                const char *old = json_member_string(was->steps[i].args, "value");
                const char *new =
                        json_member_string(json_object_get(json_array_get(steps, limit), "args"), "value");

                if (file && strcmp(file, "memory.limit_in_bytes") == 0 && old &&
                    new &&text_parse_u64(old, &before) && text_parse_u64(new, &after) && after > before) {
                        json_t *first = json_incref(json_array_get(steps, with_swap));

                        json_array_remove(steps, with_swap);
                        json_array_insert_new(steps, limit, first);
                        return;
                }
        }
}

json_t *change_limits(const struct launch_plan *was, const struct launch_plan *wanted)
{
        json_t *steps = json_array();

        /* What goes first, the last limit first: each was written above the one before it. */
        for (size_t i = was->n_steps; i-- > 0;) {
                const struct plan_step *step = &was->steps[i];
                const char *value = default_of(json_member_string(step->args, "file"));

                if (step->effect == EFFECT_CGROUP_WRITE && value && !find_write(wanted, step))
                        add_write(steps, step, value);
        }
        add_unit(was, wanted, steps);
        for (size_t i = 0; i < wanted->n_steps; i++) {
                const struct plan_step *step = &wanted->steps[i], *before;

                if (step->effect != EFFECT_CGROUP_WRITE)
                        continue;
                before = find_write(was, step);
                if (!before || !json_equal(before->args, step->args))
                        add_write(steps, step, NULL);
        }
        order_memory(was, steps);
        return steps;
}
