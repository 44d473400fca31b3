#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_member.h"
#include "base/mem.h"

static const struct {
        const char *text;
        bool is_utf8;
} texts[] = {
        { "", true },
        { "seven b", true },
        { "eight by", true },
        { "more than eight bytes", true },
        { "\xc3\xa9", true },
        { "eight by\xc3\xa9", true },
        { "\xe2\x82\xac and more", true },
        { "\xff", false },
        { "seven b\xff", false },
        { "\x80"
          "eight by",
          false },
        { "more than eight \xc3", false },
};

static void a_text_is_what_jansson_makes_of_it(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                json_auto_t *expected = json_string(texts[i].text), *seen = json_member_text(texts[i].text);

                assert_int_equal(json_member_is_utf8(texts[i].text), texts[i].is_utf8);
                assert_int_equal(seen != NULL, texts[i].is_utf8);
                assert_int_equal(expected != NULL, texts[i].is_utf8);
                if (seen)
                        assert_true(json_equal(seen, expected));
        }
}

static void members_come_in_their_order(void **state)
{
        json_auto_t *object = json_object();
        _cleanup_free_ char *text = NULL;

        (void)state;
        json_member_add(object, "z", "one");
        json_member_add(object, "none", NULL);
        json_member_add(object, "bad", "\xff");
        json_member_add_bool(object, "a", true);
        json_member_add_bool(object, "b", false);
        text = json_dumps(object, JSON_COMPACT);
        assert_string_equal(text, "{\"z\":\"one\",\"a\":true,\"b\":false}");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_text_is_what_jansson_makes_of_it),
                cmocka_unit_test(members_come_in_their_order),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
