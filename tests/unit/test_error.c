#include "base/error.h"

#include <errno.h>

#include "tests/unit/peer.h"

static void expect_text(const struct error *error, const char *expected)
{
        _cleanup_free_ char *text = error_text(error);

        assert_string_equal(text, expected);
}

static void a_chain_reads_from_the_outside_in(void **state)
{
        _cleanup_error_ struct error *error = NULL;

        (void)state;
        assert_int_equal(error_os(&error, EACCES, "create tap '%s'", "web-0"), -1);
        assert_int_equal(error_wrap(&error, "start '%s'", "web"), -1);
        expect_text(error, "start 'web': create tap 'web-0': Permission denied");
        assert_int_equal(error->code, ERROR_OS);
        assert_int_equal(error->os_errno, EACCES);
        assert_int_equal(error_exit_status(error), 5);
}

static void a_place_is_printed_once_and_kept_when_wrapped(void **state)
{
        const struct source_pos pos = { "web.tmpl", 12, 10 }, whole = { "web.tmpl", 0, 0 };
        _cleanup_error_ struct error *error = NULL;
        _cleanup_error_ struct error *no_line = NULL;

        (void)state;
        error_at(&error, &pos, "MEMORY: '%s' is not a size", "8 GBs");
        error_hint(&error, "try MEMORY = \"8192\"");
        error_wrap(&error, "plan");
        expect_text(error, "web.tmpl:12:10: plan: MEMORY: '8 GBs' is not a size");
        assert_string_equal(error->hint, "try MEMORY = \"8192\"");
        assert_int_equal(error_exit_status(error), 6);
        error_at(&no_line, &whole, "empty");
        expect_text(no_line, "web.tmpl: empty");
}

static void qmp_errors_keep_their_class(void **state)
{
        _cleanup_error_ struct error *error = NULL;

        (void)state;
        error_qmp(&error, "DeviceNotFound", "Device 'disk3' not found");
        error_wrap(&error, "device_del");
        expect_text(error, "device_del: DeviceNotFound: Device 'disk3' not found");
        assert_string_equal(error->qmp_class, "DeviceNotFound");
}

static void errors_of_one_text_are_a_list_and_survive_wrapping(void **state)
{
        _cleanup_error_ struct error *error = NULL;

        (void)state;
        for (int i = 0; i < 3; i++) {
                struct error *one = NULL;

                error_set(&one, ERROR_INVALID, "number %d", i);
                error_append(&error, one);
        }
        assert_int_equal(error_count(error), 3);
        error_wrap(&error, "outer");
        assert_int_equal(error_count(error), 3);
        expect_text(error, "outer: number 0");
        expect_text(error->next->next, "number 2");
        assert_int_equal(error_count(NULL), 0);
}

static void a_copy_is_whole_and_its_own(void **state)
{
        const struct source_pos pos = { "a.tmpl", 1, 2 };
        struct error *error = NULL;
        _cleanup_error_ struct error *copy = NULL;

        (void)state;
        error_at(&error, &pos, "inner");
        error_hint(&error, "do this");
        error_wrap(&error, "outer");
        error_set(&error->next, ERROR_BUSY, "another");
        copy = error_copy(error);
        error_free(error);
        expect_text(copy, "a.tmpl:1:2: outer: inner");
        assert_string_equal(copy->hint, "do this");
        assert_int_equal(copy->next->code, ERROR_BUSY);
        assert_null(error_copy(NULL));
}

static void every_code_has_a_name_and_an_exit_status(void **state)
{
        (void)state;
        for (int code = ERROR_FAILED; code <= ERROR_CANCELLED; code++) {
                _cleanup_error_ struct error *error = NULL;

                error_set(&error, (enum error_code)code, "x");
                assert_non_null(error_code_name((enum error_code)code));
                assert_in_range(error_exit_status(error), 1, 10);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_chain_reads_from_the_outside_in),
                cmocka_unit_test(a_place_is_printed_once_and_kept_when_wrapped),
                cmocka_unit_test(qmp_errors_keep_their_class),
                cmocka_unit_test(errors_of_one_text_are_a_list_and_survive_wrapping),
                cmocka_unit_test(a_copy_is_whole_and_its_own),
                cmocka_unit_test(every_code_has_a_name_and_an_exit_status),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
