#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/spec_build.h"
#include "conf/spec_pending.h"

static struct vm_spec *make(const char *text)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(site_freep) struct site *site = NULL;
        struct vm_spec *spec = NULL;
        struct error *err = NULL;

        assert_int_equal(site_from_text(NULL, NULL, NULL, NULL, NULL, &site, &err), 0);
        assert_int_equal(template_parse("t", text, strlen(text), &template, &err), 0);
        assert_int_equal(spec_build(template, site, "/vm", "web", &spec, &err), 0);
        return spec;
}

static void add(const char *reference, void *data)
{
        text_addf(data, " %s", reference);
}

static void assert_pending(const char *wanted_text, const char *live_text, const char *expected)
{
        _cleanup_(vm_spec_freep) struct vm_spec *wanted = make(wanted_text), *live = make(live_text);
        _cleanup_text_ struct text found = TEXT_INIT;

        spec_pending(wanted, live, add, &found);
        assert_string_equal(text_str(&found), expected);
}

static void what_differs_is_named(void **state)
{
        (void)state;
        assert_pending("MEMORY=256\nCPU=2", "MEMORY=256\nCPU=2", "");
        assert_pending("MEMORY=512\nCPU=2", "MEMORY=256\nCPU=1", " CPU MEMORY");
        /* Another way to say the same. */
        assert_pending("MEMORY=\"1 GiB\"", "MEMORY=1024", "");
        assert_pending("MEMORY=256\nMEMTUNE=[HARD_LIMIT=300]", "MEMORY=256\nMEMTUNE=[HARD_LIMIT=400]",
                       " MEMTUNE/HARD_LIMIT");
}

static void the_most_is_what_there_is_where_nobody_says_more(void **state)
{
        (void)state;
        assert_pending("MEMORY=256", "MEMORY=256\nMEMORY_MAX=256", "");
        assert_pending("MEMORY=256", "MEMORY=100\nMEMORY_MAX=256", " MEMORY");
        assert_pending("MEMORY=256\nMEMORY_MAX=512", "MEMORY=256", " MEMORY_MAX");
}

static void a_vector_that_came_or_went_is_named_by_what_it_says(void **state)
{
        (void)state;
        assert_pending("MEMORY=256\nMEMTUNE=[HARD_LIMIT=300]", "MEMORY=256", " MEMTUNE/HARD_LIMIT");
        assert_pending("MEMORY=256", "MEMORY=256\nCPUTUNE=[QUOTA=50000]", " CPUTUNE/QUOTA");
        assert_pending("MEMORY=256\nDISK=[SOURCE=a]\nDISK=[SOURCE=b]", "MEMORY=256\nDISK=[SOURCE=a]",
                       " DISK[1]");
        assert_pending("MEMORY=256\nDISK=[SOURCE=a]", "MEMORY=256\nDISK=[SOURCE=b]", " DISK[0]/SOURCE");
        assert_pending("MEMORY=256\nDISK=[SOURCE=a,CACHE=none]",
                       "MEMORY=256\nDISK=[SOURCE=\"/vm/a\",CACHE=unsafe]", " DISK[0]/CACHE");
}

static void what_a_start_works_out_is_no_difference(void **state)
{
        (void)state;
        assert_pending("MEMORY=256\nOS=[MACHINE=q35]", "MEMORY=256\nOS=[MACHINE=\"pc-q35-7.2\"]", "");
        assert_pending("MEMORY=256\nOS=[MACHINE=\"pc-q35-7.1\"]", "MEMORY=256\nOS=[MACHINE=\"pc-q35-7.2\"]",
                       " OS/MACHINE");
        assert_pending("MEMORY=256\nNIC=[BRIDGE=br0]", "MEMORY=256\nNIC=[BRIDGE=br0,ADDRESS=\"rp1:0x0\"]",
                       "");
        assert_pending("MEMORY=256\nNIC=[BRIDGE_TYPE=user]",
                       "MEMORY=256\nNIC=[BRIDGE_TYPE=user,BACKEND=passt]", "");
        assert_pending("MEMORY=256\nNIC=[BRIDGE_TYPE=user,BACKEND=slirp]",
                       "MEMORY=256\nNIC=[BRIDGE_TYPE=user,BACKEND=passt]", " NIC[0]/BACKEND");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_differs_is_named),
                cmocka_unit_test(the_most_is_what_there_is_where_nobody_says_more),
                cmocka_unit_test(a_vector_that_came_or_went_is_named_by_what_it_says),
                cmocka_unit_test(what_a_start_works_out_is_no_difference),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
