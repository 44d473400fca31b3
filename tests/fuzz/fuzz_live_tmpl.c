/*
 * live.tmpl: what a spec is written as is a template without errors that gives the same spec. The input is any
 * template; what vmlaunch would write for it is the live.tmpl under test.
 */
#include <stdint.h>

#include "tests/fuzz/spec_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vm_spec *read_template(const char *text, size_t length)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_error_ struct error *err = NULL;
        struct vm_spec *spec = NULL;

        if (template_parse("live.tmpl", text, length, &template, &err) < 0 ||
            spec_build(template, trip_site(), "/", "live", &spec, &err) < 0)
                return NULL;
        return spec;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(vm_spec_freep) struct vm_spec *spec = read_template((const char *)data, size);

        if (!spec)
                return 0;
        _cleanup_free_ char *live = spec_to_template(spec);
        _cleanup_(vm_spec_freep) struct vm_spec *again = read_template(live, strlen(live));

        if (!again)
                abort();
        _cleanup_free_ char *twice = spec_to_template(again);

        if (strcmp(live, twice) != 0)
                abort();
        /* Cut anywhere it is an error or another template, never a crash. */
        for (size_t cut = strlen(live); cut > 0; cut -= cut > 97 ? 97 : cut) {
                _cleanup_(vm_spec_freep) struct vm_spec *part = read_template(live, cut);

                (void)part;
        }
        return 0;
}
