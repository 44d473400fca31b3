/* libvirt XML in RAW/DATA to spec, and to text that gives the same spec without any snippet. */
#include <stdint.h>

#include "tests/fuzz/spec_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte may say whose text the others are; without, RAW's. */
static const struct {
        char mark;
        const char *text; /* ends with the attribute that takes it */
} kinds[] = {
        { '!', "NAME=fuzz MEMORY=64 FEATURES=[HYPERV=yes] HYPERV_OPTIONS=x" },
        { '#', "NAME=fuzz MEMORY=64 FEATURES=[HYPERV=yes] TIMER=[NAME=hpet] HYPERV_TIMERS=x" },
        { '$', "NAME=fuzz MEMORY=64 GRAPHICS=[TYPE=spice] SPICE_OPTIONS=x" },
        { '%', "NAME=fuzz MEMORY=64 RAW=[TYPE=kvm,VALIDATE=no,DATA=x]" },
        { '&', "NAME=fuzz MEMORY=64 CPU_MODEL=[FEATURES=\"vmx,-svm,avx=off\"] RAW=[TYPE=kvm,DATA=x]" },
        { '\0', "NAME=fuzz MEMORY=64 RAW=[TYPE=kvm,DATA=x]" },
};

/* The bytes are the value as they are, which no text could say of all of them. */
static struct template *template_of(const char *snippet)
{
        struct template *template = NULL;
        struct template_attribute *last;
        struct error *err = NULL;
        char **value;
        size_t kind = 0;

        while (kinds[kind].mark && kinds[kind].mark != *snippet)
                kind++;
        if (kinds[kind].mark)
                snippet++;
        if (template_parse("fuzz", kinds[kind].text, strlen(kinds[kind].text), &template, &err) < 0)
                abort();
        last = &template->attributes[template->n_attributes - 1];
        value = last->is_vector ? &last->pairs[last->n_pairs - 1].value : &last->value;
        free(*value);
        *value = xstrdup(snippet);
        free(template->text);
        template->text = xasprintf("%s\n\"%s\"", kinds[kind].text, snippet);
        return template;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *snippet = xstrndup((const char *)data, size);
        _cleanup_(template_freep) struct template *template = template_of(snippet);
        _cleanup_(vm_spec_freep) struct vm_spec *spec = trip_build(template);

        if (spec)
                trip_back(spec);
        return 0;
}
