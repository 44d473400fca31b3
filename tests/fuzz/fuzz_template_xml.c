/* VM XML and other XML to spec, and to text that gives the same spec; places are asked for in every value. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/locator.h"
#include "conf/spec_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vm_spec *build(const struct site *site, const struct template *template)
{
        struct vm_spec *spec = NULL;
        struct error *err = NULL;

        if (spec_build(template, site, "/base", "fuzz", &spec, &err) < 0)
                for (const struct error *e = err; e; e = e->next)
                        free(error_text(e));
        error_free(err);
        return spec;
}

/* Every place is one of the text. */
static void locate(const struct template *template, const char *value, const struct source_pos *pos)
{
        struct locator locator;
        size_t n = strlen(value);

        locator_init_value(&locator, template, pos);
        for (size_t at = 0; at <= n; at += 1 + n / 16)
                if (!locator_place(&locator, at).line)
                        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct site *site;
        _cleanup_(template_freep) struct template *template = NULL, *text = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL, *again = NULL;
        _cleanup_free_ char *once = NULL, *twice = NULL;
        struct error *err = NULL;

        if (!site && site_from_text(NULL, NULL, NULL, NULL, NULL, &site, &err) < 0)
                abort();
        if (template_parse_xml("fuzz", (const char *)data, size, &template, &err) < 0) {
                error_free(err);
                return 0;
        }
        for (size_t i = 0; i < template->n_attributes; i++) {
                const struct template_attribute *attribute = &template->attributes[i];

                if (!attribute->is_vector)
                        locate(template, attribute->value, &attribute->value_pos);
                for (size_t j = 0; j < attribute->n_pairs; j++)
                        locate(template, attribute->pairs[j].value, &attribute->pairs[j].value_pos);
        }
        spec = build(site, template);
        if (!spec)
                return 0;
        once = spec_to_template(spec);
        if (template_parse_text("again", once, strlen(once), &text, &err) < 0)
                abort();
        again = build(site, text);
        twice = again ? spec_to_template(again) : NULL;
        if (!twice || strcmp(once, twice) != 0) {
                fprintf(stderr, "written:\n%s\nread and written again:\n%s\n", once,
                        twice ? twice : "(error)");
                abort();
        }
        return 0;
}
