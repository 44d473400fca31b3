/* Time zones, what is kept of a guest's clock, and the date that a clock starts from. */
#include "tests/unit/scratch.h"

#include "base/text.h"
#include "launcher/host/timezone.h"
#include "launcher/run/generation.h"
#include "launcher/state/clock_state.h"

static void write_file(struct fixture *f, const char *name, const char *bytes, size_t n)
{
        struct error *err = NULL;

        assert_int_equal(fd_write_file_at(f->fd, name, bytes, n, 0644, 0, &err), 0);
}

static void rule_is_the_last_line_of_a_zone(void **state)
{
        struct fixture *f = *state;
        static const struct {
                const char *bytes;
                size_t n;
                const char *rule;
        } rows[] = {
                { "TZif2\0\0\n<-03>3\n", 15, "<-03>3" },
                { "TZif3 \nCET-1CEST,M3.5.0,M10.5.0/3\n", 34, "CET-1CEST,M3.5.0,M10.5.0/3" },
                /* version 1 has none; nor has what is no zone, or ends elsewhere */
                { "TZif\0\0\0\nCET-1\n", 14, NULL },
                { "TZif2\0\n\n", 8, NULL },
                { "TZif2\0\nCET-1", 12, NULL },
                { "TZif2\0\nXY Z\n", 12, NULL },
                { "TZif2\0\nXY\x01Z\n", 12, NULL },
                { "#!/bin/sh\n", 10, NULL },
                { "", 0, NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *rule = NULL;
                struct error *err = NULL;

                write_file(f, "zone", rows[i].bytes, rows[i].n);
                assert_int_equal(timezone_rule_read(f->path, "zone", &rule, &err), 0);
                if (rows[i].rule)
                        assert_string_equal(rule, rows[i].rule);
                else
                        assert_null(rule);
        }
}

static void zone_that_is_not_there_is_no_error(void **state)
{
        struct fixture *f = *state;
        char *rule = NULL;
        struct error *err = NULL;

        assert_int_equal(timezone_rule_read(f->path, "Mars/Olympus", &rule, &err), 0);
        assert_null(rule);
        /* A directory of zones is none. */
        assert_int_equal(timezone_rule_read("/", "usr", &rule, &err), 0);
        assert_null(rule);
}

#define UUID "6b1c5a2e-04a1-4a0c-9f39-0a2f6c7d8e90"

static void clock_is_kept_and_read_again(void **state)
{
        struct fixture *f = *state;
        const struct clock_state state_was = { .uuid = (char *)UUID, .adjustment = -3600, .change = 86400 };
        _cleanup_(clock_state_freep) struct clock_state *none = NULL, *again = NULL;
        _cleanup_free_ char *path = clock_state_path(f->paths.state, "web");
        struct error *err = NULL;

        assert_int_equal(clock_state_read(f->paths.state, "web", &none, &err), 0);
        assert_null(none);
        assert_int_equal(clock_state_write(path, &state_was, &err), 0);
        assert_int_equal(clock_state_read(f->paths.state, "web", &again, &err), 0);
        assert_string_equal(again->uuid, UUID);
        assert_int_equal(again->adjustment, -3600);
        assert_int_equal(again->change, 86400);
}

static void clock_that_is_not_understood_is_an_error(void **state)
{
        static const char *const texts[] = {
                "",
                "UUID = \"x\"\nADJUSTMENT = \"0\"\nCHANGE = \"0\"\n",
                "UUID = \"" UUID "\"\nADJUSTMENT = \"0\"\n",
                "UUID = \"" UUID "\"\nADJUSTMENT = \"0\"\nCHANGE = \"1e9\"\n",
                "UUID = \"" UUID "\"\nADJUSTMENT = \"0\"\nCHANGE = \"99999999999\"\n",
                "UUID = [",
        };
        struct fixture *f = *state;
        _cleanup_free_ char *path = clock_state_path(f->paths.state, "web");
        struct error *err = NULL;

        assert_int_equal(fd_mkdir_p(AT_FDCWD, f->paths.state, 0755, &err), 0);
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                struct clock_state *clock = NULL;
                const struct clock_state good = { .uuid = (char *)UUID };

                assert_int_equal(clock_state_write(path, &good, &err), 0);
                assert_int_equal(fd_write_file_at(AT_FDCWD, path, texts[i], strlen(texts[i]), 0644, 0, &err),
                                 0);
                assert_int_equal(clock_state_read(f->paths.state, "web", &clock, &err), -1);
                assert_null(clock);
                error_free(err);
                err = NULL;
        }
}

static void date_of_the_start_is_filled_in(void **state)
{
        static const struct {
                const char *text, *filled;
        } rows[] = {
                { "base=@UTC+0@", "base=2026-11-27T17:20:00" },
                { "base=@UTC-86400@,clock=vm", "base=2026-11-26T17:20:00,clock=vm" },
                { "base=@UTC+3600@,driftfix=slew", "base=2026-11-27T18:20:00,driftfix=slew" },
                { "base=utc", "base=utc" },
                { "clock=vm,base=@UTC+0@", "clock=vm,base=@UTC+0@" },
                { "base=@UTC@", "base=@UTC@" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *filled = rtc_fill(rows[i].text, 1795800000);

                assert_string_equal(filled, rows[i].filled);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(rule_is_the_last_line_of_a_zone, set_up, tear_down),
                cmocka_unit_test_setup_teardown(zone_that_is_not_there_is_no_error, set_up, tear_down),
                cmocka_unit_test_setup_teardown(clock_is_kept_and_read_again, set_up, tear_down),
                cmocka_unit_test_setup_teardown(clock_that_is_not_understood_is_an_error, set_up, tear_down),
                cmocka_unit_test(date_of_the_start_is_filled_in),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
