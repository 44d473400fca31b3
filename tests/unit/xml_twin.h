/* A template's tree written as VM XML, each name in the line that it has in the text. */
#pragma once

#include <jansson.h>
#include <string.h>

#include "base/text.h"
#include "conf/template.h"

struct twin {
        struct text out;
        unsigned line;
};

static inline void twin_add(struct twin *twin, const char *s)
{
        for (const char *c = s; (c = strchr(c, '\n')); c++)
                twin->line++;
        text_add(&twin->out, s);
}

static inline void twin_go_to(struct twin *twin, unsigned line)
{
        while (twin->line < line)
                twin_add(twin, "\n");
}

/* As character data or as a CDATA section, by turns. */
static inline void twin_add_value(struct twin *twin, const char *name, const char *value)
{
        _cleanup_free_ char *start = xasprintf("<%s>", name), *end = xasprintf("</%s>", name);
        bool is_section = strlen(name) % 2 && !strstr(value, "]]>") && !strchr(value, '\r');

        twin_add(twin, start);
        if (is_section || !*value) {
                twin_add(twin, "<![CDATA[");
                twin_add(twin, value);
                twin_add(twin, "]]>");
        }
        for (; !is_section && *value; value++) {
                char byte[2] = { *value, '\0' };

                twin_add(twin, *value == '<'    ? "&lt;"
                               : *value == '&'  ? "&#38;"
                               : *value == '>'  ? "&gt;"
                               : *value == '\r' ? "&#xd;"
                                                : byte);
        }
        twin_add(twin, end);
}

/* What XML 1.0 has no way to say; NULL: nothing. */
static inline const char *twin_cannot_say(const char *value)
{
        json_auto_t *valid = json_string(value);

        if (!valid)
                return "bytes that are not UTF-8";
        for (; *value; value++)
                if ((unsigned char)*value < 0x20 && !strchr("\t\n\r", *value))
                        return "control character";
        return NULL;
}

/* New string; NULL when there is none, with the reason: what XML cannot say, or an empty vector, which is no attribute. */
static inline char *xml_twin(const struct template *template, const char **ret_why_none)
{
        bool in_message = template->n_attributes % 2;
        struct twin twin = { .line = 1 };

        twin_add(&twin, in_message ? "<VMM_DRIVER_ACTION_DATA><HOST/><VM><TEMPLATE>" : "<VM><TEMPLATE>");
        *ret_why_none = NULL;
        for (size_t i = 0; i < template->n_attributes && !*ret_why_none; i++) {
                const struct template_attribute *attribute = &template->attributes[i];
                _cleanup_free_ char *end = xasprintf("</%s>", attribute->name);

                twin_go_to(&twin, attribute->name_pos.line);
                if (!attribute->is_vector) {
                        twin_add_value(&twin, attribute->name, attribute->value);
                        *ret_why_none = twin_cannot_say(attribute->value);
                        continue;
                }
                text_addf(&twin.out, "<%s>", attribute->name);
                for (size_t j = 0; j < attribute->n_pairs && !*ret_why_none; j++) {
                        twin_go_to(&twin, attribute->pairs[j].name_pos.line);
                        twin_add_value(&twin, attribute->pairs[j].name, attribute->pairs[j].value);
                        *ret_why_none = twin_cannot_say(attribute->pairs[j].value);
                }
                twin_add(&twin, end);
                if (!attribute->n_pairs)
                        *ret_why_none = "empty vector";
        }
        twin_add(&twin, in_message ? "</TEMPLATE></VM></VMM_DRIVER_ACTION_DATA>" : "</TEMPLATE></VM>");
        if (!*ret_why_none)
                return text_take(&twin.out);
        text_done(&twin.out);
        return NULL;
}
