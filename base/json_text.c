#include "base/json_text.h"

#include <string.h>

/* What stands for the byte; NULL: the byte itself. */
static const char *escape(unsigned char c)
{
        switch (c) {
        case '"':
                return "\\\"";
        case '\\':
                return "\\\\";
        case '\b':
                return "\\b";
        case '\f':
                return "\\f";
        case '\n':
                return "\\n";
        case '\r':
                return "\\r";
        case '\t':
                return "\\t";
        default:
                return NULL;
        }
}

static void add_string(struct text *out, const char *s, size_t n)
{
        size_t start = 0;

        text_add_char(out, '"');
        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char)s[i];
                const char *escaped;

                if (c >= 0x20 && c != '"' && c != '\\')
                        continue;
                text_add_bytes(out, s + start, i - start);
                escaped = escape(c);
                if (escaped)
                        text_add(out, escaped);
                else
                        text_addf(out, "\\u%04X", c);
                start = i + 1;
        }
        text_add_bytes(out, s + start, n - start);
        text_add_char(out, '"');
}

static void add_members(struct text *out, json_t *object)
{
        bool first = true;

        for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
                const char *key = json_object_iter_key(at);

                if (!first)
                        text_add_char(out, ',');
                first = false;
                add_string(out, key, strlen(key));
                text_add_char(out, ':');
                json_text_add(out, json_object_iter_value(at));
        }
}

static void add_integer(struct text *out, json_int_t number)
{
        if (number < 0)
                text_addf(out, "%" JSON_INTEGER_FORMAT, number);
        else
                text_add_u64(out, (uint64_t)number);
}

void json_text_add(struct text *out, const json_t *json)
{
        switch (json_typeof(json)) {
        case JSON_OBJECT:
                text_add_char(out, '{');
                add_members(out, (json_t *)json);
                text_add_char(out, '}');
                break;
        case JSON_ARRAY:
                text_add_char(out, '[');
                for (size_t i = 0; i < json_array_size(json); i++) {
                        if (i)
                                text_add_char(out, ',');
                        json_text_add(out, json_array_get(json, i));
                }
                text_add_char(out, ']');
                break;
        case JSON_STRING:
                add_string(out, json_string_value(json), json_string_length(json));
                break;
        case JSON_INTEGER:
                add_integer(out, json_integer_value(json));
                break;
        case JSON_REAL: {
                _cleanup_free_ char *number = json_dumps(json, JSON_ENCODE_ANY);

                text_add(out, number);
                break;
        }
        case JSON_TRUE:
                text_add(out, "true");
                break;
        case JSON_FALSE:
                text_add(out, "false");
                break;
        case JSON_NULL:
                text_add(out, "null");
                break;
        }
}

/* Behind a value: those end with another byte than the one that begins an object. */
static void add_key(struct text *out, const char *key)
{
        if (out->length && out->data[out->length - 1] != '{')
                text_add_char(out, ',');
        add_string(out, key, strlen(key));
        text_add_char(out, ':');
}

void json_text_begin(struct text *out, const char *key)
{
        if (key)
                add_key(out, key);
        text_add_char(out, '{');
}

void json_text_end(struct text *out)
{
        text_add_char(out, '}');
}

void json_text_string(struct text *out, const char *key, const char *value)
{
        if (!value)
                return;
        add_key(out, key);
        add_string(out, value, strlen(value));
}

void json_text_integer(struct text *out, const char *key, json_int_t value)
{
        add_key(out, key);
        add_integer(out, value);
}

void json_text_bool(struct text *out, const char *key, bool value)
{
        add_key(out, key);
        text_add(out, value ? "true" : "false");
}

void json_text_null(struct text *out, const char *key)
{
        add_key(out, key);
        text_add(out, "null");
}
