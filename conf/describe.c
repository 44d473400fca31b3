#include "conf/describe.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "conf/attr.h"

#define LIST_COLUMNS 78

/* What a reference names: everything, a section, or a row of one. */
struct named {
        const struct attr_section *section;
        const struct attr *row;
};

static int no_such(const struct attr_section *section, const char *name, const char *what, struct error **err)
{
        const char *nearest = attr_nearest(section, name);
        _cleanup_free_ char *shown = text_printable(name);

        if (nearest)
                return error_set(err, ERROR_USAGE, "there is no %s '%s'; did you mean '%s'?", what, shown,
                                 nearest);
        error_set(err, ERROR_USAGE, "there is no %s '%s'", what, shown);
        return error_hint(err, "vmlaunch describe%s%s lists those there are", *section->name ? " " : "",
                          section->name);
}

static const struct attr_section *section_at(size_t i)
{
        size_t n = 0;

        while (attr_sections[n])
                n++;
        return i < n ? attr_sections[i] : attr_coming_sections[i - n];
}

/* CACHE said alone means the key of a vector: "DISK/CACHE, ..." as a hint. */
static int no_attribute(const char *name, struct error **err)
{
        _cleanup_text_ struct text keys = TEXT_INIT;

        for (size_t i = 0; section_at(i); i++) {
                const struct attr *row = *section_at(i)->name ? attr_find(section_at(i), name) : NULL;
                _cleanup_free_ char *full = row ? attr_full_name(section_at(i), row) : NULL;

                if (full)
                        text_addf(&keys, "%s%s", keys.length ? ", " : "", full);
        }
        if (!keys.length)
                return no_such(&attr_vm, name, "attribute", err);
        error_set(err, ERROR_USAGE, "there is no attribute '%s', but a key of this name", name);
        return error_hint(err, "describe %s", text_str(&keys));
}

static int find(const char *reference, struct named *ret, struct error **err)
{
        _cleanup_free_ char *name = NULL;
        char *slash;

        *ret = (struct named){ 0 };
        if (!reference || !*reference)
                return 0;
        name = xstrdup(reference);
        for (char *c = name; *c; c++)
                *c = (char)toupper((unsigned char)*c);
        slash = strchr(name, '/');
        if (!slash) {
                ret->row = attr_find(&attr_vm, name);
                ret->section = ret->row ? &attr_vm : *name ? attr_section_find(name) : NULL;
                /* RAW and the like are a vector in a VM template and a single one in a configuration file. */
                if (ret->row && attr_section_find(name))
                        *ret = (struct named){ .section = attr_section_find(name) };
                return ret->section ? 0 : no_attribute(name, err);
        }
        *slash = '\0';
        ret->section = *name ? attr_section_find(name) : NULL;
        if (!ret->section)
                return no_such(&attr_vm, name, "vector", err);
        ret->row = attr_find(ret->section, slash + 1);
        return ret->row ? 0 : no_such(ret->section, slash + 1, "key", err);
}

/* "size, MiB, default 1" */
static char *summary(const struct attr *row)
{
        struct text out = TEXT_INIT;

        if (row->state == ATTR_MISSPELT) {
                text_addf(&out, "misspelling of %s", row->right);
                return text_take(&out);
        }
        if (row->state == ATTR_COMING)
                return xstrdup(attr_state_name(row->state));
        if (row->state == ATTR_LEFT_ALONE) {
                text_addf(&out, "without effect: %s", row->why);
                return text_take(&out);
        }
        text_add(&out, attr_kind_name(row->kind));
        if (attr_unit(row))
                text_addf(&out, ", %s", attr_unit(row));
        if (row->dflt)
                text_addf(&out, ", default %s", row->dflt);
        return text_take(&out);
}

static void add_line(struct text *out, const struct attr_section *section, const struct attr *row)
{
        _cleanup_free_ char *name = attr_full_name(section, row), *words = summary(row);

        text_addf(out, "%-36s %s\n", name, words);
}

static void add_heading(struct text *out, const struct attr_section *section)
{
        if (*section->name) {
                text_addf(out, "%-36s %s", section->name,
                          section->repeats ? "vector, may be repeated" : "vector");
                if (section->state == ATTR_LEFT_ALONE)
                        text_addf(out, ", without effect: %s", section->why);
                else if (section->state == ATTR_COMING)
                        text_addf(out, ", %s", attr_state_name(section->state));
                if (section->any_key && section->state == ATTR_COMING)
                        text_add(out, ", any key");
                text_add(out, "\n");
        }
}

static void add_section(struct text *out, const struct attr_section *section)
{
        add_heading(out, section);
        for (size_t i = 0; i < section->n_rows; i++)
                add_line(out, section, &section->rows[i]);
}

static void add_wrapped(struct text *out, const char *words)
{
        size_t column = 0;

        while (*words) {
                size_t length = strcspn(words, " ");

                if (column && column + 1 + length > LIST_COLUMNS) {
                        text_add(out, "\n");
                        column = 0;
                }
                text_add(out, column ? " " : "    ");
                text_add_bytes(out, words, length);
                column += (column ? 1 : 4) + length;
                words += length + (words[length] == ' ');
        }
        text_add(out, "\n");
}

/* "LABEL: A B C", wrapped, of the rows in this state; nothing when there are none. */
static void add_names(struct text *out, const struct attr_section *section, enum attr_state state,
                      const char *label)
{
        size_t column = 0;

        for (size_t i = 0; i < section->n_rows; i++) {
                const struct attr *row = &section->rows[i];
                size_t length = strlen(row->name);

                if (row->state != state)
                        continue;
                if (!column)
                        text_addf(out, "\n%s:", label);
                if (!column || column + 1 + length > LIST_COLUMNS) {
                        text_add(out, "\n ");
                        column = 1;
                }
                text_addf(out, " %s", row->name);
                column += 1 + length;
        }
        if (column)
                text_add(out, "\n");
}

/* One section by itself: what can be set with what it means, and the names of the rest. */
static void add_section_page(struct text *out, const struct attr_section *section)
{
        if (section->doc)
                text_addf(out, "%s\n\n", section->doc);
        add_heading(out, section);
        for (size_t i = 0; i < section->n_rows; i++) {
                const struct attr *row = &section->rows[i];

                if (row->state != ATTR_HERE && row->state != ATTR_MISSPELT)
                        continue;
                add_line(out, section, row);
                if (row->state == ATTR_HERE && row->doc)
                        add_wrapped(out, row->doc);
        }
        add_names(out, section, ATTR_COMING, attr_state_name(ATTR_COMING));
        add_names(out, section, ATTR_LEFT_ALONE, "without effect");
}

static void add_item(struct text *out, const char *label, const char *value)
{
        if (value)
                text_addf(out, "  %-9s %s\n", label, value);
}

static const char *doc_of(const struct attr *row)
{
        return row->state == ATTR_HERE || row->state == ATTR_COMING ? row->doc : NULL;
}

static const char *why_of(const struct attr *row)
{
        return row->state == ATTR_LEFT_ALONE ? row->why : NULL;
}

static const char *meant_by(const struct attr *row)
{
        return row->state == ATTR_MISSPELT ? row->right : NULL;
}

static void add_row(struct text *out, const struct attr_section *section, const struct attr *row)
{
        _cleanup_free_ char *name = attr_full_name(section, row), *values = NULL;

        text_addf(out, "%s\n", name);
        if (doc_of(row))
                text_addf(out, "  %s\n", doc_of(row));
        add_item(out, "state", attr_state_name(row->state));
        add_item(out, "why", why_of(row));
        add_item(out, "means", meant_by(row));
        if (row->state == ATTR_HERE) {
                values = attr_values(row);
                add_item(out, "kind", attr_kind_name(row->kind));
                add_item(out, "values", values);
                add_item(out, "unit", attr_unit(row));
                add_item(out, "default", row->dflt);
        }
        if (row->state == ATTR_HERE || row->state == ATTR_COMING)
                add_item(out, "from", attr_lookup_name(row->lookup));
        add_item(out, "lands in", attr_lands_name(row->lands));
        if (row->state == ATTR_HERE)
                add_item(out, "changes",
                         row->operators ? "while the VM runs, by operators, too"
                         : row->live    ? "while the VM runs"
                                        : "at the next start");
        add_item(out, "source", row->source ? row->source : section->source);
}

char *describe_text(const char *reference, struct error **err)
{
        struct text out = TEXT_INIT;
        struct named named;

        if (find(reference, &named, err) < 0)
                return NULL;
        if (named.row) {
                add_row(&out, named.section, named.row);
        } else if (named.section) {
                add_section_page(&out, named.section);
        } else {
                for (size_t i = 0; section_at(i); i++)
                        add_section(&out, section_at(i));
        }
        return text_take(&out);
}

static void set_string(json_t *object, const char *key, const char *value)
{
        if (value)
                json_object_set_new(object, key, json_string(value));
}

static json_t *row_json(const struct attr_section *section, const struct attr *row)
{
        _cleanup_free_ char *name = attr_full_name(section, row), *values = NULL;
        json_t *object = json_object();

        set_string(object, "name", row->name);
        set_string(object, "full_name", name);
        set_string(object, "state", attr_state_name(row->state));
        set_string(object, "means", meant_by(row));
        set_string(object, "why", why_of(row));
        set_string(object, "doc", doc_of(row));
        set_string(object, "source", row->source ? row->source : section->source);
        set_string(object, "lands", attr_lands_name(row->lands));
        if (row->state == ATTR_HERE || row->state == ATTR_COMING)
                set_string(object, "layers", attr_lookup_name(row->lookup));
        if (row->state != ATTR_HERE)
                return object;
        values = attr_values(row);
        set_string(object, "kind", attr_kind_name(row->kind));
        set_string(object, "values", values);
        set_string(object, "unit", attr_unit(row));
        set_string(object, "default", row->dflt);
        json_object_set_new(object, "live", json_boolean(row->live));
        json_object_set_new(object, "operators", json_boolean(row->operators));
        if (row->words) {
                json_t *words = json_array();

                for (const struct attr_word *word = row->words; word->text; word++)
                        if (!word->coming)
                                json_array_append_new(words, json_string(word->text));
                json_object_set_new(object, "words", words);
        }
        return object;
}

static json_t *section_json(const struct attr_section *section, const struct attr *only)
{
        json_t *object = json_object(), *rows = json_array();

        set_string(object, "name", section->name);
        set_string(object, "state", attr_state_name(section->state));
        set_string(object, "doc", section->doc);
        set_string(object, "why", section->why);
        set_string(object, "source", section->source);
        json_object_set_new(object, "repeats", json_boolean(section->repeats));
        json_object_set_new(object, "any_key", json_boolean(section->any_key));
        for (size_t i = 0; i < section->n_rows; i++)
                if (!only || only == &section->rows[i])
                        json_array_append_new(rows, row_json(section, &section->rows[i]));
        json_object_set_new(object, "attributes", rows);
        return object;
}

json_t *describe_json(const char *reference, struct error **err)
{
        struct named named;
        json_t *sections;

        if (find(reference, &named, err) < 0)
                return NULL;
        sections = json_array();
        if (named.section)
                json_array_append_new(sections, section_json(named.section, named.row));
        else
                for (size_t i = 0; section_at(i); i++)
                        json_array_append_new(sections, section_json(section_at(i), NULL));
        return json_pack("{s:i, s:o}", "schema", 1, "sections", sections);
}
