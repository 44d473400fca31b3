#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "launcher/run/verdict.h"
#include "launcher/verb/command_line.h"

static enum command_line_result parse(char **argv, struct verb_context *context, struct error **err)
{
        int argc = 0;

        while (argv[argc])
                argc++;
        return command_line_parse(argc, argv, NULL, context, err);
}
#define PARSE(context, err, ...) parse((char *[]){ "vmlaunch", __VA_ARGS__, NULL }, context, err)

static void options_may_stand_before_and_after_verb_and_arguments(void **state)
{
        struct verb_context context = { 0 };
        struct error *err = NULL;

        (void)state;
        assert_int_equal(PARSE(&context, &err, "-o", "json", "shutdown", "--force", "web", "--timeout=2.5",
                               "--mode", "acpi", "-vv"),
                         COMMAND_LINE_RUN);
        assert_string_equal(context.verb->name, "shutdown");
        assert_int_equal(context.output, OUTPUT_JSON);
        assert_int_equal(context.verbose, 2);
        assert_int_equal(context.n_args, 1);
        assert_string_equal(context.args[0], "web");
        assert_true(verb_flag(&context, "force"));
        assert_false(verb_flag(&context, "no-block"));
        assert_string_equal(verb_value(&context, "mode"), "acpi");
        assert_int_equal(verb_timeout_ms(&context, 7), 2500);
        command_line_done(&context);
}

static void two_dashes_end_the_options(void **state)
{
        struct verb_context context = { 0 };
        struct error *err = NULL;

        (void)state;
        assert_int_equal(PARSE(&context, &err, "status", "--", "--odd"), COMMAND_LINE_RUN);
        assert_string_equal(context.args[0], "--odd");
        assert_int_equal(verb_timeout_ms(&context, 7), 7);
        command_line_done(&context);
}

static void one_dash_is_an_argument(void **state)
{
        struct verb_context context = { 0 };
        struct error *err = NULL;

        (void)state;
        assert_int_equal(PARSE(&context, &err, "plan", "-"), COMMAND_LINE_RUN);
        assert_string_equal(context.args[0], "-");
        command_line_done(&context);
}

static void wrong_words_are_usage_errors_that_say_which(void **state)
{
        static const struct {
                const char *words[4];
                const char *expected;
        } rows[] = {
                { { "strat", "x" }, "unknown verb 'strat'" },
                { { "start", "--frob" }, "unknown option '--frob' for start" },
                { { "destroy" }, "destroy: an argument is missing" },
                { { "start", "a", "b" }, "start: too many arguments" },
                { { "list", "--all=yes" }, "option --all takes no value" },
                { { "log", "x", "-n" }, "option --lines needs a value (N)" },
                { { "-o", "yaml", "list" }, "--output takes table, json or tsv, not 'yaml'" },
                { { "--timeout", "-3", "list" }, "--timeout takes seconds, 0 to 10000000, not '-3'" },
                { { "--root", "here", "list" }, "--root takes an absolute path, not 'here'" },
                { { "list", "-qz" }, "unknown option '-z' in '-qz'" },
                { { "--force", "shutdown" }, "unknown option '--force'" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char *argv[6] = { "vmlaunch" };
                struct verb_context context = { 0 };
                _cleanup_error_ struct error *err = NULL;

                for (size_t j = 0; j < 4; j++)
                        argv[j + 1] = (char *)rows[i].words[j];
                assert_int_equal(parse(argv, &context, &err), COMMAND_LINE_ERROR);
                assert_int_equal(error_exit_status(err), 2);
                assert_string_equal(err->message, rows[i].expected);
                command_line_done(&context);
        }
}

static void root_of_the_environment_yields_to_the_option(void **state)
{
        struct verb_context context = { 0 };
        struct error *err = NULL;
        char *argv[] = { "vmlaunch", "list", "--root=/b", NULL };

        (void)state;
        assert_int_equal(command_line_parse(2, argv, "/a", &context, &err), COMMAND_LINE_RUN);
        assert_string_equal(context.root, "/a");
        command_line_done(&context);
        assert_int_equal(command_line_parse(3, argv, "/a", &context, &err), COMMAND_LINE_RUN);
        assert_string_equal(context.root, "/b");
        command_line_done(&context);
}

static void every_verb_has_its_words_and_options_that_fit(void **state)
{
        (void)state;
        for (const struct verb *verb = verbs; verb->name; verb++) {
                assert_non_null(verb->usage);
                assert_non_null(verb->summary);
                assert_non_null(verb->run);
                assert_true(verb->min_args <= verb->max_args);
                assert_int_equal(strncmp(verb->usage, verb->name, strlen(verb->name)), 0);
                assert_true(verb->n_options <= VERB_MAX_OPTIONS);
                for (size_t i = 0; i < verb->n_options; i++) {
                        assert_non_null(verb->options[i].name);
                        assert_non_null(verb->options[i].doc);
                }
        }
}

static void help_names_every_verb_but_the_hidden_ones(void **state)
{
        _cleanup_free_ char *help = command_line_help();

        (void)state;
        for (const struct verb *verb = verbs; verb->name; verb++)
                assert_int_equal(strstr(help, verb->usage) != NULL, verb->group != NULL);
}

static void help_names_every_verdict_with_its_status(void **state)
{
        (void)state;
        for (enum verdict_kind kind = VERDICT_NEVER_STARTED; kind <= VERDICT_LOST; kind++) {
                _cleanup_text_ struct text words = TEXT_INIT;

                text_addf(&words, "%d ", verdict_exit_status(kind));
                text_add(&words, kind == VERDICT_NEVER_STARTED ? "never started" : verdict_name(kind));
                assert_non_null(strstr(COMMAND_LINE_EXIT_STATUS, text_str(&words)));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(options_may_stand_before_and_after_verb_and_arguments),
                cmocka_unit_test(two_dashes_end_the_options),
                cmocka_unit_test(one_dash_is_an_argument),
                cmocka_unit_test(wrong_words_are_usage_errors_that_say_which),
                cmocka_unit_test(root_of_the_environment_yields_to_the_option),
                cmocka_unit_test(every_verb_has_its_words_and_options_that_fit),
                cmocka_unit_test(help_names_every_verb_but_the_hidden_ones),
                cmocka_unit_test(help_names_every_verdict_with_its_status),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
