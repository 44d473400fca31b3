/* Lists of CPUs and memory nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/number_list.h"

static void lists_are_read_and_written_as_the_kernel_does(void **state)
{
        static const struct {
                const char *text, *again;
                unsigned count;
        } rows[] = {
                { "0", "0", 1 },
                { "0-3\n", "0-3", 4 },
                { "0-1,3,2", "0-3", 4 },
                { " 8 , 0 - 2 ", "0-2,8", 4 },
                { "0-7,^2", "0-1,3-7", 7 },
                { "1-4,^3", "1-2,4", 3 },
                { "^2,0-2", "0-2", 3 },
                { "63-64", "63-64", 2 },
                { "8191", "8191", 1 },
                { "0-8191", "0-8191", 8192 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *again = NULL;
                struct number_list list;

                assert_true(number_list_parse(rows[i].text, &list));
                again = number_list_text(&list);
                assert_string_equal(again, rows[i].again);
                assert_int_equal(number_list_count(&list), rows[i].count);
        }
}

static void what_is_no_list_is_refused(void **state)
{
        static const char *const texts[] = { "",
                                             " ",
                                             "a",
                                             "-1",
                                             "1-",
                                             "1--2",
                                             "2-1",
                                             "1,",
                                             ",1",
                                             "1 2",
                                             "0x1",
                                             "8192",
                                             "0-8192",
                                             "^1",
                                             "0,^0",
                                             "1;2",
                                             "1-2-3",
                                             "4294967296",
                                             "99999999999999999999" };
        struct number_list list;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                assert_false(number_list_parse(texts[i], &list));
}

static void one_list_is_within_another_when_it_has_all_of_it(void **state)
{
        struct number_list few, many, empty = { 0 };
        _cleanup_free_ char *none = number_list_text(&empty);

        (void)state;
        assert_true(number_list_parse("1,64", &few));
        assert_true(number_list_parse("0-64", &many));
        assert_true(number_list_is_within(&few, &many));
        assert_false(number_list_is_within(&many, &few));
        assert_true(number_list_is_within(&empty, &few));
        assert_true(number_list_has(&few, 64));
        assert_false(number_list_has(&few, 63));
        assert_false(number_list_has(&few, UINT32_MAX));
        number_list_add(&few, UINT32_MAX);
        assert_int_equal(number_list_count(&few), 2);
        assert_string_equal(none, "");
        assert_true(number_list_parse_within("3-4,7", 3, 7, &few));
        assert_int_equal(number_list_count(&few), 3);
        assert_false(number_list_parse_within("2-4", 3, 7, &few));
        assert_false(number_list_parse_within("8", 3, 7, &few));
        assert_false(number_list_parse_within("", 3, 7, &few));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lists_are_read_and_written_as_the_kernel_does),
                cmocka_unit_test(what_is_no_list_is_refused),
                cmocka_unit_test(one_list_is_within_another_when_it_has_all_of_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
