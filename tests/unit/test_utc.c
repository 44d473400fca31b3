#include "base/utc.h"

#include <string.h>

#include "tests/unit/peer.h"

static void assert_stamp(time_t seconds, long nanoseconds, const char *expected)
{
        char stamp[UTC_STAMP_SIZE];

        utc_stamp(stamp, seconds, nanoseconds);
        assert_string_equal(stamp, expected);
}

static void stamps_have_milliseconds_and_the_zone(void **state)
{
        char now[UTC_STAMP_SIZE];

        (void)state;
        utc_stamp_now(now);
        assert_int_equal(strlen(now), strlen("2026-11-21T09:00:00.000Z"));
        assert_int_equal(now[10], 'T');
        assert_int_equal(now[19], '.');
        assert_int_equal(now[23], 'Z');
}

/* The last second that gmtime_r(3) knows, and the next one. */
static const time_t last = 67768036191676799;

static void times_that_nobody_has_are_shown_too(void **state)
{
        (void)state;
        assert_stamp(last, 999999999, "2147485547-12-31T23:59:59.999Z");
        assert_stamp(last + 1, 0, "1900-01-01T00:00:00.000Z");
        assert_stamp(-1, 0, "1969-12-31T23:59:59.000Z");
}

static void each_second_has_its_date(void **state)
{
        (void)state;
        assert_stamp(86399, 7000000, "1970-01-01T23:59:59.007Z");
        assert_stamp(86399, 89999999, "1970-01-01T23:59:59.089Z");
        assert_stamp(86400, 999999, "1970-01-02T00:00:00.000Z");
        assert_stamp(86399, 0, "1970-01-01T23:59:59.000Z");
}

static void date_that_cannot_be_written_leaves_what_was_there(void **state)
{
        char date[UTC_DATE_SIZE] = "before";

        (void)state;
        assert_false(utc_date(date, last + 1));
        assert_string_equal(date, "before");
        assert_true(utc_date(date, last));
        assert_string_equal(date, "2147485547-12-31T23:59:59");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(stamps_have_milliseconds_and_the_zone),
                cmocka_unit_test(times_that_nobody_has_are_shown_too),
                cmocka_unit_test(each_second_has_its_date),
                cmocka_unit_test(date_that_cannot_be_written_leaves_what_was_there),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
