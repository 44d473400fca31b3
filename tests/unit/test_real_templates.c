/*
 * tests/golden/real-*.tmpl are whole templates of real life, and no two of them are one template with another name: at
 * least 60, any two of which differ in at least five rows of the attribute tables; and each habit of those who write
 * templates is in several of them. That each gives its plan, and its XML twin the same, is test_golden's to show.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/attr.h"
#include "conf/template.h"
#include "tests/unit/golden_files.h"

enum { MIN_TEMPLATES = 60, MIN_ROWS = 5, FILE_MAX = 1 << 20 };

/* A row and what the template says of it, in order: "DISK/CACHE=none;writeback;". */
struct said {
        char *row, *values;
};

struct real {
        char *name, *text;
        struct template *template;
        struct said *rows;
        size_t n_rows;
};

static struct real *reals;
static size_t n_reals;

/* Which VM and which image it is makes no other template, nor what is without effect. */
static bool is_of_interest(const struct attr_section *section, const char *key)
{
        static const char *const names[] = { "NAME", "UUID", "SOURCE",  "IMAGE",
                                             "MAC",  "VMID", "DISK_ID", "NIC_ID" };
        const struct attr *row = attr_find(section, key);

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strcmp(names[i], key) == 0)
                        return false;
        return row && row->state == ATTR_HERE;
}

static void say(struct real *real, const char *vector, const char *key, const char *value)
{
        const struct attr_section *section = *vector ? attr_section_find(vector) : &attr_vm;
        _cleanup_free_ char *row = xasprintf("%s/%s", vector, key), *before = NULL;

        if (!section || !is_of_interest(section, key))
                return;
        for (size_t i = 0; i < real->n_rows; i++) {
                if (strcmp(real->rows[i].row, row) != 0)
                        continue;
                before = real->rows[i].values;
                real->rows[i].values = xasprintf("%s%s;", before, value);
                return;
        }
        ARRAY_GROW(real->rows, real->n_rows);
        real->rows[real->n_rows++] = (struct said){ .row = TAKE_PTR(row), .values = xasprintf("%s;", value) };
}

static int read_reals(void **state)
{
        struct dirent **entries;
        int n = scandir(GOLDEN_DIR, &entries, is_real_template, alphasort);
        struct error *err = NULL;

        (void)state;
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = xasprintf("%s/%s", GOLDEN_DIR, entries[i]->d_name);
                struct real real = { .name = xstrdup(entries[i]->d_name) };

                if (fd_read_file_at(AT_FDCWD, path, FILE_MAX, &real.text, NULL, &err) < 0 ||
                    template_parse(path, real.text, strlen(real.text), &real.template, &err) < 0)
                        fail_msg("%s", err->message);
                for (size_t j = 0; j < real.template->n_attributes; j++) {
                        const struct template_attribute *attribute = &real.template->attributes[j];

                        if (!attribute->is_vector)
                                say(&real, "", attribute->name, attribute->value);
                        for (size_t k = 0; k < attribute->n_pairs; k++)
                                say(&real, attribute->name, attribute->pairs[k].name,
                                    attribute->pairs[k].value);
                }
                ARRAY_GROW(reals, n_reals);
                reals[n_reals++] = real;
                free(entries[i]);
        }
        free(entries);
        return 0;
}

static int free_reals(void **state)
{
        (void)state;
        for (size_t i = 0; i < n_reals; i++) {
                for (size_t j = 0; j < reals[i].n_rows; j++) {
                        free(reals[i].rows[j].row);
                        free(reals[i].rows[j].values);
                }
                free(reals[i].rows);
                free(reals[i].name);
                free(reals[i].text);
                template_free(reals[i].template);
        }
        free(reals);
        return 0;
}

static const char *values_of(const struct real *real, const char *row)
{
        for (size_t i = 0; i < real->n_rows; i++)
                if (strcmp(real->rows[i].row, row) == 0)
                        return real->rows[i].values;
        return NULL;
}

static unsigned differing_rows(const struct real *a, const struct real *b)
{
        unsigned n = 0;

        for (size_t i = 0; i < a->n_rows; i++) {
                const char *other = values_of(b, a->rows[i].row);

                n += !other || strcmp(other, a->rows[i].values) != 0;
        }
        for (size_t i = 0; i < b->n_rows; i++)
                n += !values_of(a, b->rows[i].row);
        return n;
}

static void any_two_differ_in_five_rows(void **state)
{
        (void)state;
        assert_true(n_reals >= MIN_TEMPLATES);
        for (size_t i = 0; i < n_reals; i++)
                for (size_t j = 0; j < i; j++)
                        if (differing_rows(&reals[i], &reals[j]) < MIN_ROWS)
                                fail_msg("%s and %s differ in %u rows only", reals[i].name, reals[j].name,
                                         differing_rows(&reals[i], &reals[j]));
}

/* What stands behind the lines for the test itself. */
static const char *body(const struct real *real)
{
        const char *text = real->text;

        while (text_starts_with(text, "# "))
                text = strchr(text, '\n') + 1;
        return text;
}

static bool has_windows_ends(const struct real *real)
{
        return strstr(body(real), "\r\n") != NULL;
}

static bool has_glued_quotes(const struct real *real)
{
        return strstr(body(real), "\"#") || strstr(body(real), "]DISK=[") ||
               strstr(body(real), "\",DEV_PREFIX=\"");
}

/* Inside a vector, or behind a value. */
static bool has_odd_comments(const struct real *real)
{
        for (const char *hash = body(real); (hash = strchr(hash, '#')); hash++)
                if (hash > real->text && hash[-1] != '\n')
                        return true;
        return false;
}

static bool has_lines_in_a_text(const struct real *real)
{
        for (size_t i = 0; i < real->template->n_attributes; i++) {
                const struct template_attribute *attribute = &real->template->attributes[i];

                if (!attribute->is_vector && strchr(attribute->value, '\n'))
                        return true;
                for (size_t j = 0; j < attribute->n_pairs; j++)
                        if (strchr(attribute->pairs[j].value, '\n'))
                                return true;
        }
        return false;
}

static bool has_lower_case_names(const struct real *real)
{
        return strstr(body(real), "\ncpu =") || strstr(body(real), "name = ") == body(real);
}

static bool has_repeated_vectors(const struct real *real)
{
        size_t start = 0;

        template_next(real->template, "DISK", true, &start);
        return template_next(real->template, "DISK", true, &start) != NULL;
}

static bool has_a_snippet(const struct real *real)
{
        return strstr(body(real), "='") && strstr(body(real), "/>");
}

static bool has_leftovers(const struct real *real)
{
        static const char *const leftovers[] = { "\nLOGO", "USER_INPUTS", "SCHED_", "SUNSTONE" };

        for (size_t i = 0; i < ARRAY_SIZE(leftovers); i++)
                if (strstr(real->text, leftovers[i]))
                        return true;
        return false;
}

static void each_habit_is_in_several(void **state)
{
        static const struct {
                const char *what;
                bool (*has)(const struct real *real);
                unsigned at_least;
        } habits[] = {
                { "Windows line ends", has_windows_ends, 4 },
                { "glued quotes", has_glued_quotes, 3 },
                { "comments in odd places", has_odd_comments, 3 },
                { "a text of several lines", has_lines_in_a_text, 8 },
                { "names in lower case", has_lower_case_names, 2 },
                { "repeated vectors", has_repeated_vectors, 10 },
                { "pieces of libvirt XML", has_a_snippet, 8 },
                { "leftovers of front-ends", has_leftovers, 5 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(habits); i++) {
                unsigned n = 0;

                for (size_t j = 0; j < n_reals; j++)
                        n += habits[i].has(&reals[j]);
                if (n < habits[i].at_least)
                        fail_msg("%s: in %u templates only, of at least %u", habits[i].what, n,
                                 habits[i].at_least);
        }
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(any_two_differ_in_five_rows),
                cmocka_unit_test(each_habit_is_in_several),
        };

        return cmocka_run_group_tests(tests, read_reals, free_reals);
}
