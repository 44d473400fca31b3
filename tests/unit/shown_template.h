/*
 * shown_template - a template on one line, to be compared with.
 */
#pragma once

#include "base/text.h"
#include "conf/template.h"

static inline void show_value(struct text *out, const char *value)
{
        text_add(out, "<");
        for (; *value; value++) {
                if (*value == '\n')
                        text_add(out, "\\n");
                else if (*value == '\r')
                        text_add(out, "\\r");
                else
                        text_add_bytes(out, value, 1);
        }
        text_add(out, ">");
}

/* Adds A=<1> B=[X=<2> Y=<3>]; ends of lines are shown as \n and \r. */
static inline void show_template(struct text *out, const struct template *template)
{
        for (size_t i = 0; i < template->n_attributes; i++) {
                const struct template_attribute *attribute = &template->attributes[i];

                text_addf(out, "%s%s=", i ? " " : "", attribute->name);
                if (!attribute->is_vector) {
                        show_value(out, attribute->value);
                        continue;
                }
                text_add(out, "[");
                for (size_t j = 0; j < attribute->n_pairs; j++) {
                        text_addf(out, "%s%s=", j ? " " : "", attribute->pairs[j].name);
                        show_value(out, attribute->pairs[j].value);
                }
                text_add(out, "]");
        }
}
