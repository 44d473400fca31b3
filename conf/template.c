#include "conf/template.h"

#include <string.h>

#include "base/text.h"
#include "conf/secret.h"
#include "conf/template_parts.h"

enum { EXCERPT_WINDOW = 100, EXCERPT_BEFORE_CARET = 60, MASK_BEFORE = 65536 };

void template_attribute_done(struct template_attribute *attribute)
{
        for (size_t i = 0; i < attribute->n_pairs; i++) {
                free(attribute->pairs[i].name);
                free(attribute->pairs[i].value);
        }
        free(attribute->pairs);
        free(attribute->name);
        free(attribute->value);
}

void template_free(struct template *template)
{
        if (!template)
                return;
        for (size_t i = 0; i < template->n_attributes; i++)
                template_attribute_done(&template->attributes[i]);
        free(template->attributes);
        error_free(template->warnings);
        free(template->text);
        free(template->vm_directory);
        free(template->file);
        free(template);
}

struct template *template_copy(const struct template *template)
{
        struct template *copy = xcalloc(1, sizeof(*copy));

        copy->file = xstrdup(template->file);
        copy->text = xstrdup(template->text);
        copy->is_xml = template->is_xml;
        copy->is_vm = template->is_vm;
        copy->vm_directory = xstrdup_null(template->vm_directory);
        /* Places keep the original's file name, which outlives the copy. */
        for (size_t i = 0; i < template->n_attributes; i++) {
                const struct template_attribute *from = &template->attributes[i];
                struct template_attribute to = *from;

                to.name = xstrdup(from->name);
                to.value = xstrdup_null(from->value);
                to.pairs = NULL;
                for (to.n_pairs = 0; to.n_pairs < from->n_pairs; to.n_pairs++) {
                        const struct template_value *pair = &from->pairs[to.n_pairs];

                        ARRAY_GROW(to.pairs, to.n_pairs);
                        to.pairs[to.n_pairs] = *pair;
                        to.pairs[to.n_pairs].name = xstrdup(pair->name);
                        to.pairs[to.n_pairs].value = xstrdup(pair->value);
                }
                ARRAY_GROW(copy->attributes, copy->n_attributes);
                copy->attributes[copy->n_attributes++] = to;
        }
        return copy;
}

char *template_upper(const char *s, size_t n)
{
        char *name = xstrndup(s, n);

        for (char *c = name; *c; c++)
                if (*c >= 'a' && *c <= 'z')
                        *c = (char)(*c - 'a' + 'A');
        return name;
}

static const char byte_order_mark[] = "\xef\xbb\xbf";

int template_parse(const char *file, const char *text, size_t length, struct template **ret,
                   struct error **err)
{
        size_t start = length >= 3 && memcmp(text, byte_order_mark, 3) == 0 ? 3 : 0;

        while (start < length && strchr(" \t\r\n", text[start]) && text[start])
                start++;
        if (start < length && text[start] == '<')
                return template_parse_xml(file, text, length, ret, err);
        return template_parse_text(file, text, length, ret, err);
}

const struct template_attribute *template_next(const struct template *template, const char *name,
                                               bool is_vector, size_t *start)
{
        if (!template)
                return NULL;
        while (*start < template->n_attributes) {
                const struct template_attribute *attribute = &template->attributes[(*start)++];

                /* Most differ in their first letter. */
                if (attribute->is_vector == is_vector && *attribute->name == *name &&
                    strcmp(attribute->name, name) == 0)
                        return attribute;
        }
        return NULL;
}

static bool can_be_bare(const char *value)
{
        return *value && *value != '"' && value[strcspn(value, "=# \t\n\r,[]")] == '\0';
}

static bool can_be_quoted(const char *value)
{
        size_t backslashes = 0;

        if (!value[strcspn(value, "\\\r")])
                return true;
        for (const char *s = value; *s; s++) {
                if (*s == '"' && backslashes % 2)
                        return false;
                if (s[0] == '\r' && s[1] == '\n')
                        return false;
                backslashes = *s == '\\' ? backslashes + 1 : 0;
        }
        return backslashes % 2 == 0;
}

bool template_value_is_writable(const char *value)
{
        return can_be_quoted(value) || can_be_bare(value);
}

void template_write_value(struct text *out, const char *name, const char *value)
{
        text_add(out, name);
        text_add(out, " = ");
        if (!can_be_quoted(value) && can_be_bare(value)) {
                text_add(out, value);
                return;
        }
        text_add(out, "\"");
        for (;;) {
                size_t n = strcspn(value, "\"");

                text_add_bytes(out, value, n);
                value += n;
                if (!*value++)
                        break;
                text_add(out, "\\\"");
        }
        text_add(out, "\"");
}

/* Bytes of the UTF-8 character at s that are safe to show on a terminal, 0 when it is none. */
static size_t shown_length(const unsigned char *s, size_t n)
{
        size_t length = s[0] < 0x80   ? 1
                        : s[0] < 0xc2 ? 0
                        : s[0] < 0xe0 ? 2
                        : s[0] < 0xf0 ? 3
                        : s[0] < 0xf5 ? 4
                                      : 0;

        if (s[0] < 0x20 || s[0] == 0x7f || length > n)
                return 0;
        for (size_t i = 1; i < length; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        /* U+0080 to U+009F are control characters as well. */
        if (s[0] == 0xc2 && s[1] < 0xa0)
                return 0;
        return length;
}

char *template_excerpt(const char *text, size_t length, const struct source_pos *pos)
{
        const char *line = text, *end = text + length, *line_end, *window;
        _cleanup_free_ char *masked = NULL;
        struct text out = TEXT_INIT;
        size_t column, from, to, padding = 0;

        if (!pos->line || !pos->column)
                return NULL;
        for (unsigned i = 1; i < pos->line; i++) {
                const char *newline = memchr(line, '\n', (size_t)(end - line));

                if (!newline)
                        return NULL;
                line = newline + 1;
        }
        line_end = memchr(line, '\n', (size_t)(end - line));
        if (!line_end)
                line_end = end;
        if (line_end > line && line_end[-1] == '\r')
                line_end--;
        if (line_end == line)
                return NULL;
        /* A secret may begin on a line above. */
        window = line - text > MASK_BEFORE ? line - MASK_BEFORE : text;
        masked = secret_mask(window, (size_t)(line_end - window));
        length = (size_t)(line_end - line);
        line = masked + (line - window);
        column = pos->column - 1 < length ? pos->column - 1 : length;

        from = column > EXCERPT_WINDOW - 20 ? column - EXCERPT_BEFORE_CARET : 0;
        while (from && from < length && ((unsigned char)line[from] & 0xc0) == 0x80)
                from--;
        to = length - from > EXCERPT_WINDOW ? from + EXCERPT_WINDOW : length;
        if (from) {
                text_add(&out, "...");
                padding = 3;
        }
        for (size_t i = from; i < to;) {
                size_t n = shown_length((const unsigned char *)line + i, length - i);

                if (n)
                        text_add_bytes(&out, line + i, n);
                else
                        text_add(&out, line[i] == '\t' ? " " : "?");
                if (i < column)
                        padding++;
                i += n ? n : 1;
        }
        if (to < length)
                text_add(&out, "...");
        text_addf(&out, "\n%*s^", (int)padding, "");
        return text_take(&out);
}

void template_add_excerpt(const struct template *template, struct error *error)
{
        if (!error->excerpt && error->pos.file && strcmp(error->pos.file, template->file) == 0)
                error->excerpt = template_excerpt(template->text, strlen(template->text), &error->pos);
}
