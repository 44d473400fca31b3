#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "launcher/run/story.h"

static void the_story_keeps_the_newest_two_hundred_lines(void **state)
{
        json_auto_t *story = json_array();
        const char *text;

        (void)state;
        for (int i = 0; i < STORY_MAX + 5; i++) {
                _cleanup_free_ char *line = xasprintf("line %d", i);

                story_add(story, "2026-11-21T09:00:00.000Z", line);
        }
        assert_int_equal(json_array_size(story), STORY_MAX);
        assert_int_equal(json_unpack(json_array_get(story, 0), "{s:s}", "text", &text), 0);
        assert_string_equal(text, "line 5");
}

static void a_line_that_is_no_utf8_is_escaped_not_lost(void **state)
{
        json_auto_t *bad = story_string("guest said \xff!"), *none = story_string(NULL);
        json_auto_t *good = story_string("gr\xc3\xbc\xc3\x9f");

        (void)state;
        assert_string_equal(json_string_value(bad), "guest said \\xff!");
        assert_string_equal(json_string_value(good), "gr\xc3\xbc\xc3\x9f");
        assert_true(json_is_null(none));
}

static void times_are_rfc_3339_in_utc_with_milliseconds(void **state)
{
        _cleanup_free_ char *now = story_now();

        (void)state;
        assert_int_equal(strlen(now), strlen("2026-11-21T09:00:00.000Z"));
        assert_int_equal(now[10], 'T');
        assert_int_equal(now[19], '.');
        assert_int_equal(now[23], 'Z');
}

static void times_that_nobody_has_are_shown_too(void **state)
{
        /* The last second that gmtime_r(3) knows, and the next one. */
        const time_t last = 67768036191676799;
        _cleanup_free_ char *late = story_time(last, 999999999), *later = story_time(last + 1, 0),
                            *early = story_time(-1, 0);

        (void)state;
        assert_string_equal(late, "2147485547-12-31T23:59:59.999Z");
        assert_string_equal(later, "1900-01-01T00:00:00.000Z");
        assert_string_equal(early, "1969-12-31T23:59:59.000Z");
}

static void each_second_has_its_date(void **state)
{
        _cleanup_free_ char *first = story_time(86399, 7000000), *same = story_time(86399, 89999999),
                            *next = story_time(86400, 999999), *back = story_time(86399, 0);

        (void)state;
        assert_string_equal(first, "1970-01-01T23:59:59.007Z");
        assert_string_equal(same, "1970-01-01T23:59:59.089Z");
        assert_string_equal(next, "1970-01-02T00:00:00.000Z");
        assert_string_equal(back, "1970-01-01T23:59:59.000Z");
}

static void lines_beyond_the_pace_are_counted_and_not_said(void **state)
{
        struct story_pace pace = { 0 };
        unsigned unsaid, said = 0;

        (void)state;
        for (unsigned i = 0; i < 10000; i++)
                said += story_may_say(&pace, 100000 + i, &unsaid);
        assert_int_equal(said, STORY_PER_MINUTE);
        assert_int_equal(unsaid, 0);
        assert_true(story_may_say(&pace, 160000, &unsaid));
        assert_int_equal(unsaid, 10000 - STORY_PER_MINUTE);
        assert_true(story_may_say(&pace, 160001, &unsaid));
        assert_int_equal(unsaid, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_story_keeps_the_newest_two_hundred_lines),
                cmocka_unit_test(a_line_that_is_no_utf8_is_escaped_not_lost),
                cmocka_unit_test(times_are_rfc_3339_in_utc_with_milliseconds),
                cmocka_unit_test(times_that_nobody_has_are_shown_too),
                cmocka_unit_test(each_second_has_its_date),
                cmocka_unit_test(lines_beyond_the_pace_are_counted_and_not_said),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
