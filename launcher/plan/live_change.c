#include "launcher/plan/live_change.h"

#include <string.h>

#include "conf/attr.h"
#include "conf/template.h"

/* The pair "DISK_ID" of a DISK; NULL: this vector has no number. */
static const struct template_value *number_of(const struct template_attribute *vector)
{
        _cleanup_free_ char *key = xasprintf("%s_ID", vector->name);

        for (size_t i = 0; i < vector->n_pairs; i++)
                if (strcmp(vector->pairs[i].name, key) == 0)
                        return &vector->pairs[i];
        return NULL;
}

static json_t *pairs_of(const struct template_attribute *vector)
{
        json_t *pairs = json_object();

        for (size_t i = 0; i < vector->n_pairs; i++)
                json_object_set_new(pairs, vector->pairs[i].name, json_string(vector->pairs[i].value));
        return pairs;
}

static bool repeats(const struct template_attribute *vector)
{
        const struct attr_section *section = attr_section_find(vector->name);

        return section && section->repeats;
}

static bool has_same_pairs(const struct template_attribute *a, const struct template_attribute *b)
{
        json_auto_t *one = pairs_of(a), *other = pairs_of(b);

        return json_equal(one, other);
}

static bool is_same_one(const struct template_attribute *a, const struct template_attribute *b)
{
        const struct template_value *one, *other;

        if (a->is_vector != b->is_vector || strcmp(a->name, b->name) != 0)
                return false;
        if (!a->is_vector)
                return true;
        one = number_of(a);
        other = number_of(b);
        if (one || other)
                return one && other && strcmp(one->value, other->value) == 0;
        return !repeats(a) || has_same_pairs(a, b);
}

/* Which one of the other text each attribute is; -1: none. New array. */
static long *pair_up(const struct template *a, const struct template *b)
{
        long *pairs = xcalloc(a->n_attributes + 1, sizeof(*pairs));
        _cleanup_free_ bool *taken = xcalloc(b->n_attributes + 1, sizeof(*taken));

        for (size_t i = 0; i < a->n_attributes; i++) {
                pairs[i] = -1;
                for (size_t k = 0; k < b->n_attributes && pairs[i] < 0; k++)
                        if (!taken[k] && is_same_one(&a->attributes[i], &b->attributes[k])) {
                                pairs[i] = (long)k;
                                taken[k] = true;
                        }
        }
        return pairs;
}

static json_t *match_of(const struct template_attribute *vector)
{
        const struct template_value *number = number_of(vector);

        if (number)
                return json_pack("{s:s}", number->name, number->value);
        return repeats(vector) ? pairs_of(vector) : json_object();
}

static void set(json_t *list, const struct template_attribute *was, const struct template_attribute *wanted)
{
        json_auto_t *a = was && was->is_vector ? pairs_of(was) : NULL, *b = NULL;

        if (!wanted->is_vector) {
                if (!was || strcmp(was->value, wanted->value) != 0)
                        json_array_append_new(list, json_pack("{s:s, s:s}", "attribute", wanted->name,
                                                              "value", wanted->value));
                return;
        }
        b = pairs_of(wanted);
        if (was && json_equal(a, b))
                return;
        json_array_append_new(list, was ? json_pack("{s:s, s:o, s:O}", "vector", wanted->name, "match",
                                                    match_of(was), "attributes", b)
                                        : json_pack("{s:s, s:O}", "vector", wanted->name, "attributes", b));
}

json_t *live_change(const char *was, const char *wanted, struct error **err)
{
        _cleanup_(template_freep) struct template *a = NULL, *b = NULL;
        _cleanup_free_ long *left = NULL, *known = NULL;
        json_t *setting = json_array(), *removing = json_array();

        if (template_parse("live.tmpl", was, strlen(was), &a, err) < 0 ||
            template_parse("live.tmpl", wanted, strlen(wanted), &b, err) < 0) {
                json_decref(setting);
                json_decref(removing);
                return NULL;
        }
        left = pair_up(a, b);
        known = pair_up(b, a);
        for (size_t i = 0; i < a->n_attributes; i++)
                if (left[i] < 0)
                        json_array_append_new(
                                removing, a->attributes[i].is_vector
                                                  ? json_pack("{s:s, s:o}", "vector", a->attributes[i].name,
                                                              "match", match_of(&a->attributes[i]))
                                                  : json_pack("{s:s}", "attribute", a->attributes[i].name));
        for (size_t i = 0; i < b->n_attributes; i++)
                set(setting, known[i] < 0 ? NULL : &a->attributes[known[i]], &b->attributes[i]);
        return json_pack("{s:o, s:o}", "set", setting, "remove", removing);
}
