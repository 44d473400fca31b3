/*
 * Row coverage: each implemented row of the attribute tables has a golden for its default, its extreme (where there is
 * one) and a wrong value, and a line of docs/guide-coverage.md whose proofs exist. tests/README.md says what counts.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/attr.h"
#include "conf/template.h"
#include "tests/unit/golden_files.h"
#include "tests/unit/proof_names.h"

#define GUIDE "docs/guide-coverage.md"
#define LIST  "tests/proof/attributes.list"

struct golden {
        char *name, *text, *plan;
        bool fails;
        struct template *template; /* NULL: it is no template at all */
        struct template *layers;   /* the lines of configuration files */
};

static struct golden *goldens;
static size_t n_goldens;

/* Calls fn for each line of the text. */
typedef void line_fn(const char *line, void *data);

static void each_line(const char *text, line_fn *fn, void *data)
{
        while (*text) {
                size_t n = strcspn(text, "\n");
                _cleanup_free_ char *line = xstrndup(text, n);

                fn(line, data);
                text += n + (text[n] == '\n');
        }
}

static void add_layer_line(const char *line, void *data)
{
        static const char *const words[] = { "# DRIVER: ", "# CLUSTER: ", "# HOST_CONF: " };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (text_starts_with(line, words[i]))
                        text_addf(data, "%s\n", line + strlen(words[i]));
}

static void parse(const char *text, struct template **ret)
{
        struct error *err = NULL;

        if (template_parse("golden", text, strlen(text), ret, &err) < 0)
                error_free(err);
}

static int read_goldens(void **state)
{
        struct dirent **entries;
        int n = scandir(GOLDEN_DIR, &entries, is_template, alphasort);

        (void)state;
        assert_true(n > 0);
        goldens = xcalloc((size_t)n, sizeof(*goldens));
        for (int i = 0; i < n; i++) {
                struct golden *golden = &goldens[n_goldens++];
                _cleanup_free_ char *path = xasprintf("%s/%s", GOLDEN_DIR, entries[i]->d_name),
                                    *plan_path = NULL;
                _cleanup_text_ struct text layers = TEXT_INIT;

                golden->name = xstrndup(entries[i]->d_name, strlen(entries[i]->d_name) - strlen(".tmpl"));
                plan_path = xasprintf("%s/%s.plan", GOLDEN_DIR, golden->name);
                golden->text = proof_read_file(path);
                golden->plan = proof_read_file(plan_path);
                assert_non_null(golden->text);
                if (!golden->plan)
                        fail_msg("there is no %s (`make bless`)", plan_path);
                golden->fails = strstr(golden->text, "# EXPECT_ERROR: ") != NULL;
                parse(golden->text, &golden->template);
                each_line(golden->text, add_layer_line, &layers);
                parse(text_str(&layers), &golden->layers);
                free(entries[i]);
        }
        free(entries);
        return 0;
}

static int free_goldens(void **state)
{
        (void)state;
        for (size_t i = 0; i < n_goldens; i++) {
                free(goldens[i].name);
                free(goldens[i].text);
                free(goldens[i].plan);
                template_free(goldens[i].template);
                template_free(goldens[i].layers);
        }
        free(goldens);
        return 0;
}

/* What a set of values of a row amounts to. */
struct seen {
        bool absent;         /* a machine without this row; of what repeats, a device without it */
        bool least, most;    /* a value at the end of the range */
        bool words[1 + 256]; /* by position among the row's words */
        bool yes, no;
};

static bool is_key(const struct attr_section *section, const struct attr *row, const char *name)
{
        const struct attr *other = attr_find(section, name);

        return other &&
               (other == row || (other->state == ATTR_MISSPELT && strcmp(other->right, row->name) == 0));
}

static void see_number(const struct attr *row, uint64_t number, struct seen *seen)
{
        uint64_t most = row->max ? row->max : row->kind == ATTR_U32 ? UINT32_MAX : UINT64_MAX;

        seen->least |= number == row->min;
        seen->most |= number == most;
}

static void see_value(const struct attr *row, const char *value, struct seen *seen)
{
        uint64_t number;
        double decimal;
        bool yes;

        for (size_t i = 0; row->words && row->words[i].text; i++)
                if (strcasecmp(row->words[i].text, value) == 0)
                        seen->words[i] = true;
        if (row->kind == ATTR_BOOL && text_parse_bool(value, &yes))
                *(yes ? &seen->yes : &seen->no) = true;
        if ((row->kind == ATTR_U32 || row->kind == ATTR_U64) && text_parse_u64(value, &number))
                see_number(row, number, seen);
        if (row->kind == ATTR_SIGNED && text_parse_u64(value + (*value == '-'), &number) &&
            number == row->max)
                *(*value == '-' ? &seen->least : &seen->most) = true;
        if (row->kind == ATTR_SIZE && text_parse_size(value, attr_plain_unit(row), &number) == TEXT_SIZE_OK)
                see_number(row, number, seen);
        if (row->kind == ATTR_DECIMAL && text_parse_decimal(value, &decimal))
                seen->most |= decimal == (double)row->max;
        if (row->kind == ATTR_IFNAME)
                seen->most |= strlen(value) == 15;
        if (row->kind == ATTR_TEXT && row->max)
                seen->most |= strlen(value) == row->max;
}

static void see_template(const struct attr_section *section, const struct attr *row,
                         const struct template *template, bool is_layer, struct seen *seen)
{
        bool found = false;

        for (size_t i = 0; template && i < template->n_attributes; i++) {
                const struct template_attribute *attribute = &template->attributes[i];
                bool in_vector = false;

                if (!*section->name) {
                        if (!attribute->is_vector && is_key(section, row, attribute->name)) {
                                see_value(row, attribute->value, seen);
                                found = true;
                        }
                        continue;
                }
                if (!attribute->is_vector || strcmp(attribute->name, section->name) != 0)
                        continue;
                for (size_t j = 0; j < attribute->n_pairs; j++) {
                        if (is_key(section, row, attribute->pairs[j].name)) {
                                see_value(row, attribute->pairs[j].value, seen);
                                in_vector = true;
                        }
                }
                seen->absent |= !in_vector && !is_layer;
                found |= in_vector;
        }
        if (!section->repeats && !found && !is_layer)
                seen->absent = true;
}

/* The row has an end that a value can be at. */
static bool has_extreme(const struct attr *row)
{
        switch (row->kind) {
        case ATTR_TEXT:
                return row->words || row->max;
        case ATTR_BOOL:
        case ATTR_U32:
        case ATTR_U64:
        case ATTR_SIGNED:
        case ATTR_DECIMAL:
        case ATTR_SIZE:
        case ATTR_ENUM:
        case ATTR_IFNAME:
                return true;
        case ATTR_PATH:
        case ATTR_MAC:
        case ATTR_UUID:
        case ATTR_TARGET:
        case ATTR_ADDRESS:
                break;
        }
        return false;
}

static bool extreme_is_seen(const struct attr *row, const struct seen *seen)
{
        bool dflt;

        if (row->words) {
                for (size_t i = 0; row->words[i].text; i++)
                        if (!row->words[i].coming && !seen->words[i] &&
                            (!row->dflt || strcasecmp(row->dflt, row->words[i].text) != 0))
                                return false;
                return true;
        }
        if (row->kind == ATTR_BOOL)
                return row->dflt && text_parse_bool(row->dflt, &dflt) ? dflt ? seen->no : seen->yes
                                                                      : seen->yes && seen->no;
        return seen->least || seen->most;
}

/* "NAME: " stands in an error or warning of the plan, as the name of what is wrong. */
static bool is_named(const char *plan, const char *full)
{
        _cleanup_free_ char *words = xasprintf(" %s: ", full);

        return strstr(plan, words) != NULL;
}

/* "# ROW: DISK/CACHE extreme" is said by the template. */
static bool is_claimed(const struct golden *golden, const char *full, const char *what)
{
        _cleanup_free_ char *claim = xasprintf("# ROW: %s %s\n", full, what);

        return strstr(golden->text, claim) != NULL;
}

static void add_missing(const struct attr_section *section, const struct attr *row, struct text *missing)
{
        _cleanup_free_ char *full = attr_full_name(section, row);
        bool dflt = false, extreme = !has_extreme(row), wrong = false;
        struct seen planned = { 0 };

        for (size_t i = 0; i < n_goldens; i++) {
                const struct golden *golden = &goldens[i];

                if (golden->fails) {
                        wrong |= is_named(golden->plan, full) || is_claimed(golden, full, "wrong");
                        /* A row that has to be given: its absence is an error that names it. */
                        dflt |= is_claimed(golden, full, "default");
                        continue;
                }
                see_template(section, row, golden->template, false, &planned);
                see_template(section, row, golden->layers, true, &planned);
                extreme |= is_claimed(golden, full, "extreme");
                dflt |= is_claimed(golden, full, "default");
        }
        if (!dflt && !planned.absent)
                text_addf(missing, "%s default\n", full);
        if (!extreme && !extreme_is_seen(row, &planned))
                text_addf(missing, "%s extreme\n", full);
        if (!wrong)
                text_addf(missing, "%s wrong\n", full);
}

static void every_row_has_goldens_for_default_extreme_and_a_wrong_value(void **state)
{
        _cleanup_text_ struct text missing = TEXT_INIT;

        (void)state;
        for (size_t i = 0; attr_sections[i]; i++)
                for (size_t j = 0; j < attr_sections[i]->n_rows; j++)
                        if (attr_sections[i]->rows[j].state == ATTR_HERE)
                                add_missing(attr_sections[i], &attr_sections[i]->rows[j], &missing);
        /* print_error() cuts long texts. */
        if (missing.length)
                fprintf(stderr, "without a golden (tests/README.md, \"Goldens of a row\"):\n%s",
                        text_str(&missing));
        assert_int_equal(missing.length, 0);
}

/* Line number n of the text, from 1; new string, NULL: there is none. */
static char *line_of(const char *text, unsigned n)
{
        while (--n && *text) {
                text += strcspn(text, "\n");
                text += *text == '\n';
        }
        return *text ? xstrndup(text, strcspn(text, "\n")) : NULL;
}

/*
 * "error   NAME.tmpl:LINE:COLUMN: ATTRIBUTE: message", and where the line is shown a caret under that very character.
 * false: it has no place in the template.
 */
static bool error_has_its_place(const struct golden *golden, const char *error)
{
        _cleanup_free_ char *start = xasprintf("error   %s.tmpl:", golden->name), *source = NULL;
        const char *shown = strchr(error, '\n'), *caret;
        unsigned line, column;
        int length = 0;
        size_t under;

        if (!text_starts_with(error, start) ||
            sscanf(error + strlen(start), "%u:%u: %n", &line, &column, &length) != 2 || !length)
                return false;
        source = line_of(golden->text, line);
        if (!source || !column || column > strlen(source) + 1)
                fail_msg("%s: there is no place %u:%u in it", golden->name, line, column);
        if (error[strlen(start) + (size_t)length] == '\n')
                fail_msg("%s: %u:%u without a message", golden->name, line, column);
        /* Plans say the place alone; a hint is indented and has no caret below. */
        caret = shown && shown[1] ? strchr(shown + 1, '\n') : NULL;
        if (!caret || text_starts_with(shown + 1, "error ") || caret[1 + strspn(caret + 1, " ")] != '^')
                return true;
        under = strspn(caret + 1, " ");
        if (under >= (size_t)(caret - shown - 1) && column <= strlen(source))
                fail_msg("%s: %u:%u: the caret is behind the line", golden->name, line, column);
        if (column <= strlen(source) && (unsigned char)source[column - 1] >= ' ' &&
            (unsigned char)source[column - 1] < 0x7f && shown[1 + under] != source[column - 1] &&
            shown[1 + under] != '*' /* a secret */)
                fail_msg("%s: %u:%u: the caret is under '%c', not '%c'", golden->name, line, column,
                         shown[1 + under], source[column - 1]);
        return true;
}

static void invalid_templates_are_told_with_message_and_place(void **state)
{
        unsigned templates = 0, errors = 0;

        (void)state;
        for (size_t i = 0; i < n_goldens; i++) {
                const struct golden *golden = &goldens[i];
                unsigned placed = 0;

                if (!golden->fails)
                        continue;
                for (const char *line = golden->plan; line && *line; line = strchr(line, '\n')) {
                        line += *line == '\n';
                        if (text_starts_with(line, "error   "))
                                placed += error_has_its_place(golden, line);
                }
                templates += placed > 0;
                errors += placed;
        }
        /* Issue 5 asks for 40 of them. */
        assert_true(templates >= 40);
        assert_true(errors > templates);
}

static void every_implemented_row_is_in_the_guide_coverage(void **state)
{
        _cleanup_free_ char *guide = proof_read_file(GUIDE);
        unsigned missing = 0;

        (void)state;
        assert_non_null(guide);
        for (size_t i = 0; attr_sections[i]; i++) {
                for (size_t j = 0; j < attr_sections[i]->n_rows; j++) {
                        _cleanup_free_ char *full = attr_full_name(attr_sections[i],
                                                                   &attr_sections[i]->rows[j]),
                                            *cell = xasprintf("\n| %s |", full);

                        if (attr_sections[i]->rows[j].state != ATTR_HERE || strstr(guide, cell))
                                continue;
                        print_error("%s: no line \"| %s | EFFECT | PROOF |\"\n", GUIDE, full);
                        missing++;
                }
        }
        assert_int_equal(missing, 0);
}

/* "plan level: golden NAME (needs THING)" */
static bool plan_level_is_right(const char *proof)
{
        static const char *const things[] = { "KVM", "vfio",    "vhost", "cluster",
                                              "SEV", "cgroup2", "USB",   "smartcard" };
        const char *name = proof + strlen("plan level: golden ");
        size_t n = strcspn(name, " ");
        _cleanup_free_ char *path = xasprintf("%s/%.*s.tmpl", GOLDEN_DIR, (int)n, name);

        if (!n || access(path, R_OK) < 0)
                return false;
        for (size_t i = 0; i < ARRAY_SIZE(things); i++) {
                _cleanup_free_ char *end = xasprintf(" (needs %s)", things[i]);

                if (strcmp(name + n, end) == 0)
                        return true;
        }
        return false;
}

struct guide_check {
        const char *list; /* of "must show" */
        unsigned line, bad, rows;
};

/* Does "make proof attributes" run it, alone, with all of its file, or as the goldens? */
static bool is_run(const struct guide_check *check, const char *proof)
{
        size_t n = strcspn(proof, ":");
        _cleanup_free_ char *unit = n > 2 && strncmp(proof + n - 2, ".c", 2) == 0
                                            ? xasprintf("build/tests/%.*s", (int)n - 2, proof)
                                            : xstrdup("build/tests/test_golden");
        _cleanup_free_ char *file = xasprintf("tests/integration/%.*s", (int)n, proof),
                            *alone = xasprintf("tests/integration/%s", proof);

        if (text_starts_with(proof, "plan level: ") || !strstr(proof, ".sh:"))
                return strstr(check->list, unit);
        for (const char *found = strstr(check->list, file); found; found = strstr(found + 1, file)) {
                char after = found[strlen(file)];

                if (!after || after == ' ' || after == '\n')
                        return true;
        }
        for (const char *found = strstr(check->list, alone); found; found = strstr(found + 1, alone)) {
                char after = found[strlen(alone)];

                if (!after || after == ' ' || after == '\n')
                        return true;
        }
        return false;
}

static void complain(struct guide_check *check, const char *words, const char *what)
{
        print_error("%s:%u: %s '%s'\n", GUIDE, check->line, words, what);
        check->bad++;
}

static void check_proofs(struct guide_check *check, char *cell)
{
        char *save = NULL;
        unsigned n = 0;

        for (char *proof = strtok_r(cell, ",", &save); proof; proof = strtok_r(NULL, ",", &save)) {
                while (*proof == ' ')
                        proof++;
                for (size_t i = strlen(proof); i && proof[i - 1] == ' '; i--)
                        proof[i - 1] = '\0';
                if (text_starts_with(proof, "plan level: golden ") ? !plan_level_is_right(proof)
                                                                   : !proof_test_exists(proof))
                        complain(check, "there is no proof", proof);
                else if (!is_run(check, proof))
                        complain(check, "not in " LIST ":", proof);
                n++;
        }
        if (!n)
                complain(check, "no proof", "");
}

/* A row of a table: three cells. Its name is a row of the tables, or a setting's in words. */
static void check_guide_line(const char *line, void *data)
{
        struct guide_check *check = data;
        _cleanup_free_ char *copy = xstrdup(line);
        char *name, *effect, *proof, *end;

        check->line++;
        if (!text_starts_with(line, "| ") || text_starts_with(line, "| attribute ") ||
            text_starts_with(line, "| setting "))
                return;
        check->rows++;
        name = copy + 2;
        effect = strstr(name, " | ");
        proof = effect ? strstr(effect + 3, " | ") : NULL;
        end = proof ? strstr(proof + 3, " |") : NULL;
        if (!end || end[2]) {
                complain(check, "not \"| NAME | EFFECT | PROOF |\":", line);
                return;
        }
        *proof = *end = '\0';
        check_proofs(check, proof + 3);
}

static void every_proof_of_the_guide_coverage_exists_and_is_run(void **state)
{
        _cleanup_free_ char *guide = proof_read_file(GUIDE);
        _cleanup_free_ char *list = proof_read_file(LIST);
        struct guide_check check = { .list = list };

        (void)state;
        assert_non_null(guide);
        assert_non_null(list);
        each_line(guide, check_guide_line, &check);
        assert_true(check.rows > 0);
        assert_int_equal(check.bad, 0);
}

/* Each FILE:TEST of the "must show" lists, and each program of unit tests. */
static void check_list_line(const char *line, void *data)
{
        unsigned *bad = data;
        static const char folder[] = "tests/integration/", programs[] = "build/tests/test_";

        for (const char *found = strstr(line, folder); found; found = strstr(found + 1, folder)) {
                const char *proof = found + strlen(folder);
                _cleanup_free_ char *word = xstrndup(proof, strcspn(proof, " "));
                _cleanup_free_ char *path = xasprintf("%s%.*s", folder, (int)strcspn(word, ":"), word);

                if (strchr(word, ':') ? !proof_test_exists(word) : access(path, R_OK) < 0) {
                        print_error("there is no test '%s'\n", word);
                        (*bad)++;
                }
        }
        for (const char *found = strstr(line, programs); found; found = strstr(found + 1, programs)) {
                const char *name = found + strlen("build/tests/");
                _cleanup_free_ char *path = xasprintf("tests/unit/%.*s.c", (int)strcspn(name, " ;&|"), name);

                if (access(path, R_OK) < 0) {
                        print_error("there is no %s\n", path);
                        (*bad)++;
                }
        }
}

static void every_test_of_a_must_show_list_exists(void **state)
{
        struct dirent **entries;
        int n = scandir("tests/proof", &entries, NULL, alphasort);
        unsigned bad = 0, lists = 0;

        (void)state;
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = xasprintf("tests/proof/%s", entries[i]->d_name), *text = NULL;

                if (text_ends_with(path, ".list")) {
                        text = proof_read_file(path);
                        assert_non_null(text);
                        each_line(text, check_list_line, &bad);
                        lists++;
                }
                free(entries[i]);
        }
        free(entries);
        assert_true(lists > 0);
        assert_int_equal(bad, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_row_has_goldens_for_default_extreme_and_a_wrong_value),
                cmocka_unit_test(invalid_templates_are_told_with_message_and_place),
                cmocka_unit_test(every_implemented_row_is_in_the_guide_coverage),
                cmocka_unit_test(every_proof_of_the_guide_coverage_exists_and_is_run),
                cmocka_unit_test(every_test_of_a_must_show_list_exists),
        };

        return cmocka_run_group_tests_name("row_coverage", tests, read_goldens, free_goldens);
}
