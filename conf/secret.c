#include "conf/secret.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "conf/attr.h"

enum secret_kind secret_kind_of(const char *value, const char **ret_path)
{
        static const char file[] = "file:";

        if (strcmp(value, SECRET_WITHHELD_TEXT) == 0)
                return SECRET_WITHHELD;
        if (!text_starts_with(value, file))
                return SECRET_TEXT;
        if (ret_path)
                *ret_path = value + sizeof(file) - 1;
        return SECRET_FILE;
}

/* The names of the secret rows of all sections. */
struct names {
        const char **items;
        size_t n;
};

static void add_names(struct names *names, const struct attr_section *const *sections)
{
        for (; *sections; sections++)
                for (size_t i = 0; i < (*sections)->n_rows; i++) {
                        if (!(*sections)->rows[i].secret)
                                continue;
                        ARRAY_GROW(names->items, names->n);
                        names->items[names->n++] = (*sections)->rows[i].name;
                }
}

static bool has_name(const struct names *names, const char *name, size_t length)
{
        for (size_t i = 0; i < names->n; i++)
                if (strncasecmp(names->items[i], name, length) == 0 && names->items[i][length] == '\0')
                        return true;
        return false;
}

static bool is_name_byte(char c)
{
        return isalnum((unsigned char)c) || c == '_';
}

static void cover(char *text, size_t from, size_t to)
{
        for (; from < to; from++)
                if (text[from] != '\n')
                        text[from] = '*';
}

/* The end of the native value that starts at from: behind its closing quote, or where a bare one ends. One in single
 * quotes is an XML attribute, or bare: then a bit more is covered. */
static size_t native_end(const char *text, size_t length, size_t from)
{
        bool quoted = text[from] == '"', escaped = false;
        const char *end = memchr(text + from, '\n', length - from), *again = NULL;

        if (text[from] == '\'')
                again = memchr(text + from + 1, '\'',
                               (size_t)((end ? end : text + length) - text) - from - 1);
        if (again)
                return (size_t)(again - text) + 1;
        for (size_t i = from + quoted; i < length; i++) {
                if (quoted && text[i] == '"' && !escaped)
                        return i + 1;
                if (!quoted && strchr(",]\n", text[i]))
                        return i;
                escaped = text[i] == '\\' && !escaped;
        }
        return length;
}

/* Behind the next of these bytes, or the end. */
static size_t behind(const char *text, size_t length, size_t from, const char *bytes)
{
        const char *found = memmem(text + from, length - from, bytes, strlen(bytes));

        return found ? (size_t)(found - text) + strlen(bytes) : length;
}

/* Behind the '>' of the tag whose name ends at from; attributes may hold one in quotes. *ret_is_empty: <KEY/>. Of a tag
 * that does not end all is content. */
static size_t tag_end(const char *text, size_t length, size_t from, bool *ret_is_empty)
{
        char quote = 0;

        for (size_t i = from; i < length; i++) {
                if (quote) {
                        quote = text[i] == quote ? 0 : quote;
                } else if (text[i] == '"' || text[i] == '\'') {
                        quote = text[i];
                } else if (text[i] == '>') {
                        *ret_is_empty = text[i - 1] == '/';
                        return i + 1;
                }
        }
        *ret_is_empty = false;
        return from;
}

/* Where the element whose content starts at from ends; "</" inside of CDATA and comments is none. */
static size_t xml_end(const char *text, size_t length, size_t from)
{
        static const char cdata[] = "<![CDATA[", comment[] = "<!--";

        for (size_t i = from; i < length;) {
                if (length - i >= strlen(cdata) && memcmp(text + i, cdata, strlen(cdata)) == 0)
                        i = behind(text, length, i, "]]>");
                else if (length - i >= strlen(comment) && memcmp(text + i, comment, strlen(comment)) == 0)
                        i = behind(text, length, i, "-->");
                else if (length - i >= 2 && memcmp(text + i, "</", 2) == 0)
                        return i;
                else
                        i++;
        }
        return length;
}

char *secret_mask(const char *text, size_t length)
{
        struct names names = { 0 };
        char *masked = xmalloc(length + 1);

        add_names(&names, attr_sections);
        add_names(&names, attr_coming_sections);
        memcpy(masked, text, length);
        masked[length] = '\0';
        for (size_t i = 0; i < length;) {
                size_t start = i, after;

                if (!is_name_byte(text[i])) {
                        i++;
                        continue;
                }
                while (i < length && is_name_byte(text[i]))
                        i++;
                if (!has_name(&names, text + start, i - start))
                        continue;
                after = i;
                if (start > 0 && text[start - 1] == '<') {
                        bool is_empty;

                        after = tag_end(text, length, after, &is_empty);
                        i = is_empty ? after : xml_end(text, length, after);
                        cover(masked, after, i);
                        continue;
                }
                while (after < length && strchr(" \t\r\n", text[after]))
                        after++;
                if (after == length || text[after] != '=')
                        continue;
                for (after++; after < length && strchr(" \t\r", text[after]);)
                        after++;
                if (after == length)
                        continue;
                i = native_end(text, length, after);
                cover(masked, after, i);
        }
        free(names.items);
        return masked;
}
