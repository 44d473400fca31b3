#include "launcher/run/silence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void an_overdue_query_waits_for_the_rest_of_the_silence(void **state)
{
        struct silence silence = { 0 };

        (void)state;
        silence_heard(&silence, 1000);
        /* A day without a question is no silence. */
        silence_sent(&silence, 86401000);
        assert_int_equal(silence_wait_ms(&silence, 86401500), 1500);
        assert_int_equal(silence_wait_ms(&silence, 86403000), 0);
        assert_int_equal(silence_wait_ms(&silence, 86409000), 0);
}

static void further_questions_do_not_begin_it_anew(void **state)
{
        struct silence silence = { 0 };

        (void)state;
        silence_sent(&silence, 1000);
        silence_sent(&silence, 2900);
        assert_int_equal(silence_wait_ms(&silence, 3000), 0);
}

static void any_word_ends_it_also_while_another_command_waits(void **state)
{
        struct silence silence = { 0 };

        (void)state;
        silence_sent(&silence, 1000);
        silence_heard(&silence, 5900);
        assert_int_equal(silence_wait_ms(&silence, 6000), 1900);
        assert_int_equal(silence_wait_ms(&silence, 7900), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_overdue_query_waits_for_the_rest_of_the_silence),
                cmocka_unit_test(further_questions_do_not_begin_it_anew),
                cmocka_unit_test(any_word_ends_it_also_while_another_command_waits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
