#include "launcher/run/live_template.h"

#include <string.h>

#include "base/text.h"
#include "conf/spec_build.h"
#include "conf/template.h"

#define MATCHES_MAX 16
#define PAIRS_MAX   128

/* live.tmpl as a list of [NAME, VALUE] and [NAME, {KEY: VALUE}], in its order. */
static json_t *as_list(const struct template *template)
{
        json_t *list = json_array();

        for (size_t i = 0; i < template->n_attributes; i++) {
                const struct template_attribute *attribute = &template->attributes[i];
                json_t *pairs;

                if (!attribute->is_vector) {
                        json_array_append_new(list, json_pack("[s, s]", attribute->name, attribute->value));
                        continue;
                }
                pairs = json_object();
                for (size_t k = 0; k < attribute->n_pairs; k++)
                        json_object_set_new(pairs, attribute->pairs[k].name,
                                            json_string(attribute->pairs[k].value));
                json_array_append_new(list, json_pack("[s, o]", attribute->name, pairs));
        }
        return list;
}

static char *as_text(const json_t *list)
{
        struct text out = TEXT_INIT;
        const json_t *each;
        size_t i;

        json_array_foreach ((json_t *)list, i, each) {
                const char *name = json_string_value(json_array_get(each, 0)), *key;
                json_t *value = json_array_get(each, 1), *pair;
                bool first = true;

                if (json_is_string(value)) {
                        template_write_value(&out, name, json_string_value(value));
                        text_add(&out, "\n");
                        continue;
                }
                text_addf(&out, "%s = [", name);
                json_object_foreach (value, key, pair) {
                        text_add(&out, first ? "\n  " : ",\n  ");
                        template_write_value(&out, key, json_string_value(pair));
                        first = false;
                }
                text_add(&out, "\n]\n");
        }
        return text_take(&out);
}

static bool is_name(const char *s)
{
        size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

        return n > 0 && n <= 64 && !s[n];
}

/* Names and values as a template can say them. */
static int check_pairs(const char *what, const json_t *pairs, size_t max, struct error **err)
{
        const char *key;
        json_t *value;

        if (!json_is_object(pairs) || json_object_size(pairs) == 0 || json_object_size(pairs) > max)
                return error_set(err, ERROR_FAILED, "%s is not an object of 1 to %zu members", what, max);
        json_object_foreach ((json_t *)pairs, key, value) {
                const char *text = json_string_value(value);

                if (!is_name(key) || !text || strlen(text) != json_string_length(value) ||
                    !template_value_is_writable(text))
                        return error_set(err, ERROR_FAILED, "%s has a member that no template can say", what);
        }
        return 0;
}

/* The place of the one vector that matches; the end of the list: none. One that says nothing else is it. -1: *err. */
static int find(const json_t *list, const char *vector, const json_t *match, size_t *ret, struct error **err)
{
        size_t found = json_array_size(list), i;
        const json_t *each;

        json_array_foreach ((json_t *)list, i, each) {
                if (strcmp(json_string_value(json_array_get(each, 0)), vector) == 0 &&
                    json_equal(json_array_get(each, 1), match)) {
                        *ret = i;
                        return 0;
                }
        }

        json_array_foreach ((json_t *)list, i, each) {
                const json_t *pairs = json_array_get(each, 1);
                const char *name = json_string_value(json_array_get(each, 0)), *key;
                bool fits = strcmp(name, vector) == 0 && json_is_object(pairs);
                json_t *value;

                json_object_foreach ((json_t *)match, key, value)
                        fits = fits && json_equal(json_object_get(pairs, key), value);
                if (!fits)
                        continue;
                if (found < json_array_size(list))
                        return error_set(err, ERROR_FAILED, "more than one %s matches", vector);
                found = i;
        }
        *ret = found;
        return 0;
}

static int set_attribute(json_t *list, const json_t *change, struct error **err)
{
        json_auto_t *pair = json_object();
        const char *name, *value;
        json_error_t why;
        json_t *each;
        size_t i;

        if (json_unpack_ex((json_t *)change, &why, JSON_STRICT, "{s:s, s:s}", "attribute", &name, "value",
                           &value) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        json_object_set(pair, name, json_object_get(change, "value"));
        if (check_pairs("attribute", pair, 1, err) < 0)
                return -1;
        json_array_foreach (list, i, each) {
                if (strcmp(json_string_value(json_array_get(each, 0)), name) == 0 &&
                    json_is_string(json_array_get(each, 1)))
                        return json_array_set_new(each, 1, json_string(value));
        }
        /* Attributes come before the vectors, for who reads it. */
        json_array_insert_new(list, 0, json_pack("[s, s]", name, value));
        return 0;
}

static int unpack_vector(const json_t *change, const char **vector, const json_t **match,
                         const json_t **attributes, struct error **err)
{
        json_error_t why;

        *match = *attributes = NULL;
        if (json_unpack_ex((json_t *)change, &why, JSON_STRICT, "{s:s, s?o, s?o}", "vector", vector, "match",
                           match, "attributes", attributes) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        if (!is_name(*vector))
                return error_set(err, ERROR_FAILED, "vector is no name");
        /* {}: the only one. */
        return *match && json_object_size(*match) > 0 ? check_pairs("match", *match, MATCHES_MAX, err) : 0;
}

static int set_one(json_t *list, const json_t *change, struct error **err)
{
        const json_t *match, *attributes;
        const char *vector;
        json_t *entry;
        size_t at = json_array_size(list);

        if (json_object_get(change, "attribute"))
                return set_attribute(list, change, err);
        if (unpack_vector(change, &vector, &match, &attributes, err) < 0 ||
            check_pairs("attributes", attributes, PAIRS_MAX, err) < 0 ||
            (match && find(list, vector, match, &at, err) < 0))
                return -1;
        if (match && at == json_array_size(list))
                return error_set(err, ERROR_FAILED, "no %s matches", vector);
        entry = json_pack("[s, O]", vector, attributes);
        return match ? json_array_set_new(list, at, entry) : json_array_append_new(list, entry);
}

static int remove_attribute(json_t *list, const json_t *change, struct error **err)
{
        json_error_t why;
        const char *name;
        json_t *each;
        size_t i;

        if (json_unpack_ex((json_t *)change, &why, JSON_STRICT, "{s:s}", "attribute", &name) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        json_array_foreach (list, i, each) {
                if (strcmp(json_string_value(json_array_get(each, 0)), name) == 0 &&
                    json_is_string(json_array_get(each, 1)))
                        return json_array_remove(list, i);
        }
        return error_set(err, ERROR_FAILED, "there is no such attribute");
}

static int remove_one(json_t *list, const json_t *change, struct error **err)
{
        const json_t *match, *attributes;
        const char *vector;
        size_t at;

        if (json_object_get(change, "attribute"))
                return remove_attribute(list, change, err);
        if (unpack_vector(change, &vector, &match, &attributes, err) < 0)
                return -1;
        if (!match || attributes)
                return error_set(err, ERROR_FAILED, "match, and nothing else, says which %s", vector);
        if (find(list, vector, match, &at, err) < 0)
                return -1;
        if (at == json_array_size(list))
                return error_set(err, ERROR_FAILED, "no %s matches", vector);
        return json_array_remove(list, at);
}

static int change_list(json_t *list, const json_t *live, struct error **err)
{
        const json_t *each;
        size_t i;

        json_array_foreach (json_object_get(live, "remove"), i, each) {
                if (remove_one(list, each, err) < 0)
                        return error_wrap(err, "live: remove: entry %zu", i + 1);
        }
        json_array_foreach (json_object_get(live, "set"), i, each) {
                if (set_one(list, each, err) < 0)
                        return error_wrap(err, "live: set: entry %zu", i + 1);
        }
        return 0;
}

char *live_template_change(const char *text, const json_t *live, const struct site *site, const char *name,
                           struct error **err)
{
        _cleanup_(template_freep) struct template *before = NULL, *after = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        _cleanup_free_ char *changed = NULL;
        json_auto_t *list = NULL;

        if (template_parse("live.tmpl", text, strlen(text), &before, err) < 0)
                return NULL;
        list = as_list(before);
        if (change_list(list, live, err) < 0)
                return NULL;
        changed = as_text(list);
        /* A warning of a template is for who starts it; the start of this one was long ago. */
        if (template_parse("live.tmpl", changed, strlen(changed), &after, err) < 0 ||
            spec_build(after, site, "/", name, &spec, err) < 0) {
                error_wrap(err, "live");
                return NULL;
        }
        if (strcmp(spec->name, name) != 0) {
                error_set(err, ERROR_FAILED, "live: a VM's name stays");
                return NULL;
        }
        return spec_to_template(spec);
}
