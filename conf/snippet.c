#include "conf/snippet_parts.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

/* One text of XML and where it stands. */
struct snippet_reader {
        struct spec_builder *builder;
        struct template *tree; /* that grows */
        const char *name;      /* "RAW/DATA", for messages */
        enum layer layer;      /* LAYER_TEMPLATE: the tree's own */
        bool lax;              /* VALIDATE="no" */
};

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
        else if (attr_set(section, row, value, pos, NULL, &error) < 0)
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
        size_t n = strcspn(path, "@");

        if (n == 0 || strcmp(path, ".") == 0)
                return element;
        for (struct xml_element *child = element->children; child; child = child->next)
                if (strncmp(child->name, path, n) == 0 && !child->name[n]) {
                        child->taken = true;
                        return child;
                }
        return NULL;
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

/* Attributes and text that nobody has read. */
static void refuse_own(struct snippet_unit *unit, const struct xml_element *element)
{
        const char *name = *element->name ? element->name : unit->path;

        for (size_t i = 0; i < element->n_attributes; i++) {
                const struct xml_attribute *attribute = &element->attributes[i];
                _cleanup_free_ char *key = text_printable(attribute->name);
                _cleanup_free_ char *value = text_printable(attribute->value);

                if (!attribute->taken && !text_starts_with(attribute->name, "xmlns"))
                        snippet_refuse(unit, &attribute->name_pos, "<%s>: %s='%s' of <%s> has no counterpart",
                                       unit->path, key, value, name);
        }
        if (!element->text_taken && element->text[strspn(element->text, " \t\r\n")]) {
                _cleanup_free_ char *shown = text_printable(element->text + strspn(element->text, " \t\r\n"));

                snippet_refuse(unit, &element->text_pos, "<%s>: the text '%s' has no counterpart", unit->path,
                               shown);
        }
}

/* And elements, which is all that is left of one. */
static void refuse_the_rest(struct snippet_unit *unit, const struct xml_element *element)
{
        refuse_own(unit, element);
        for (const struct xml_element *child = element->children; child; child = child->next) {
                _cleanup_free_ char *name = text_printable(child->name);

                if (child->taken)
                        refuse_the_rest(unit, child);
                else
                        snippet_refuse(unit, &child->pos, "<%s>: <%s> in it has no counterpart", unit->path,
                                       name);
        }
}

/* without: what is left out when that is allowed. */
static void report(struct snippet_reader *reader, const struct error *error, const char *without)
{
        if (reader->lax)
                spec_warn(reader->builder, &error->pos, "%s: %s, going on without <%s>", reader->name,
                          error->message, without);
        else
                spec_fail(reader->builder, &error->pos, "%s: %s", reader->name, error->message);
}

static struct template_attribute *find_attribute(struct template *tree, const char *name, bool is_vector)
{
        for (size_t i = 0; i < tree->n_attributes; i++)
                if (tree->attributes[i].is_vector == is_vector && strcmp(tree->attributes[i].name, name) == 0)
                        return &tree->attributes[i];
        return NULL;
}

static void already_given(struct snippet_reader *reader, const char *vector,
                          const struct template_value *pair, const char *value, const struct source_pos *pos)
{
        if (strcasecmp(pair->value, value) != 0)
                spec_warn(reader->builder, &pair->value_pos,
                          "%s: %s%s%s is given in line %u too, which counts", reader->name, vector,
                          *vector ? "/" : "", pair->name, pos->line);
}

/* Takes the pair's strings. */
static void add_single(struct snippet_reader *reader, struct template_value *pair)
{
        struct template *tree = reader->tree;
        const struct template_attribute *given = find_attribute(tree, pair->name, false);

        if (given) {
                already_given(reader, "", pair, given->value, &given->value_pos);
                free(pair->name);
                free(pair->value);
                return;
        }
        ARRAY_GROW(tree->attributes, tree->n_attributes);
        tree->attributes[tree->n_attributes++] = (struct template_attribute){ .name = pair->name,
                                                                              .value = pair->value,
                                                                              .name_pos = pair->name_pos,
                                                                              .value_pos = pair->value_pos,
                                                                              .layer = pair->layer };
}

static void add_pair(struct snippet_reader *reader, struct template_attribute *vector,
                     struct template_value *pair)
{
        for (size_t i = 0; i < vector->n_pairs; i++) {
                if (strcmp(vector->pairs[i].name, pair->name) != 0)
                        continue;
                already_given(reader, vector->name, pair, vector->pairs[i].value,
                              &vector->pairs[i].value_pos);
                free(pair->name);
                free(pair->value);
                return;
        }
        ARRAY_GROW(vector->pairs, vector->n_pairs);
        vector->pairs[vector->n_pairs++] = *pair;
}

static void add_vector(struct snippet_reader *reader, struct snippet_vector *made)
{
        struct template *tree = reader->tree;
        const struct attr_section *section = *made->name ? attr_section_find(made->name) : &attr_vm;
        struct template_attribute *vector = NULL;

        for (size_t i = 0; i < made->n_pairs; i++)
                made->pairs[i].layer = reader->layer == LAYER_TEMPLATE ? 0 : (int)reader->layer;
        if (*made->name && !section->repeats)
                vector = find_attribute(tree, made->name, true);
        if (*made->name && !vector) {
                ARRAY_GROW(tree->attributes, tree->n_attributes);
                vector = &tree->attributes[tree->n_attributes++];
                *vector = (struct template_attribute){ .name = xstrdup(made->name),
                                                       .is_vector = true,
                                                       .name_pos = made->pos,
                                                       .value_pos = made->pos };
        }
        for (size_t i = 0; i < made->n_pairs; i++) {
                if (vector)
                        add_pair(reader, vector, &made->pairs[i]);
                else
                        add_single(reader, &made->pairs[i]);
        }
        made->n_pairs = 0;
}

static void unit_end(struct snippet_unit *unit)
{
        struct snippet_reader *reader = unit->reader;

        for (const struct error *error = unit->errors; error; error = error->next)
                report(reader, error, unit->path);
        for (const struct error *note = unit->notes; note && !unit->errors; note = note->next)
                spec_warn(reader->builder, &note->pos, "%s: %s has no effect in QEMU", reader->name,
                          note->message);
        for (size_t i = 0; i < unit->n_vectors; i++) {
                struct snippet_vector *vector = &unit->vectors[i];

                if (!unit->errors && (vector->n_pairs || vector->always))
                        add_vector(reader, vector);
                for (size_t j = 0; j < vector->n_pairs; j++) {
                        free(vector->pairs[j].name);
                        free(vector->pairs[j].value);
                }
                free(vector->pairs);
        }
        free(unit->vectors);
        error_free(unit->errors);
        error_free(unit->notes);
}

static void read_unit(struct snippet_reader *reader, struct xml_element *element, const char *path,
                      const struct snippet_element *row)
{
        _cleanup_free_ char *shown = text_printable(path);
        struct snippet_unit unit = { .reader = reader, .path = shown };

        if (!row) {
                snippet_refuse(&unit, &element->pos, "<%s>: has no counterpart", shown);
                unit_end(&unit);
                return;
        }
        if (row->vector) {
                snippet_begin(&unit, row->vector, &element->pos);
                unit.vectors[0].always = true;
        }
        snippet_rows(&unit, element, row->rows);
        if (row->read)
                row->read(&unit, element);
        if (row->vector || row->read) {
                refuse_the_rest(&unit, element);
        } else {
                _cleanup_free_ char *what = xasprintf("<%s>", shown);

                snippet_note(&unit, &element->pos, what);
        }
        unit_end(&unit);
}

static const struct snippet_element *find_row(const struct snippet_element *rows, const char *path)
{
        for (; rows->path; rows++)
                if (strcmp(rows->path, path) == 0)
                        return rows;
        return NULL;
}

static const struct snippet_element *find_domain_row(const char *path)
{
        static const struct snippet_element *const tables[] = { snippet_domain, snippet_capacity };
        const struct snippet_element *row = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(tables) && !row; i++)
                row = find_row(tables[i], path);
        return row;
}

/* The children of devices or features, or what stands in for them. */
static void read_inside(struct snippet_reader *reader, struct xml_element *container, const char *name,
                        const struct snippet_element *rows)
{
        struct snippet_unit own = { .reader = reader, .path = name };

        refuse_own(&own, container);
        unit_end(&own);
        for (struct xml_element *child = container->children; child; child = child->next) {
                _cleanup_free_ char *path = xasprintf("%s/%s", name, child->name);

                read_unit(reader, child, path, find_row(rows, path));
        }
}

/* What RAW holds: children of <domain>. */
static void read_domain(struct snippet_reader *reader, struct xml_element *root)
{
        struct snippet_unit own = { .reader = reader, .path = "domain" };

        refuse_own(&own, root);
        unit_end(&own);
        for (struct xml_element *child = root->children; child; child = child->next) {
                if (strcmp(child->name, "devices") == 0)
                        read_inside(reader, child, "devices", snippet_devices);
                else if (strcmp(child->name, "features") == 0)
                        read_inside(reader, child, "features", snippet_domain);
                else
                        read_unit(reader, child, child->name, find_domain_row(child->name));
        }
}

/* The children of <devices>. */
static void read_devices(struct snippet_reader *reader, struct xml_element *root)
{
        read_inside(reader, root, "devices", snippet_devices);
}

/* The children of <hyperv> in <features>. */
static void read_hyperv(struct snippet_reader *reader, struct xml_element *root)
{
        read_unit(reader, root, "features/hyperv", find_row(snippet_domain, "features/hyperv"));
}

/* The children of <clock>. */
static void read_clock(struct snippet_reader *reader, struct xml_element *root)
{
        read_unit(reader, root, "clock", find_row(snippet_domain, "clock"));
}

/* Of all layers the first that has a text of this tree, for excerpts and places. */
static const struct template *tree_of(const struct spec_builder *builder, const struct source_pos *pos)
{
        const struct site *site = builder->site;
        const struct template *const all[] = { builder->template, site->host, site->cluster, site->driver };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i] && pos->file && strcmp(all[i]->file, pos->file) == 0)
                        return all[i];
        return NULL;
}

struct snippet_text {
        const char *name, *value;
        struct source_pos pos; /* of the value; no file: a default of ours */
        enum layer layer;
        bool lax;
};

static void read_text(struct spec_builder *builder, struct template **tree, const struct snippet_text *text,
                      void (*read)(struct snippet_reader *reader, struct xml_element *root))
{
        struct snippet_reader reader = {
                .builder = builder, .name = text->name, .layer = text->layer, .lax = text->lax
        };
        _cleanup_(xml_tree_freep) struct xml_element *root = NULL;
        const struct template *from = tree_of(builder, &text->pos);
        struct error *error = NULL;
        struct locator locator;

        if (!*tree)
                *tree = template_copy(builder->template);
        reader.tree = *tree;
        if (from)
                locator_init_value(&locator, from, &text->pos);
        else
                locator_init(&locator, text->name, text->value, strlen(text->value));
        if (xml_tree_parse(&locator, text->value, strlen(text->value), true, &root, &error) == 0) {
                read(&reader, root);
                return;
        }
        spec_fail(builder, &error->pos, "%s: %s", text->name, error->message);
        error_free(error);
}

static const struct template_value *find_key(const struct template_attribute *vector, const char *key)
{
        for (size_t i = 0; i < vector->n_pairs; i++)
                if (strcmp(vector->pairs[i].name, key) == 0)
                        return &vector->pairs[i];
        return NULL;
}

/* VALIDATE: no is no, and so is anything else than yes (opennebula-semantics section 3.14). */
static bool is_lax(struct spec_builder *builder, const struct template_attribute *raw)
{
        const struct template_value *validate = find_key(raw, "VALIDATE");
        struct error *error = NULL;
        bool yes = true;

        if (!validate || spec_text_is_empty(validate->value))
                return false;
        if (attr_set(&attr_raw, attr_find(&attr_raw, "VALIDATE"), validate->value, &validate->value_pos, NULL,
                     &error) < 0)
                spec_report(builder, error);
        else
                text_parse_bool(validate->value, &yes);
        return !yes;
}

static void read_raw(struct spec_builder *builder, const struct template_attribute *raw,
                     struct template **tree)
{
        const struct template_value *type = find_key(raw, "TYPE"), *data = find_key(raw, "DATA");

        if (!type || spec_text_is_empty(type->value)) {
                spec_fail(builder, &raw->name_pos, "RAW/TYPE: has to be given (kvm: DATA is libvirt XML)");
                return;
        }
        if (strcasecmp(type->value, "kvm") != 0) {
                _cleanup_free_ char *shown = text_printable(type->value);

                spec_warn(builder, &type->value_pos, "RAW: is for hypervisor '%s', without effect here",
                          shown);
                return;
        }
        if (data && !spec_text_is_empty(data->value))
                read_text(builder, tree,
                          &(struct snippet_text){ "RAW/DATA", data->value, data->value_pos, LAYER_TEMPLATE,
                                                  is_lax(builder, raw) },
                          read_domain);
}

/* A single attribute that holds a snippet, of the strongest layer that has it; an empty one is none. */
static void read_single(struct spec_builder *builder, const char *name, struct template **tree,
                        void (*read)(struct snippet_reader *reader, struct xml_element *root))
{
        struct spec_value found;

        if (spec_look_up(builder, &attr_vm, name, &found) && !spec_text_is_empty(found.text))
                read_text(builder, tree,
                          &(struct snippet_text){ name, found.text, found.pos, found.layer, false }, read);
}

static bool is_yes(const struct spec_builder *builder, const struct attr_section *section, const char *key)
{
        struct spec_value found;
        bool yes = false;

        return spec_look_up(builder, section, key, &found) && text_parse_bool(found.text, &yes) && yes;
}

struct template *snippets_expand(struct spec_builder *builder)
{
        const struct template *template = builder->template;
        const struct template_attribute *raw;
        struct template *tree = NULL;
        struct spec_value found;
        size_t start = 0;

        /* live.tmpl has their meaning already. */
        if (spec_look_up(builder, &attr_vm, "SNIPPETS", &found) && strcasecmp(found.text, "done") == 0)
                return NULL;
        while ((raw = template_next(template, "RAW", true, &start)))
                read_raw(builder, raw, &tree);
        read_single(builder, "RAW", &tree, read_domain);
        (void)read_hyperv, (void)read_clock, (void)read_devices, (void)is_yes;
        return tree;
}
