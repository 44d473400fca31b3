/* Elements as units: looked up, read, and added to the tree or reported as a whole. */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/foreign.h"
#include "conf/snippet_parts.h"

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

/* What libvirt writes into every device that it shows: names and places are ours to give. */
static void note_own(struct snippet_unit *unit, const struct xml_element *child)
{
        _cleanup_free_ char *what = xasprintf("<%s>/%s", unit->path, child->name);

        snippet_note(unit, &child->pos, what);
}

/* And elements, which is all that is left of one. */
static void refuse_the_rest(struct snippet_unit *unit, const struct xml_element *element)
{
        refuse_own(unit, element);
        for (const struct xml_element *child = element->children; child; child = child->next) {
                _cleanup_free_ char *name = text_printable(child->name);

                if (child->taken)
                        refuse_the_rest(unit, child);
                else if (strcmp(child->name, "alias") == 0 ||
                         (strcmp(child->name, "address") == 0 && unit->reader->lax))
                        note_own(unit, child);
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
        if (strcasecmp(pair->value, value) != 0 && !reader->is_default)
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

/* Is this flag in the list, and is it on there? As it is written: NAME, +NAME, -NAME, NAME=on, NAME=off. */
static bool find_flag(const char *list, const char *name, bool *ret_on)
{
        size_t length = strlen(name);

        for (const char *found = list; (found = strstr(found, name)); found++) {
                if ((found > list && !strchr(",+- ", found[-1])) ||
                    (found[length] && !strchr(",= ", found[length])))
                        continue;
                *ret_on = !(found > list && found[-1] == '-');
                if (found[length] == '=') {
                        _cleanup_free_ char *word =
                                xstrndup(found + length + 1, strcspn(found + length + 1, ", "));

                        text_parse_bool(word, ret_on);
                }
                return true;
        }
        return false;
}

/* Flags of the CPU join those that are there; one that is there already, on or off, is the stronger. */
static void join_flags(struct snippet_reader *reader, struct template_value *given, const char *flags,
                       const struct source_pos *pos)
{
        while (*flags) {
                size_t n = strcspn(flags, ",");
                bool wanted = *flags != '-', on = false;
                _cleanup_free_ char *name = xstrndup(flags + !wanted, n - !wanted);

                if (!find_flag(given->value, name, &on)) {
                        _cleanup_free_ char *before = given->value;

                        given->value =
                                xasprintf("%s%s%s%s", before, *before ? "," : "", wanted ? "" : "-", name);
                } else if (on != wanted && !reader->is_default) {
                        spec_warn(reader->builder, pos,
                                  "%s: CPU_MODEL/FEATURES has '%s' in line %u too, which counts",
                                  reader->name, name, given->value_pos.line);
                }
                flags += n + (flags[n] == ',');
        }
}

static void add_pair(struct snippet_reader *reader, struct template_attribute *vector,
                     struct template_value *pair)
{
        for (size_t i = 0; i < vector->n_pairs; i++) {
                if (strcmp(vector->pairs[i].name, pair->name) != 0)
                        continue;
                if (strcmp(vector->name, "CPU_MODEL") == 0 && strcmp(pair->name, "FEATURES") == 0) {
                        join_flags(reader, &vector->pairs[i], pair->value, &pair->value_pos);
                        free(pair->name);
                        free(pair->value);
                        return;
                }
                already_given(reader, vector->name, pair, vector->pairs[i].value,
                              &vector->pairs[i].value_pos);
                free(pair->name);
                free(pair->value);
                return;
        }
        ARRAY_GROW(vector->pairs, vector->n_pairs);
        vector->pairs[vector->n_pairs++] = *pair;
}

/* Of vectors that have a NAME one of a default gives way to one that the template has. */
static bool is_given(const struct snippet_reader *reader, const struct attr_section *section,
                     const struct snippet_vector *made)
{
        const struct template_attribute *vector;
        size_t start = 0;

        if (!reader->is_default || !section->repeats || !made->n_pairs ||
            strcmp(made->pairs[0].name, "NAME") != 0)
                return false;
        while ((vector = template_next(reader->tree, made->name, true, &start)))
                for (size_t i = 0; i < vector->n_pairs; i++)
                        if (strcmp(vector->pairs[i].name, "NAME") == 0 &&
                            strcasecmp(vector->pairs[i].value, made->pairs[0].value) == 0)
                                return true;
        return false;
}

static void add_vector(struct snippet_reader *reader, struct snippet_vector *made)
{
        struct template *tree = reader->tree;
        const struct attr_section *section = *made->name ? attr_section_find(made->name) : &attr_vm;
        struct template_attribute *vector = NULL;

        if (is_given(reader, section, made))
                return;
        for (size_t i = 0; i < made->n_pairs; i++) {
                made->pairs[i].layer = reader->layer == LAYER_TEMPLATE ? 0 : (int)reader->layer;
                /* A default of ours stands in no text. */
                if (reader->layer == LAYER_DEFAULT)
                        made->pairs[i].name_pos = made->pairs[i].value_pos = (struct source_pos){ 0 };
        }
        if (*made->name && !section->repeats)
                vector = find_attribute(tree, made->name, true);
        if (*made->name && !vector) {
                ARRAY_GROW(tree->attributes, tree->n_attributes);
                vector = &tree->attributes[tree->n_attributes++];
                *vector = (struct template_attribute){ .name = xstrdup(made->name),
                                                       .is_vector = true,
                                                       .name_pos = made->pos,
                                                       .value_pos = made->pos };
                if (reader->layer == LAYER_DEFAULT)
                        vector->name_pos = vector->value_pos = (struct source_pos){ 0 };
        }
        for (size_t i = 0; i < made->n_pairs; i++) {
                if (vector)
                        add_pair(reader, vector, &made->pairs[i]);
                else
                        add_single(reader, &made->pairs[i]);
        }
        made->n_pairs = 0;
}

void snippet_end(struct snippet_unit *unit)
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

static const struct snippet_element *find_row(const struct snippet_element *rows, const char *path)
{
        for (; rows->path; rows++)
                if (strcmp(rows->path, path) == 0)
                        return rows;
        return NULL;
}

static const struct snippet_element *find_element(const char *path)
{
        static const struct snippet_element *const tables[] = {
                snippet_domain,  snippet_capacity, snippet_clock,  snippet_devices,
                snippet_display, snippet_nic,      snippet_disk,   snippet_features,
                snippet_os,      snippet_serial,   snippet_hostdev
        };
        const struct snippet_element *row = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(tables) && !row; i++)
                row = find_row(tables[i], path);
        return row;
}

/* A second device of a kind that there is one of would be merged into the first. */
static void refuse_second(struct snippet_unit *unit, const struct snippet_element *row,
                          const struct xml_element *element)
{
        struct snippet_reader *reader = unit->reader;

        if (attr_section_find(row->vector)->repeats)
                return;
        for (size_t i = 0; i < reader->n_seen; i++)
                if (reader->seen[i] == row->path) {
                        snippet_refuse(unit, &element->pos, "a second <%s> has no counterpart", unit->path);
                        return;
                }
        ARRAY_GROW(reader->seen, reader->n_seen);
        reader->seen[reader->n_seen++] = row->path;
}

void snippet_read_element(struct snippet_reader *reader, struct xml_element *element, const char *path)
{
        const struct snippet_element *row = find_element(path);
        _cleanup_free_ char *shown = text_printable(path);
        struct snippet_unit unit = { .reader = reader, .path = shown };

        if (!row) {
                const char *foreign = foreign_element(path);

                snippet_refuse(&unit, &element->pos, "<%s>: %s", shown,
                               foreign ? foreign : "has no counterpart");
                snippet_end(&unit);
                return;
        }
        if (row->vector) {
                snippet_begin(&unit, row->vector, &element->pos);
                /* A device is there whatever is said of it. */
                unit.vectors[0].always = text_starts_with(path, "devices/");
                if (unit.vectors[0].always)
                        refuse_second(&unit, row, element);
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
        snippet_end(&unit);
}

/* The children of devices or features, or what stands in for them. */
void snippet_read_inside(struct snippet_reader *reader, struct xml_element *container, const char *name)
{
        struct snippet_unit own = { .reader = reader, .path = name };

        refuse_own(&own, container);
        snippet_end(&own);
        for (struct xml_element *child = container->children; child; child = child->next) {
                _cleanup_free_ char *path = xasprintf("%s/%s", name, child->name);

                snippet_read_element(reader, child, path);
        }
}

/* What RAW holds: children of <domain>. */
void snippet_read_domain(struct snippet_reader *reader, struct xml_element *root)
{
        struct snippet_unit own = { .reader = reader, .path = "domain" };

        if (*root->name)
                snippet_demand(&own, root, "type", "kvm qemu");
        refuse_own(&own, root);
        snippet_end(&own);
        for (struct xml_element *child = root->children; child; child = child->next) {
                /* As the guides print it, and as virsh shows it. */
                if (strcmp(child->name, "domain") == 0 && strcmp(root->name, "domain") != 0)
                        snippet_read_domain(reader, child);
                else if (strcmp(child->name, "devices") == 0)
                        snippet_read_inside(reader, child, "devices");
                else if (strcmp(child->name, "features") == 0)
                        snippet_read_inside(reader, child, "features");
                else
                        snippet_read_element(reader, child, child->name);
        }
}
