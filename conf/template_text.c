/*
 * The native syntax, as opennebula-semantics section 1 describes upstream's, without its traps: what upstream
 * skips or reads in two ways is rejected with its place (DESIGN section 5.1). Time is linear in the text.
 */
#include "conf/template.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "conf/template_parts.h"

struct parser {
        struct template *template;
        const char *text;
        size_t length, at;
        size_t last_quote; /* offset of the last quote of the text */
        size_t n_items;    /* attributes and keys so far */
        size_t value_end;  /* where the last bare value ended */
        bool in_vector;
        /* The last place asked for: places are mostly asked for in order. */
        size_t seen, line_start;
        unsigned line;
        struct error *errors;
        unsigned n_errors;
};

static struct source_pos place(struct parser *p, size_t offset)
{
        const char *newline;

        if (offset < p->seen) {
                p->seen = p->line_start = 0;
                p->line = 1;
        }
        while ((newline = memchr(p->text + p->seen, '\n', offset - p->seen))) {
                p->seen = p->line_start = (size_t)(newline - p->text) + 1;
                p->line++;
        }
        p->seen = offset;
        return (struct source_pos){ .file = p->template->file,
                                    .line = p->line,
                                    .column = (unsigned)(offset - p->line_start) + 1 };
}

static int __attribute__((format(printf, 3, 4)))
fail(struct parser *p, size_t offset, const char *format, ...)
{
        struct source_pos pos = place(p, offset);
        _cleanup_text_ struct text message = TEXT_INIT;
        struct error *error = NULL;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&message, format, ap);
        va_end(ap);
        error_at(&error, &pos, "%s", text_str(&message));
        error->excerpt = template_excerpt(p->text, p->length, &pos);
        error_append(&p->errors, error);
        p->n_errors++;
        return -1;
}

/* What is at offset, for messages; lent until the next call. */
static const char *found(const struct parser *p, size_t offset)
{
        static _Thread_local char words[16];
        unsigned char c;

        if (offset >= p->length)
                return "the end of the text";
        c = (unsigned char)p->text[offset];
        if (c == '\n' || c == '\r')
                return "the end of the line";
        if (c > 0x20 && c < 0x7f) {
                words[0] = words[2] = '\'';
                words[1] = (char)c;
                words[3] = '\0';
        } else {
                static const char digits[] = "0123456789abcdef";

                memcpy(words, "byte 0x", 7);
                words[7] = digits[c >> 4];
                words[8] = digits[c & 15];
                words[9] = '\0';
        }
        return words;
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static bool is_name_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* A CR before a newline, or at the end, belongs to the line end. */
static bool is_line_end(const struct parser *p, size_t at)
{
        if (at < p->length && p->text[at] == '\r')
                at++;
        return at == p->length || p->text[at] == '\n';
}

static void skip_blanks(struct parser *p)
{
        while (p->at < p->length && is_blank(p->text[p->at]))
                p->at++;
}

static size_t next_line(const struct parser *p, size_t at)
{
        const char *newline = memchr(p->text + at, '\n', p->length - at);

        return newline ? (size_t)(newline - p->text) + 1 : p->length;
}

/* Blanks, line ends and comments. A comment may end with the text (upstream needs the newline). */
static void skip_space(struct parser *p)
{
        while (p->at < p->length) {
                char c = p->text[p->at];

                if (is_blank(c) || is_line_end(p, p->at))
                        p->at++;
                else if (c == '#')
                        p->at = next_line(p, p->at);
                else
                        return;
        }
}

/* Reads a NAME and the '=' after it; p->at is behind the blanks after '='. */
static int read_name(struct parser *p, char **ret, size_t *ret_start)
{
        size_t start = p->at, end;
        const char *s = p->text + start;
        _cleanup_free_ char *name = NULL;

        while (p->at < p->length && is_name_char(p->text[p->at]))
                p->at++;
        end = p->at;
        if (end == start) {
                if (p->in_vector)
                        return fail(p, start, "a key is expected, not %s", found(p, start));
                return fail(p, start, "a name is expected, not %s", found(p, start));
        }
        name = template_upper(s, end - start);
        skip_space(p);
        if (p->at == p->length || p->text[p->at] != '=') {
                _cleanup_free_ char *shown = text_printable(name);
                bool same_line = p->value_end && !memchr(p->text + p->value_end, '\n', start - p->value_end);

                if (same_line && !p->in_vector)
                        return fail(p, start, "'%.*s' follows a value: a value with blanks needs quotes",
                                    (int)(end - start < 80 ? end - start : 80), s);
                return fail(p,
                            end < p->length && !is_blank(p->text[end]) && !is_line_end(p, end) ? end : start,
                            "%s: '=' is expected after the name, not %s", shown, found(p, p->at));
        }
        p->at++;
        skip_blanks(p);
        if (p->at < p->length && p->text[p->at] == '=')
                return fail(p, p->at, "%s: a second '=': quote a value that begins with '='", name);
        *ret = TAKE_PTR(name);
        *ret_start = start;
        return 0;
}

/* Nothing more but a comma or bracket, blanks and a comment follows on the line. */
static bool ends_line(const struct parser *p, size_t at)
{
        while (at < p->length && is_blank(p->text[at]))
                at++;
        if (at < p->length && (p->text[at] == ',' || p->text[at] == ']'))
                at++;
        while (at < p->length && is_blank(p->text[at]))
                at++;
        return at == p->length || p->text[at] == '#' || is_line_end(p, at);
}

static void add_quoted(struct text *value, const char *s, size_t n)
{
        while (n) {
                const char *cr = memchr(s, '\r', n);
                size_t before = cr ? (size_t)(cr - s) : n;
                bool dropped = cr && before + 1 < n && cr[1] == '\n';

                text_add_bytes(value, s, before + (cr && !dropped));
                s += before + !!cr;
                n -= before + !!cr;
        }
}

/*
 * The only escape is \". Upstream takes the longest reading of a quote after a backslash. Here a quote after an
 * odd number of backslashes is an escaped one, unless no other quote is left to end the value; after an even
 * number it ends the value where it ends the line, and is rejected elsewhere.
 */
static int read_quoted(struct parser *p, const char *name, char **ret)
{
        size_t start = p->at, from = start + 1;
        _cleanup_text_ struct text value = TEXT_INIT;

        for (;;) {
                const char *quote = memchr(p->text + from, '"', p->length - from);
                size_t at, backslashes = 0;

                if (!quote)
                        return fail(p, start, "%s: the quote that begins here is not closed", name);
                at = (size_t)(quote - p->text);
                while (at - backslashes > from && p->text[at - backslashes - 1] == '\\')
                        backslashes++;
                if (backslashes == 0 || at == p->last_quote) {
                        add_quoted(&value, p->text + from, at - from);
                        p->at = at + 1;
                        break;
                }
                if (backslashes % 2 == 0) {
                        if (!ends_line(p, at + 1)) {
                                p->at = at;
                                return fail(p, at - backslashes,
                                            "%s: backslashes before a quote can be read in two ways; "
                                            "\\\" is a quote, and a value that ends in a backslash has to "
                                            "end its line",
                                            name);
                        }
                        add_quoted(&value, p->text + from, at - from);
                        p->at = at + 1;
                        break;
                }
                add_quoted(&value, p->text + from, at - from - 1);
                text_add(&value, "\"");
                from = at + 1;
        }
        if (p->at < p->length && !is_blank(p->text[p->at]) && !is_line_end(p, p->at) &&
            !strchr("#,]", p->text[p->at]))
                return fail(p, p->at,
                            "%s: %s follows the closing quote (a quote inside a value is written \\\")", name,
                            found(p, p->at));
        *ret = text_take(&value);
        return 0;
}

static int read_bare(struct parser *p, const char *name, char **ret)
{
        size_t start = p->at;

        while (p->at < p->length && !is_line_end(p, p->at)) {
                char c = p->text[p->at];

                /* The end of an XML CDATA section is text like any other. */
                if (c == ']' && p->length - p->at >= 3 && memcmp(p->text + p->at, "]]>", 3) == 0) {
                        p->at += 3;
                        continue;
                }
                if (is_blank(c) || strchr("=#,[]", c))
                        break;
                p->at++;
        }
        if (p->at == start)
                return fail(p, start, "%s: a value is expected, not %s (an empty value is \"\")", name,
                            found(p, start));
        if (p->at < p->length &&
            (strchr("=[", p->text[p->at]) || (!p->in_vector && strchr(",]", p->text[p->at]))))
                return fail(p, p->at, "%s: a value with %s needs quotes", name, found(p, p->at));
        *ret = xstrndup(p->text + start, p->at - start);
        p->value_end = p->at;
        return 0;
}

static int read_value(struct parser *p, const char *name, char **ret)
{
        p->value_end = 0;
        return p->at < p->length && p->text[p->at] == '"' ? read_quoted(p, name, ret)
                                                          : read_bare(p, name, ret);
}

static int count_item(struct parser *p, size_t offset)
{
        if (++p->n_items <= TEMPLATE_MAX_ATTRIBUTES)
                return 0;
        fail(p, offset, "more than %d attributes and keys", TEMPLATE_MAX_ATTRIBUTES);
        p->at = p->length;
        return -1;
}

static int read_pair(struct parser *p, struct template_attribute *vector)
{
        struct template_value pair = { 0 };
        size_t start = 0;

        if (read_name(p, &pair.name, &start) < 0)
                return -1;
        pair.name_pos = place(p, start);
        pair.value_pos = place(p, p->at);
        if (p->at < p->length && p->text[p->at] == '[') {
                fail(p, p->at, "%s/%s: a vector cannot hold a vector (quote a value with '[')", vector->name,
                     pair.name);
        } else if (p->at == p->length || p->text[p->at] == '#' || is_line_end(p, p->at)) {
                fail(p, p->at, "%s/%s: a value is expected on this line (an empty value is \"\")",
                     vector->name, pair.name);
        } else {
                _cleanup_free_ char *full = xasprintf("%s/%s", vector->name, pair.name);

                if (count_item(p, start) == 0 && read_value(p, full, &pair.value) == 0) {
                        pair.start = start;
                        pair.end = p->at;
                        ARRAY_GROW(vector->pairs, vector->n_pairs);
                        vector->pairs[vector->n_pairs++] = pair;
                        return 0;
                }
        }
        free(pair.name);
        return -1;
}

static int read_vector(struct parser *p, struct template_attribute *vector)
{
        unsigned line = vector->value_pos.line;

        p->at++;
        p->in_vector = true;
        p->value_end = 0;
        skip_space(p);
        if (p->at < p->length && p->text[p->at] == ']') {
                p->at++;
                p->in_vector = false;
                return 0;
        }
        for (;;) {
                if (p->at == p->length)
                        break;
                if (read_pair(p, vector) < 0)
                        return -1;
                skip_space(p);
                if (p->at == p->length)
                        break;
                if (p->text[p->at] == ']') {
                        p->at++;
                        p->in_vector = false;
                        return 0;
                }
                if (p->text[p->at] != ',') {
                        size_t end = p->at;

                        while (end < p->length && end - p->at < 80 && is_name_char(p->text[end]))
                                end++;
                        if (end > p->at)
                                return fail(p, p->at,
                                            "%s: ',' or ']' is missing before '%.*s' ('[' is in line %u)",
                                            vector->name, (int)(end - p->at), p->text + p->at, line);
                        return fail(p, p->at, "%s: ',' or ']' is expected, not %s ('[' is in line %u)",
                                    vector->name, found(p, p->at), line);
                }
                p->at++;
                skip_space(p);
                if (p->at < p->length && (p->text[p->at] == ']' || p->text[p->at] == ','))
                        return fail(p, p->at, "%s: a key is expected after ',', not %s", vector->name,
                                    found(p, p->at));
        }
        return fail(p, p->length, "%s: the '[' in line %u is not closed", vector->name, line);
}

/* Upstream's prefix, for names that would be no XML element (Template.cc). */
static char *top_level_name(const char *upper_name, const char *written)
{
        if (strncmp(written, "XML", 3) == 0 || isdigit((unsigned char)written[0]))
                return xasprintf("ONE_%s", upper_name);
        return xstrdup(upper_name);
}

static int read_attribute(struct parser *p)
{
        _cleanup_(template_attribute_done) struct template_attribute attribute = { 0 };
        _cleanup_free_ char *name = NULL;
        struct template *template = p->template;
        size_t start = 0;

        p->in_vector = false;
        if (read_name(p, &name, &start) < 0 || count_item(p, start) < 0)
                return -1;
        attribute.name = top_level_name(name, p->text + start);
        attribute.name_pos = place(p, start);
        attribute.value_pos = place(p, p->at);
        if (p->at == p->length)
                return fail(p, p->at, "%s: a value is expected, not the end of the text", attribute.name);
        if (p->text[p->at] == '#' || is_line_end(p, p->at)) {
                attribute.value = xstrdup("");
                p->value_end = 0;
        } else if (p->text[p->at] == '[') {
                attribute.is_vector = true;
                if (read_vector(p, &attribute) < 0)
                        return -1;
        } else if (read_value(p, attribute.name, &attribute.value) < 0) {
                return -1;
        }
        attribute.start = start;
        attribute.end = p->at;
        ARRAY_GROW(template->attributes, template->n_attributes);
        template->attributes[template->n_attributes++] = attribute;
        attribute = (struct template_attribute){ 0 };
        return 0;
}

/* The offset behind NAME and '=' when the line at offset begins with them, else 0. */
static size_t attribute_at(const struct parser *p, size_t at)
{
        size_t start;

        while (at < p->length && is_blank(p->text[at]))
                at++;
        for (start = at; at < p->length && is_name_char(p->text[at]); at++)
                ;
        if (at == start)
                return 0;
        while (at < p->length && is_blank(p->text[at]))
                at++;
        return at < p->length && p->text[at] == '=' ? at + 1 : 0;
}

/* After an error: behind the vector it was in, or the next line that starts an attribute. */
static void resynchronise(struct parser *p)
{
        size_t at = p->at;

        while (p->in_vector && at < p->length) {
                char c = p->text[at];
                size_t line = next_line(p, at);

                if (c == ']') {
                        p->at = at + 1;
                        return;
                }
                if (c == '#') {
                        at = line - (line > at && p->text[line - 1] == '\n');
                        continue;
                }
                if (c == '"') {
                        const char *end = memchr(p->text + at + 1, '"', line - at - 1);

                        at = end ? (size_t)(end - p->text) + 1 : at + 1;
                        continue;
                }
                at++;
                if (c == '\n') {
                        size_t value = attribute_at(p, at);

                        while (value && value < p->length && is_blank(p->text[value]))
                                value++;
                        if (value && (!is_blank(p->text[at]) || p->text[value] == '[')) {
                                p->at = at;
                                return;
                        }
                }
        }
        for (at = next_line(p, p->at); at < p->length; at = next_line(p, at))
                if (attribute_at(p, at))
                        break;
        p->at = at;
}

static size_t find_last_quote(const char *text, size_t length)
{
        const char *quote = memrchr(text, '"', length);

        return quote ? (size_t)(quote - text) : length;
}

static int parse(const char *file, const char *text, size_t length, bool last_counts, struct template **ret,
                 struct error **err)
{
        _cleanup_(template_freep) struct template *template = xcalloc(1, sizeof(*template));
        struct parser p = { .template = template, .text = text, .length = length, .line = 1 };
        const char *nul;

        template->file = xstrdup(strcmp(file, "-") == 0 ? "stdin" : file);
        if (length > TEMPLATE_MAX_BYTES) {
                error_set(err, ERROR_INVALID, "larger than %u MiB", TEMPLATE_MAX_BYTES >> 20);
                error_place(*err, &(struct source_pos){ .file = template->file });
                return -1;
        }
        nul = length ? memchr(text, '\0', length) : NULL;
        if (nul) {
                fail(&p, (size_t)(nul - text), "a NUL byte: this is not a text");
                *err = p.errors;
                return -1;
        }
        template->text = length ? xstrndup(text, length) : xstrdup("");
        p.text = template->text;
        p.last_quote = find_last_quote(template->text, length);
        /* A byte order mark, as editors of Windows write it. */
        if (text_starts_with(template->text, "\xef\xbb\xbf"))
                p.at = 3;
        for (;;) {
                skip_space(&p);
                if (p.at == p.length)
                        break;
                if (read_attribute(&p) == 0)
                        continue;
                if (p.n_errors == TEMPLATE_MAX_REPORTS)
                        break;
                resynchronise(&p);
        }
        if (p.errors) {
                *err = p.errors;
                return -1;
        }
        template_drop_repetition(template, last_counts ? REPEATED_LAST : REPEATED_ALL, REPEATED_FIRST);
        *ret = TAKE_PTR(template);
        return 0;
}

int template_parse_text(const char *file, const char *text, size_t length, struct template **ret,
                        struct error **err)
{
        return parse(file, text, length, false, ret, err);
}

int template_parse_layer(const char *file, const char *text, size_t length, struct template **ret,
                         struct error **err)
{
        return parse(file, text, length, true, ret, err);
}
