/* Template text to spec, and back: what a spec is written as gives the same text again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/spec_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vm_spec *build(const struct site *site, const char *text, size_t length)
{
        _cleanup_(template_freep) struct template *template = NULL;
        struct vm_spec *spec = NULL;
        struct error *err = NULL;

        if (template_parse("fuzz", text, length, &template, &err) < 0 ||
            spec_build(template, site, "/base", "fuzz", &spec, &err) < 0)
                for (const struct error *e = err; e; e = e->next)
                        free(error_text(e));
        error_free(err);
        return spec;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct site *site;
        struct error *err = NULL;

        if (!site && site_from_text(NULL, NULL, NULL, NULL, NULL, &site, &err) < 0)
                abort();
        _cleanup_(vm_spec_freep) struct vm_spec *spec = build(site, (const char *)data, size);

        if (spec) {
                _cleanup_free_ char *once = spec_to_template(spec);
                _cleanup_(vm_spec_freep) struct vm_spec *again = build(site, once, strlen(once));
                _cleanup_free_ char *twice = again ? spec_to_template(again) : NULL;

                if (!twice || strcmp(once, twice) != 0) {
                        fprintf(stderr, "written:\n%s\nread and written again:\n%s\n", once,
                                twice ? twice : "(error)");
                        abort();
                }
        }

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
