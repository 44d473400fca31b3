#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "cgroups/cgroup_apply.h"
#include "tests/unit/cgroup_hosts.h"

static char *get(const char *path)
{
        _cleanup_free_ char *whole = xasprintf("%s/%s", cgroup_root, path);
        struct error *err = NULL;
        char *text;

        assert_int_equal(fd_read_file_at(AT_FDCWD, whole, 4096, &text, NULL, &err), 0);
        return text;
}

static void on_v2_offered_controllers_are_enabled_in_each_parent(void **state)
{
        struct cgroup_host host = { .kind = CGROUP_V2,
                                    .v2_mount = cgroup_root,
                                    .v2_controllers = (char *)"cpu",
                                    .v2_writable = true };
        _cleanup_argv_ struct argv dirs = ARGV_INIT;
        _cleanup_free_ char *top = NULL, *slice = NULL;
        struct error *err = NULL;

        (void)state;
        put_cgroup_file(".", "cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n");
        put_cgroup_file(".", "cgroup.subtree_control", "cpu\n");
        put_cgroup_file("machine.slice", "cgroup.controllers", "cpu memory\n");
        put_cgroup_file("machine.slice", "cgroup.subtree_control", "");
        assert_int_equal(cgroup_create(&host, "machine.slice/vmlaunch-web", &dirs, &err), 0);
        assert_int_equal(dirs.n, 1);
        assert_true(text_ends_with(dirs.items[0], "/machine.slice/vmlaunch-web"));
        top = get("cgroup.subtree_control");
        slice = get("machine.slice/cgroup.subtree_control");
        assert_string_equal(top, "+memory +io +pids");
        assert_string_equal(slice, "+cpu +memory");
}

static void on_v2_nothing_is_written_when_all_is_enabled_already(void **state)
{
        struct cgroup_host host = { .kind = CGROUP_V2,
                                    .v2_mount = cgroup_root,
                                    .v2_controllers = (char *)"cpu",
                                    .v2_writable = true };
        _cleanup_free_ char *top = NULL;
        struct error *err = NULL;

        (void)state;
        put_cgroup_file(".", "cgroup.controllers", "cpu memory\n");
        put_cgroup_file(".", "cgroup.subtree_control", "memory cpu\n");
        assert_int_equal(cgroup_create(&host, "vmlaunch-web", NULL, &err), 0);
        top = get("cgroup.subtree_control");
        assert_string_equal(top, "memory cpu\n");
}

static void unused_and_read_only_hierarchies_get_no_group(void **state)
{
        _cleanup_free_ char *cpu = xasprintf("%s/cpu", cgroup_root), *net = xasprintf("%s/net", cgroup_root),
                            *ro = xasprintf("%s/ro", cgroup_root);
        struct cgroup_hierarchy v1[] = {
                { .controllers = (char *)"cpu,cpuacct", .mount = cpu, .writable = true },
                { .controllers = (char *)"net_cls,net_prio", .mount = net, .writable = true },
                { .controllers = (char *)"memory", .mount = ro, .writable = false },
        };
        struct cgroup_host host = { .kind = CGROUP_V1, .v1 = v1, .n_v1 = 3 };
        _cleanup_argv_ struct argv dirs = ARGV_INIT;
        struct error *err = NULL;

        (void)state;
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(mkdir(v1[i].mount, 0755), 0);
        assert_int_equal(cgroup_create(&host, "machine.slice/vmlaunch-web", &dirs, &err), 0);
        assert_int_equal(dirs.n, 1);
        assert_true(text_starts_with(dirs.items[0], cpu));
        assert_int_equal(cgroup_write(&host, "machine.slice/vmlaunch-web", "memory", "memory.limit_in_bytes",
                                      "1", &err),
                         -1);
        assert_int_equal(err->code, ERROR_HOST);
        assert_string_equal(err->message, "controller 'memory' is read-only on this host");
        error_free(err);
        err = NULL;
        assert_int_equal(cgroup_remove(&host, "machine.slice/vmlaunch-web", 100, &err), 0);
}

static void comounted_controllers_are_one_group_with_the_files_of_both(void **state)
{
        _cleanup_free_ char *cpu = xasprintf("%s/cpu,cpuacct", cgroup_root);
        struct cgroup_hierarchy v1[] = {
                { .controllers = (char *)"cpu,cpuacct", .mount = cpu, .writable = true },
        };
        struct cgroup_host host = { .kind = CGROUP_V1, .v1 = v1, .n_v1 = 1 };
        _cleanup_argv_ struct argv dirs = ARGV_INIT;
        _cleanup_free_ char *shares = NULL, *usage = NULL;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(mkdir(cpu, 0755), 0);
        assert_int_equal(cgroup_create(&host, "vmlaunch-web", &dirs, &err), 0);
        assert_int_equal(dirs.n, 1);
        put_cgroup_file("cpu,cpuacct/vmlaunch-web", "cpu.shares", "1024\n");
        put_cgroup_file("cpu,cpuacct/vmlaunch-web", "cpuacct.usage", "12\n");
        assert_int_equal(cgroup_write(&host, "vmlaunch-web", "cpu", "cpu.shares", "2048", &err), 0);
        shares = get("cpu,cpuacct/vmlaunch-web/cpu.shares");
        assert_string_equal(shares, "2048\n"); /* a plain file keeps what is not overwritten */
        assert_int_equal(cgroup_read(&host, "vmlaunch-web", "cpuacct", "cpuacct.usage", &usage, &err), 0);
        assert_string_equal(usage, "12");
}

static void a_hierarchy_that_fails_takes_the_others_back(void **state)
{
        _cleanup_free_ char *cpu = xasprintf("%s/cpu", cgroup_root),
                            *gone = xasprintf("%s/not-there", cgroup_root),
                            *group = xasprintf("%s/cpu/vmlaunch-web", cgroup_root);
        struct cgroup_hierarchy v1[] = {
                { .controllers = (char *)"cpu", .mount = cpu, .writable = true },
                { .controllers = (char *)"memory", .mount = gone, .writable = true },
        };
        struct cgroup_host host = { .kind = CGROUP_V1, .v1 = v1, .n_v1 = 2 };
        _cleanup_argv_ struct argv dirs = ARGV_INIT;
        struct error *err = NULL;
        struct stat st;

        (void)state;
        assert_int_equal(mkdir(cpu, 0755), 0);
        assert_int_equal(cgroup_create(&host, "vmlaunch-web", &dirs, &err), -1);
        assert_int_equal(err->code, ERROR_OS);
        error_free(err);
        assert_int_equal(dirs.n, 0);
        assert_int_equal(stat(group, &st), -1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_cgroup_root, remove_cgroup_root)
        const struct CMUnitTest tests[] = {
                TEST(on_v2_offered_controllers_are_enabled_in_each_parent),
                TEST(on_v2_nothing_is_written_when_all_is_enabled_already),
                TEST(unused_and_read_only_hierarchies_get_no_group),
                TEST(comounted_controllers_are_one_group_with_the_files_of_both),
                TEST(a_hierarchy_that_fails_takes_the_others_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
