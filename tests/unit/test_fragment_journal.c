/* What the journal keeps of fragments, and the undo of some of their steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cgroups/cgroup_host.h"
#include "launcher/run/execute.h"
#include "launcher/run/fragment_journal.h"
#include "tests/unit/scratch.h"

static void add(struct fixture *f, const char *line)
{
        json_auto_t *entry = json_loads(line, 0, NULL);
        struct error *err = NULL;

        assert_non_null(entry);
        assert_int_equal(journal_append(f->fd, entry, &err), 0);
}

#define RUN_LINES                                                                              \
        "{\"run\":{\"name\":\"web\",\"generation\":\"g\",\"run_dir\":\"/r\",\"executor\":1}}", \
                "{\"n\":0,\"effect\":\"stderr\",\"args\":{}}", "{\"n\":4,\"effect\":\"spawn\",\"args\":{}}"

static void the_journal_tells_open_committed_and_undone_fragments_apart(void **state)
{
        static const char *const lines[] = {
                RUN_LINES,
                "{\"apply\":{\"id\":1,\"begin\":5,\"who\":\"w\"}}",
                "{\"n\":5,\"effect\":\"net\",\"args\":{\"op\":\"tap-create\"},\"apply\":1}",
                "{\"n\":6,\"effect\":\"qmp\",\"args\":{\"execute\":\"getfd\"},\"apply\":1,\"undo\":[]}",
                "{\"n\":7,\"effect\":\"cgroup-write\",\"args\":{},\"apply\":1}",
                "{\"n\":7,\"learned\":{\"previous\":\"1\"}}",
                "{\"n\":8,\"effect\":\"net\",\"args\":{\"op\":\"bridge-move\"},\"apply\":1}",
                "{\"n\":8,\"learned\":{\"previous\":\"br0\"}}",
                "{\"apply\":{\"id\":1,\"committed\":true,\"live\":\"T\"}}",
                "{\"apply\":{\"id\":2,\"begin\":9,\"who\":\"w\"}}",
                "{\"n\":9,\"effect\":\"net\",\"args\":{},\"apply\":2}",
                "{\"n\":9,\"undone\":true}",
                "{\"apply\":{\"id\":2,\"undone\":true}}",
                "{\"apply\":{\"id\":3,\"begin\":10,\"who\":\"w\"}}",
                "{\"n\":10,\"effect\":\"qmp\",\"args\":{},\"apply\":3,\"undo\":[{\"execute\":\"x\"}]}",
                "{\"n\":11,\"effect\":\"qmp\",\"args\":{},\"apply\":3,\"undo\":[]}",
                "{\"n\":11,\"failed\":true}",
        };
        struct fixture *f = *state;
        json_auto_t *fragments = NULL, *entries = NULL, *after = NULL;
        json_int_t next, next_id;
        struct error *err = NULL;
        struct fragment_journal_seen seen = { 0 };
        const json_t *tap;

        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
                add(f, lines[i]);
        assert_int_equal(fragment_journal_next(f->fd, &seen, &next, &err), 0);
        assert_int_equal(next, 12);
        assert_int_equal(fragment_journal_read(f->fd, &fragments, &next, &next_id, &err), 0);
        assert_int_equal(next, 12);
        assert_int_equal(next_id, 4);
        assert_int_equal(json_array_size(fragments), 3);
        assert_true(json_is_true(json_object_get(json_array_get(fragments, 0), "committed")));
        assert_true(json_is_true(json_object_get(json_array_get(fragments, 1), "undone")));
        assert_int_equal(json_array_size(json_object_get(json_array_get(fragments, 2), "steps")), 1);

        /* The tap is the run's now, the open one stays, of the rest nothing is left. */
        assert_int_equal(fragment_journal_compact(f->fd, &seen, &err), 0);
        assert_int_equal(journal_read(f->fd, &entries, &err), 0);
        assert_int_equal(json_array_size(entries), 3 + 1 + 4);
        tap = json_array_get(entries, 3);
        assert_int_equal(json_integer_value(json_object_get(tap, "n")), 5);
        assert_null(json_object_get(tap, "apply"));
        assert_int_equal(fragment_journal_read(f->fd, &after, &next, &next_id, &err), 0);
        assert_int_equal(json_array_size(after), 1);
        assert_int_equal(next, 12);

        /* What was seen is right as long as nobody has written. */
        assert_int_equal(seen.next, 12);
        seen.next = 4711;
        assert_int_equal(fragment_journal_next(f->fd, &seen, &next, &err), 0);
        assert_int_equal(next, 4711);
        add(f, "{\"n\":12,\"effect\":\"qmp\",\"args\":{},\"apply\":3,\"undo\":[]}");
        assert_int_equal(fragment_journal_next(f->fd, &seen, &next, &err), 0);
        assert_int_equal(next, 13);
}

static void only_the_steps_asked_for_are_undone_and_marked(void **state)
{
        static const char *const lines[] = {
                RUN_LINES,
                "{\"apply\":{\"id\":1,\"begin\":5,\"who\":\"w\"}}",
                "{\"n\":5,\"effect\":\"cgroup-write\",\"args\":{},\"apply\":1}",
                "{\"n\":6,\"effect\":\"cgroup-write\",\"args\":{},\"apply\":1}",
                "{\"n\":7,\"effect\":\"cgroup-write\",\"args\":{},\"apply\":1}",
        };
        const struct cgroup_host cgroup = { 0 };
        struct fixture *f = *state;
        json_auto_t *fragments = NULL;
        json_int_t next, next_id;
        struct error *err = NULL;
        const json_t *steps;

        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
                add(f, lines[i]);
        assert_int_equal(undo_journal_steps(f->fd, &cgroup, 6, 7, NULL, NULL, &err), 0);
        assert_int_equal(fragment_journal_read(f->fd, &fragments, &next, &next_id, &err), 0);
        steps = json_object_get(json_array_get(fragments, 0), "steps");
        assert_int_equal(json_array_size(steps), 1);
        assert_int_equal(json_integer_value(json_object_get(json_array_get(steps, 0), "n")), 5);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(the_journal_tells_open_committed_and_undone_fragments_apart),
                TEST(only_the_steps_asked_for_are_undone_and_marked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
