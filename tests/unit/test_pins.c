/* CPUTUNE's pins: what is taken, and what is said of the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/spec_build.h"

#define SECONDS_MAX 5

/* The first error's text, or NULL and *ret. */
static char *build(const char *text, struct vm_spec **ret)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(site_freep) struct site *site = NULL;
        _cleanup_error_ struct error *err = NULL;

        *ret = NULL;
        assert_int_equal(site_from_text(NULL, NULL, NULL, NULL, NULL, &site, &err), 0);
        assert_int_equal(template_parse("t", text, strlen(text), &template, &err), 0);
        return spec_build(template, site, "/vm", "web", ret, &err) < 0 ? xstrdup(err->message) : NULL;
}

static void pins_are_read(void **state)
{
        static const struct {
                const char *value, *said; /* NULL: taken */
        } rows[] = {
                { "0:1", NULL },
                { " 0 : 1 - 2 ;; 1-3 : 4,^5,6 ; ", NULL },
                { "", NULL },
                { "1", "'1' is not NUMBER:CPUS or FIRST-LAST:CPUS" },
                { ":1", "':1' is not NUMBER:CPUS (try \"0:2-3; 1:4\")" },
                { "-1:1", "'-1:1' is not NUMBER:CPUS (try \"0:2-3; 1:4\")" },
                { "0:", "'' is not a list of numbers (try \"0-3,8\")" },
                { "0:1:2", "'1:2' is not a list of numbers (try \"0-3,8\")" },
                { "0:1; 0-1:2", "'0-1:2': number 0 has CPUs already" },
                { "3-2:1", "'3-2:1' is not NUMBER:CPUS or FIRST-LAST:CPUS" },
                { "0-:1", "'0-:1' is not NUMBER:CPUS or FIRST-LAST:CPUS" },
                { "4096:1", "'4096:1' is not NUMBER:CPUS or FIRST-LAST:CPUS" },
                { "99999999999:1", "'99999999999:1' is not NUMBER:CPUS or FIRST-LAST:CPUS" },
                { "0:8192", "'8192' is not a list of numbers (try \"0-3,8\")" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *text =
                        xasprintf("MEMORY=64\nVCPU=4\nCPUTUNE=[VCPUPIN=\"%s\"]", rows[i].value);
                _cleanup_free_ char *expected =
                        rows[i].said ? xasprintf("CPUTUNE/VCPUPIN: %s", rows[i].said) : NULL;
                _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
                _cleanup_free_ char *said = build(text, &spec);

                if (expected)
                        assert_string_equal(said, expected);
                else
                        assert_null(said);
        }
}

static void the_own_pin_counts_more_than_the_cpuset(void **state)
{
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        _cleanup_free_ char *said =
                build("MEMORY=64\nVCPU=4\nCPUTUNE=[VCPUPIN=\"1-2:6,5\",CPUSET=\"2,1\"]", &spec);

        (void)state;
        assert_null(said);
        assert_string_equal(vm_spec_pin(spec, &spec->cputune.vcpus, 0), "1-2");
        assert_string_equal(vm_spec_pin(spec, &spec->cputune.vcpus, 2), "5-6");
        assert_string_equal(vm_spec_pin(spec, &spec->cputune.iothreads, 2), "1-2");
}

/* A template may be a megabyte long. */
static void a_flood_of_pins_is_read_soon(void **state)
{
        (void)state;
        for (size_t f = 0; f < 3; f++) {
                _cleanup_text_ struct text text = TEXT_INIT;
                _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
                _cleanup_free_ char *said = NULL;
                time_t begin = time(NULL);

                text_add(&text, "MEMORY=64\nCPUTUNE=[VCPUPIN=\"");
                for (unsigned i = 0; i < 150000; i++)
                        text_addf(&text, f == 0 ? "%u:0;" : f == 1 ? "0:%u;" : "0-4095:%u;", i);
                text_add(&text, "\"]");
                said = build(text_str(&text), &spec);
                assert_non_null(said);
                assert_true(strlen(said) < 500);
                assert_true(time(NULL) - begin < SECONDS_MAX);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pins_are_read),
                cmocka_unit_test(the_own_pin_counts_more_than_the_cpuset),
                cmocka_unit_test(a_flood_of_pins_is_read_soon),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
