#include "launcher/run/generation.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "base/text.h"

char *generation_new(void)
{
        uint64_t number;

        /* Up to 256 bytes never come short (getrandom(2)). */
        if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
                abort();
        return xasprintf("%016llx", (unsigned long long)number);
}

char *generation_fill(const char *text, const char *generation)
{
        _cleanup_text_ struct text out = TEXT_INIT;
        const char *at;

        while ((at = strstr(text, GENERATION_PLACEHOLDER))) {
                text_add_bytes(&out, text, (size_t)(at - text));
                text_add(&out, generation);
                text = at + strlen(GENERATION_PLACEHOLDER);
        }
        text_add(&out, text);
        return text_take(&out);
}

json_t *generation_fill_json(const json_t *json, const char *generation)
{
        json_t *copy, *value;
        const char *key;
        size_t i;

        if (json_is_string(json)) {
                _cleanup_free_ char *filled = generation_fill(json_string_value(json), generation);

                return json_string(filled);
        }
        if (json_is_object(json)) {
                copy = json_object();
                json_object_foreach ((json_t *)json, key, value) {
                        json_object_set_new(copy, key, generation_fill_json(value, generation));
                }
                return copy;
        }
        if (json_is_array(json)) {
                copy = json_array();
                json_array_foreach ((json_t *)json, i, value) {
                        json_array_append_new(copy, generation_fill_json(value, generation));
                }
                return copy;
        }
        return json_incref((json_t *)json);
}
