#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "launcher/plan/change_limits.h"

static void add(struct launch_plan *plan, enum plan_effect effect, json_t *args)
{
        ARRAY_GROW(plan->steps, plan->n_steps);
        plan->steps[plan->n_steps++] =
                (struct plan_step){ .effect = effect, .args = args, .because = xstrdup("CPU") };
}

/* Files and values, in pairs. */
static struct launch_plan *files(const char *const *pairs)
{
        struct launch_plan *plan = xcalloc(1, sizeof(*plan));

        for (; *pairs; pairs += 2)
                add(plan, EFFECT_CGROUP_WRITE,
                    json_pack("{s:s, s:s, s:s, s:s}", "path", "g", "controller", "c", "file", pairs[0],
                              "value", pairs[1]));
        return plan;
}

static struct launch_plan *unit(enum plan_effect effect, const char *const *pairs)
{
        struct launch_plan *plan = xcalloc(1, sizeof(*plan));
        json_t *properties = json_array();

        for (; *pairs; pairs += 2)
                json_array_append_new(properties,
                                      json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", pairs[0], "type", "t",
                                                "value", pairs[1], "file", "pids.max", "expected", pairs[1]));
        add(plan, effect,
            json_pack("{s:s, s:s, s:o}", "unit", "u.scope", "group", "g", "properties", properties));
        return plan;
}

static void assert_steps(struct launch_plan *was, struct launch_plan *wanted, const char *expected)
{
        json_auto_t *steps = change_limits(was, wanted);
        _cleanup_text_ struct text said = TEXT_INIT;
        json_t *step, *property;
        size_t i, j;

        json_array_foreach (steps, i, step) {
                const json_t *args = json_object_get(step, "args");

                text_addf(&said, "%s%s", i ? "; " : "", json_string_value(json_object_get(step, "effect")));
                if (json_object_get(args, "file"))
                        text_addf(&said, " %s=%s", json_string_value(json_object_get(args, "file")),
                                  json_string_value(json_object_get(args, "value")));
                json_array_foreach (json_object_get(args, "properties"), j, property)
                        text_addf(&said, " %s=%s(%s)", json_string_value(json_object_get(property, "name")),
                                  json_string_value(json_object_get(property, "value")),
                                  json_string_value(json_object_get(property, "expected")));
        }
        assert_string_equal(text_str(&said), expected);
        launch_plan_free(was);
        launch_plan_free(wanted);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define NONE      ((const char *const[]){ NULL })

static void only_what_differs_is_written(void **state)
{
        (void)state;
        assert_steps(files(LIST("cpu.shares", "1024", "pids.max", "100")),
                     files(LIST("cpu.shares", "1024", "pids.max", "100")), "");
        assert_steps(files(LIST("cpu.shares", "1024", "pids.max", "100")),
                     files(LIST("cpu.shares", "2048", "pids.max", "100")), "cgroup-write cpu.shares=2048");
        assert_steps(files(LIST("cpu.shares", "1024")), files(LIST("cpu.shares", "1024", "pids.max", "100")),
                     "cgroup-write pids.max=100");
}

static void a_limit_that_is_gone_becomes_none_at_all(void **state)
{
        (void)state;
        assert_steps(
                files(LIST("cpu.shares", "1024", "cpu.cfs_quota_us", "5000", "pids.max", "100")),
                files(LIST("cpu.shares", "2048")),
                "cgroup-write pids.max=max; cgroup-write cpu.cfs_quota_us=-1; cgroup-write cpu.shares=2048");
        /* The one with swap first. */
        assert_steps(files(LIST("memory.limit_in_bytes", "100", "memory.memsw.limit_in_bytes", "200")),
                     files(NONE),
                     "cgroup-write memory.memsw.limit_in_bytes=-1; cgroup-write memory.limit_in_bytes=-1");
}

static void memory_that_grows_begins_with_the_limit_of_both(void **state)
{
        (void)state;
        assert_steps(files(LIST("memory.limit_in_bytes", "100", "memory.memsw.limit_in_bytes", "200")),
                     files(LIST("memory.limit_in_bytes", "300", "memory.memsw.limit_in_bytes", "400")),
                     "cgroup-write memory.memsw.limit_in_bytes=400; cgroup-write memory.limit_in_bytes=300");
        assert_steps(files(LIST("memory.limit_in_bytes", "300", "memory.memsw.limit_in_bytes", "400")),
                     files(LIST("memory.limit_in_bytes", "100", "memory.memsw.limit_in_bytes", "200")),
                     "cgroup-write memory.limit_in_bytes=100; cgroup-write memory.memsw.limit_in_bytes=200");
}

static void properties_of_a_unit_change_alone_and_become_unset(void **state)
{
        (void)state;
        assert_steps(unit(EFFECT_SCOPE, LIST("CPUWeight", "100", "TasksMax", "50")),
                     unit(EFFECT_SCOPE, LIST("CPUWeight", "100", "TasksMax", "50")), "");
        assert_steps(unit(EFFECT_SCOPE, LIST("CPUWeight", "100", "TasksMax", "50")),
                     unit(EFFECT_SCOPE, LIST("CPUWeight", "200")),
                     "unit-set CPUWeight=200(200) TasksMax=18446744073709551615(max)");
        assert_steps(unit(EFFECT_UNIT_SET, LIST("CPUWeight", "100")),
                     unit(EFFECT_UNIT_SET, LIST("CPUWeight", "100", "MemoryMax", "7")),
                     "unit-set MemoryMax=7(7)");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_what_differs_is_written),
                cmocka_unit_test(a_limit_that_is_gone_becomes_none_at_all),
                cmocka_unit_test(memory_that_grows_begins_with_the_limit_of_both),
                cmocka_unit_test(properties_of_a_unit_change_alone_and_become_unset),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
