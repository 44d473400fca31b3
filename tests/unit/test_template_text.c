#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/template.h"
#include "tests/unit/shown_template.h"

/* A=<1> B=[X=<2> Y=<3>] warnings:1, or the first error's line:column: message. */
static char *meaning(const char *text, size_t length)
{
        _cleanup_(template_freep) struct template *template = NULL;
        struct error *err = NULL;
        struct text out = TEXT_INIT;

        if (template_parse("t", text, length, &template, &err) < 0) {
                text_addf(&out, "%u:%u: %s", err->pos.line, err->pos.column, err->message);
                assert_string_equal(err->pos.file, "t");
                /* The text may end in an empty line. */
                assert_true(err->excerpt || err->pos.column == 1);
                error_free(err);
                return text_take(&out);
        }
        show_template(&out, template);
        if (template->warnings)
                text_addf(&out, " warnings:%u", error_count(template->warnings));
        return text_take(&out);
}

/* The pairs of opennebula-semantics section 1.8: what upstream makes of it, and what we make of it. */
static const struct {
        int number;
        const char *input, *upstream, *ours;
} pairs[] = {
        { 1, "NAME=foo", "foo", "NAME=<foo>" },
        { 2, "name = \"foo bar\"\n", "foo bar", "NAME=<foo bar>" },
        { 3, "A = foo bar\n", "error", "1:9: 'bar' follows a value: a value with blanks needs quotes" },
        { 4, "A = 1 B = 2\n", "A 1, B 2", "A=<1> B=<2>" },
        { 5, "A = \"x\\\"y\"\n", "x\"y", "A=<x\"y>" },
        { 6, "A = \"x\\ny\\\\z\"\n", "x\\ny\\\\z", "A=<x\\ny\\\\z>" },
        { 7, "A = \"l1\nl2\"\n", "l1 newline l2", "A=<l1\\nl2>" },
        { 8, "A =\nB = 1\n", "A empty, B 1", "A=<> B=<1>" },
        { 9, "A =", "error", "1:4: A: a value is expected, not the end of the text" },
        { 10, "A = []\n", "empty vector", "A=[]" },
        { 10, "A = [\n]\n", "empty vector", "A=[]" },
        { 11, "A = [ X = 1, Y = \"2\", ]\n", "error", "1:23: A: a key is expected after ',', not ']'" },
        { 12, "A = [ X = 1 Y = 2 ]\n", "error",
          "1:13: A: ',' or ']' is missing before 'Y' ('[' is in line 1)" },
        { 13, "A = [ x = 1, X = 2 ]\n", "X 1", "A=[X=<1>] warnings:1" },
        { 14, "A = [ X = ]\n", "error", "1:11: A/X: a value is expected, not ']' (an empty value is \"\")" },
        { 15, "A = [ X =\n 1 ]\n", "error",
          "1:10: A/X: a value is expected on this line (an empty value is \"\")" },
        { 16, "A = [ X = \"\" ]\n", "X empty", "A=[X=<>]" },
        { 17, "A = [\n X = 1, # c\n Y = 2\n # c2\n]\n", "X 1, Y 2", "A=[X=<1> Y=<2>]" },
        { 18, "# only comment", "error", "" },
        { 19, "A = foo#bar\n", "foo", "A=<foo>" },
        { 20, "A = # c\nB=1\n", "A c", "A=<> B=<1>" },
        { 21, "A = a=b\n", "error", "1:6: A: a value with '=' needs quotes" },
        { 21, "A = a,b\n", "error", "1:6: A: a value with ',' needs quotes" },
        { 22, "A = a/b.c:d\n", "a/b.c:d", "A=<a/b.c:d>" },
        { 23, "A = 'x'\n", "'x'", "A=<'x'>" },
        { 23, "A = 'x y'\n", "error", "1:8: 'y' follows a value: a value with blanks needs quotes" },
        { 24, "1A = 1\n", "ONE_1A 1", "ONE_1A=<1>" },
        { 25, "XMLFOO = 1\n", "ONE_XMLFOO 1", "ONE_XMLFOO=<1>" },
        { 25, "xmlfoo = 1\n", "XMLFOO 1", "XMLFOO=<1>" },
        { 26, "A = 1\nA = 2\n", "two values", "A=<1> A=<2> warnings:1" },
        { 27, "A = \"foo\n", "\"foo", "1:5: A: the quote that begins here is not closed" },
        { 28, "A = \"foo\"bar\n", "\"foo\"bar",
          "1:10: A: 'b' follows the closing quote (a quote inside a value is written \\\")" },
        { 29, "A = \"foo bar\"baz\n", "error",
          "1:14: A: 'b' follows the closing quote (a quote inside a value is written \\\")" },
        { 30, "A = 1\r\n", "1 CR", "A=<1>" },
        { 30, "A = \"1\"\r\n", "\"1\" CR", "A=<1>" },
        { 31, "A = ab]]>cd\n", "abort", "A=<ab]]>cd>" },
        { 32, "A == 1\n", "1", "1:4: A: a second '=': quote a value that begins with '='" },
        { 33, "-A = 1\n", "A 1", "1:1: a name is expected, not '-'" },
        { 33, "\"A\" = 1\n", "A 1", "1:1: a name is expected, not '\"'" },
        { 34, "A-B = 1\n", "error", "1:2: A: '=' is expected after the name, not '-'" },
        { 34, "export A=1\n", "error", "1:1: EXPORT: '=' is expected after the name, not 'A'" },
        { 34, "A: 1\n", "error", "1:2: A: '=' is expected after the name, not ':'" },
        { 35, "A = [ X = [ Y = 1 ] ]\n", "error",
          "1:11: A/X: a vector cannot hold a vector (quote a value with '[')" },
        { 36, "A = [ X=1 ]\nA = 5\n", "vector and single", "A=[X=<1>] A=<5>" },
        { 37, "A = $NIC[IP]\n", "error", "1:9: A: a value with '[' needs quotes" },
        { 38, "A = \"\\\"", "\\", "A=<\\>" },
        { 39, "A = \"x\\\\\"\nB = \"y\"\n", "error", "A=<x\\\\> B=<y>" },
        { 39, "A = \"x\\\\\" B = \"y\"\n", "error",
          "1:7: A: backslashes before a quote can be read in two ways; \\\" is a quote, and a value that ends in a "
          "backslash has to end its line" },
        { 40, "", "nothing", "" },
        { 40, " \t\n# comment\n\n", "nothing", "" },
};

static void the_forty_pairs_mean_what_the_design_says(void **state)
{
        int last = 0;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
                _cleanup_free_ char *ours = meaning(pairs[i].input, strlen(pairs[i].input));

                if (strcmp(ours, pairs[i].ours) != 0)
                        print_error("pair %d (upstream: %s)\n", pairs[i].number, pairs[i].upstream);
                assert_string_equal(ours, pairs[i].ours);
                assert_true(pairs[i].number == last || pairs[i].number == last + 1);
                last = pairs[i].number;
        }
        assert_int_equal(last, 40);
}

static void further_texts_mean_what_they_should(void **state)
{
        static const struct {
                const char *input, *ours;
        } rows[] = {
                { "A\n=\t1", "A=<1>" },
                { "A # c\n = 1", "A=<1>" },
                { "A = \"a#b\" # c", "A=<a#b>" },
                { "A = \"a\r\nb\"", "A=<a\\nb>" },
                { "A = a\rb", "A=<a\\rb>" },
                { "A = 1\r", "A=<1>" },
                { "A = \"<a b=\\\"c\\\"\n d=\\\"e\\\"/>\"\n", "A=<<a b=\"c\"\\n d=\"e\"/>>" },
                { "A = \"x\\\\\\\"y\"\n", "A=<x\\\\\"y>" },
                { "A = [ X = \"a\\\\\",\nY = 1 ]", "A=[X=<a\\\\> Y=<1>]" },
                { "A = [ X = \"a b\"]\nB = \"\"", "A=[X=<a b>] B=<>" },
                { "A = [X=1,Y=2]B=3", "A=[X=<1> Y=<2>] B=<3>" },
                { "A = a\"b\"", "A=<a\"b\">" },
                { "A = [\n  X = 1\nMEMORY = 2\n",
                  "3:1: A: ',' or ']' is missing before 'MEMORY' ('[' is in line 1)" },
                { "A = [ X = 1,\n", "2:1: A: the '[' in line 1 is not closed" },
                { "A = [ X = 1, , Y = 2 ]", "1:14: A: a key is expected after ',', not ','" },
                { "A = [ , ]", "1:7: a key is expected, not ','" },
                { "A = ]", "1:5: A: a value is expected, not ']' (an empty value is \"\")" },
                { "]\n", "1:1: a name is expected, not ']'" },
                { "A\n", "1:1: A: '=' is expected after the name, not the end of the text" },
                { "\x01 = 1", "1:1: a name is expected, not byte 0x01" },
                { "A=1 <VM/>", "1:5: a name is expected, not '<'" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *ours = meaning(rows[i].input, strlen(rows[i].input));

                assert_string_equal(ours, rows[i].ours);
        }
}

static void a_nul_byte_is_rejected_with_its_place(void **state)
{
        _cleanup_free_ char *ours = meaning("A = 1\nB = a\0b\n", 14);

        (void)state;
        assert_string_equal(ours, "2:6: a NUL byte: this is not a text");
}

static void places_are_lines_and_columns_from_one(void **state)
{
        static const char text[] = "\n  A = [ X = 1,\n\tYY =  \"2\" ]\n";
        _cleanup_(template_freep) struct template *template = NULL;
        struct error *err = NULL;
        const struct template_value *pair;

        (void)state;
        assert_int_equal(template_parse("-", text, strlen(text), &template, &err), 0);
        assert_string_equal(template->file, "stdin");
        assert_int_equal(template->attributes[0].name_pos.line, 2);
        assert_int_equal(template->attributes[0].name_pos.column, 3);
        assert_int_equal(template->attributes[0].value_pos.column, 7);
        pair = &template->attributes[0].pairs[1];
        assert_int_equal(pair->name_pos.line, 3);
        assert_int_equal(pair->name_pos.column, 2);
        assert_int_equal(pair->value_pos.column, 8);
}

static struct error *errors_of(const char *text)
{
        struct template *template = NULL;
        struct error *err = NULL;

        assert_int_equal(template_parse("t", text, strlen(text), &template, &err), -1);
        return err;
}

static void parsing_goes_on_after_an_error(void **state)
{
        _cleanup_error_ struct error *err = errors_of("A = [ X = , Y = 1 ]\nB = 1\nC C\nD = \"1\"2\n"
                                                      "E = [\n  X = 1\n  Y = 2,\n  Z = 3 ]\nF = 'a b\n");
        static const unsigned lines[] = { 1, 3, 4, 7, 9 };
        size_t n = 0;

        (void)state;
        for (const struct error *e = err; e; e = e->next, n++) {
                assert_true(n < ARRAY_SIZE(lines));
                assert_int_equal(e->pos.line, lines[n]);
        }
        assert_int_equal(n, ARRAY_SIZE(lines));
}

static void twenty_errors_are_enough(void **state)
{
        _cleanup_text_ struct text text = TEXT_INIT;

        (void)state;
        for (int i = 0; i < 100; i++)
                text_add(&text, "A = a=b\n");
        _cleanup_error_ struct error *err = errors_of(text_str(&text));

        assert_int_equal(error_count(err), 20);
}

static void an_unclosed_quote_does_not_hide_the_next_error(void **state)
{
        _cleanup_error_ struct error *err = errors_of("A = \"x\nB = a=b\n");

        (void)state;
        assert_int_equal(error_count(err), 2);
        assert_int_equal(err->next->pos.line, 2);
}

static void an_excerpt_shows_the_line_and_a_caret(void **state)
{
        _cleanup_error_ struct error *err = errors_of("A = 1\nBB\t= \x1b[1m \xc3\xa4 = 2\n");

        (void)state;
        assert_string_equal(err->excerpt, "BB = ?[1m \xc3\xa4 = 2\n      ^");
}

static void a_long_line_is_shown_through_a_window(void **state)
{
        _cleanup_text_ struct text text = TEXT_INIT;
        const char *newline;

        (void)state;
        text_add(&text, "A = ");
        for (int i = 0; i < 1000; i++)
                text_add(&text, "x");
        text_add(&text, "=");
        for (int i = 0; i < 1000; i++)
                text_add(&text, "y");
        _cleanup_error_ struct error *err = errors_of(text_str(&text));

        assert_int_equal(err->pos.column, 1005);
        newline = strchr(err->excerpt, '\n');
        assert_non_null(newline);
        assert_true(newline - err->excerpt <= 106);
        assert_int_equal(err->excerpt[strlen(newline + 1) - 1], '=');
        assert_true(text_starts_with(err->excerpt, "...xxx"));
}

static void a_layer_keeps_the_last_of_a_name(void **state)
{
        static const char text[] = "A = 1\nB = [ X = 1 ]\nA = 2\nB = [ X = 2 ]\n";
        _cleanup_(template_freep) struct template *template = NULL;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(template_parse_layer("t", text, strlen(text), &template, &err), 0);
        assert_int_equal(template->n_attributes, 2);
        assert_string_equal(template->attributes[0].value, "2");
        assert_string_equal(template->attributes[1].pairs[0].value, "2");
        assert_int_equal(error_count(template->warnings), 2);
}

static void written_values_are_read_back(void **state)
{
        static const char *const values[] = {
                "",     "a",     "a b",    "a\"b",       "\"",           "\\",        "a\\",
                "a\nb", "a#b",   "a=b,c]", "\"quoted\"", "x\\\\\"y",     "two b\\\\", "\\n",
                "]]>",  "a ]]>", "a\rb",   "\xff\xfe",   "<a b=\"c\"/>", "a\\\"b",    "\t",
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
                _cleanup_(template_freep) struct template *template = NULL;
                _cleanup_text_ struct text text = TEXT_INIT;
                struct error *err = NULL;

                assert_true(template_value_is_writable(values[i]));
                text_add(&text, "V = [\n  ");
                template_write_value(&text, "A", values[i]);
                text_add(&text, ",\n  ");
                template_write_value(&text, "B", values[i]);
                text_add(&text, "\n]\nC = \"end\"\n");
                assert_int_equal(template_parse("t", text_str(&text), text.length, &template, &err), 0);
                assert_int_equal(template->attributes[0].n_pairs, 2);
                assert_string_equal(template->attributes[0].pairs[0].value, values[i]);
                assert_string_equal(template->attributes[0].pairs[1].value, values[i]);
        }
        assert_false(template_value_is_writable("a b\\"));
        assert_false(template_value_is_writable("a b\\\" c"));
}

static double seconds(void)
{
        struct timespec now;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void time_is_linear_in_the_text(void **state)
{
        _cleanup_(template_freep) struct template *template = NULL, *large = NULL;
        _cleanup_text_ struct text text = TEXT_INIT;
        struct error *err = NULL;
        double start = seconds();

        (void)state;
        for (int i = 0; i < TEMPLATE_MAX_ATTRIBUTES; i++)
                text_addf(&text, "A%d = \"x\\\"\"\n", i);
        assert_int_equal(template_parse("t", text_str(&text), text.length, &template, &err), 0);
        assert_int_equal(template->n_attributes, TEMPLATE_MAX_ATTRIBUTES);
        text_add(&text, "B = 1\n");
        assert_int_equal(template_parse("t", text_str(&text), text.length, &large, &err), -1);
        assert_int_equal(err->pos.line, TEMPLATE_MAX_ATTRIBUTES + 1);
        error_free(err);
        err = NULL;

        text_done(&text);
        text_add(&text, "A = \"");
        while (text.length < TEMPLATE_MAX_BYTES - 2)
                text_add_bytes(&text, "\\\"", 2);
        text_add(&text, "\"");
        assert_int_equal(template_parse("t", text_str(&text), text.length, &large, &err), 0);
        text_add(&text, "12");
        template_free(large);
        large = NULL;
        assert_int_equal(template_parse("t", text_str(&text), text.length, &large, &err), -1);
        assert_non_null(strstr(err->message, "16 MiB"));
        error_free(err);
        /* A tenth of this is usual; a quadratic reader takes hours. */
        assert_true(seconds() - start < 20);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_forty_pairs_mean_what_the_design_says),
                cmocka_unit_test(further_texts_mean_what_they_should),
                cmocka_unit_test(a_nul_byte_is_rejected_with_its_place),
                cmocka_unit_test(places_are_lines_and_columns_from_one),
                cmocka_unit_test(parsing_goes_on_after_an_error),
                cmocka_unit_test(twenty_errors_are_enough),
                cmocka_unit_test(an_unclosed_quote_does_not_hide_the_next_error),
                cmocka_unit_test(an_excerpt_shows_the_line_and_a_caret),
                cmocka_unit_test(a_long_line_is_shown_through_a_window),
                cmocka_unit_test(a_layer_keeps_the_last_of_a_name),
                cmocka_unit_test(written_values_are_read_back),
                cmocka_unit_test(time_is_linear_in_the_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
