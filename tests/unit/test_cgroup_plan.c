#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cgroups/cgroup_plan.h"

static void cpu_becomes_shares_and_weight_as_opennebula_computes_them(void **state)
{
        static const struct {
                double cpu;
                unsigned v1, v2;
        } rows[] = {
                { 0.001, 2, 1 },         { 0.01, 11, 1 },        { 0.1, 103, 10 },
                { 0.5, 512, 50 },        { 1, 1024, 100 },       { 1.5, 1536, 150 },
                { 2, 2048, 200 },        { 4, 4096, 400 },       { 100, 102400, 10000 },
                { 200, 204800, 10000 },  { 256, 262144, 10000 }, { 10000, 262144, 10000 },
                { 1e30, 262144, 10000 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(cgroup_cpu_shares(1, rows[i].cpu), rows[i].v1);
                assert_int_equal(cgroup_cpu_shares(2, rows[i].cpu), rows[i].v2);
        }
}

static void version_decides_file_and_controller(void **state)
{
        const struct cgroup_limits limits = { .cpu = 2 };
        struct error *err = NULL;
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *v1 =
                cgroup_plan_build(&limits, 1, "machine.slice/vmlaunch-web", &err);
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *v2 =
                cgroup_plan_build(&limits, 2, "machine.slice/vmlaunch-web", &err);
        _cleanup_text_ struct text line = TEXT_INIT;

        (void)state;
        assert_int_equal(v1->n, 1);
        assert_string_equal(v1->settings[0].controller, "cpu");
        assert_string_equal(v1->settings[0].file, "cpu.shares");
        assert_string_equal(v1->settings[0].value, "2048");
        assert_int_equal(v2->n, 1);
        assert_null(v2->settings[0].controller);
        cgroup_setting_text(v2->path, &v2->settings[0], &line);
        assert_string_equal(text_str(&line), "write         machine.slice/vmlaunch-web/cpu.weight = 200");
}

static void without_cgroups_or_without_cpu_nothing_is_written(void **state)
{
        const struct cgroup_limits limits = { .cpu = 2 }, nothing = { 0 };
        struct error *err = NULL;
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *none = cgroup_plan_build(&limits, 0, "a", &err);
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *empty = cgroup_plan_build(&nothing, 2, "a", &err);

        (void)state;
        assert_int_equal(none->n, 0);
        assert_int_equal(empty->n, 0);
}

static void cpu_that_is_no_positive_number_is_refused(void **state)
{
        static const double values[] = { -1, -0.001, NAN, INFINITY };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
                const struct cgroup_limits limits = { .cpu = values[i] };
                struct error *err = NULL;

                assert_null(cgroup_plan_build(&limits, 1, "a", &err));
                assert_int_equal(err->code, ERROR_INVALID);
                error_free(err);
        }
}

static void paths_that_lead_elsewhere_are_refused(void **state)
{
        static const char *const bad[] = { "",    "/a",  "a/",   "a//b", "..", "a/../b",
                                           "./a", "a/.", "a\nb", "a/..", "." };
        static const char *const good[] = { "a", "machine.slice/vmlaunch-web", "a/...", "a/.b", "a b" };
        struct error *err = NULL;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_int_equal(cgroup_path_check(bad[i], &err), -1);
                error_free(err);
                err = NULL;
        }
        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                assert_int_equal(cgroup_path_check(good[i], &err), 0);
}

static void settings_survive_the_way_through_json(void **state)
{
        const struct cgroup_setting settings[] = {
                { "cpu", "cpu.shares", "1024" },
                { NULL, "cpu.weight", "100" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
                json_auto_t *json = cgroup_setting_to_json("machine.slice/vmlaunch-web", &settings[i]);
                struct cgroup_setting again;
                struct error *err = NULL;
                const char *path;

                assert_int_equal(cgroup_setting_from_json(json, &path, &again, &err), 0);
                assert_string_equal(path, "machine.slice/vmlaunch-web");
                assert_string_equal(again.file, settings[i].file);
                assert_string_equal(again.value, settings[i].value);
                assert_int_equal(!again.controller, !settings[i].controller);
        }
}

static void json_that_leads_out_of_the_group_is_refused(void **state)
{
        static const char *const texts[] = {
                "{}",
                "{\"path\":\"../a\",\"controller\":\"cpu\",\"file\":\"f\",\"value\":\"1\"}",
                "{\"path\":\"a\",\"controller\":\"cpu\",\"file\":\"../f\",\"value\":\"1\"}",
                "{\"path\":\"a\",\"controller\":\"cpu\",\"file\":\"..\",\"value\":\"1\"}",
                "{\"path\":\"a\",\"controller\":\"cpu\",\"file\":\"f\",\"value\":1}",
                "{\"path\":\"a\",\"controller\":1,\"file\":\"f\",\"value\":\"1\"}",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                json_auto_t *json = json_loads(texts[i], 0, NULL);
                struct cgroup_setting setting;
                struct error *err = NULL;
                const char *path;

                assert_int_equal(cgroup_setting_from_json(json, &path, &setting, &err), -1);
                assert_int_equal(err->code, ERROR_INVALID);
                error_free(err);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(cpu_becomes_shares_and_weight_as_opennebula_computes_them),
                cmocka_unit_test(version_decides_file_and_controller),
                cmocka_unit_test(without_cgroups_or_without_cpu_nothing_is_written),
                cmocka_unit_test(cpu_that_is_no_positive_number_is_refused),
                cmocka_unit_test(paths_that_lead_elsewhere_are_refused),
                cmocka_unit_test(settings_survive_the_way_through_json),
                cmocka_unit_test(json_that_leads_out_of_the_group_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
