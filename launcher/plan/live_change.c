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

static bool is_same_one(const struct template_attribute *a, const struct template_attribute *b)
{
        const struct template_value *one, *other;

        if (a->is_vector != b->is_vector || strcmp(a->name, b->name) != 0)
                return false;
        if (!a->is_vector)
                return true;
        one = number_of(a);
        other = number_of(b);
        return one && other ? strcmp(one->value, other->value) == 0 : !one && !other;
}

static const struct template_attribute *find(const struct template *template,
                                             const struct template_attribute *like)
{
        for (size_t i = 0; i < template->n_attributes; i++)
                if (is_same_one(&template->attributes[i], like))
                        return &template->attributes[i];
        return NULL;
}

static json_t *pairs_of(const struct template_attribute *vector)
{
        json_t *pairs = json_object();

        for (size_t i = 0; i < vector->n_pairs; i++)
                json_object_set_new(pairs, vector->pairs[i].name, json_string(vector->pairs[i].value));
        return pairs;
}

static json_t *match_of(const struct template_attribute *vector)
{
        const struct template_value *number = number_of(vector);

        return number ? json_pack("{s:s}", number->name, number->value) : json_object();
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
        json_t *setting = json_array(), *removing = json_array();

        if (template_parse("live.tmpl", was, strlen(was), &a, err) < 0 ||
            template_parse("live.tmpl", wanted, strlen(wanted), &b, err) < 0) {
                json_decref(setting);
                json_decref(removing);
                return NULL;
        }
        for (size_t i = 0; i < a->n_attributes; i++)
                if (a->attributes[i].is_vector && !find(b, &a->attributes[i]))
                        json_array_append_new(removing,
                                              json_pack("{s:s, s:o}", "vector", a->attributes[i].name,
                                                        "match", match_of(&a->attributes[i])));
        for (size_t i = 0; i < b->n_attributes; i++)
                set(setting, find(a, &b->attributes[i]), &b->attributes[i]);
        return json_pack("{s:o, s:o}", "set", setting, "remove", removing);
}
