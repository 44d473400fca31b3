#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/attr.h"
#include "conf/reference.h"
#include "launcher/verb/command_line.h"
#include "launcher/verb/manual.h"
#include "launcher/verb/verbs.h"

static void the_reference_of_the_source_is_that_of_the_tables(void **state)
{
        _cleanup_free_ char *made = reference_markdown(), *kept = NULL;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(fd_read_file_at(AT_FDCWD, "docs/template-reference.md", 4 << 20, &kept, NULL, &err),
                         0);
        if (strcmp(made, kept) != 0)
                fail_msg("docs/template-reference.md is not what the tables say (`make docs`)");
}

static void every_attribute_is_in_the_manual_page(void **state)
{
        _cleanup_free_ char *page = reference_man("1"), *names = reference_names();

        (void)state;
        for (size_t i = 0; attr_sections[i]; i++) {
                const struct attr_section *section = attr_sections[i];

                for (size_t j = 0; j < section->n_rows; j++) {
                        _cleanup_free_ char *heading = xasprintf(".BR %s \" (", section->rows[j].name);
                        _cleanup_free_ char *full = attr_full_name(section, &section->rows[j]);
                        _cleanup_free_ char *line = xasprintf("%s\n", full);

                        if (section->rows[j].state == ATTR_MISSPELT)
                                continue;
                        assert_non_null(strstr(names, line));
                        if (section->rows[j].state == ATTR_HERE)
                                assert_non_null(strstr(page, heading));
                        else
                                assert_non_null(strstr(page, section->rows[j].name));
                }
        }
        for (size_t i = 0; attr_coming_sections[i]; i++)
                assert_non_null(strstr(page, attr_coming_sections[i]->name));
}

/* A line that starts with '.' or an apostrophe is a request, and none of ours comes from a table. */
static void check_requests(const char *page)
{
        static const char *const requests[] = { ".TH ", ".SH ",  ".SS ",  ".PP\n", ".TP\n", ".B ",
                                                ".BR ", ".EX\n", ".EE\n", ".nf\n", ".fi\n" };

        for (const char *line = page; line; line = strchr(line, '\n')) {
                bool known = false;

                line += *line == '\n';
                if (*line != '.' && *line != '\'')
                        continue;
                for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
                        known = known || text_starts_with(line, requests[i]);
                if (!known)
                        fail_msg("no request of ours: %.40s", line);
        }
}

static void manual_pages_hold_no_requests_by_accident(void **state)
{
        _cleanup_free_ char *one = manual_page(), *five = reference_man("1");

        (void)state;
        check_requests(one);
        check_requests(five);
}

static void every_verb_is_in_the_manual_page_and_completed(void **state)
{
        _cleanup_free_ char *page = manual_page(), *completion = manual_completion();
        const char *list = strstr(completion, "_vmlaunch_verbs='");
        _cleanup_free_ char *words = NULL;

        (void)state;
        assert_non_null(list);
        words = xasprintf(" %.*s ", (int)strcspn(list + strlen("_vmlaunch_verbs='"), "'"),
                          list + strlen("_vmlaunch_verbs='"));
        for (const struct verb *verb = verbs; verb->name; verb++) {
                _cleanup_text_ struct text heading = TEXT_INIT;
                _cleanup_free_ char *word = xasprintf(" %s ", verb->name), *bound = command_line_bound(verb);

                text_add(&heading, ".SS \"");
                for (const char *c = verb->name; *c; c++)
                        text_add(&heading, *c == '-' ? "\\-" : (char[]){ *c, 0 });
                if (verb->group) {
                        assert_non_null(strstr(page, text_str(&heading)));
                        assert_non_null(strstr(words, word));
                        if (bound)
                                assert_non_null(strstr(strstr(page, text_str(&heading)), bound));
                } else {
                        assert_null(strstr(page, text_str(&heading)));
                        assert_null(strstr(words, word));
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_reference_of_the_source_is_that_of_the_tables),
                cmocka_unit_test(every_attribute_is_in_the_manual_page),
                cmocka_unit_test(manual_pages_hold_no_requests_by_accident),
                cmocka_unit_test(every_verb_is_in_the_manual_page_and_completed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
