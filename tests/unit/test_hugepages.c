#include <stdlib.h>

#include "base/text.h"
#include "launcher/run/hugepages.h"
#include "tests/unit/scratch.h"

#define MIB  (1ll << 20)
#define PAGE "\"hugetlb\":true,\"hugetlbsize\":2097152"

static void put(const struct fixture *f, const char *dir, const char *name, unsigned count)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", f->path, dir), *file = xasprintf("%s/%s", path, name),
                            *text = xasprintf("%u\n", count);
        struct error *err = NULL;

        assert_int_equal(fd_mkdir_p(AT_FDCWD, path, 0755, &err), 0);
        assert_int_equal(fd_write_file_at(AT_FDCWD, file, text, strlen(text), 0644, 0, &err), 0);
}

/* Two nodes with 10 and 20 of 2 MiB, of which 5 are promised. */
static void two_nodes(const struct fixture *f)
{
        static const char host[] = "kernel/mm/hugepages/hugepages-2048kB";
        static const char has_memory[] = "0-1\n";
        _cleanup_free_ char *file = xasprintf("%s/devices/system/node/has_memory", f->path);
        struct error *err = NULL;

        put(f, host, "free_hugepages", 30);
        put(f, host, "nr_hugepages", 40);
        put(f, host, "resv_hugepages", 5);
        put(f, host, "nr_overcommit_hugepages", 3);
        put(f, host, "surplus_hugepages", 1);
        put(f, "devices/system/node/node0/hugepages/hugepages-2048kB", "free_hugepages", 10);
        put(f, "devices/system/node/node0/hugepages/hugepages-2048kB", "nr_hugepages", 16);
        put(f, "devices/system/node/node1/hugepages/hugepages-2048kB", "free_hugepages", 20);
        put(f, "devices/system/node/node1/hugepages/hugepages-2048kB", "nr_hugepages", 24);
        assert_int_equal(fd_write_file_at(AT_FDCWD, file, has_memory, strlen(has_memory), 0644, 0, &err), 0);
}

static struct launch_plan plan_of(struct plan_arg *args, const char *const *objects)
{
        size_t n = 0;

        for (size_t i = 0; objects[i]; i++) {
                args[n++].text = (char *)"-object";
                args[n++].text = (char *)objects[i];
        }
        return (struct launch_plan){ .args = args, .n_args = n };
}

static void expect_told(int result, struct error *err, const char *words, const char *hint)
{
        if (!words) {
                assert_null(err);
                assert_int_equal(result, 0);
                return;
        }
        assert_int_equal(result, -1);
        assert_int_equal(err->code, ERROR_HOST);
        assert_string_equal(err->message, words);
        assert_non_null(strstr(err->hint, hint));
        error_free(err);
}

static void start(const struct fixture *f, const char *const *objects, const char *words, const char *hint)
{
        struct plan_arg args[16] = { 0 };
        const struct launch_plan plan = plan_of(args, objects);
        struct error *err = NULL;
        int result = hugepages_check_start(&plan, f->path, &err);

        expect_told(result, err, words, hint);
}

static void a_start_needs_pages_for_all_of_its_memory(void **state)
{
        static const char *const fits[] = { "{\"size\":33554432," PAGE ",\"prealloc\":true}",
                                            "{\"size\":23068672," PAGE ",\"prealloc\":true}", NULL },
                                 *const too_much[] = { "{\"size\":33554432," PAGE ",\"prealloc\":true}",
                                                       "{\"size\":25165824," PAGE ",\"prealloc\":true}",
                                                       NULL },
                                 *const others[] = { "{\"size\":1073741824}",
                                                     "{\"size\":1073741824," PAGE "}", "rng-random,id=x",
                                                     NULL };
        const struct fixture *f = *state;

        /* Nothing is told of a host without the files. */
        start(f, too_much, NULL, NULL);
        two_nodes(f);
        start(f, fits, NULL, NULL);
        start(f, others, NULL, NULL);
        /* 30 free, 5 of them promised, 2 that can come. */
        start(f, too_much,
              "its memory takes 28 huge pages of 2 MiB, and 27 are free (node 0: 10, node 1: 20)",
              "echo 41 >");
}

static void memory_bound_to_a_node_needs_its_pages(void **state)
{
        static const char *const
                bound[] = { "{\"size\":8388608," PAGE
                            ",\"prealloc\":true,\"policy\":\"bind\",\"host-nodes\":[0]}",
                            "{\"size\":16777216," PAGE
                            ",\"prealloc\":true,\"policy\":\"bind\",\"host-nodes\":[0]}",
                            NULL },
                *const more[] = { "{\"size\":27262976," PAGE
                                  ",\"prealloc\":true,\"policy\":\"bind\",\"host-nodes\":[0]}",
                                  NULL },
                *const preferred[] = { "{\"size\":27262976," PAGE
                                       ",\"prealloc\":true,\"policy\":\"preferred\",\"host-nodes\":[0]}",
                                       NULL };
        const struct fixture *f = *state;

        two_nodes(f);
        /* 10 free, and 2 that can come. */
        start(f, bound, NULL, NULL);
        start(f, more,
              "its memory takes 13 huge pages of 2 MiB, and 12 are free where it is to be (node 0: 10)",
              "echo 17 >");
        start(f, preferred, NULL, NULL);
}

static void change(const struct fixture *f, const struct launch_plan *plan, const char *fragment,
                   const char *words, const char *hint)
{
        json_auto_t *steps = json_loads(fragment, 0, NULL);
        struct error *err = NULL;
        int result;

        assert_non_null(steps);
        result = hugepages_check_change(plan, steps, f->path, &err);
        expect_told(result, err, words, hint);
}

static void a_change_needs_pages_for_what_comes(void **state)
{
        static const char *const objects[] = { "{\"id\":\"ram0\",\"size\":1073741824," PAGE
                                               ",\"prealloc\":true}",
                                               "{\"id\":\"ram-vmem0\",\"size\":1073741824," PAGE "}", NULL };
        static const char dimm[] =
                "{\"steps\":[{\"args\":{\"execute\":\"object-add\",\"arguments\":{\"size\":%lld," PAGE
                ",\"prealloc\":true}}},{\"args\":{\"execute\":\"device_add\",\"arguments\":{}}}]}";
        static const char vmem[] =
                "{\"steps\":[{\"args\":{\"execute\":\"qom-set\",\"arguments\":{\"property\":\"requested-size\",\"value\":%lld}},"
                "\"undo\":[{\"execute\":\"qom-set\",\"arguments\":{\"value\":%lld}}]}]}";
        const struct fixture *f = *state;
        struct plan_arg args[16] = { 0 };
        const struct launch_plan plan = plan_of(args, objects);
        _cleanup_free_ char *module = xasprintf(dimm, 54 * MIB), *big_module = xasprintf(dimm, 128 * MIB),
                            *grows = xasprintf(vmem, 154 * MIB, 100 * MIB),
                            *grows_more = xasprintf(vmem, 156 * MIB, 100 * MIB),
                            *shrinks = xasprintf(vmem, 0 * MIB, 100 * MIB);

        two_nodes(f);
        change(f, &plan, module, NULL, NULL);
        change(f, &plan, big_module,
               "its memory takes 64 huge pages of 2 MiB, and 27 are free (node 0: 10, node 1: 20)",
               "echo 77 >");
        change(f, &plan, grows, NULL, NULL);
        change(f, &plan, grows_more,
               "its memory takes 28 huge pages of 2 MiB, and 27 are free (node 0: 10, node 1: 20)",
               "kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
        change(f, &plan, shrinks, NULL, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_start_needs_pages_for_all_of_its_memory, set_up, tear_down),
                cmocka_unit_test_setup_teardown(memory_bound_to_a_node_needs_its_pages, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_change_needs_pages_for_what_comes, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
