/* VM XML and other XML to spec, and to text that gives the same spec; places are asked for in every value. */
#include <stdint.h>

#include "conf/locator.h"
#include "tests/fuzz/spec_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        struct error *err = NULL;

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
        spec = trip_build(template);
        if (spec)
                trip_back(spec);
        return 0;
}
