#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/magic.h>

#include <cmocka.h>

#include "base/fd.h"
#include "cgroups/cgroup_host.h"

#define PROC_CGROUPS                                                                          \
        "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"                                     \
        "cpuset\t3\t1\t1\ncpu\t1\t1\t1\ncpuacct\t2\t1\t1\nblkio\t7\t1\t1\nmemory\t4\t17\t1\n" \
        "devices\t5\t1\t1\nfreezer\t6\t1\t1\nnet_cls\t0\t1\t1\nhugetlb\t0\t1\t1\npids\t8\t1\t1\n"

static const char hybrid[] =
        "22 1 254:0 / / rw,relatime - ext4 /dev/root rw\n"
        "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
        "33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n"
        "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
        "37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n"
        "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

static const char v1_comounted[] =
        "33 25 0:27 / /sys/fs/cgroup/systemd rw,nosuid shared:9 - cgroup cgroup rw,xattr,name=systemd\n"
        "36 25 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev shared:12 - cgroup cgroup rw,cpu,cpuacct\n"
        "37 25 0:32 / /sys/fs/cgroup/net_cls,net_prio rw shared:13 master:2 - cgroup cgroup rw,net_cls\n"
        "38 25 0:33 / /sys/fs/cgroup/with\\040blank rw - cgroup none rw,memory,release_agent=/x\n";

static const char v2[] = "26 21 0:23 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 "
                         "cgroup2 rw,nsdelegate,memory_recursiveprot\n";

static void this_kind_of_machine_is_hybrid_and_counts_as_v1(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host host;

        (void)state;
        cgroup_host_parse(hybrid, PROC_CGROUPS, "hugetlb\n", &host);
        assert_int_equal(host.kind, CGROUP_HYBRID);
        assert_int_equal(cgroup_host_version(&host), 1);
        assert_int_equal(host.n_v1, 5);
        assert_string_equal(cgroup_host_v1(&host, "cpu")->mount, "/sys/fs/cgroup/cpu");
        assert_true(cgroup_host_has(&host, "memory"));
        assert_false(cgroup_host_has(&host, "pids"));
        assert_false(cgroup_host_has(&host, "hugetlb"));
        assert_string_equal(host.v2_mount, "/sys/fs/cgroup/unified");
        assert_string_equal(host.v2_controllers, "hugetlb");
}

static void comounted_controllers_share_a_hierarchy(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host host;

        (void)state;
        cgroup_host_parse(v1_comounted, PROC_CGROUPS, NULL, &host);
        assert_int_equal(host.kind, CGROUP_V1);
        assert_int_equal(host.n_v1, 3);
        assert_ptr_equal(cgroup_host_v1(&host, "cpu"), cgroup_host_v1(&host, "cpuacct"));
        assert_string_equal(cgroup_host_v1(&host, "cpu")->controllers, "cpu,cpuacct");
        assert_string_equal(cgroup_host_v1(&host, "memory")->controllers, "memory");
        assert_string_equal(cgroup_host_v1(&host, "memory")->mount, "/sys/fs/cgroup/with blank");
        assert_null(cgroup_host_v1(&host, "cpuset"));
        assert_null(cgroup_host_v1(&host, "xattr"));
}

static void a_unified_host_is_v2_with_its_controllers(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host host;

        (void)state;
        cgroup_host_parse(v2, "", "cpuset cpu io memory hugetlb pids rdma misc\n", &host);
        assert_int_equal(host.kind, CGROUP_V2);
        assert_int_equal(cgroup_host_version(&host), 2);
        assert_true(cgroup_host_has(&host, "cpu"));
        assert_true(cgroup_host_has(&host, "misc"));
        assert_false(cgroup_host_has(&host, "cp"));
        assert_false(cgroup_host_has(&host, "freezer"));
}

static void a_host_without_cgroups_has_none(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host host;

        (void)state;
        cgroup_host_parse("22 1 254:0 / / rw - ext4 /dev/root rw\n", "", NULL, &host);
        assert_int_equal(host.kind, CGROUP_NONE);
        assert_int_equal(cgroup_host_version(&host), 0);
        assert_false(cgroup_host_has(&host, "cpu"));
}

static void named_hierarchies_alone_are_no_controllers(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host host;

        (void)state;
        cgroup_host_parse("40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
                          "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
                          PROC_CGROUPS, "cpu", &host);
        assert_int_equal(host.kind, CGROUP_V2);
}

static void read_only_mounts_have_nothing_to_write(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host mount, super, unified;

        (void)state;
        cgroup_host_parse("1 0 0:1 / /c/cpu ro,nosuid - cgroup cgroup rw,cpu\n", PROC_CGROUPS, NULL, &mount);
        assert_int_equal(mount.kind, CGROUP_V1);
        assert_false(cgroup_host_has(&mount, "cpu"));
        cgroup_host_parse("1 0 0:1 / /c/cpu rw - cgroup cgroup ro,cpu\n", PROC_CGROUPS, NULL, &super);
        assert_false(cgroup_host_has(&super, "cpu"));
        cgroup_host_parse("1 0 0:1 / /c ro - cgroup2 cgroup2 rw\n", "", "cpu memory", &unified);
        assert_int_equal(unified.kind, CGROUP_V2);
        assert_false(cgroup_host_has(&unified, "cpu"));
}

static void lines_that_are_not_understood_are_skipped(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host host;

        (void)state;
        cgroup_host_parse("\n\n- - -\n1 2 3\n1 0 0:1 / /c rw - cgroup2\n1 0 0:1 / c rw - cgroup2 x rw\n"
                          "1 0 0:1 / /c rw cgroup2 cgroup2 rw\nx\\0\\09\\777 -",
                          "", NULL, &host);
        assert_int_equal(host.kind, CGROUP_NONE);
}

static void recorded_facts_read_back_the_same(void **state)
{
        static const char *const texts[] = { hybrid, v1_comounted, v2, "" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_cgroup_host_ struct cgroup_host host = { 0 }, again = { 0 };
                struct error *err = NULL;
                json_auto_t *json = NULL, *second = NULL;

                cgroup_host_parse(texts[i], PROC_CGROUPS, "cpu memory\n", &host);
                if (i == 1)
                        host.files = xstrdup("memory.memsw.limit_in_bytes blkio.weight");
                json = cgroup_host_to_json(&host);
                assert_int_equal(cgroup_host_from_json(json, &again, &err), 0);
                assert_int_equal(again.kind, host.kind);
                assert_int_equal(cgroup_host_has_file(&again, "blkio.weight"), i == 1);
                second = cgroup_host_to_json(&again);
                assert_true(json_equal(json, second));
        }
}

static void records_that_are_not_a_host_are_refused(void **state)
{
        static const char *const texts[] = {
                "{}",
                "{\"kind\":\"v1\",\"v1\":[],\"v2\":null}",
                "{\"kind\":\"none\",\"v1\":{},\"v2\":null}",
                "{\"kind\":\"v1\",\"v1\":[{\"controllers\":\"cpu\",\"mount\":\"/c\",\"writable\":true}],"
                "\"v2\":null}",
                "{\"kind\":\"v1\",\"v1\":[{\"controllers\":[\"cpu\"],\"mount\":\"/c\",\"writable\":1}],"
                "\"v2\":null}",
                "{\"kind\":\"v2\",\"v1\":[],\"v2\":{\"mount\":\"/c\",\"controllers\":[3],\"writable\":true}}",
                "{\"kind\":\"none\",\"v1\":[],\"v2\":null,\"files\":\"io.weight\"}",
                "{\"kind\":\"none\",\"v1\":[],\"v2\":null,\"files\":[\"../x\"]}",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                json_auto_t *json = json_loads(texts[i], 0, NULL);
                struct cgroup_host host = { 0 };
                struct error *err = NULL;

                assert_int_equal(cgroup_host_from_json(json, &host, &err), -1);
                assert_int_equal(err->code, ERROR_INVALID);
                error_free(err);
        }
}

static void a_host_is_read_below_a_root(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host host = { 0 }, none = { 0 };
        char root[] = "/tmp/vmlaunch-test-XXXXXX";
        _cleanup_free_ char *proc = NULL, *mount = NULL, *file = NULL;
        struct error *err = NULL;

        (void)state;
        assert_non_null(mkdtemp(root));
        assert_int_equal(cgroup_host_read(root, &none, &err), 0);
        assert_int_equal(none.kind, CGROUP_NONE);

        proc = xasprintf("%s/proc/self", root);
        mount = xasprintf("%s/sys/fs/cgroup", root);
        assert_int_equal(fd_mkdir_p(AT_FDCWD, proc, 0755, &err), 0);
        assert_int_equal(fd_mkdir_p(AT_FDCWD, mount, 0755, &err), 0);
        file = xasprintf("%s/mountinfo", proc);
        assert_int_equal(fd_write_file_at(AT_FDCWD, file, v2, strlen(v2), 0644, 0, &err), 0);
        free(file);
        file = xasprintf("%s/cgroup.controllers", mount);
        assert_int_equal(fd_write_file_at(AT_FDCWD, file, "cpu io\n", 7, 0644, 0, &err), 0);
        assert_int_equal(cgroup_host_read(root, &host, &err), 0);
        assert_int_equal(host.kind, CGROUP_V2);
        assert_string_equal(host.v2_controllers, "cpu io");
        assert_int_equal(fd_remove_tree(AT_FDCWD, root, &err), 0);
}

/* Plain files below a root stand for the hierarchies. */
static char root_dir[32];

/* What is mounted at the root's /sys/fs/cgroup; 0: nothing, it is a directory of the test's own file system. */
static struct statfs mounted;

/* The C library's, but for what is mounted there. */
int statfs(const char *path, struct statfs *ret)
{
        size_t n = strlen(root_dir);
        int result = (int)syscall(SYS_statfs, path, ret);

        if (result == 0 && n && strncmp(path, root_dir, n) == 0 && strcmp(path + n, "/sys/fs/cgroup") == 0 &&
            mounted.f_type)
                *ret = mounted;
        return result;
}

static void put(const char *path, const char *text)
{
        _cleanup_free_ char *whole = xasprintf("%s%s", root_dir, path), *dir = xstrdup(whole);
        struct error *err = NULL;

        *strrchr(dir, '/') = '\0';
        assert_int_equal(fd_mkdir_p(AT_FDCWD, dir, 0755, &err), 0);
        assert_int_equal(fd_write_file_at(AT_FDCWD, whole, text, strlen(text), 0644, 0, &err), 0);
}

static void assert_files(const char *files)
{
        _cleanup_cgroup_host_ struct cgroup_host host = { 0 };
        struct error *err = NULL;

        assert_int_equal(cgroup_host_read(root_dir, &host, &err), 0);
        assert_null(host.files);
        cgroup_host_find_files(root_dir, &host);
        assert_string_equal(host.files ? host.files : "", files);
}

static int make_root(void **state)
{
        (void)state;
        strcpy(root_dir, "/tmp/vmlaunch-test-XXXXXX");
        mounted = (struct statfs){ 0 };
        return mkdtemp(root_dir) ? 0 : -1;
}

static int remove_root(void **state)
{
        struct error *err = NULL;

        (void)state;
        return fd_remove_tree(AT_FDCWD, root_dir, &err);
}

static void on_v1_files_that_not_every_kernel_has_are_looked_for(void **state)
{
        (void)state;
        put("/proc/cgroups", PROC_CGROUPS);
        put("/proc/self/mountinfo", "1 0 0:1 / /c/memory rw - cgroup cgroup rw,memory\n"
                                    "1 0 0:1 / /c/blkio rw - cgroup cgroup rw,blkio\n");
        assert_files("");
        put("/c/memory/memory.memsw.limit_in_bytes", "9");
        assert_files("memory.memsw.limit_in_bytes");
        put("/c/blkio/blkio.bfq.io_service_bytes", "0");
        assert_files("memory.memsw.limit_in_bytes blkio.bfq.weight");
        put("/c/blkio/some.slice/tasks", "");
        assert_files("memory.memsw.limit_in_bytes blkio.bfq.weight");
        put("/c/blkio/some.slice/blkio.weight", "500");
        assert_files("memory.memsw.limit_in_bytes blkio.weight blkio.bfq.weight");
}

static void on_v2_files_are_told_by_the_root_or_by_a_group_below(void **state)
{
        (void)state;
        put("/proc/self/mountinfo", v2);
        /* Not read: this one could not be. */
        put("/proc/cgroups/directory", "");
        put("/sys/fs/cgroup/cgroup.controllers", "io memory\n");
        assert_files("memory.swap.max");
        /* A group without controllers says nothing, nor does one of threads, which has some of them. */
        put("/sys/fs/cgroup/a.slice/cgroup.procs", "");
        put("/sys/fs/cgroup/b.slice/cpu.max", "max 100000");
        assert_files("memory.swap.max");
        /* A kernel that was told not to count swap. */
        put("/sys/fs/cgroup/some.slice/memory.max", "max");
        assert_files("");
        put("/sys/fs/cgroup/some.slice/memory.swap.max", "max");
        put("/sys/fs/cgroup/some.slice/io.stat", "");
        put("/sys/fs/cgroup/some.slice/io.bfq.weight", "default 100");
        assert_files("io.bfq.weight memory.swap.max");
        put("/sys/fs/cgroup/io.cost.qos", "");
        assert_files("io.weight io.bfq.weight memory.swap.max");
        /* What the host does not have at all is not looked for. */
        put("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        assert_files("memory.swap.max");
}

static void mount_unified(unsigned long flags, const char *controllers)
{
        mounted = (struct statfs){ .f_type = CGROUP2_SUPER_MAGIC, .f_flags = (__fsword_t)flags };
        put("/sys/fs/cgroup/cgroup.controllers", controllers);
}

static void read_host(struct cgroup_host *ret)
{
        struct error *err = NULL;

        assert_int_equal(cgroup_host_read(root_dir, ret, &err), 0);
}

static void unified_hierarchy_with_all_controllers_is_seen_without_the_mounts(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host host = { 0 };

        (void)state;
        mount_unified(0, "cpuset cpu io memory hugetlb pids rdma misc\n");
        /* Neither is read: these could not be. */
        put("/proc/self/mountinfo/directory", "");
        put("/proc/cgroups/directory", "");
        read_host(&host);
        assert_int_equal(host.kind, CGROUP_V2);
        assert_int_equal(host.n_v1, 0);
        assert_string_equal(host.v2_mount, "/sys/fs/cgroup");
        assert_string_equal(host.v2_controllers, "cpuset cpu io memory hugetlb pids rdma misc");
        assert_true(host.v2_writable);
}

static void read_only_unified_hierarchy_has_nothing_to_write(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host host = { 0 };

        (void)state;
        mount_unified(ST_RDONLY | ST_NOSUID, "cpuset cpu io memory pids\n");
        read_host(&host);
        assert_int_equal(host.kind, CGROUP_V2);
        assert_false(host.v2_writable);
        assert_false(cgroup_host_has(&host, "cpu"));
        assert_false(cgroup_host_can_group(&host));
}

static void unified_hierarchy_that_lacks_a_controller_leaves_it_to_the_mounts(void **state)
{
        static const char *const lists[] = { "\n",
                                             "cpu io memory pids\n",
                                             "cpuset io memory pids\n",
                                             "cpuset cpu memory pids\n",
                                             "cpuset cpu io pids\n",
                                             "cpuset cpu io memory\n" };

        (void)state;
        put("/proc/cgroups", PROC_CGROUPS);
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                _cleanup_cgroup_host_ struct cgroup_host alone = { 0 }, beside = { 0 };

                mount_unified(0, lists[i]);
                put("/proc/self/mountinfo", v2);
                read_host(&alone);
                assert_int_equal(alone.kind, CGROUP_V2);
                assert_true(alone.v2_writable);
                assert_int_equal(strncmp(alone.v2_controllers, lists[i], strlen(lists[i]) - 1), 0);
                /* One that a hierarchy of v1 has is v1's. */
                put("/proc/self/mountinfo",
                    "26 21 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                    "27 21 0:24 / /sys/fs/cgroup-v1/memory rw - cgroup cgroup rw,memory\n");
                read_host(&beside);
                assert_int_equal(beside.kind, CGROUP_HYBRID);
                assert_string_equal(cgroup_host_v1(&beside, "memory")->mount, "/sys/fs/cgroup-v1/memory");
        }
}

static void unified_hierarchy_without_its_file_leaves_it_to_the_mounts(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host host = { 0 };

        (void)state;
        mounted.f_type = CGROUP2_SUPER_MAGIC;
        put("/sys/fs/cgroup/cgroup.procs", "");
        put("/proc/self/mountinfo", v2);
        read_host(&host);
        assert_int_equal(host.kind, CGROUP_V2);
        assert_string_equal(host.v2_controllers, "");
}

/* v1 and hybrid hosts, and containers. */
static void tmpfs_leaves_it_to_the_mounts(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host host = { 0 }, none = { 0 }, old = { 0 };

        (void)state;
        mounted.f_type = TMPFS_MAGIC;
        put("/proc/cgroups", PROC_CGROUPS);
        /* Not the place of this file on such a host: it says nothing. */
        put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
        put("/sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n");
        put("/proc/self/mountinfo", hybrid);
        read_host(&host);
        assert_int_equal(host.kind, CGROUP_HYBRID);
        assert_int_equal(host.n_v1, 5);
        assert_string_equal(host.v2_mount, "/sys/fs/cgroup/unified");
        assert_string_equal(host.v2_controllers, "hugetlb");
        put("/proc/self/mountinfo", v1_comounted);
        read_host(&old);
        assert_int_equal(old.kind, CGROUP_V1);
        assert_int_equal(old.n_v1, 3);
        put("/proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n");
        read_host(&none);
        assert_int_equal(none.kind, CGROUP_NONE);
}

static void no_such_directory_leaves_it_to_the_mounts(void **state)
{
        _cleanup_cgroup_host_ struct cgroup_host none = { 0 }, elsewhere = { 0 };

        (void)state;
        read_host(&none);
        assert_int_equal(none.kind, CGROUP_NONE);
        put("/cg/cgroup.controllers", "cpuset cpu io memory pids\n");
        put("/proc/self/mountinfo", "26 21 0:23 / /cg ro - cgroup2 cgroup2 rw\n");
        read_host(&elsewhere);
        assert_int_equal(elsewhere.kind, CGROUP_V2);
        assert_string_equal(elsewhere.v2_mount, "/cg");
        assert_false(elsewhere.v2_writable);
}

static void controllers_that_cannot_be_read_are_an_error(void **state)
{
        struct cgroup_host host;
        struct error *err = NULL;

        (void)state;
        mounted.f_type = CGROUP2_SUPER_MAGIC;
        put("/sys/fs/cgroup/cgroup.controllers/directory", "");
        assert_int_equal(cgroup_host_read(root_dir, &host, &err), -1);
        assert_non_null(strstr(err->message, "/sys/fs/cgroup/cgroup.controllers"));
        error_free(err);
}

#define IN_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(this_kind_of_machine_is_hybrid_and_counts_as_v1),
                cmocka_unit_test(comounted_controllers_share_a_hierarchy),
                cmocka_unit_test(a_unified_host_is_v2_with_its_controllers),
                cmocka_unit_test(a_host_without_cgroups_has_none),
                cmocka_unit_test(named_hierarchies_alone_are_no_controllers),
                cmocka_unit_test(read_only_mounts_have_nothing_to_write),
                cmocka_unit_test(lines_that_are_not_understood_are_skipped),
                cmocka_unit_test(recorded_facts_read_back_the_same),
                cmocka_unit_test(records_that_are_not_a_host_are_refused),
                cmocka_unit_test(a_host_is_read_below_a_root),
                IN_ROOT(on_v1_files_that_not_every_kernel_has_are_looked_for),
                IN_ROOT(on_v2_files_are_told_by_the_root_or_by_a_group_below),
                IN_ROOT(unified_hierarchy_with_all_controllers_is_seen_without_the_mounts),
                IN_ROOT(read_only_unified_hierarchy_has_nothing_to_write),
                IN_ROOT(unified_hierarchy_that_lacks_a_controller_leaves_it_to_the_mounts),
                IN_ROOT(unified_hierarchy_without_its_file_leaves_it_to_the_mounts),
                IN_ROOT(tmpfs_leaves_it_to_the_mounts),
                IN_ROOT(no_such_directory_leaves_it_to_the_mounts),
                IN_ROOT(controllers_that_cannot_be_read_are_an_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
