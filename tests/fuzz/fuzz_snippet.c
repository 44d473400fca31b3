/* libvirt XML in RAW/DATA to spec, and to text that gives the same spec without any snippet. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/spec_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes are the value as they are, which no text could say of all of them. */
static struct template *template_of(const char *snippet)
{
        static const char before[] = "NAME=fuzz\nMEMORY=64\nRAW=[TYPE=kvm,DATA=x";
        struct template *template = NULL;
        struct template_attribute *raw;
        struct error *err = NULL;

        if (template_parse("fuzz", "NAME=fuzz\nMEMORY=64\nRAW=[TYPE=kvm,DATA=x]", sizeof(before), &template,
                           &err) < 0)
                abort();
        raw = &template->attributes[template->n_attributes - 1];
        free(raw->pairs[1].value);
        raw->pairs[1].value = xstrdup(snippet);
        free(template->text);
        template->text = xasprintf("NAME=fuzz\nMEMORY=64\nRAW=[TYPE=kvm,DATA=\"%s\"]", snippet);
        return template;
}

static struct vm_spec *build(const struct template *template)
{
        static struct site *site;
        struct vm_spec *spec = NULL;
        struct error *err = NULL;

        if (!site && site_from_text(NULL, NULL, NULL, NULL, NULL, &site, &err) < 0)
                abort();
        if (spec_build(template, site, "/base", "fuzz", &spec, &err) < 0)
                for (const struct error *e = err; e; e = e->next)
                        free(error_text(e));
        error_free(err);
        return spec;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *snippet = xstrndup((const char *)data, size), *once = NULL, *twice = NULL;
        _cleanup_(template_freep) struct template *template = template_of(snippet), *text = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = build(template), *again = NULL;
        struct error *err = NULL;

        if (!spec)
                return 0;
        once = spec_to_template(spec);
        if (template_parse_text("again", once, strlen(once), &text, &err) < 0)
                abort();
        again = build(text);
        twice = again ? spec_to_template(again) : NULL;
        if (!twice || strcmp(once, twice) != 0) {
                fprintf(stderr, "written:\n%s\nread and written again:\n%s\n", once,
                        twice ? twice : "(error)");
                abort();
        }
        return 0;
}
