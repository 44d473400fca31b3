/*
 * live.tmpl: what a spec is written as is a template without errors that gives the same spec. The input is any
 * template; what vmlaunch would write for it is the live.tmpl under test.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/spec_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vm_spec *read_template(const struct site *site, const char *text, size_t length)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_error_ struct error *err = NULL;
        struct vm_spec *spec = NULL;

        if (template_parse("live.tmpl", text, length, &template, &err) < 0 ||
            spec_build(template, site, "/", "live", &spec, &err) < 0)
                return NULL;
        return spec;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct site *site;
        struct error *err = NULL;

        if (!site && site_from_text(NULL, NULL, NULL, NULL, NULL, &site, &err) < 0)
                abort();
        _cleanup_(vm_spec_freep) struct vm_spec *spec = read_template(site, (const char *)data, size);

        if (!spec)
                return 0;
        _cleanup_free_ char *live = spec_to_template(spec);
        _cleanup_(vm_spec_freep) struct vm_spec *again = read_template(site, live, strlen(live));

        if (!again)
                abort();
        _cleanup_free_ char *twice = spec_to_template(again);

        if (strcmp(live, twice) != 0)
                abort();
        /* Cut anywhere it is an error or another template, never a crash. */
        for (size_t cut = strlen(live); cut > 0; cut -= cut > 97 ? 97 : cut) {
                _cleanup_(vm_spec_freep) struct vm_spec *part = read_template(site, live, cut);

                (void)part;
        }
        return 0;
}
