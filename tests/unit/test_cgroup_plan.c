#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cgroups/cgroup_plan.h"
#include "cgroups/cgroup_values.h"
#include "tests/unit/cgroup_hosts.h"

static const struct cgroup_host no_host = { .kind = CGROUP_NONE };

static const struct cgroup_limits every_limit = {
        .cpu = 2,
        .quota_us = 50000,
        .period_us = 100000,
        .io_weight = 300,
        .pids = 200,
        .memory_hard = 3ull << 30,
        .memory_soft = 2ull << 30,
        .memory_swap_hard = 4ull << 30,
};

/* "file=value file=value", in the plan's order. */
static char *written(const struct cgroup_plan *plan)
{
        struct text out = TEXT_INIT;

        for (size_t i = 0; i < plan->n; i++)
                text_addf(&out, "%s%s=%s", i ? ", " : "", plan->settings[i].file, plan->settings[i].value);
        return text_take(&out);
}

static char *missed(const struct cgroup_plan *plan)
{
        struct text out = TEXT_INIT;

        for (size_t i = 0; i < plan->n_missing; i++)
                text_addf(&out, "%s%d: %s", i ? ", " : "", (int)plan->missing[i].limit, plan->missing[i].why);
        return text_take(&out);
}

static void assert_plan(const struct cgroup_limits *limits, const struct cgroup_host *host,
                        const char *settings, const char *missing)
{
        struct error *err = NULL;
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *plan =
                cgroup_plan_build(limits, host, "machine.slice/vmlaunch-web", &err);
        _cleanup_free_ char *files = written(plan), *why = missed(plan);

        assert_string_equal(files, settings);
        assert_string_equal(why, missing);
}

static void every_limit_has_its_files_on_v1_and_v2(void **state)
{
        (void)state;
        assert_plan(&every_limit, &v1_host,
                    "cpu.shares=2048, cpu.cfs_period_us=100000, cpu.cfs_quota_us=50000, blkio.weight=1000, "
                    "pids.max=200, memory.soft_limit_in_bytes=2147483648, memory.limit_in_bytes=3221225472, "
                    "memory.memsw.limit_in_bytes=4294967296",
                    "");
        assert_plan(&every_limit, &v2_host,
                    "cpu.weight=200, cpu.max=50000 100000, io.weight=default 300, pids.max=200, "
                    "memory.high=2147483648, memory.max=3221225472, memory.swap.max=1073741824",
                    "");
}

static void what_the_host_lacks_is_named_with_its_reason(void **state)
{
        struct cgroup_hierarchy some[] = { all_v1[0], all_v1[1], all_v1[2] };
        struct cgroup_host host = { .kind = CGROUP_HYBRID, .v1 = some, .n_v1 = 3, .v2_mount = (char *)"/u" };
        struct cgroup_host read_only = v2_host;

        (void)state;
        some[1].writable = false;
        assert_plan(&every_limit, &host,
                    "memory.soft_limit_in_bytes=2147483648, memory.limit_in_bytes=3221225472",
                    "0: a read-only cpu controller, 1: a read-only cpu controller, 2: no blkio.weight, "
                    "3: no pids controller, 6: no memory.memsw.limit_in_bytes");
        read_only.v2_writable = false;
        assert_plan(&(struct cgroup_limits){ .cpu = 1, .pids = 5 }, &read_only, "",
                    "0: read-only control groups, 3: read-only control groups");
        assert_plan(&(struct cgroup_limits){ .cpu = 1 }, &no_host, "", "0: no control groups");
}

static void a_host_on_which_nothing_can_be_written_gives_no_group(void **state)
{
        struct cgroup_hierarchy one = all_v1[1],
                                other = { .controllers = (char *)"net_cls", .writable = true };
        struct cgroup_hierarchy both[2];
        struct cgroup_host host = { .kind = CGROUP_V1, .v1 = both, .n_v1 = 2 };
        struct error *err = NULL;

        (void)state;
        one.writable = false;
        both[0] = one;
        both[1] = other;
        for (int i = 0; i < 2; i++) {
                _cleanup_(cgroup_plan_freep) struct cgroup_plan *plan =
                        cgroup_plan_build(&every_limit, &host, "a", &err);

                /* Its own mount is enough: the group holds the processes together. */
                assert_int_equal(plan->n, 0);
                if (i == 0)
                        assert_null(plan->path);
                else
                        assert_string_equal(plan->path, "a");
                both[1] = (struct cgroup_hierarchy){ .controllers = (char *)"freezer", .writable = true };
        }
}

static void weights_of_other_schedulers_are_converted(void **state)
{
        static const struct {
                uint32_t io, cfq, bfq;
        } rows[] = { { 1, 10, 1 },       { 2, 10, 2 },        { 3, 15, 3 },         { 100, 500, 100 },
                     { 200, 1000, 109 }, { 1000, 1000, 181 }, { 10000, 1000, 1000 } };
        struct cgroup_host host = v1_host;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(cgroup_v1_cfq_weight(rows[i].io), rows[i].cfq);
                assert_int_equal(cgroup_bfq_weight(rows[i].io), rows[i].bfq);
        }
        host.files = (char *)"blkio.bfq.weight";
        assert_plan(&(struct cgroup_limits){ .io_weight = 200 }, &host, "blkio.bfq.weight=109", "");
        host.files = (char *)"blkio.bfq.weight blkio.weight";
        assert_plan(&(struct cgroup_limits){ .io_weight = 200 }, &host,
                    "blkio.bfq.weight=109, blkio.weight=1000", "");
        host = v2_host;
        host.files = (char *)"io.weight io.bfq.weight";
        assert_plan(&(struct cgroup_limits){ .io_weight = 200 }, &host,
                    "io.bfq.weight=109, io.weight=default 200", "");
        host.files = NULL;
        assert_plan(&(struct cgroup_limits){ .io_weight = 200 }, &host, "", "2: no io.weight");
}

static void limits_that_do_not_go_together_are_refused(void **state)
{
        static const struct cgroup_limits bad[] = {
                { .quota_us = 1000 },
                { .memory_swap_hard = 1 << 20 },
                { .memory_swap_hard = 1 << 20, .memory_hard = 2 << 20 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct error *err = NULL;

                assert_null(cgroup_plan_build(&bad[i], &v1_host, "a", &err));
                assert_int_equal(err->code, ERROR_INVALID);
                error_free(err);
        }
}

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
                assert_int_equal(cgroup_v1_cpu_shares(rows[i].cpu), rows[i].v1);
                assert_int_equal(cgroup_v2_cpu_weight(rows[i].cpu), rows[i].v2);
        }
}

static void version_decides_file_and_controller(void **state)
{
        const struct cgroup_limits limits = { .cpu = 2 };
        struct error *err = NULL;
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *v1 =
                cgroup_plan_build(&limits, &v1_host, "machine.slice/vmlaunch-web", &err);
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *v2 =
                cgroup_plan_build(&limits, &v2_host, "machine.slice/vmlaunch-web", &err);
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
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *none =
                cgroup_plan_build(&limits, &no_host, "a", &err);
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *empty =
                cgroup_plan_build(&nothing, &v2_host, "a", &err);

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

                assert_null(cgroup_plan_build(&limits, &v1_host, "a", &err));
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
                { .controller = "cpu", .file = "cpu.shares", .value = "1024" },
                { .file = "cpu.weight", .value = "100" },
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
                cmocka_unit_test(every_limit_has_its_files_on_v1_and_v2),
                cmocka_unit_test(what_the_host_lacks_is_named_with_its_reason),
                cmocka_unit_test(a_host_on_which_nothing_can_be_written_gives_no_group),
                cmocka_unit_test(weights_of_other_schedulers_are_converted),
                cmocka_unit_test(limits_that_do_not_go_together_are_refused),
                cmocka_unit_test(version_decides_file_and_controller),
                cmocka_unit_test(without_cgroups_or_without_cpu_nothing_is_written),
                cmocka_unit_test(cpu_that_is_no_positive_number_is_refused),
                cmocka_unit_test(paths_that_lead_elsewhere_are_refused),
                cmocka_unit_test(settings_survive_the_way_through_json),
                cmocka_unit_test(json_that_leads_out_of_the_group_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
