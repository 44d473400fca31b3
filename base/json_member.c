#include "base/json_member.h"

#include <stdint.h>
#include <string.h>

static bool is_ascii(const char *s, size_t n)
{
        uint64_t eight, high = 0;

        for (; n >= sizeof(eight); s += sizeof(eight), n -= sizeof(eight)) {
                memcpy(&eight, s, sizeof(eight));
                high |= eight;
        }
        for (; n; n--)
                high |= (unsigned char)*s++;
        return !(high & 0x8080808080808080);
}

json_t *json_member_text(const char *value)
{
        size_t n = strlen(value);

        return is_ascii(value, n) ? json_stringn_nocheck(value, n) : json_stringn(value, n);
}

bool json_member_is_utf8(const char *value)
{
        json_auto_t *string = NULL;

        if (is_ascii(value, strlen(value)))
                return true;
        string = json_string(value);
        return string != NULL;
}

void json_member_add(json_t *object, const char *key, const char *value)
{
        if (value)
                json_object_set_new_nocheck(object, key, json_member_text(value));
}

void json_member_add_bool(json_t *object, const char *key, bool value)
{
        json_object_set_new_nocheck(object, key, json_boolean(value));
}

const char *json_member_string(const json_t *object, const char *key)
{
        return json_string_value(json_object_get(object, key));
}

json_int_t json_member_integer(const json_t *object, const char *key)
{
        return json_integer_value(json_object_get(object, key));
}

bool json_member_is_true(const json_t *object, const char *key)
{
        return json_is_true(json_object_get(object, key));
}
