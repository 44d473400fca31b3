#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_text.h"

static void a_line_is_what_jansson_makes_of_it(void **state)
{
        static const char *const lines[] = {
                "{}",
                "[]",
                "[[],{}]",
                "null",
                "true",
                "-9223372036854775808",
                "0.1",
                "\"\"",
                "\"a \\\"quoted\\\" \\\\ back/slash\"",
                "\"\\u0000\\u0001\\b\\f\\n\\r\\t\\u001f\\u007f\\u00e9\\u20ac\\ud83d\\ude00\"",
                "{\"z\":1,\"a\":[true,false,null,\"x\"],\"k\\\"ey\":{\"n\":{\"m\":-5}}}",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                json_auto_t *json = json_loads(lines[i], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
                _cleanup_free_ char *expected = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
                _cleanup_text_ struct text text = TEXT_INIT;

                assert_non_null(json);
                json_text_add(&text, json);
                assert_string_equal(text_str(&text), expected);
        }
}

static void an_object_is_written_member_by_member(void **state)
{
        _cleanup_text_ struct text text = TEXT_INIT;
        json_auto_t *json = NULL;

        (void)state;
        json_text_begin(&text, NULL);
        json_text_begin(&text, "empty");
        json_text_end(&text);
        json_text_string(&text, "a \"key\"", "ends with {");
        json_text_string(&text, "none", NULL);
        json_text_integer(&text, "number", -7);
        json_text_begin(&text, "inner");
        json_text_bool(&text, "yes", true);
        json_text_bool(&text, "no", false);
        json_text_end(&text);
        json_text_null(&text, "nothing");
        json_text_end(&text);
        assert_string_equal(text_str(&text), "{\"empty\":{},\"a \\\"key\\\"\":\"ends with {\",\"number\":-7,"
                                             "\"inner\":{\"yes\":true,\"no\":false},\"nothing\":null}");
        json = json_loads(text_str(&text), 0, NULL);
        assert_non_null(json);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_line_is_what_jansson_makes_of_it),
                cmocka_unit_test(an_object_is_written_member_by_member),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
