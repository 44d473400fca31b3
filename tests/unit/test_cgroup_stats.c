#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "cgroups/cgroup_stats.h"
#include "tests/unit/cgroup_hosts.h"

static struct cgroup_hierarchy one_v1 = { .controllers = (char *)"blkio,cpu,memory,pids",
                                          .mount = cgroup_root };
static const struct cgroup_host v1 = { .kind = CGROUP_V1, .v1 = &one_v1, .n_v1 = 1 };
static const struct cgroup_host v2 = { .kind = CGROUP_V2,
                                       .v2_mount = cgroup_root,
                                       .v2_controllers = (char *)"cpu io memory pids",
                                       .v2_writable = true };

static void assert_limits(const struct cgroup_host *host, const char *expected)
{
        json_auto_t *limits = cgroup_limits_read(host, "web");
        char *text = json_dumps(limits, JSON_COMPACT);

        assert_string_equal(text, expected);
        free(text);
}

static void limits_that_are_not_set_are_not_listed(void **state)
{
        (void)state;
        assert_limits(&v1, "{}");
        put_cgroup_file("web", "cpu.shares", "1024\n");
        put_cgroup_file("web", "cpu.cfs_quota_us", "-1\n");
        put_cgroup_file("web", "cpu.cfs_period_us", "100000\n");
        put_cgroup_file("web", "pids.max", "max\n");
        put_cgroup_file("web", "memory.limit_in_bytes", "9223372036854771712\n");
        assert_limits(&v1, "{\"cpu.shares\":\"1024\"}");
        put_cgroup_file("web", "cpu.weight", "100\n");
        put_cgroup_file("web", "cpu.max", "max 100000\n");
        put_cgroup_file("web", "io.weight", "default 100\n");
        put_cgroup_file("web", "memory.max", "max\n");
        assert_limits(&v2, "{\"cpu.weight\":\"100\"}");
}

static void limits_that_are_set_are_listed_as_the_kernel_says_them(void **state)
{
        (void)state;
        put_cgroup_file("web", "cpu.shares", "512\n");
        put_cgroup_file("web", "cpu.cfs_quota_us", "50000\n");
        put_cgroup_file("web", "cpu.cfs_period_us", "20000\n");
        put_cgroup_file("web", "pids.max", "100\n");
        put_cgroup_file("web", "memory.limit_in_bytes", "1073741824\n");
        assert_limits(
                &v1, "{\"cpu.shares\":\"512\",\"cpu.cfs_quota_us\":\"50000\",\"cpu.cfs_period_us\":\"20000\","
                     "\"pids.max\":\"100\",\"memory.limit_in_bytes\":\"1073741824\"}");
        put_cgroup_file("web", "cpu.weight", "50\n");
        put_cgroup_file("web", "cpu.max", "50000 20000\n");
        put_cgroup_file("web", "io.weight", "default 300\n");
        put_cgroup_file("web", "memory.swap.max", "0\n");
        assert_limits(&v2, "{\"cpu.weight\":\"50\",\"cpu.max\":\"50000 20000\",\"io.weight\":\"default 300\","
                           "\"pids.max\":\"100\",\"memory.swap.max\":\"0\"}");
}

static void assert_oom(const struct cgroup_host *host, unsigned kills, bool at_limit, const char *text)
{
        struct cgroup_oom oom;
        _cleanup_free_ char *said = NULL;

        cgroup_oom_read(host, "web", &oom);
        assert_int_equal(oom.kills, kills);
        assert_int_equal(oom.at_limit, at_limit);
        said = cgroup_oom_text(&oom);
        assert_string_equal(said, text);
}

static void kills_for_want_of_memory_are_read_with_their_numbers_on_v1(void **state)
{
        struct cgroup_oom oom;

        (void)state;
        cgroup_oom_read(&v1, "web", &oom);
        assert_int_equal(oom.kills, 0);
        put_cgroup_file("web", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
        put_cgroup_file("web", "memory.limit_in_bytes", "9223372036854771712\n");
        assert_oom(&v1, 2, false, "2 processes killed, the VM has no limit");
        put_cgroup_file("web", "memory.limit_in_bytes", "268435456\n");
        put_cgroup_file("web", "memory.max_usage_in_bytes", "268435456\n");
        put_cgroup_file("web", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
        assert_oom(&v1, 1, true, "1 process killed, the VM's limit is 256 MiB, 256 MiB were in use at most");
        /* Memory and swap together. */
        put_cgroup_file("web", "memory.max_usage_in_bytes", "268431360\n");
        put_cgroup_file("web", "memory.memsw.limit_in_bytes", "536870912\n");
        put_cgroup_file("web", "memory.memsw.max_usage_in_bytes", "536870912\n");
        cgroup_oom_read(&v1, "web", &oom);
        assert_true(oom.at_limit);
        /* A kernel that does not count. */
        put_cgroup_file("web", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n");
        cgroup_oom_read(&v1, "web", &oom);
        assert_int_equal(oom.kills, 0);
}

static void kills_for_want_of_memory_are_read_with_their_numbers_on_v2(void **state)
{
        (void)state;
        put_cgroup_file("web", "memory.events",
                        "low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\noom_group_kill 0\n");
        put_cgroup_file("web", "memory.max", "max\n");
        assert_oom(&v2, 1, false, "1 process killed, the VM has no limit");
        put_cgroup_file("web", "memory.events",
                        "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n");
        put_cgroup_file("web", "memory.max", "268435456\n");
        put_cgroup_file("web", "memory.peak", "268431360\n");
        assert_oom(&v2, 1, true,
                   "1 process killed, the VM's limit is 256 MiB, 262140 KiB were in use at most");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_cgroup_root, remove_cgroup_root)
        const struct CMUnitTest tests[] = {
                TEST(limits_that_are_not_set_are_not_listed),
                TEST(limits_that_are_set_are_listed_as_the_kernel_says_them),
                TEST(kills_for_want_of_memory_are_read_with_their_numbers_on_v1),
                TEST(kills_for_want_of_memory_are_read_with_their_numbers_on_v2),
        };

        one_v1.writable = true;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
