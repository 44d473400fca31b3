#include "launcher/plan/live_change.h"

#include "tests/unit/plan_change_fixture.h"

static void live_tmpl_changes_by_number(void **state)
{
        struct error *err = NULL;
        json_auto_t *added = live_change(LIVE_ONE, LIVE_TWO, &err), *removed = NULL, *changed = NULL;
        _cleanup_free_ char *a = json_dumps(added, JSON_COMPACT), *b = NULL, *c = NULL;

        (void)state;
        removed = live_change(LIVE_TWO, LIVE_ONE, &err);
        changed = live_change("CPU = \"1\"\nOS = [ ARCH = \"x\" ]\n", "CPU = \"2\"\nOS = [ ARCH = \"y\" ]\n",
                              &err);
        b = json_dumps(removed, JSON_COMPACT);
        c = json_dumps(changed, JSON_COMPACT);
        assert_string_equal(
                a,
                "{\"set\":[{\"vector\":\"DISK\",\"attributes\":{\"TARGET\":\"vdb\",\"DISK_ID\":\"1\"}}],\"remove\":[]}");
        assert_string_equal(b,
                            "{\"set\":[],\"remove\":[{\"vector\":\"DISK\",\"match\":{\"DISK_ID\":\"1\"}}]}");
        assert_string_equal(
                c, "{\"set\":[{\"attribute\":\"CPU\",\"value\":\"2\"},"
                   "{\"vector\":\"OS\",\"match\":{},\"attributes\":{\"ARCH\":\"y\"}}],\"remove\":[]}");
}

#define TABLET    "INPUT = [\n  TYPE = \"tablet\",\n  INPUT_ID = \"0\"\n]\n"
#define FILTER(n) "REDIRFILTER = [\n  CLASS = \"" #n "\"\n]\n"

static void live_tmpl_changes_by_all_that_is_said(void **state)
{
        struct error *err = NULL;
        json_auto_t *added = live_change(TABLET FILTER(1), TABLET FILTER(2) FILTER(1), &err), *removed = NULL;
        _cleanup_free_ char *a = json_dumps(added, JSON_COMPACT), *b = NULL;

        (void)state;
        removed = live_change(FILTER(1) FILTER(1) FILTER(2), FILTER(1), &err);
        b = json_dumps(removed, JSON_COMPACT);
        assert_string_equal(
                a, "{\"set\":[{\"vector\":\"REDIRFILTER\",\"attributes\":{\"CLASS\":\"2\"}}],\"remove\":[]}");
        assert_string_equal(
                b, "{\"set\":[],\"remove\":[{\"vector\":\"REDIRFILTER\",\"match\":{\"CLASS\":\"1\"}},"
                   "{\"vector\":\"REDIRFILTER\",\"match\":{\"CLASS\":\"2\"}}]}");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(live_tmpl_changes_by_number),
                cmocka_unit_test(live_tmpl_changes_by_all_that_is_said),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
