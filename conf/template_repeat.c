/* Names and keys given twice: which one counts, and the warning that says so. */
#include <string.h>

#include "conf/template_parts.h"

static int compare_attributes(const void *a, const void *b, void *data)
{
        const struct template_attribute *attributes = data;
        size_t i = *(const size_t *)a, j = *(const size_t *)b;
        int order = strcmp(attributes[i].name, attributes[j].name);

        return order ? order : (i > j) - (i < j);
}

static int compare_pairs(const void *a, const void *b, void *data)
{
        const struct template_value *pairs = data;
        size_t i = *(const size_t *)a, j = *(const size_t *)b;
        int order = strcmp(pairs[i].name, pairs[j].name);

        return order ? order : (i > j) - (i < j);
}

static size_t *indices(size_t n)
{
        size_t *order = xreallocarray(NULL, n ? n : 1, sizeof(*order));

        for (size_t i = 0; i < n; i++)
                order[i] = i;
        return order;
}

static void warn(struct template *template, unsigned *n_warnings, const struct source_pos *pos,
                 const char *message)
{
        struct error *warning = NULL;

        if (++*n_warnings > TEMPLATE_MAX_REPORTS)
                return;
        error_at(&warning, pos, "%s", message);
        template_add_excerpt(template, warning);
        error_append(&template->warnings, warning);
}

static void drop_repeated_keys(struct template *template, struct template_attribute *vector, bool last_counts,
                               unsigned *n_warnings)
{
        _cleanup_free_ size_t *order = NULL;
        size_t kept = 0;

        if (vector->n_pairs < 2)
                return;
        order = indices(vector->n_pairs);
        qsort_r(order, vector->n_pairs, sizeof(*order), compare_pairs, vector->pairs);
        for (size_t i = 1, first = 0; i < vector->n_pairs; i++) {
                struct template_value *pair = &vector->pairs[order[i]];
                struct template_value *before = &vector->pairs[order[last_counts ? i - 1 : first]];
                struct template_value *dropped = last_counts ? before : pair;
                _cleanup_free_ char *message = NULL;

                if (strcmp(pair->name, before->name) != 0) {
                        first = i;
                        continue;
                }
                message = last_counts
                                  ? xasprintf("%s/%s: given twice, the last one counts, not that of line %u",
                                              vector->name, pair->name, before->name_pos.line)
                                  : xasprintf("%s/%s: given twice, the first one counts (line %u)",
                                              vector->name, pair->name, before->name_pos.line);
                warn(template, n_warnings, &pair->name_pos, message);
                free(dropped->value);
                dropped->value = NULL;
        }
        for (size_t i = 0; i < vector->n_pairs; i++) {
                if (vector->pairs[i].value)
                        vector->pairs[kept++] = vector->pairs[i];
                else
                        free(vector->pairs[i].name);
        }
        vector->n_pairs = kept;
}

void template_drop_repetition(struct template *template, enum repetition names, enum repetition keys)
{
        _cleanup_free_ size_t *order = indices(template->n_attributes);
        struct template_attribute *attributes = template->attributes;
        unsigned n_warnings = 0;
        size_t kept = 0;

        for (size_t i = 0; i < template->n_attributes; i++)
                drop_repeated_keys(template, &attributes[i], keys == REPEATED_LAST, &n_warnings);
        qsort_r(order, template->n_attributes, sizeof(*order), compare_attributes, attributes);
        /* before: of this name and kind, the one that a repetition repeats. */
        for (size_t i = 1, first = 0; i < template->n_attributes; i++) {
                struct template_attribute *attribute = &attributes[order[i]], *before;
                _cleanup_free_ char *message = NULL;

                if (strcmp(attribute->name, attributes[order[i - 1]].name) != 0)
                        first = i;
                if (names == REPEATED_LAST) {
                        if (first == i)
                                continue;
                        before = &attributes[order[i - 1]];
                        message = xasprintf("%s: given twice, the last one counts, not that of line %u",
                                            attribute->name, before->name_pos.line);
                        warn(template, &n_warnings, &attribute->name_pos, message);
                        before->name_pos.line = 0;
                        continue;
                }
                if (attribute->is_vector)
                        continue;
                while (first < i && attributes[order[first]].is_vector)
                        first++;
                if (first == i)
                        continue;
                before = &attributes[order[first]];
                message = xasprintf("%s: given twice, the first one counts (line %u)", attribute->name,
                                    before->name_pos.line);
                warn(template, &n_warnings, &attribute->name_pos, message);
        }
        for (size_t i = 0; i < template->n_attributes; i++) {
                if (attributes[i].name_pos.line)
                        attributes[kept++] = attributes[i];
                else
                        template_attribute_done(&attributes[i]);
        }
        template->n_attributes = kept;
}
