#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cgroups/cgroup_unit.h"
#include "conf/slice.h"
#include "tests/unit/cgroup_hosts.h"

static const struct cgroup_limits every_limit = {
        .cpu = 1.5,
        .quota_us = 33333,
        .period_us = 70000,
        .io_weight = 300,
        .pids = 200,
        .memory_hard = 3ull << 30,
        .memory_soft = 2ull << 30,
        .memory_swap_hard = 4ull << 30,
};

static void assert_unit(const struct cgroup_host *host, const char *properties, const char *files,
                        const char *written, size_t n_missing)
{
        struct error *err = NULL;
        _cleanup_(cgroup_unit_plan_freep) struct cgroup_unit_plan *plan =
                cgroup_unit_plan_build(&every_limit, host, "machine.slice/vmlaunch@web.service", &err);
        _cleanup_text_ struct text set = TEXT_INIT, seen = TEXT_INIT, own = TEXT_INIT;

        for (size_t i = 0; i < plan->n; i++) {
                text_addf(&set, "%s%s=%s", i ? " " : "", plan->properties[i].name, plan->properties[i].value);
                if (plan->properties[i].file)
                        text_addf(&seen, "%s%s=%s", seen.length ? ", " : "", plan->properties[i].file,
                                  plan->properties[i].expected);
        }
        for (size_t i = 0; i < plan->files->n; i++)
                text_addf(&own, "%s%s=%s", i ? " " : "", plan->files->settings[i].file,
                          plan->files->settings[i].value);
        assert_string_equal(text_str(&set), properties);
        assert_string_equal(text_str(&seen), files);
        assert_string_equal(text_str(&own), written);
        assert_int_equal(plan->files->n_missing, n_missing);
}

static void every_limit_is_a_property_on_v2(void **state)
{
        (void)state;
        assert_unit(
                &v2_host,
                "CPUWeight=150 CPUQuotaPeriodUSec=70000 CPUQuotaPerSecUSec=476200 IOWeight=300 TasksMax=200 "
                "MemoryHigh=2147483648 MemoryMax=3221225472 MemorySwapMax=1073741824",
                "cpu.weight=150, cpu.max=33334 70000, cpu.max=33334 70000, io.weight=default 300, pids.max=200, "
                "memory.high=2147483648, memory.max=3221225472, memory.swap.max=1073741824",
                "", 0);
}

static void what_systemd_has_no_property_for_is_written_by_us_on_v1(void **state)
{
        (void)state;
        assert_unit(
                &v1_host,
                "CPUWeight=150 CPUQuotaPeriodUSec=70000 CPUQuotaPerSecUSec=476200 IOWeight=300 TasksMax=200 "
                "MemoryMax=3221225472",
                "cpu.shares=1536, cpu.cfs_period_us=70000, cpu.cfs_quota_us=33334, blkio.weight=1000, "
                "pids.max=200, memory.limit_in_bytes=3221225472",
                "memory.soft_limit_in_bytes=2147483648 memory.memsw.limit_in_bytes=4294967296", 0);
}

static void what_the_host_lacks_is_no_property(void **state)
{
        struct cgroup_host host = v2_host;

        (void)state;
        host.v2_controllers = (char *)"cpu pids";
        assert_unit(&host, "CPUWeight=150 CPUQuotaPeriodUSec=70000 CPUQuotaPerSecUSec=476200 TasksMax=200",
                    "cpu.weight=150, cpu.max=33334 70000, cpu.max=33334 70000, pids.max=200", "", 4);
}

static void a_unit_file_says_the_same_as_the_properties(void **state)
{
        _cleanup_text_ struct text out = TEXT_INIT;

        (void)state;
        cgroup_unit_text(&every_limit, &out);
        assert_string_equal(text_str(&out), "CPUWeight=150\n"
                                            "CPUQuotaPeriodSec=70000us\n"
                                            "CPUQuota=47.62%\n"
                                            "IOWeight=300\n"
                                            "TasksMax=200\n"
                                            "MemoryHigh=2147483648\n"
                                            "MemoryMax=3221225472\n"
                                            "MemorySwapMax=1073741824\n");
}

static void a_unit_is_where_systemd_puts_it(void **state)
{
        static const struct {
                const char *slice, *path;
        } rows[] = { { "machine.slice", "machine.slice/x.scope" },
                     { "machine-gold.slice", "machine.slice/machine-gold.slice/x.scope" },
                     { "a-b-c.slice", "a.slice/a-b.slice/a-b-c.slice/x.scope" } };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *path = cgroup_unit_path(rows[i].slice, "x.scope");

                assert_string_equal(path, rows[i].path);
        }
}

static void a_slice_has_a_name_that_systemd_takes(void **state)
{
        static const char *const good[] = { "machine.slice", "a-b.slice", "gold_1.slice", "a:b.slice" },
                                 *const bad[] = { "",          "slice",      ".slice",    "-.slice",
                                                  "machine",   "a--b.slice", "-a.slice",  "a-.slice",
                                                  "a/b.slice", "a b.slice",  "a.slice/b", "\xc3\xa4.slice" };
        _cleanup_text_ struct text longest = TEXT_INIT;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                assert_true(slice_name_is_valid(good[i]));
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_false(slice_name_is_valid(bad[i]));
        for (unsigned i = 0; i < 250; i++)
                text_add(&longest, "a");
        text_add(&longest, ".slice");
        assert_false(slice_name_is_valid(text_str(&longest)));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_limit_is_a_property_on_v2),
                cmocka_unit_test(what_systemd_has_no_property_for_is_written_by_us_on_v1),
                cmocka_unit_test(what_the_host_lacks_is_no_property),
                cmocka_unit_test(a_unit_file_says_the_same_as_the_properties),
                cmocka_unit_test(a_unit_is_where_systemd_puts_it),
                cmocka_unit_test(a_slice_has_a_name_that_systemd_takes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
