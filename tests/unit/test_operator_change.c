/* What an operator may change of a running VM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf/attr.h"
#include "conf/operator_change.h"

static enum error_code check(json_t *change_consume)
{
        json_auto_t *change = change_consume;
        _cleanup_error_ struct error *err = NULL;
        int result = operator_change_check(change, &err);

        assert_int_equal(result, err ? -1 : 0);
        return err ? err->code : 0;
}

static enum error_code check_value(const char *vector, const char *name, const char *value)
{
        return check(json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "vector", vector, "which", "vda", "set",
                               "attribute", name, "value", value));
}

/* DESIGN section 6: medium, throttle, link. Who adds one has to say so here. */
static void operators_may_change_limits_links_and_media_and_nothing_else(void **state)
{
        static const char *const limits[] = { "TOTAL_BYTES", "READ_BYTES", "WRITE_BYTES",
                                              "TOTAL_IOPS",  "READ_IOPS",  "WRITE_IOPS" };
        static const char *const ends[] = { "_SEC", "_SEC_MAX", "_SEC_MAX_LENGTH" };
        size_t n = 0;

        (void)state;
        for (size_t i = 0; attr_sections[i]; i++)
                for (size_t k = 0; k < attr_sections[i]->n_rows; k++) {
                        const struct attr *row = &attr_sections[i]->rows[k];

                        n += row->operators;
                        assert_true(!row->operators || row->state == ATTR_HERE);
                        if (!row->operators && *attr_sections[i]->name)
                                assert_int_equal(check_value(attr_sections[i]->name, row->name, "1"),
                                                 ERROR_NOT_PERMITTED);
                }
        assert_int_equal(n, ARRAY_SIZE(limits) * ARRAY_SIZE(ends) + 3);
        for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
                for (size_t k = 0; k < ARRAY_SIZE(ends); k++) {
                        _cleanup_free_ char *name = xasprintf("%s%s", limits[i], ends[k]);

                        assert_int_equal(check_value("DISK", name, "300"), 0);
                }
        assert_int_equal(check_value("DISK", "SIZE_IOPS_SEC", "4096"), 0);
        assert_int_equal(check_value("DISK", "SOURCE", "/srv/a.iso"), 0);
        assert_int_equal(check_value("DISK", "SOURCE", ""), 0);
        assert_int_equal(check_value("NIC", "LINK", "down"), 0);
}

static void value_is_what_its_row_says_and_one_line(void **state)
{
        static const char *const numbers[] = { "",
                                               "x",
                                               "-1",
                                               "300\", SOURCE = \"/etc/shadow",
                                               "300\nRAW=[]",
                                               "300 ]",
                                               "1e99",
                                               "99999999999999999999" };
        static const char *const links[] = { "", "sideways", "down\"]", "up\n", "down, BRIDGE=br0" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                assert_int_not_equal(check_value("DISK", "TOTAL_IOPS_SEC", numbers[i]), 0);
        for (size_t i = 0; i < ARRAY_SIZE(links); i++)
                assert_int_not_equal(check_value("NIC", "LINK", links[i]), 0);
        assert_int_not_equal(check_value("DISK", "SOURCE", "/srv/a.iso\n"), 0);
        assert_int_not_equal(check_value("DISK", "SOURCE", "/srv/a.iso\rRAW=[]"), 0);
        assert_int_not_equal(check(json_pack("{s:s, s:s, s:[{s:s, s:s%}]}", "vector", "DISK", "which", "vda",
                                             "set", "attribute", "SOURCE", "value", "/srv/a\0b", 8)),
                             0);
}

static void form_is_exactly_that(void **state)
{
        static const char *const texts[] = {
                "null",
                "[]",
                "{}",
                "{'vector':'DISK','which':'vda'}",
                "{'vector':'DISK','which':'vda','set':[]}",
                "{'vector':'DISK','which':'vda','set':{}}",
                "{'vector':'DISK','which':'vda','set':['LINK']}",
                "{'vector':'NIC','which':'0','set':[{'attribute':'LINK'}]}",
                "{'vector':'NIC','which':'0','set':[{'attribute':'LINK','value':1}]}",
                "{'vector':'NIC','which':'0','set':[{'attribute':'LINK','value':'up','more':1}]}",
                "{'vector':'NIC','which':'0','set':[{'attribute':'LINK','value':'up'}],'live':{}}",
                "{'vector':'NIC','which':'0','set':[{'attribute':'LINK','value':'up'}],'force':'yes'}",
                "{'vector':'NIC','which':'','set':[{'attribute':'LINK','value':'up'}]}",
                "{'vector':'NIC','which':'/srv/a.img','set':[{'attribute':'LINK','value':'up'}]}",
                "{'vector':'NIC','which':'a b','set':[{'attribute':'LINK','value':'up'}]}",
                "{'vector':'','which':'0','set':[{'attribute':'NAME','value':'up'}]}",
                "{'vector':'NONE','which':'0','set':[{'attribute':'LINK','value':'up'}]}",
                "{'vector':'NIC','which':'0','set':[{'attribute':'LINK','value':'up'},{'attribute':'BRIDGE','value':'b'}]}",
        };
        json_t *many = json_array();

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_free_ char *text = xstrdup(texts[i]);

                for (char *p = text; *p; p++)
                        if (*p == '\'')
                                *p = '"';
                assert_int_not_equal(check(json_loads(text, JSON_DECODE_ANY, NULL)), 0);
        }
        for (int i = 0; i <= OPERATOR_CHANGES; i++)
                json_array_append_new(many, json_pack("{s:s, s:s}", "attribute", "LINK", "value", "up"));
        assert_int_not_equal(check(json_pack("{s:s, s:s, s:o}", "vector", "NIC", "which", "0", "set", many)),
                             0);
}

static bool may_put_in(const char *media, const char *path)
{
        _cleanup_error_ struct error *err = NULL;

        if (operator_change_check_medium(media, path, &err) == 0)
                return true;
        assert_int_equal(err->code, ERROR_NOT_PERMITTED);
        return false;
}

static void medium_is_one_of_the_drives_own_list(void **state)
{
        const char *media = " /srv/one.iso  /srv/two.iso ";

        (void)state;
        assert_true(may_put_in(media, "/srv/one.iso"));
        assert_true(may_put_in(media, "/srv/two.iso"));
        assert_true(may_put_in(media, ""));
        assert_true(may_put_in(NULL, ""));
        assert_false(may_put_in(NULL, "/srv/one.iso"));
        assert_false(may_put_in(media, "/srv/one.is"));
        assert_false(may_put_in(media, "/srv/one.iso2"));
        assert_false(may_put_in(media, "/srv/../srv/one.iso"));
        assert_false(may_put_in(media, "/srv/one.iso  /srv/two.iso"));
        assert_false(may_put_in(media, " "));
}

static void story_has_no_value(void **state)
{
        json_auto_t *change = json_pack("{s:s, s:s, s:[{s:s, s:s}, {s:s, s:s}]}", "vector", "DISK", "which",
                                        "vda", "set", "attribute", "TOTAL_IOPS_SEC", "value", "300",
                                        "attribute", "SOURCE", "value", "/srv/a.iso");
        _cleanup_free_ char *text = operator_change_text(change);

        (void)state;
        assert_string_equal(text, "DISK vda: TOTAL_IOPS_SEC, SOURCE");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(operators_may_change_limits_links_and_media_and_nothing_else),
                cmocka_unit_test(value_is_what_its_row_says_and_one_line),
                cmocka_unit_test(form_is_exactly_that),
                cmocka_unit_test(medium_is_one_of_the_drives_own_list),
                cmocka_unit_test(story_has_no_value),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
