#include "base/text.h"

#include <limits.h>

#include "base/argv.h"
#include "tests/unit/peer.h"

static void numbers_are_whole_strings_in_range(void **state)
{
        static const char *const bad[] = {
                "", " 1", "1 ", "+1", "-1", "0x", "0xg", "1e3", "18446744073709551616", "1.0"
        };
        uint64_t u = 77;
        uint32_t u32;

        (void)state;
        for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
                assert_false(text_parse_u64(bad[n], &u));
        assert_int_equal(u, 77);
        assert_true(text_parse_u64("18446744073709551615", &u) && u == UINT64_MAX);
        assert_true(text_parse_u64("0xFf", &u) && u == 255);
        assert_false(text_parse_u32("4294967296", &u32));
}

static void decimals_are_read_as_exactly_as_a_compiler_does(void **state)
{
        static const char *const bad[] = { "", ".", "-1", "1e3", "nan", "inf", "1.2.3", "1 " };
        double d;

        (void)state;
        assert_true(text_parse_decimal("0.15", &d) && d == 0.15);
        assert_true(text_parse_decimal("200", &d) && d == 200);
        assert_true(text_parse_decimal(".5", &d) && d == 0.5);
        for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
                assert_false(text_parse_decimal(bad[n], &d));
}

static void sizes_know_their_suffixes(void **state)
{
        static const struct {
                const char *text;
                uint64_t bytes;
        } good[] = {
                { "8", 8ull << 20 },
                { "100b", 100 },
                { "1KB", 1000 },
                { "1k", 1024 },
                { "1KiB", 1024 },
                { "2 GiB", 2ull << 30 },
                { "1gb", 1000000000 },
                { "1.15GB", 1150000000 },
                { "1.5T", 3ull << 39 },
                { "0.1KiB", 103 },
                { "0", 0 },
                { "1.0000000000000000001KB", 1001 },
        };
        static const char *const bad[] = { "",   "G",      "8 GBs", "1.5", "8 ",   " 8",
                                           "-1", "1.2.3G", "1.G",   ".5G", "0x10", "1e3" };
        static const char *const huge[] = { "18446744073709551616", "16777216T", "99999999999999999999b" };
        uint64_t bytes;

        (void)state;
        for (size_t n = 0; n < ARRAY_SIZE(good); n++) {
                assert_int_equal(text_parse_size(good[n].text, 1 << 20, &bytes), TEXT_SIZE_OK);
                assert_int_equal(bytes, good[n].bytes);
        }
        for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
                assert_int_equal(text_parse_size(bad[n], 1 << 20, &bytes), TEXT_SIZE_BAD);
        for (size_t n = 0; n < ARRAY_SIZE(huge); n++)
                assert_int_equal(text_parse_size(huge[n], 1 << 20, &bytes), TEXT_SIZE_HUGE);
}

static void booleans_are_the_words_of_the_design(void **state)
{
        bool b = false;

        (void)state;
        assert_true(text_parse_bool("YES", &b) && b);
        assert_true(text_parse_bool("off", &b) && !b);
        assert_false(text_parse_bool("y", &b));
        assert_false(text_parse_bool("", &b));
}

static void uuids_and_macs_are_read_and_written(void **state)
{
        uint8_t uuid[16], mac[6];
        char back[37];

        (void)state;
        assert_true(text_parse_uuid("0123ABCD-4567-89ab-cdef-0123456789ab", uuid));
        text_from_uuid(uuid, back);
        assert_string_equal(back, "0123abcd-4567-89ab-cdef-0123456789ab");
        assert_false(text_parse_uuid("0123abcd-4567-89ab-cdef-0123456789a", uuid));
        assert_false(text_parse_uuid("0123abcd+4567-89ab-cdef-0123456789ab", uuid));
        assert_true(text_parse_mac("52:54:00:aA:0b:ff", mac) && mac[3] == 0xaa);
        assert_false(text_parse_mac("52:54:00:aa:0b-ff", mac));
        assert_false(text_parse_mac("52:54:00:aa:0b:fg", mac));
}

static void printable(const char *s, const char *expected)
{
        _cleanup_free_ char *text = text_printable(s);

        assert_string_equal(text, expected);
}

static void user_text_cannot_drive_a_terminal(void **state)
{
        char longest[400];
        _cleanup_free_ char *cut = NULL;

        (void)state;
        printable("a\nb\t'c\\", "a\\nb\\t\\'c\\\\");
        printable("\x1b[31m\x7f", "\\x1b[31m\\x7f");
        /* German and Japanese stay; C1 controls, overlong forms, surrogates and half sequences do not. */
        printable("gr\xc3\xbc\xc3\x9f \xe6\x97\xa5", "gr\xc3\xbc\xc3\x9f \xe6\x97\xa5");
        printable("\x9b\xc2\x9b\xc0\xaf\xed\xa0\x80", "\\x9b\\xc2\\x9b\\xc0\\xaf\\xed\\xa0\\x80");
        printable("\xc3", "\\xc3");
        printable("\xf0\x9f\x98\x80\xf0\x9f", "\xf0\x9f\x98\x80\\xf0\\x9f");
        for (size_t i = 0; i + 1 < sizeof(longest); i++)
                longest[i] = i % 2 ? (char)0xbc : (char)0xc3;
        longest[sizeof(longest) - 1] = '\0';
        cut = text_printable(longest);
        assert_int_equal(strlen(cut), 123);
        assert_true(text_ends_with(cut, "\xc3\xbc..."));
}

static void shell_words_survive_a_shell(void **state)
{
        _cleanup_argv_ struct argv argv = ARGV_INIT;
        _cleanup_text_ struct text line = TEXT_INIT;

        (void)state;
        argv_add(&argv, "qemu");
        argv_add(&argv, "");
        argv_add(&argv, "it's $HOME");
        argv_addf(&argv, "a=%d", 1);
        argv_print_shell(&argv, &line);
        assert_string_equal(text_str(&line), "qemu '' 'it'\\''s $HOME' a=1");
        assert_null(argv.items[4]);
}

static void the_nearest_name_is_what_was_meant(void **state)
{
        static const char *const names[] = { "MEMORY", "VCPU", "CPU", "DISK", NULL };

        (void)state;
        assert_string_equal(text_nearest("memroy", names), "MEMORY");
        assert_string_equal(text_nearest("DISKS", names), "DISK");
        assert_string_equal(text_nearest("vpcu", names), "VCPU");
        assert_string_equal(text_nearest("mem", names), "MEMORY");
        assert_null(text_nearest("GRAPHICS", names));
        assert_null(text_nearest("FOO", (const char *const[]){ "LOGO", "TOOLS", NULL }));
}

static void a_text_grows_and_is_taken(void **state)
{
        struct text text = TEXT_INIT;
        char *taken;

        (void)state;
        assert_string_equal(text_str(&text), "");
        for (int i = 0; i < 1000; i++)
                text_addf(&text, "%d,", i % 10);
        assert_int_equal(text.length, 2000);
        taken = text_take(&text);
        assert_int_equal(strlen(taken), 2000);
        assert_int_equal(text.length, 0);
        free(taken);
        taken = text_take(&text);
        assert_string_equal(taken, "");
        free(taken);
}

static void __attribute__((format(printf, 1, 2))) formats_as_printf(const char *format, ...)
{
        char ours[64], printfs[64];
        int theirs;
        va_list ap;

        for (size_t room = 0; room <= sizeof(ours); room++) {
                size_t n;

                memset(ours, '#', sizeof(ours));
                va_start(ap, format);
                n = text_vformat(ours, room, format, ap);
                va_end(ap);
                va_start(ap, format);
                theirs = vsnprintf(printfs, sizeof(printfs), format, ap);
                va_end(ap);
                assert_int_equal(n, theirs);
                if (n < room)
                        assert_string_equal(ours, printfs);
                for (size_t i = room; i < sizeof(ours); i++)
                        assert_int_equal(ours[i], '#');
        }
}

static void text_is_formatted_as_by_printf(void **state)
{
        const char *volatile nothing = NULL;

        (void)state;
        formats_as_printf("%s", "");
        formats_as_printf("no directive");
        formats_as_printf("%s/%s.d", "unit", "name");
        formats_as_printf("%u %u, %zu|%lu", 0u, UINT_MAX, (size_t)1234, 5678901ul);
        formats_as_printf("%llu%%", ULLONG_MAX);
        formats_as_printf("%s is %d, %u", "x", -1, 7u);
        formats_as_printf("%u of %.3s and %5s", 7u, "four", "x");
        formats_as_printf("%d,%d,%d,%d", 0, 12, INT_MIN, INT_MAX);
        formats_as_printf("0x%x.0x%x %x%s", 0u, 0x1fu, UINT_MAX, "");
        formats_as_printf("%ld %x", -5l, 255u);
        formats_as_printf("%d %5d %02x %lx", 7, 7, 7u, 7ul);
        formats_as_printf("%s after %s", "one", nothing);
}

static void a_string_is_made_of_any_length(void **state)
{
        (void)state;
        for (size_t n = 0; n < 600; n += 7) {
                char word[600];
                _cleanup_free_ char *made = NULL;

                memset(word, 'a', n);
                word[n] = '\0';
                made = xasprintf("<%s>", word);
                assert_int_equal(strlen(made), n + 2);
                assert_memory_equal(made + 1, word, n);
        }
}

static void bytes_survive_as_hexadecimal_digits(void **state)
{
        static const char *const wrong[] = { "0", "0g", "g0", "00 ", "0x", "000" };
        const unsigned char bytes[] = { 0, 1, 0x7f, 0x80, 0xff };
        _cleanup_free_ char *hex = text_to_hex(bytes, sizeof(bytes)), *back = NULL, *none = NULL;
        size_t n;

        (void)state;
        assert_string_equal(hex, "00017f80ff");
        assert_true(text_from_hex("00017F80ff", &back, &n));
        assert_int_equal(n, sizeof(bytes));
        assert_memory_equal(back, bytes, n);
        assert_true(text_from_hex("", &none, &n));
        assert_int_equal(n, 0);
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
                assert_false(text_from_hex(wrong[i], &back, &n));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(numbers_are_whole_strings_in_range),
                cmocka_unit_test(decimals_are_read_as_exactly_as_a_compiler_does),
                cmocka_unit_test(sizes_know_their_suffixes),
                cmocka_unit_test(booleans_are_the_words_of_the_design),
                cmocka_unit_test(bytes_survive_as_hexadecimal_digits),
                cmocka_unit_test(uuids_and_macs_are_read_and_written),
                cmocka_unit_test(user_text_cannot_drive_a_terminal),
                cmocka_unit_test(shell_words_survive_a_shell),
                cmocka_unit_test(the_nearest_name_is_what_was_meant),
                cmocka_unit_test(a_text_grows_and_is_taken),
                cmocka_unit_test(text_is_formatted_as_by_printf),
                cmocka_unit_test(a_string_is_made_of_any_length),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
