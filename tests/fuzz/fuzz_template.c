/* Template text to spec, and back: what a spec is written as gives the same text again. */
#include <stdint.h>

#include "tests/fuzz/spec_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        struct error *err = NULL;

        if (template_parse("fuzz", (const char *)data, size, &template, &err) == 0)
                spec = trip_build(template);
        for (const struct error *e = err; e; e = e->next)
                free(error_text(e));
        error_free(err);
        err = NULL;
        if (spec)
                trip_back(spec);

        /* The configuration files are read in another mode, kvmrc by another reader. */
        _cleanup_free_ char *text = xstrndup((const char *)data, size);
        _cleanup_(site_freep) struct site *layered = NULL;

        if (site_from_text(NULL, text, NULL, NULL, NULL, &layered, &err) < 0) {
                error_free(err);
                err = NULL;
        }
        site_free(layered);
        layered = NULL;
        if (site_from_text(NULL, NULL, NULL, NULL, text, &layered, &err) < 0)
                error_free(err);
        return 0;
}
