/* raw_words_split(): a shell's words without what a shell replaces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/text.h"
#include "conf/raw_words.h"

/* "[a][b c]", or what is wrong; new string. */
static char *split(const char *text)
{
        _cleanup_text_ struct text out = TEXT_INIT;
        const char *wrong = NULL;
        char **words;
        size_t n;

        if (raw_words_split(text, &words, &n, &wrong) < 0)
                return xstrdup(wrong);
        for (size_t i = 0; i < n; i++) {
                text_addf(&out, "[%s]", words[i]);
                free(words[i]);
        }
        free(words);
        return text_take(&out);
}

static void words_are_split_as_by_a_shell(void **state)
{
        static const struct {
                const char *text, *words;
        } rows[] = {
                { "", "" },
                { " \t\r\n", "" },
                { "-a b", "[-a][b]" },
                { "\n -a\n\tb ", "[-a][b]" },
                { "'a b' \"c d\"", "[a b][c d]" },
                { "a'b'\"c\"d", "[abcd]" },
                { "'' \"\"", "[][]" },
                { "a\\ b \\\"", "[a b][\"]" },
                { "'a\\' 'b\"c'", "[a\\][b\"c]" },
                { "\"a\\\"b\\\\c\\d'\"", "[a\"b\\c\\d']" },
                { "$HOME `id` *", "[$HOME][`id`][*]" },
                { "'a\nb'", "[a\nb]" },
                { "a 'b", "a single quote (') has no end" },
                { "a \"b\\\"", "a double quote (\") has no end" },
                { "a \\", "nothing follows the backslash at the end" },
                { "\"a\\", "a double quote (\") has no end" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *words = split(rows[i].text);

                assert_string_equal(words, rows[i].words);
        }
}

static void what_is_quoted_for_a_shell_is_the_word_again(void **state)
{
        static const char *const rows[] = { "", "a", "it's", "a b\n", "\\", "\"'\"", "$x`y`", "\xc3\xa4" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *quoted = text_shell_quoted(rows[i]), *words = split(quoted),
                                    *expected = xasprintf("[%s]", rows[i]);

                assert_string_equal(words, expected);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(words_are_split_as_by_a_shell),
                cmocka_unit_test(what_is_quoted_for_a_shell_is_the_word_again),
        };

        return cmocka_run_group_tests_name("raw_words", tests, NULL, NULL);
}
