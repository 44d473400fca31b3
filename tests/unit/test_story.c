#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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
                cmocka_unit_test(lines_beyond_the_pace_are_counted_and_not_said),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
