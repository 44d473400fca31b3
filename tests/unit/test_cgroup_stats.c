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

#include <fcntl.h>

static char root[32];

static int make_root(void **state)
{
        (void)state;
        strcpy(root, "/tmp/vmlaunch-test-XXXXXX");
        return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
        struct error *err = NULL;

        (void)state;
        return fd_remove_tree(AT_FDCWD, root, &err);
}

static void put(const char *file, const char *text)
{
        _cleanup_free_ char *dir = xasprintf("%s/web", root), *path = xasprintf("%s/%s", dir, file);
        struct error *err = NULL;

        assert_int_equal(fd_mkdir_p(AT_FDCWD, dir, 0755, &err), 0);
        assert_int_equal(fd_write_file_at(AT_FDCWD, path, text, strlen(text), 0644, 0, &err), 0);
}

static struct cgroup_hierarchy one_v1 = { .controllers = (char *)"blkio,cpu,memory,pids", .mount = root };
static const struct cgroup_host v1 = { .kind = CGROUP_V1, .v1 = &one_v1, .n_v1 = 1 };
static const struct cgroup_host v2 = { .kind = CGROUP_V2,
                                       .v2_mount = root,
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
        put("cpu.shares", "1024\n");
        put("cpu.cfs_quota_us", "-1\n");
        put("cpu.cfs_period_us", "100000\n");
        put("pids.max", "max\n");
        put("memory.limit_in_bytes", "9223372036854771712\n");
        assert_limits(&v1, "{\"cpu.shares\":\"1024\"}");
        put("cpu.weight", "100\n");
        put("cpu.max", "max 100000\n");
        put("io.weight", "default 100\n");
        put("memory.max", "max\n");
        assert_limits(&v2, "{\"cpu.weight\":\"100\"}");
}

static void limits_that_are_set_are_listed_as_the_kernel_says_them(void **state)
{
        (void)state;
        put("cpu.shares", "512\n");
        put("cpu.cfs_quota_us", "50000\n");
        put("cpu.cfs_period_us", "20000\n");
        put("pids.max", "100\n");
        put("memory.limit_in_bytes", "1073741824\n");
        assert_limits(
                &v1, "{\"cpu.shares\":\"512\",\"cpu.cfs_quota_us\":\"50000\",\"cpu.cfs_period_us\":\"20000\","
                     "\"pids.max\":\"100\",\"memory.limit_in_bytes\":\"1073741824\"}");
        put("cpu.weight", "50\n");
        put("cpu.max", "50000 20000\n");
        put("io.weight", "default 300\n");
        put("memory.swap.max", "0\n");
        assert_limits(&v2, "{\"cpu.weight\":\"50\",\"cpu.max\":\"50000 20000\",\"io.weight\":\"default 300\","
                           "\"pids.max\":\"100\",\"memory.swap.max\":\"0\"}");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)
        const struct CMUnitTest tests[] = {
                TEST(limits_that_are_not_set_are_not_listed),
                TEST(limits_that_are_set_are_listed_as_the_kernel_says_them),
        };

        one_v1.writable = true;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
