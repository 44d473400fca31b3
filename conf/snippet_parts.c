/* What the readers of elements work with: parts of the XML, and the attributes that they become. */
#include "conf/snippet_parts.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "base/text.h"

static void add_error(struct error **list, const struct source_pos *pos, const char *format, va_list ap)
        __attribute__((format(printf, 3, 0)));
static void add_error(struct error **list, const struct source_pos *pos, const char *format, va_list ap)
{
        _cleanup_text_ struct text message = TEXT_INIT;
        struct error *error = NULL;

        text_vaddf(&message, format, ap);
        error_at(&error, pos, "%s", text_str(&message));
        error_append(list, error);
}

void snippet_refuse(struct snippet_unit *unit, const struct source_pos *pos, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        add_error(&unit->errors, pos, format, ap);
        va_end(ap);
}

void snippet_note(struct snippet_unit *unit, const struct source_pos *pos, const char *what)
{
        struct error *error = NULL;

        error_at(&error, pos, "%s", what);
        error_append(&unit->notes, error);
}

void snippet_begin(struct snippet_unit *unit, const char *vector, const struct source_pos *pos)
{
        ARRAY_GROW(unit->vectors, unit->n_vectors);
        unit->vectors[unit->n_vectors++] = (struct snippet_vector){ .name = vector, .pos = *pos };
}

/* The value as its row checks it. */
static void check_value(struct snippet_unit *unit, const char *vector, const char *key, const char *value,
                        const struct source_pos *pos)
{
        const struct attr_section *section = *vector ? attr_section_find(vector) : &attr_vm;
        const struct attr *row = attr_find(section, key);
        struct error *error = NULL;

        if (!row || row->state != ATTR_HERE)
                snippet_refuse(unit, pos, "%s%s%s: not supported by this version of vmlaunch", vector,
                               *vector ? "/" : "", key);
        else if (!spec_text_is_empty(value) && attr_set(section, row, value, pos, NULL, &error) < 0)
                error_append(&unit->errors, error);
}

void snippet_set(struct snippet_unit *unit, const char *key, const char *value, const struct source_pos *pos)
{
        struct snippet_vector *vector;

        assert(unit->vectors);
        vector = &unit->vectors[unit->n_vectors - 1];
        for (size_t i = 0; i < vector->n_pairs; i++)
                if (strcmp(vector->pairs[i].name, key) == 0) {
                        snippet_refuse(unit, pos, "%s%s%s: line %u says it too", vector->name,
                                       *vector->name ? "/" : "", key, vector->pairs[i].value_pos.line);
                        return;
                }
        check_value(unit, vector->name, key, value, pos);
        ARRAY_GROW(vector->pairs, vector->n_pairs);
        vector->pairs[vector->n_pairs++] = (struct template_value){
                .name = xstrdup(key), .value = xstrdup(value), .name_pos = *pos, .value_pos = *pos
        };
}

void snippet_setf(struct snippet_unit *unit, const char *key, const struct source_pos *pos,
                  const char *format, ...)
{
        _cleanup_text_ struct text value = TEXT_INIT;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&value, format, ap);
        va_end(ap);
        snippet_set(unit, key, text_str(&value), pos);
}

void snippet_add_flag(struct snippet_unit *unit, const char *flag, const struct source_pos *pos)
{
        for (size_t i = 0; i < unit->n_vectors; i++) {
                struct snippet_vector *vector = &unit->vectors[i];

                if (strcmp(vector->name, "CPU_MODEL") != 0 || !vector->n_pairs ||
                    strcmp(vector->pairs[0].name, "FEATURES") != 0)
                        continue;
                _cleanup_free_ char *flags = vector->pairs[0].value;

                vector->pairs[0].value = xasprintf("%s,%s", flags, flag);
                check_value(unit, "CPU_MODEL", "FEATURES", flag, pos);
                return;
        }
        snippet_begin(unit, "CPU_MODEL", pos);
        snippet_set(unit, "FEATURES", flag, pos);
}

struct xml_attribute *snippet_attribute(struct xml_element *element, const char *name)
{
        for (size_t i = 0; i < element->n_attributes; i++)
                if (strcmp(element->attributes[i].name, name) == 0) {
                        element->attributes[i].taken = true;
                        return &element->attributes[i];
                }
        return NULL;
}

const char *snippet_value(struct xml_element *element, const char *name)
{
        const struct xml_attribute *attribute = snippet_attribute(element, name);

        return attribute ? attribute->value : "";
}

struct xml_element *snippet_find(struct xml_element *element, const char *name)
{
        for (struct xml_element *child = element->children; child; child = child->next)
                if (!child->taken && strcmp(child->name, name) == 0)
                        return child;
        return NULL;
}

struct xml_element *snippet_child(struct xml_element *element, const char *name)
{
        struct xml_element *child = snippet_find(element, name);

        if (child)
                child->taken = true;
        return child;
}

char *snippet_size(struct xml_element *element, const char *unit_attribute, const char *number)
{
        const char *size_unit = snippet_value(element, unit_attribute);

        return xasprintf("%s %s", number,
                         !*size_unit                       ? "KiB"
                         : strcmp(size_unit, "bytes") == 0 ? "b"
                                                           : size_unit);
}

char *snippet_text(struct xml_element *element)
{
        const char *text = element->text + strspn(element->text, " \t\r\n");
        size_t n = strlen(text);

        while (n && strchr(" \t\r\n", text[n - 1]))
                n--;
        element->text_taken = true;
        return xstrndup(text, n);
}

bool snippet_is(const char *word, const char *list)
{
        size_t n = strlen(word);

        while (*list) {
                size_t length = strcspn(list, " ");

                if (n && n == length && strncmp(word, list, n) == 0)
                        return true;
                list += length + (list[length] == ' ');
        }
        return false;
}

void snippet_ignore(struct xml_element *element)
{
        element->taken = element->text_taken = true;
        for (size_t i = 0; i < element->n_attributes; i++)
                element->attributes[i].taken = true;
        for (struct xml_element *child = element->children; child; child = child->next)
                snippet_ignore(child);
}

void snippet_demand(struct snippet_unit *unit, struct xml_element *element, const char *name,
                    const char *words)
{
        const struct xml_attribute *attribute = snippet_attribute(element, name);

        if (!attribute || snippet_is(attribute->value, words))
                return;
        _cleanup_free_ char *shown = text_printable(attribute->value);

        snippet_refuse(unit, &attribute->value_pos, "<%s>: %s='%s' has no counterpart", unit->path, name,
                       shown);
}

/* Ours for libvirt's word, "" for one that cannot be carried; new string, NULL: the list does not have it. */
static char *translated(const char *word, const char *list)
{
        size_t n = strlen(word);

        while (list && *list) {
                size_t from = strcspn(list, "= "), length = strcspn(list, " ");

                if (list[from] == '=' && from == n && strncmp(word, list, n) == 0)
                        return xstrndup(list + from + 1, length - from - 1);
                list += length + (list[length] == ' ');
        }
        return NULL;
}

/* The element that a row's path is about; NULL: there is none. An element may have been taken by another row. */
static struct xml_element *row_element(struct xml_element *element, const char *path)
{
        while (*path && *path != '@' && strcmp(path, ".") != 0) {
                size_t n = strcspn(path, "/@");
                struct xml_element *child = element->children;

                while (child && (strncmp(child->name, path, n) != 0 || child->name[n]))
                        child = child->next;
                if (!child)
                        return NULL;
                child->taken = true;
                element = child;
                path += n + (path[n] == '/');
        }
        return element;
}

static void read_row(struct snippet_unit *unit, struct xml_element *element, const struct snippet_row *row)
{
        struct xml_element *from = row_element(element, row->path);
        const char *name = strchr(row->path, '@');
        _cleanup_free_ char *value = NULL, *ours = NULL;
        struct xml_attribute *attribute;
        struct source_pos pos;

        if (!from)
                return;
        if (name) {
                attribute = snippet_attribute(from, name + 1);
                if (!attribute)
                        return;
                value = xstrdup(attribute->value);
                pos = attribute->value_pos;
        } else {
                value = snippet_text(from);
                pos = from->text_pos;
                /* An empty element says that it is there. */
                if (!*value && !row->words && !row->is_size)
                        return;
        }
        if (!row->key) {
                _cleanup_free_ char *what = xasprintf("<%s>/%s", unit->path, row->path);

                snippet_note(unit, &pos, what);
                return;
        }
        ours = translated(value, row->words);
        if (ours && !*ours) {
                _cleanup_free_ char *shown = text_printable(value);

                snippet_refuse(unit, &pos, "<%s>/%s: '%s' has no counterpart", unit->path, row->path, shown);
        } else if (row->is_size) {
                _cleanup_free_ char *size = snippet_size(from, "unit", value);

                snippet_set(unit, row->key, size, &pos);
        } else {
                snippet_set(unit, row->key, ours ? ours : value, &pos);
        }
}

void snippet_rows(struct snippet_unit *unit, struct xml_element *element, const struct snippet_row *rows)
{
        for (; rows && rows->path; rows++)
                read_row(unit, element, rows);
}
