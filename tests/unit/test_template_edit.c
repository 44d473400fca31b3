#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/template_edit.h"

#define TEXT_                              \
        "# mine\n"                         \
        "NAME = \"web\"   # the name\n"    \
        "DISK = [ SOURCE = \"a#b.img\",\n" \
        "  TARGET = vda ]  # the first\n"  \
        "CPU = 1 NIC = [ BRIDGE = br0 ]\n" \
        "DISK = []"

static struct template *read(void)
{
        struct template *template = NULL;
        struct error *err = NULL;

        if (template_parse("t", TEXT_, strlen(TEXT_), &template, &err) < 0)
                fail_msg("%s", err->message);
        return template;
}

static size_t find(const struct template *template, const char *name, size_t skip)
{
        for (size_t i = 0; i < template->n_attributes; i++)
                if (strcmp(template->attributes[i].name, name) == 0 && skip-- == 0)
                        return i;
        fail_msg("no %s", name);
        return 0;
}

static void check(char *edited, const char *want)
{
        assert_string_equal(edited, want);
        free(edited);
}

static void a_vector_goes_with_its_lines_and_nothing_else(void **state)
{
        _cleanup_(template_freep) struct template *t = read();

        (void)state;
        check(template_edit_remove(t, find(t, "DISK", 0)),
              "# mine\nNAME = \"web\"   # the name\nCPU = 1 NIC = [ BRIDGE = br0 ]\nDISK = []");
        check(template_edit_remove(t, find(t, "DISK", 1)),
              "# mine\nNAME = \"web\"   # the name\nDISK = [ SOURCE = \"a#b.img\",\n  TARGET = vda ]  # the first\n"
              "CPU = 1 NIC = [ BRIDGE = br0 ]\n");
}

static void a_value_is_replaced_where_it_stands(void **state)
{
        _cleanup_(template_freep) struct template *t = read();
        _cleanup_free_ char *name = template_edit_set(t, "NAME", "db"),
                            *memory = template_edit_set(t, "MEMORY", "5"),
                            *target = template_edit_set_pair(t, find(t, "DISK", 0), "TARGET", "vdb"),
                            *cache = template_edit_set_pair(t, find(t, "DISK", 0), "CACHE", "none"),
                            *first = template_edit_set_pair(t, find(t, "DISK", 1), "SOURCE", "x");

        (void)state;
        assert_non_null(strstr(name, "NAME = \"db\"   # the name\n"));
        assert_non_null(strstr(memory, "DISK = []\nMEMORY = \"5\"\n"));
        assert_non_null(strstr(target, "  TARGET = \"vdb\" ]  # the first\n"));
        assert_non_null(strstr(cache, "DISK = [ CACHE = \"none\", SOURCE"));
        assert_non_null(strstr(first, "DISK = [SOURCE = \"x\"]"));
}

static void a_vector_is_added_at_the_end(void **state)
{
        _cleanup_(template_freep) struct template *t = read();
        _cleanup_(template_freep) struct template *again = NULL;
        _cleanup_free_ char *text = template_edit_add(t, &t->attributes[find(t, "DISK", 0)]);
        struct error *err = NULL;

        (void)state;
        assert_non_null(
                strstr(text, "DISK = []\nDISK = [\n  SOURCE = \"a#b.img\",\n  TARGET = \"vda\"\n]\n"));
        assert_int_equal(template_parse("t", text, strlen(text), &again, &err), 0);
        assert_int_equal(again->n_attributes, t->n_attributes + 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_vector_goes_with_its_lines_and_nothing_else),
                cmocka_unit_test(a_value_is_replaced_where_it_stands),
                cmocka_unit_test(a_vector_is_added_at_the_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
