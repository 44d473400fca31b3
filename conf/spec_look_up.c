/* Which layer a value comes from: opennebula-semantics section 3.1. */
#include <string.h>

#include "conf/spec_rules.h"

bool spec_text_is_empty(const char *s)
{
        return !s[strspn(s, " \t\r\n")];
}

/* The key, or one of its published misspellings. */
static bool is_key(const struct attr_section *section, const struct attr *row, const char *name)
{
        const struct attr *other;

        if (strcmp(row->name, name) == 0)
                return true;
        other = attr_find(section, name);
        return other && other->means && strcmp(other->means, row->name) == 0;
}

static bool find_in_vector(const struct attr_section *section, const struct attr *row,
                           const struct template_attribute *vector, struct spec_value *ret)
{
        for (size_t i = 0; vector && i < vector->n_pairs; i++) {
                if (!is_key(section, row, vector->pairs[i].name))
                        continue;
                ret->text = vector->pairs[i].value;
                ret->pos = vector->pairs[i].value_pos;
                ret->layer = (enum layer)vector->pairs[i].layer;
                return true;
        }
        return false;
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

/*
 * The first layer that has a value (opennebula-semantics section 3.1). A text that is present and empty ends the
 * search; an empty switch or number is passed over.
 */
bool spec_look_up_in(const struct spec_builder *builder, const struct attr_section *section,
                     const struct template_attribute *vector, const struct attr *row, struct spec_value *ret)
{
        const struct site *site = builder->site;
        const struct {
                enum layer layer;
                const struct template *tree;
                bool counts;
        } layers[] = {
                { LAYER_TEMPLATE, builder->template,
                  row->lookup == LOOKUP_A || row->lookup == LOOKUP_C || row->lookup == LOOKUP_D },
                { LAYER_HOST, site->host,
                  row->lookup == LOOKUP_A || row->lookup == LOOKUP_B || row->lookup == LOOKUP_C },
                { LAYER_CLUSTER, site->cluster, row->lookup != LOOKUP_D && row->lookup != LOOKUP_HOST },
                { LAYER_DRIVER, site->driver, row->lookup != LOOKUP_D && row->lookup != LOOKUP_HOST },
        };
        bool empty_ends = attr_is_text(row) || row->kind == ATTR_ENUM;

        for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
                bool found;

                if (!layers[i].counts)
                        continue;
                if (layers[i].layer == LAYER_TEMPLATE && *section->name)
                        found = find_in_vector(section, row, vector, ret) ||
                                find_in_defaults(builder, section, row, ret);
                else
                        found = find_in_tree(section, row, layers[i].tree, ret);
                if (!found || (spec_text_is_empty(ret->text) && !empty_ends))
                        continue;
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

        *ret = (struct spec_value){ 0 };
        return spec_look_up_in(builder, section, vector, attr_find(section, key), ret);
}
