/*
 * spec_fixture - a VM from template text and the texts of configuration files.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/attr.h"
#include "conf/spec_build.h"

static inline struct site *site_of(const char *driver, const char *cluster, const char *host)
{
        struct site *site = NULL;
        struct error *err = NULL;

        if (site_from_text(NULL, driver, cluster, host, NULL, &site, &err) < 0) {
                _cleanup_free_ char *text = error_text(err);

                fail_msg("%s", text);
        }
        return site;
}

/* NULL and *err, or the spec; the template is called t and lies in /base. */
static inline struct vm_spec *try_build(const struct site *site, const char *text, struct error **err)
{
        _cleanup_(template_freep) struct template *template = NULL;
        struct vm_spec *spec = NULL;

        if (template_parse("t", text, strlen(text), &template, err) < 0)
                return NULL;
        if (spec_build(template, site, "/base", "web", &spec, err) < 0)
                return NULL;
        return spec;
}

static inline struct vm_spec *build(const struct site *site, const char *text)
{
        struct error *err = NULL;
        struct vm_spec *spec = try_build(site, text, &err);

        if (!spec) {
                _cleanup_free_ char *words = error_text(err);

                fail_msg("%s", words);
        }
        return spec;
}

static inline const struct site *empty_site(void)
{
        static struct site *site;

        if (!site)
                site = site_of(NULL, NULL, NULL);
        return site;
}
