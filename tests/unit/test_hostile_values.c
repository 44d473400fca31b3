/*
 * Values that nobody means well: each row of the tables either refuses them by its name or carries them exactly, through
 * the spec and the template that is written of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/site.h"
#include "conf/spec_build.h"
#include "conf/spec_sections.h"
#include "conf/template.h"

#define MEGABYTE (1u << 20)
/* Generous: sanitizers, and a machine that does other things. */
#define SECONDS_MAX 60

static const char *const values[] = {
        "a,b=c,,readonly=on",
        "a=b",
        "/srv/a,b=c.qcow2",
        "/srv/it's \"quoted\".raw",
        "$(touch /tmp/pwned)",
        "`id`; rm -rf / & | > < * ? ~ #",
        "../../../../etc/passwd",
        "-device help",
        "--",
        "a\nb",
        "a\r\nNAME = \"other\"",
        "a\tb",
        "\x01\x02\x1b[2J\x7f",
        "\xff\xfe\x80",
        "%s%n%d",
        "{\"execute\":\"quit\"}",
        "]]>",
        "' <script>",
        "\\",
        "\\\"",
        "99999999999999999999999999",
        "-1",
        "0x7fffffffffffffff",
        "1e400",
        "18446744073709551616 TiB",
};

/* The value with nothing around it: blanks there do not count. */
static char *trimmed(const char *s)
{
        size_t n;

        s += strspn(s, " \t\r\n");
        n = strlen(s);
        while (n && strchr(" \t\r\n", s[n - 1]))
                n--;
        return xstrndup(s, n);
}

static size_t record_size(const struct attr_section *section)
{
        const struct spec_section *row = spec_section_find(section);

        return row && row->size > sizeof(struct vm_spec) ? row->size : sizeof(struct vm_spec);
}

static void check(const struct attr_section *section, const struct attr *row, const char *value)
{
        _cleanup_free_ void *record = xcalloc(1, record_size(section));
        _cleanup_free_ char *name = attr_full_name(section, row), *wanted = trimmed(value), *got = NULL;
        _cleanup_free_ char *start = xasprintf("%s: ", name);
        struct source_pos pos = { .file = (char *)"t", .line = 1, .column = 1 };
        _cleanup_error_ struct error *err = NULL;

        if (attr_set(section, row, value, &pos, record, &err) < 0) {
                if (!text_starts_with(err->message, start) || strlen(err->message) > 1000 ||
                    err->message[strcspn(err->message, "\n\r\x1b\x01")])
                        fail_msg("%s: %.200s", name, err->message);
        } else if (row->has_field && attr_is_text(row)) {
                got = attr_get(row, record);
                /* A MAC or UUID is written in one case, a word as the table has it. */
                if (strcasecmp(got ? got : "", wanted) != 0 ||
                    (row->kind == ATTR_PATH && strcmp(got, wanted) != 0))
                        fail_msg("%s: '%.100s' has become '%.100s'", name, wanted, got ? got : "(none)");
                free(*(char **)attr_field(row, record));
        }
}

static void each_row(void (*fn)(const struct attr_section *section, const struct attr *row))
{
        for (size_t i = 0; attr_sections[i]; i++)
                for (size_t j = 0; j < attr_sections[i]->n_rows; j++)
                        if (attr_sections[i]->rows[j].state == ATTR_HERE)
                                fn(attr_sections[i], &attr_sections[i]->rows[j]);
}

static void check_all(const struct attr_section *section, const struct attr *row)
{
        for (size_t i = 0; i < ARRAY_SIZE(values); i++)
                check(section, row, values[i]);
}

static void each_row_refuses_a_hostile_value_or_carries_it_exactly(void **state)
{
        (void)state;
        each_row(check_all);
}

static void check_megabyte(const struct attr_section *section, const struct attr *row)
{
        static char *value;

        if (!value) {
                value = xmalloc(MEGABYTE + 1);
                memset(value, '7', MEGABYTE);
                value[MEGABYTE] = '\0';
        }
        check(section, row, value);
}

static void a_value_of_a_megabyte_is_refused_or_carried_and_messages_stay_short(void **state)
{
        (void)state;
        each_row(check_megabyte);
}

/* The whole of it, from text to spec: *ret is NULL when it is refused, with *err. */
static void build(const char *text, size_t n, struct vm_spec **ret, struct error **err)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(site_freep) struct site *site = NULL;

        *ret = NULL;
        assert_int_equal(site_from_text(NULL, NULL, NULL, NULL, NULL, &site, err), 0);
        if (template_parse("t", text, n, &template, err) == 0)
                spec_build(template, site, "/vm", "t", ret, err);
}

static void kernel_command_line_and_paths_arrive_as_written(void **state)
{
        static const char text[] =
                "MEMORY = 64\n"
                "OS = [ KERNEL = \"/a,b=c 'd' $(e) `f` ;g&.img\", KERNEL_CMD = \"x=a,b,,c y='z' $HOME `id` | & ; <>\" ]\n"
                "DISK = [ SOURCE = \"we,ird=dir 'q' $(touch x);#/d.raw\", FORMAT = raw ]\n";
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL, *again = NULL;
        _cleanup_free_ char *written = NULL;
        struct error *err = NULL;

        (void)state;
        build(text, strlen(text), &spec, &err);
        assert_null(err);
        assert_string_equal(spec->os.kernel, "/a,b=c 'd' $(e) `f` ;g&.img");
        assert_string_equal(spec->os.kernel_cmd, "x=a,b,,c y='z' $HOME `id` | & ; <>");
        assert_string_equal(spec->disks[0].path, "/vm/we,ird=dir 'q' $(touch x);#/d.raw");
        written = spec_to_template(spec);
        build(written, strlen(written), &again, &err);
        assert_null(err);
        assert_string_equal(again->os.kernel_cmd, spec->os.kernel_cmd);
        assert_string_equal(again->disks[0].path, spec->disks[0].path);
}

static void a_nul_byte_is_refused_where_it_stands(void **state)
{
        static const char text[] = "MEMORY = 64\nNAME = \"a\0b\"\n";
        struct vm_spec *spec;
        _cleanup_error_ struct error *err = NULL;

        (void)state;
        build(text, sizeof(text) - 1, &spec, &err);
        assert_null(spec);
        assert_non_null(err);
        assert_int_equal(err->pos.line, 2);
        assert_int_equal(err->pos.column, 10);
}

/* n lines: before, a number, after. */
static void check_flood(const char *before, const char *after, unsigned n, const char *expected)
{
        _cleanup_text_ struct text text = TEXT_INIT;
        _cleanup_error_ struct error *err = NULL;
        struct vm_spec *spec;
        time_t begin = time(NULL);

        text_add(&text, "MEMORY = 64\n");
        for (unsigned i = 0; i < n; i++)
                text_addf(&text, "%s%u%s\n", before, i, after);
        build(text_str(&text), text.length, &spec, &err);
        vm_spec_free(spec);
        if (!err || !strstr(err->message, expected) || error_count(err) > 20)
                fail_msg("%s: %.200s", before, err ? err->message : "taken");
        assert_true(time(NULL) - begin < SECONDS_MAX);
}

static void a_hundred_thousand_attributes_are_refused_soon_and_in_few_words(void **state)
{
        (void)state;
        check_flood("X", " = 1", 90000, "no such attribute");
        check_flood("DISK = [ SOURCE = \"d", "\" ]", 40000, "DISK: more than 256 disks");
        check_flood("NIC = [ BRIDGE = \"b", "\" ]", 40000, "NIC: more than 256 NICs");
        check_flood("NUMA_NODE = [ TOTAL_CPUS = 1, MEMORY = ", " ]", 30000, "NUMA_NODE");
        check_flood("MEMORY = ", "", 100001, "100000");
        check_flood("DISK = [ K", " = 1, L = 2, M = 3 ]", 20000, "no such key");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_row_refuses_a_hostile_value_or_carries_it_exactly),
                cmocka_unit_test(a_value_of_a_megabyte_is_refused_or_carried_and_messages_stay_short),
                cmocka_unit_test(kernel_command_line_and_paths_arrive_as_written),
                cmocka_unit_test(a_nul_byte_is_refused_where_it_stands),
                cmocka_unit_test(a_hundred_thousand_attributes_are_refused_soon_and_in_few_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
