/* Which layer a value comes from: opennebula-semantics section 3.1. */
#include <string.h>

#include "conf/spec_rules.h"

bool spec_text_is_empty(const char *s)
{
        return !s[strspn(s, " \t\r\n")];
}

/* The row that a key of a vector is: its own, or that which a published misspelling means. */
static const struct attr *row_of(const struct attr_section *section, const char *name)
{
        const struct attr *row = attr_find(section, name);

        return row && row->state == ATTR_MISSPELT ? attr_find(section, row->right) : row;
}

static void take_value(const struct template_value *value, struct spec_value *ret)
{
        ret->text = value->value;
        ret->pos = value->value_pos;
        ret->layer = (enum layer)value->layer;
}

void spec_sort_values(const struct attr_section *section, const struct template_attribute *vector,
                      const struct template_value **ret)
{
        for (size_t i = 0; vector && i < vector->n_pairs; i++) {
                const struct attr *row = row_of(section, vector->pairs[i].name);

                if (row && !ret[row - section->rows])
                        ret[row - section->rows] = &vector->pairs[i];
        }
}

static const struct template_value *find_in(const struct attr_section *section, const struct attr *row,
                                            const struct template_attribute *vector)
{
        for (size_t i = 0; vector && i < vector->n_pairs; i++)
                if (row_of(section, vector->pairs[i].name) == row)
                        return &vector->pairs[i];
        return NULL;
}

static bool find_in_vector(const struct attr_section *section, const struct attr *row,
                           const struct template_attribute *vector, struct spec_value *ret)
{
        const struct template_value *value = find_in(section, row, vector);

        if (value)
                take_value(value, ret);
        return value != NULL;
}

static bool find_in_tree(const struct attr_section *section, const struct attr *row,
                         const struct template *tree, struct spec_value *ret)
{
        const struct template_attribute *single;
        size_t start = 0;

        if (!tree)
                return false;
        if (*section->name)
                return find_in_vector(section, row, template_next(tree, section->name, true, &start), ret);
        single = template_next(tree, row->name, false, &start);
        if (!single)
                return false;
        ret->text = single->value;
        ret->pos = single->value_pos;
        ret->layer = (enum layer)single->layer;
        return true;
}

/* NIC_DEFAULT, for NICs. */
static bool find_in_defaults(const struct spec_builder *builder, const struct attr_section *section,
                             const struct attr *row, struct spec_value *ret)
{
        for (size_t i = 0; i < ARRAY_SIZE(builder->defaults) && builder->defaults[i]; i++)
                if (attr_section_find(builder->defaults[i]->name)->keys_of == section &&
                    find_in_vector(section, row, builder->defaults[i], ret))
                        return true;
        return false;
}

void spec_find_defaults(struct spec_builder *builder)
{
        size_t n = 0;

        for (size_t i = 0; attr_sections[i] && n < ARRAY_SIZE(builder->defaults); i++) {
                size_t start = 0;

                if (!attr_sections[i]->keys_of)
                        continue;
                builder->defaults[n] = template_next(builder->template, attr_sections[i]->name, true, &start);
                n += builder->defaults[n] != NULL;
        }
}

bool spec_is_only_given(const struct spec_builder *builder)
{
        const struct site *site = builder->site;

        return !builder->defaults[0] && !site->host && !site->cluster && !site->driver;
}

/*
 * The first layer that has a value (opennebula-semantics section 3.1). A text that is present and empty ends the
 * search; an empty switch or number is passed over.
 */
bool spec_look_up_in(const struct spec_builder *builder, const struct attr_section *section,
                     const struct template_value *given, const struct attr *row, struct spec_value *ret)
{
        const struct site *site = builder->site;
        bool is_vms = row->lookup == LOOKUP_A || row->lookup == LOOKUP_C || row->lookup == LOOKUP_D;
        bool is_hosts = row->lookup == LOOKUP_A || row->lookup == LOOKUP_B || row->lookup == LOOKUP_C;
        bool is_all = row->lookup != LOOKUP_D && row->lookup != LOOKUP_HOST;
        const struct {
                enum layer layer;
                const struct template *tree; /* NULL: there is none, or it does not count */
        } layers[] = {
                { LAYER_TEMPLATE, is_vms ? builder->template : NULL },
                { LAYER_HOST, is_hosts ? site->host : NULL },
                { LAYER_CLUSTER, is_all ? site->cluster : NULL },
                { LAYER_DRIVER, is_all ? site->driver : NULL },
        };
        bool empty_ends = attr_is_text(row) || row->kind == ATTR_ENUM;

        for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
                bool found;

                if (!layers[i].tree)
                        continue;
                if (layers[i].layer == LAYER_TEMPLATE && given) {
                        take_value(given, ret);
                        found = true;
                } else if (layers[i].layer == LAYER_TEMPLATE && *section->name) {
                        found = find_in_defaults(builder, section, row, ret);
                } else {
                        found = find_in_tree(section, row, layers[i].tree, ret);
                }
                if (!found || (spec_text_is_empty(ret->text) && !empty_ends)) {
                        *ret = (struct spec_value){ 0 };
                        continue;
                }
                if (!ret->layer)
                        ret->layer = layers[i].layer;
                return true;
        }
        return false;
}

bool spec_look_up(const struct spec_builder *builder, const struct attr_section *section, const char *key,
                  struct spec_value *ret)
{
        size_t start = 0;
        const struct template_attribute *vector =
                *section->name ? template_next(builder->template, section->name, true, &start) : NULL;
        const struct attr *row = attr_find(section, key);

        *ret = (struct spec_value){ 0 };
        return spec_look_up_in(builder, section, find_in(section, row, vector), row, ret);
}
