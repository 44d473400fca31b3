#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bus_message.h"

#define BYTES(literal) literal, sizeof(literal) - 1

static void assert_bytes(const struct text *text, const char *bytes, size_t n)
{
        assert_int_equal(text->length, n);
        assert_memory_equal(text->data, bytes, n);
}

static void client_says_who_it_is_as_hexadecimal_digits_of_its_uid(void **state)
{
        _cleanup_text_ struct text out = TEXT_INIT;

        (void)state;
        bus_authenticate(&out, 1000);
        assert_bytes(&out, BYTES("\0AUTH EXTERNAL 31303030\r\nBEGIN\r\n"));
}

/* As libsystemd writes it, but for the order of the fields, which is free. */
static void call_without_arguments_has_no_body(void **state)
{
        static const struct bus_target target = {
                .destination = "a.b", .path = "/p", .interface = "c.d", .member = "Hello"
        };
        _cleanup_text_ struct text out = TEXT_INIT;

        (void)state;
        bus_add_call(&out, 1, false, &target, NULL);
        assert_bytes(&out, BYTES("l\1\2\1\0\0\0\0\1\0\0\0\74\0\0\0"
                                 "\1\1o\0\2\0\0\0/p\0\0\0\0\0\0"
                                 "\2\1s\0\3\0\0\0c.d\0\0\0\0\0"
                                 "\3\1s\0\5\0\0\0Hello\0\0\0"
                                 "\6\1s\0\3\0\0\0a.b\0\0\0\0\0"));
}

static void arguments_are_aligned_and_their_types_said(void **state)
{
        static const struct bus_target target = {
                .destination = "a.b", .path = "/p", .interface = "c.d", .member = "M"
        };
        _cleanup_bus_body_ struct bus_body body = BUS_BODY_INIT;
        _cleanup_text_ struct text out = TEXT_INIT;

        (void)state;
        bus_body_string(&body, "web");
        bus_body_bytes(&body, (const uint8_t *)"\x01\x02\x03", 3);
        bus_body_u32(&body, 0x01020304);
        assert_string_equal(text_str(&body.signature), "sayu");
        assert_bytes(&body.bytes, BYTES("\3\0\0\0web\0\3\0\0\0\1\2\3\0\4\3\2\1"));
        /* Behind what is there already, from where it counts its own bytes. */
        text_add(&out, "xyz");
        bus_add_call(&out, 7, true, &target, &body);
        assert_int_equal(out.data[3 + 2], 3);
        assert_int_equal(out.data[3 + 4], 20);
        assert_int_equal(out.data[3 + 8], 7);
        assert_int_equal((out.length - 3) % 4, 0);
        assert_memory_equal(out.data + out.length - 20, body.bytes.data, 20);
        assert_memory_equal(out.data + out.length - 20 - 16, "\x08\1g\0\4sayu\0\0\0\0\0\0\0", 16);
}

/* What a bus answered to Hello; to a call to nobody; and a property's value. */
#define REPLY_TEXT                                     \
        "l\2\1\1\12\0\0\0\1\0\0\0\75\0\0\0"            \
        "\6\1s\0\5\0\0\0:1.42\0\0\0"                   \
        "\5\1u\0\1\0\0\0"                              \
        "\x08\1g\0\1s\0\0"                             \
        "\7\1s\0\24\0\0\0org.freedesktop.DBus\0\0\0\0" \
        "\5\0\0\0:1.42"
#define ERROR_REPLY                        \
        "l\3\1\1\7\0\0\0\1\0\0\0\37\0\0\0" \
        "\4\1s\0\5\0\0\0a.b.c\0\0\0"       \
        "\5\1u\0\2\0\0\0"                  \
        "\x08\1g\0\1s\0\0"                 \
        "\2\0\0\0no"
#define VARIANT_REPLY                       \
        "l\2\1\1\21\0\0\0\1\0\0\0\17\0\0\0" \
        "\5\1u\0\3\0\0\0"                   \
        "\x08\1g\0\1v\0\0"                  \
        "\1s\0\0\x08\0\0\0vmlaunch"
#define SWAPPED_REPLY                        \
        "B\2\1\1\0\0\0\x0c\0\0\0\1\0\0\0\17" \
        "\5\1u\0\0\0\0\4"                    \
        "\x08\1g\0\1v\0\0"                   \
        "\1s\0\0\0\0\0\3web"
#define SIGNAL                              \
        "l\4\1\1\0\0\0\0\1\0\0\0\x0d\0\0\0" \
        "\3\1s\0\4\0\0\0Gone\0\0\0\0"

static void replies_are_read(void **state)
{
        /* A literal's NUL is the one behind the last text. */
        static const struct {
                const char *bytes;
                size_t n;
                uint32_t serial;
                const char *error, *text;
        } cases[] = {
                { REPLY_TEXT, sizeof(REPLY_TEXT), 1, NULL, ":1.42" },
                { ERROR_REPLY, sizeof(ERROR_REPLY), 2, "a.b.c", "no" },
                { VARIANT_REPLY, sizeof(VARIANT_REPLY), 3, NULL, "vmlaunch" },
                { SWAPPED_REPLY, sizeof(SWAPPED_REPLY), 4, NULL, "web" },
                { SIGNAL, sizeof(SIGNAL) - 1, 0, NULL, NULL },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct bus_reply reply;

                assert_int_equal(bus_reply_parse(cases[i].bytes, cases[i].n, &reply), cases[i].n);
                assert_int_equal(reply.serial, cases[i].serial);
                assert_int_equal(reply.error != NULL, cases[i].error != NULL);
                assert_int_equal(reply.text != NULL, cases[i].text != NULL);
                if (reply.error)
                        assert_string_equal(reply.error, cases[i].error);
                if (reply.text)
                        assert_string_equal(reply.text, cases[i].text);
                /* More may follow; less is waited for. */
                for (size_t n = 0; n < cases[i].n; n++)
                        assert_int_equal(bus_reply_parse(cases[i].bytes, n, &reply), 0);
        }
}

static void lengths_that_lie_are_no_message(void **state)
{
        struct bus_reply reply;

        (void)state;
        for (size_t i = 0; i < sizeof(ERROR_REPLY); i++)
                for (int byte = 0; byte < 256; byte++) {
                        char *bytes = xmalloc(sizeof(ERROR_REPLY));

                        /* On the heap: a sanitizer sees what is read beyond. */
                        memcpy(bytes, ERROR_REPLY, sizeof(ERROR_REPLY));
                        bytes[i] = (char)byte;
                        assert_true(bus_reply_parse(bytes, sizeof(ERROR_REPLY), &reply) <=
                                    (int)sizeof(ERROR_REPLY));
                        free(bytes);
                }
        assert_int_equal(bus_reply_parse(BYTES("x\2\1\1\0\0\0\0\1\0\0\0\0\0\0\0"), &reply), -1);
        assert_int_equal(bus_reply_parse(BYTES("l\1\1\1\0\0\0\0\1\0\0\0\0\0\0\0"), &reply), -1);
        assert_int_equal(bus_reply_parse(BYTES("l\2\1\2\0\0\0\0\1\0\0\0\0\0\0\0"), &reply), -1);
        assert_int_equal(bus_reply_parse(BYTES("l\2\1\1\0\0\0\1\1\0\0\0\0\0\0\0"), &reply), -1);
        assert_int_equal(bus_reply_parse(BYTES("l\2\1\1\0\0\0\0\1\0\0\0\0\0\1\0"), &reply), -1);
        /* Nobody's reply; an error without its name; a field that ends outside. */
        assert_int_equal(bus_reply_parse(BYTES("l\2\1\1\0\0\0\0\1\0\0\0\0\0\0\0"), &reply), -1);
        assert_int_equal(bus_reply_parse(BYTES("l\3\1\1\0\0\0\0\1\0\0\0\x08\0\0\0\5\1u\0\2\0\0\0"), &reply),
                         -1);
        assert_int_equal(
                bus_reply_parse(BYTES("l\2\1\1\0\0\0\0\1\0\0\0\x08\0\0\0\6\1s\0\x09\0\0\0:1.42\0\0\0"),
                                &reply),
                -1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(client_says_who_it_is_as_hexadecimal_digits_of_its_uid),
                cmocka_unit_test(call_without_arguments_has_no_body),
                cmocka_unit_test(arguments_are_aligned_and_their_types_said),
                cmocka_unit_test(replies_are_read),
                cmocka_unit_test(lengths_that_lie_are_no_message),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
