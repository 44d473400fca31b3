#include "conf/template_edit.h"

#include <string.h>

#include "base/text.h"

/* text with [start, end) replaced. */
static char *replaced(const char *text, size_t start, size_t end, const char *by)
{
        struct text out = TEXT_INIT;

        text_add_bytes(&out, text, start);
        text_add(&out, by);
        text_add(&out, text + end);
        return text_take(&out);
}

static char *with_end(const char *text, const char *more)
{
        size_t n = strlen(text);

        return xasprintf("%s%s%s", text, n && text[n - 1] != '\n' ? "\n" : "", more);
}

char *template_edit_add(const struct template *template, const struct template_attribute *vector)
{
        _cleanup_text_ struct text block = TEXT_INIT;

        text_addf(&block, "%s = [", vector->name);
        for (size_t i = 0; i < vector->n_pairs; i++) {
                text_add(&block, i ? ",\n  " : "\n  ");
                template_write_value(&block, vector->pairs[i].name, vector->pairs[i].value);
        }
        text_add(&block, "\n]\n");
        return with_end(template->text, text_str(&block));
}

char *template_edit_remove(const struct template *template, size_t i)
{
        const char *text = template->text;
        size_t start = template->attributes[i].start, end = template->attributes[i].end;
        size_t line = start, rest = end;

        while (line > 0 && (text[line - 1] == ' ' || text[line - 1] == '\t'))
                line--;
        while (text[rest] == ' ' || text[rest] == '\t' || text[rest] == '\r')
                rest++;
        if (line == 0 || text[line - 1] == '\n') {
                start = line;
                /* A comment on its last line is about it. */
                if (text[rest] == '#' || text[rest] == '\n' || !text[rest])
                        end = rest + strcspn(text + rest, "\n");
                end += text[end] == '\n';
        }
        return replaced(text, start, end, "");
}

char *template_edit_set(const struct template *template, const char *name, const char *value)
{
        _cleanup_text_ struct text line = TEXT_INIT;

        template_write_value(&line, name, value);
        for (size_t i = template->n_attributes; i-- > 0;) {
                const struct template_attribute *attribute = &template->attributes[i];

                if (!attribute->is_vector && strcmp(attribute->name, name) == 0)
                        return replaced(template->text, attribute->start, attribute->end, text_str(&line));
        }
        text_add(&line, "\n");
        return with_end(template->text, text_str(&line));
}

/* In front of the others, where no comment can swallow it, and laid out as they are. */
static char *insert_pair(const struct template *template, const struct template_attribute *vector, size_t at,
                         const char *pair)
{
        const char *rest = template->text + at + strspn(template->text + at, " \t\r");
        _cleanup_text_ struct text inserted = TEXT_INIT;

        if (vector->n_pairs && *rest == '\n') {
                const char *first = template->text + vector->pairs[0].start, *indent = first;

                while (indent[-1] == ' ' || indent[-1] == '\t')
                        indent--;
                text_add(&inserted, "\n");
                text_add_bytes(&inserted, indent, (size_t)(first - indent));
        } else if (*rest != template->text[at]) {
                text_add(&inserted, " ");
        }
        text_addf(&inserted, "%s%s", pair, vector->n_pairs ? "," : "");
        if (vector->n_pairs && *rest == template->text[at] && *rest != '\n')
                text_add(&inserted, " ");
        return replaced(template->text, at, at, text_str(&inserted));
}

char *template_edit_set_pair(const struct template *template, size_t i, const char *key, const char *value)
{
        const struct template_attribute *vector = &template->attributes[i];
        _cleanup_text_ struct text pair = TEXT_INIT;
        const char *bracket;
        size_t at;

        template_write_value(&pair, key, value);
        for (size_t k = vector->n_pairs; k-- > 0;)
                if (strcmp(vector->pairs[k].name, key) == 0)
                        return replaced(template->text, vector->pairs[k].start, vector->pairs[k].end,
                                        text_str(&pair));
        bracket = strchr(template->text + vector->start, '[');
        at = (size_t)(bracket - template->text) + 1;
        return insert_pair(template, vector, at, text_str(&pair));
}
