#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "launcher/run/pressure.h"

#define MIB(n) ((uint64_t)(n) << 20)

static void pressure_is_the_first_line_of_psi(void **state)
{
        double percent = -1;

        (void)state;
        assert_true(pressure_parse("some avg10=12.34 avg60=0.00 avg300=0.00 total=190035\n"
                                   "full avg10=99.00 avg60=0.00 avg300=0.00 total=8212\n",
                                   &percent));
        assert_true(percent > 12.33 && percent < 12.35);
        assert_true(pressure_parse("some avg10=0.00", &percent));
        assert_true(percent == 0);
}

static void text_that_is_no_psi_is_refused(void **state)
{
        static const char *const texts[] = { "",
                                             "full avg10=1.00 avg60=0.00",
                                             "some avg10=",
                                             "some avg10=x avg60=1",
                                             "some avg10=-1.00 avg60=1",
                                             "some avg10=101.00 avg60=1",
                                             "some avg10=nan avg60=1",
                                             "some avg60=1.00" };
        double percent = 7;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                assert_false(pressure_parse(texts[i], &percent));
        assert_true(percent == 7);
}

static void guest_gives_in_steps_down_to_the_floor(void **state)
{
        uint64_t has = MIB(1024);

        (void)state;
        has = pressure_target(10, has, MIB(700), MIB(1024));
        assert_int_equal(has, MIB(896));
        has = pressure_target(55, has, MIB(700), MIB(1024));
        assert_int_equal(has, MIB(768));
        has = pressure_target(55, has, MIB(700), MIB(1024));
        assert_int_equal(has, MIB(700));
        assert_int_equal(pressure_target(100, has, MIB(700), MIB(1024)), MIB(700));
}

static void guest_gets_back_what_it_gave_and_no_more(void **state)
{
        uint64_t has = MIB(700);

        (void)state;
        has = pressure_target(0.99, has, MIB(700), MIB(1024));
        assert_int_equal(has, MIB(828));
        has = pressure_target(0, has, MIB(700), MIB(1024));
        has = pressure_target(0, has, MIB(700), MIB(1024));
        assert_int_equal(has, MIB(1024));
        assert_int_equal(pressure_target(0, has, MIB(700), MIB(1024)), MIB(1024));
}

static void between_the_bounds_everything_stays(void **state)
{
        (void)state;
        assert_int_equal(pressure_target(1, MIB(800), MIB(700), MIB(1024)), MIB(800));
        assert_int_equal(pressure_target(9.99, MIB(800), MIB(700), MIB(1024)), MIB(800));
}

static void what_cannot_be_is_bounded(void **state)
{
        (void)state;
        /* MEMORY was lowered, or the guest has less than it may be left. */
        assert_int_equal(pressure_target(0, MIB(1024), MIB(100), MIB(512)), MIB(512));
        assert_int_equal(pressure_target(50, MIB(64), MIB(100), MIB(512)), MIB(100));
        assert_int_equal(pressure_target(5, MIB(64), MIB(100), MIB(512)), MIB(100));
        assert_int_equal(pressure_target(50, MIB(512), MIB(600), MIB(512)), MIB(512));
        /* Steps are whole MiB. */
        assert_int_equal(pressure_target(50, MIB(100), 0, MIB(100)), MIB(87));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pressure_is_the_first_line_of_psi),
                cmocka_unit_test(text_that_is_no_psi_is_refused),
                cmocka_unit_test(guest_gives_in_steps_down_to_the_floor),
                cmocka_unit_test(guest_gets_back_what_it_gave_and_no_more),
                cmocka_unit_test(between_the_bounds_everything_stays),
                cmocka_unit_test(what_cannot_be_is_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
