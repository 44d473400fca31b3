/* What the changes of a fragment make of live.tmpl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "launcher/run/live_template.h"

#define LIVE \
        "NAME = \"web\"\nCPU = \"1\"\nMEMORY = \"256 MiB\"\nNIC = [\n  BRIDGE = \"br0\",\n  TARGET = \"t0\"\n]\n"

static char *changed_from(const char *before, const char *live, struct error **err)
{
        _cleanup_(site_freep) struct site *site = NULL;
        json_auto_t *json = json_loads(live, 0, NULL);

        assert_non_null(json);
        assert_int_equal(site_from_text(NULL, NULL, NULL, NULL, NULL, &site, err), 0);
        return live_template_change(before, json, site, "web", err);
}

static char *changed(const char *live, struct error **err)
{
        return changed_from(LIVE, live, err);
}

static size_t times(const char *text, const char *word)
{
        size_t n = 0;

        while ((text = strstr(text, word))) {
                text += strlen(word);
                n++;
        }
        return n;
}

#define MOUSE "INPUT = [\n  TYPE = \"mouse\",\n  BUS = \"usb\"\n]\n"

/* Of what is alike one goes; what says more than the match is another one when there is one that says no more. */
static void a_vector_without_a_number_is_known_by_all_it_says(void **state)
{
        _cleanup_error_ struct error *err = NULL;
        _cleanup_free_ char *
                why = NULL,
               *one = changed_from(
                       LIVE MOUSE MOUSE "INPUT = [\n  TYPE = \"mouse\"\n]\n",
                       "{\"remove\":[{\"vector\":\"INPUT\",\"match\":{\"TYPE\":\"mouse\",\"BUS\":\"usb\"}}]}",
                       &err);
        _cleanup_free_ char *none =
                changed_from(LIVE MOUSE MOUSE,
                             "{\"remove\":[{\"vector\":\"INPUT\",\"match\":{\"TYPE\":\"mouse\"}}]}", &err);

        (void)state;
        assert_int_equal(times(one, "TYPE = \"mouse\""), 2);
        assert_int_equal(times(one, "BUS = \"usb\""), 1);
        assert_null(none);
        why = error_text(err);
        assert_non_null(strstr(why, "more than one INPUT matches"));
}

static void live_tmpl_gets_and_loses_vectors_and_attributes(void **state)
{
        struct error *err = NULL;
        _cleanup_free_ char *more =
                changed("{\"set\":[{\"vector\":\"NIC\",\"attributes\":{\"BRIDGE\":\"br1\",\"TARGET\":"
                        "\"t1\"}},{\"attribute\":\"CPU\",\"value\":\"2\"}]}",
                        &err);
        _cleanup_free_ char *other = NULL, *less = NULL;

        (void)state;
        assert_non_null(more);
        assert_non_null(strstr(more, "TARGET = \"t0\""));
        assert_non_null(strstr(more, "TARGET = \"t1\""));
        assert_non_null(strstr(more, "CPU = \"2\""));
        other = changed(
                "{\"set\":[{\"vector\":\"NIC\",\"match\":{\"TARGET\":\"t0\"},\"attributes\":{\"BRIDGE\":\"br2\","
                "\"TARGET\":\"t0\"}}]}",
                &err);
        assert_non_null(strstr(other, "BRIDGE = \"br2\""));
        assert_null(strstr(other, "br0"));
        less = changed("{\"remove\":[{\"vector\":\"NIC\",\"match\":{\"TARGET\":\"t0\"}}]}", &err);
        assert_null(strstr(less, "NIC"));
}

static void live_tmpl_stays_a_template_of_the_same_vm(void **state)
{
        static const struct {
                const char *live, *says;
        } cases[] = {
                { "{\"remove\":[{\"vector\":\"NIC\",\"match\":{\"TARGET\":\"t9\"}}]}", "no NIC matches" },
                { "{\"remove\":[{\"vector\":\"NIC\"}]}", "match, and nothing else" },
                { "{\"set\":[{\"vector\":\"NIC\",\"match\":{\"TARGET\":\"t9\"},\"attributes\":{\"BRIDGE\":\"b\"}}]}",
                  "no NIC matches" },
                { "{\"set\":[{\"vector\":\"NIC\",\"attributes\":{\"BRIDGE\":7}}]}", "no template can say" },
                { "{\"set\":[{\"vector\":\"N=[\",\"attributes\":{\"BRIDGE\":\"b\"}}]}", "vector is no name" },
                { "{\"set\":[{\"vector\":\"NIC\",\"attributes\":{\"BRIDGE\":\"b\",\"MODELX\":\"b\"}}]}",
                  "MODELX" },
                { "{\"set\":[{\"attribute\":\"CPU\",\"value\":\"many\"}]}", "CPU" },
                { "{\"set\":[{\"attribute\":\"NAME\",\"value\":\"db\"}]}", "name stays" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_error_ struct error *err = NULL;
                _cleanup_free_ char *text = changed(cases[i].live, &err), *why = err ? error_text(err) : NULL;

                if (text || !strstr(why, cases[i].says))
                        fail_msg("%s: '%s' instead of '%s'", cases[i].live, why ? why : text, cases[i].says);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_vector_without_a_number_is_known_by_all_it_says),
                cmocka_unit_test(live_tmpl_gets_and_loses_vectors_and_attributes),
                cmocka_unit_test(live_tmpl_stays_a_template_of_the_same_vm),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
