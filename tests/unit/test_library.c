/* Libraries that are loaded when they are wanted. */
#include "base/library.h"

#include <math.h>
#include <string.h>

#include "tests/unit/peer.h"

static struct {
        double (*cosine)(double);
        double (*root)(double);
} functions;

static void functions_are_found_by_their_names_in_order(void **state)
{
        struct error *err = NULL;

        (void)state;
        assert_int_equal(library_load("libm.so.6", "cos\0sqrt\0", &functions, &err), 0);
        assert_true(functions.cosine(0) == 1);
        assert_true(functions.root(9) == 3);
}

static void library_without_one_of_them_gives_none(void **state)
{
        struct error *err = NULL;

        (void)state;
        assert_int_equal(library_load("libm.so.6", "cos\0no_such_function\0", &functions, &err), -1);
        assert_int_equal(err->code, ERROR_HOST);
        assert_null(functions.cosine);
        error_free(err);
}

static void missing_library_is_named(void **state)
{
        struct error *err = NULL;

        (void)state;
        assert_int_equal(library_load("libno-such-library.so.1", "cos\0", &functions, &err), -1);
        assert_int_equal(err->code, ERROR_HOST);
        assert_non_null(strstr(err->message, "libno-such-library.so.1"));
        error_free(err);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(functions_are_found_by_their_names_in_order),
                cmocka_unit_test(library_without_one_of_them_gives_none),
                cmocka_unit_test(missing_library_is_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
