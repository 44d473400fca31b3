#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/attr.h"
#include "conf/describe.h"

static char *describe(const char *reference)
{
        struct error *err = NULL;
        char *text = describe_text(reference, &err);

        assert_non_null(text);
        return text;
}

static void everything_has_a_line(void **state)
{
        _cleanup_free_ char *text = describe(NULL);

        (void)state;
        for (size_t i = 0; attr_sections[i]; i++) {
                for (size_t j = 0; j < attr_sections[i]->n_rows; j++) {
                        _cleanup_free_ char *name =
                                attr_full_name(attr_sections[i], &attr_sections[i]->rows[j]);

                        assert_non_null(strstr(text, name));
                }
        }
        for (size_t i = 0; attr_coming_sections[i]; i++)
                assert_non_null(strstr(text, attr_coming_sections[i]->name));
}

static void a_section_has_its_rows(void **state)
{
        _cleanup_free_ char *text = describe("disk"), *nic = NULL;

        (void)state;
        assert_non_null(strstr(text, "DISK                                 vector, may be repeated\n"));
        assert_non_null(
                strstr(text, "DISK/CACHE                           word, default none\n    How the host"));
        assert_null(strstr(text, "\nnot supported by this version:\n  "));
        assert_non_null(strstr(text, "\nwithout effect:\n  MOUNT_POINT IMAGE_ID IMAGE_UNAME "));
        assert_null(strstr(text, "NIC/"));
        nic = describe("nic");
        assert_non_null(strstr(nic, "\nnot supported by this version:\n  FILTER "));
}

static void a_row_tells_all_it_knows(void **state)
{
        _cleanup_free_ char *text = describe("DISK/CACHE"), *memory = describe("memory"),
                            *hyperv = describe("FEATURES/HEPRV");

        (void)state;
        assert_string_equal(
                text, "DISK/CACHE\n"
                      "  How the host's page cache is used; the word default leaves it to QEMU (writeback).\n"
                      "  state     supported\n"
                      "  kind      word\n"
                      "  values    one of default, none, writethrough, writeback, directsync, unsafe\n"
                      "  default   none\n"
                      "  from      VM, host.conf, cluster.conf, vmm_exec_kvm.conf\n"
                      "  lands in  argv\n"
                      "  changes   at the next start\n"
                      "  source    opennebula-semantics 3.9.3\n");
        assert_non_null(strstr(memory, "values    1 MiB to 256 TiB\n"));
        assert_non_null(strstr(hyperv, "means     HYPERV\n"));
}

static void unknown_names_get_the_nearest(void **state)
{
        static const struct {
                const char *reference, *error;
        } rows[] = {
                { "MEMROY", "there is no attribute 'MEMROY'; did you mean 'MEMORY'?" },
                { "DISC/CACHE", "there is no vector 'DISC'; did you mean 'DISK'?" },
                { "DISK/CACHES", "there is no key 'CACHES'; did you mean 'CACHE'?" },
                { "/CACHE", "there is no vector ''" },
                { "CACHE", "there is no attribute 'CACHE', but a key of this name" },
                { "QWERTZUIOP", "there is no attribute 'QWERTZUIOP'" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_error_ struct error *err = NULL, *json_err = NULL;

                assert_null(describe_text(rows[i].reference, &err));
                assert_string_equal(err->message, rows[i].error);
                assert_int_equal(error_exit_status(err), 2);
                assert_null(describe_json(rows[i].reference, &json_err));
        }
}

static void json_has_the_same_rows(void **state)
{
        struct error *err = NULL;
        json_auto_t *all = describe_json(NULL, &err), *one = describe_json("DISK/CACHE", &err);
        const char *name = NULL, *dflt = NULL;
        json_t *words = NULL;
        size_t n = 0;

        (void)state;
        for (n = 0; attr_sections[n]; n++)
                ;
        for (size_t i = 0; attr_coming_sections[i]; i++)
                n++;
        assert_int_equal(json_integer_value(json_object_get(all, "schema")), 1);
        assert_int_equal(json_array_size(json_object_get(all, "sections")), n);
        assert_int_equal(json_unpack(one, "{s:[{s:[{s:s, s:s, s:o}]}]}", "sections", "attributes",
                                     "full_name", &name, "default", &dflt, "words", &words),
                         0);
        assert_string_equal(name, "DISK/CACHE");
        assert_string_equal(dflt, "none");
        assert_int_equal(json_array_size(words), 6);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(everything_has_a_line),    cmocka_unit_test(a_section_has_its_rows),
                cmocka_unit_test(a_row_tells_all_it_knows), cmocka_unit_test(unknown_names_get_the_nearest),
                cmocka_unit_test(json_has_the_same_rows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
