/*
 * spec_trip - a template to its spec, and back: what a spec is written as gives the same text again.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/spec_build.h"

/* The site without configuration files. */
static inline const struct site *trip_site(void)
{
        static struct site *site;
        struct error *err = NULL;

        if (!site && site_from_text(NULL, NULL, NULL, NULL, NULL, &site, &err) < 0)
                abort();
        return site;
}

/* NULL when the template has errors, whose texts were made. */
static inline struct vm_spec *trip_build(const struct template *template)
{
        struct vm_spec *spec = NULL;
        struct error *err = NULL;

        if (spec_build(template, trip_site(), "/base", "fuzz", &spec, &err) < 0)
                for (const struct error *e = err; e; e = e->next)
                        free(error_text(e));
        error_free(err);
        return spec;
}

/* Ends the program when the way back is another. */
static inline void trip_back(const struct vm_spec *spec)
{
        _cleanup_free_ char *once = spec_to_template(spec), *twice = NULL;
        _cleanup_(template_freep) struct template *text = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *again = NULL;
        struct error *err = NULL;

        if (template_parse_text("again", once, strlen(once), &text, &err) < 0)
                abort();
        again = trip_build(text);
        twice = again ? spec_to_template(again) : NULL;
        if (!twice || strcmp(once, twice) != 0) {
                fprintf(stderr, "written:\n%s\nread and written again:\n%s\n", once,
                        twice ? twice : "(error)");
                abort();
        }
}
