/*
 * spec_rules - what spec_build.c and spec_check.c share while a spec is being made; private to them.
 */
#pragma once

#include "conf/attr.h"
#include "conf/site.h"
#include "conf/spec_build.h"
#include "conf/vm_spec.h"

struct spec_builder {
        const struct template *template;
        const struct site *site;
        struct vm_spec *spec;
        struct error *errors;
        unsigned n_errors;
};

/* Takes the error, gives it its excerpt and keeps it, up to twenty. */
void spec_report(struct spec_builder *builder, struct error *error);
void spec_fail(struct spec_builder *builder, const struct source_pos *pos, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void spec_warn(struct spec_builder *builder, const struct source_pos *pos, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* The origin of KEY in a section that has been filled; KEY must be a row of it. */
struct origin *spec_origin(const struct attr_section *section, const void *record, const char *key);
/* A value was given, by whatever layer, and is not empty. */
bool spec_is_given(const struct attr_section *section, const void *record, const char *key);

/* Rules that span attributes; nothing is changed but values that count only with others. */
void spec_check(struct spec_builder *builder);
