#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/run/unit.h"
#include "launcher/run/unit_text.h"

static struct site *site;

static int read_site(void **state)
{
        struct error *err = NULL;

        (void)state;
        return site_from_text(NULL, NULL, NULL, NULL, "SHUTDOWN_TIMEOUT=60\n", &site, &err);
}

static int free_site(void **state)
{
        (void)state;
        site_free(site);
        return 0;
}

static struct vm_spec *make(const char *text)
{
        _cleanup_(template_freep) struct template *template = NULL;
        struct vm_spec *spec = NULL;
        struct error *err = NULL;

        assert_int_equal(template_parse("t", text, strlen(text), &template, &err), 0);
        assert_int_equal(spec_build(template, site, "/vm", "web", &spec, &err), 0);
        return spec;
}

/* The lines behind the first, which names the VM. */
static void assert_dropin(const char *text, const struct unit_place *places, size_t n, const char *expected)
{
        _cleanup_(vm_spec_freep) struct vm_spec *spec = make(text);
        _cleanup_free_ char *dropin = unit_dropin(spec, site), *order = NULL, *all = NULL;
        const struct unit_place own = { .vm = "web", .order = spec->start_order, .delay = spec->start_delay };

        order = unit_order(&own, places, n);
        all = xasprintf("%s%s", strchr(dropin, '\n') + 1, order);
        assert_string_equal(all, expected);
}

static void a_plain_vm_has_its_weight_and_the_time_of_its_shutdown(void **state)
{
        const struct unit_place places[] = { { .vm = "web" }, { .vm = "db" } };

        (void)state;
        assert_dropin("MEMORY=256", places, 2, "[Service]\nTimeoutStopSec=90\nCPUWeight=100\n");
}

static void what_the_template_says_of_its_unit_is_there(void **state)
{
        (void)state;
        assert_dropin("MEMORY=256\nSHUTDOWN_TIMEOUT=10\nSLICE=\"machine-gold.slice\"\nNOTIFY_READY=agent\n"
                      "ON_CRASH=restart\nPANIC=[MODEL=pci]\nCPU=2",
                      NULL, 0,
                      "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=4\n\n[Service]\nTimeoutStopSec=40\n"
                      "TimeoutStartSec=420\nRestartPreventExitStatus=\n"
                      "RestartPreventExitStatus=1 2 3 4 5 6 7 8 9 10 11 13 14 15\nSlice=machine-gold.slice\n"
                      "CPUWeight=200\n");
}

static void a_vm_comes_after_those_of_lower_order_and_their_delays(void **state)
{
        const struct unit_place places[] = { { .vm = "a", .order = 1, .delay = 5 },
                                             { .vm = "b", .order = 1 },
                                             { .vm = "web", .order = 2, .delay = 3 },
                                             { .vm = "c", .order = 3 },
                                             { .vm = "d" } };
        _cleanup_(vm_spec_freep) struct vm_spec *spec = make("MEMORY=256\nSTART_ORDER=2\nSTART_DELAY=3");
        _cleanup_free_ char *delay = unit_delay_dropin(spec);

        (void)state;
        assert_dropin("MEMORY=256\nSTART_ORDER=2\nSTART_DELAY=3", places, 5,
                      "[Service]\nTimeoutStopSec=90\nCPUWeight=100\n\n"
                      "[Unit]\nAfter= vmlaunch@a.service vmlaunch-delay@a.service vmlaunch@b.service\n"
                      "Wants=vmlaunch-delay@web.service\n");
        assert_string_equal(delay, "[Service]\nEnvironment=DELAY=3\n");
        assert_true(unit_is_after(&places[4], &places[3]));
        assert_false(unit_is_after(&places[3], &places[4]));
        assert_false(unit_is_after(&places[0], &places[1]));
        assert_false(unit_is_after(&places[4], &places[4]));
}

static void units_of_instances_have_names_of_their_own(void **state)
{
        struct paths ours, other;
        _cleanup_free_ char *service = unit_service_name("web"), *a = NULL, *b = NULL;

        (void)state;
        paths_init(&ours, NULL, NULL);
        paths_init(&other, "/srv/other", NULL);
        a = unit_scope_name(&ours, "web");
        b = unit_scope_name(&other, "web");
        assert_string_equal(service, "vmlaunch@web.service");
        assert_string_equal(a, "vmlaunch-web.scope");
        assert_true(text_starts_with(b, "vmlaunch:") && text_ends_with(b, ":web.scope"));
        paths_done(&ours);
        paths_done(&other);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_plain_vm_has_its_weight_and_the_time_of_its_shutdown),
                cmocka_unit_test(what_the_template_says_of_its_unit_is_there),
                cmocka_unit_test(a_vm_comes_after_those_of_lower_order_and_their_delays),
                cmocka_unit_test(units_of_instances_have_names_of_their_own),
        };

        return cmocka_run_group_tests(tests, read_site, free_site);
}
