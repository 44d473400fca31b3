#include "launcher/run/generation.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/utc.h"
#include "conf/spec_build.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/state/instance.h"

#define MARK_PREFIX   "vmlaunch:"
#define RANDOM_DIGITS 16

char *generation_new(const char *instance)
{
        uint64_t number;

        /* Up to 256 bytes never come short (getrandom(2)). */
        if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
                abort();
        return xasprintf("%s%016llx", instance, (unsigned long long)number);
}

bool generation_is_of(const char *generation, const char *instance)
{
        return instance && strlen(generation) == INSTANCE_DIGITS + RANDOM_DIGITS &&
               strspn(generation, "0123456789abcdef") == INSTANCE_DIGITS + RANDOM_DIGITS &&
               strncmp(generation, instance, INSTANCE_DIGITS) == 0;
}

char *generation_mark(const char *vm, const char *generation)
{
        return xasprintf(MARK_PREFIX "%s:%s", vm, generation);
}

static bool take(const char *vm, size_t vm_length, const char *generation, char **ret_vm,
                 char **ret_generation)
{
        _cleanup_free_ char *name = xstrndup(vm, vm_length);

        if (!spec_name_is_valid(name) || spec_name_is_reserved(name) || !*generation)
                return false;
        *ret_vm = TAKE_PTR(name);
        *ret_generation = xstrdup(generation);
        return true;
}

bool generation_read_mark(const char *mark, char **ret_vm, char **ret_generation)
{
        const char *vm = mark + strlen(MARK_PREFIX), *colon;

        if (!text_starts_with(mark, MARK_PREFIX) || !(colon = strchr(vm, ':')) || strchr(colon + 1, ':'))
                return false;
        return take(vm, (size_t)(colon - vm), colon + 1, ret_vm, ret_generation);
}

/* "guest=NAME,process=NAME-GENERATION,...": what the plan's machine section writes. */
static bool read_name(const char *value, char **ret_vm, char **ret_generation)
{
        static const char guest[] = "guest=", process[] = ",process=";
        const char *name = value + strlen(guest), *end = strchrnul(name, ','), *again;
        size_t length = (size_t)(end - name);
        _cleanup_free_ char *generation = NULL;

        if (!text_starts_with(value, guest) || !text_starts_with(end, process))
                return false;
        again = end + strlen(process);
        if (strncmp(again, name, length) != 0 || again[length] != '-')
                return false;
        again += length + 1;
        generation = xstrndup(again, strcspn(again, ","));
        return take(name, length, generation, ret_vm, ret_generation);
}

bool generation_read_command_line(const char *words, size_t n, char **ret_vm, char **ret_generation)
{
        const char *end = words + n, *last = "";

        for (const char *word = words, *next; word < end; last = word, word = next) {
                const char *nul = memchr(word, '\0', (size_t)(end - word));

                /* Cut short. */
                if (!nul)
                        return false;
                next = nul + 1;
                if (strcmp(last, "-name") == 0)
                        return read_name(word, ret_vm, ret_generation);
        }
        return false;
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

char *rtc_fill(const char *text, time_t now)
{
        static const char start[] = "base=" CLOCK_PLACEHOLDER;
        const char *end;
        char date[UTC_DATE_SIZE];
        long long ahead;

        if (!text_starts_with(text, start) || sscanf(text + strlen(start), "%lld", &ahead) != 1)
                return xstrdup(text);
        end = strchr(text + strlen(start), '@');
        now += (time_t)ahead;
        if (!end || !utc_date(date, now))
                return xstrdup(text);
        return xasprintf("base=%s%s", date, end + 1);
}

static bool has_placeholder(const json_t *json)
{
        json_t *value;
        const char *key;
        size_t i;

        if (json_is_object(json)) {
                json_object_foreach ((json_t *)json, key, value) {
                        if (has_placeholder(value))
                                return true;
                }
        }
        json_array_foreach (json, i, value) {
                if (has_placeholder(value))
                        return true;
        }
        return json_is_string(json) && strstr(json_string_value(json), GENERATION_PLACEHOLDER);
}

json_t *generation_fill_json(const json_t *json, const char *generation)
{
        json_t *copy, *value;
        const char *key;
        size_t i;

        if (!has_placeholder(json))
                return json_incref((json_t *)json);
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
        copy = json_array();
        json_array_foreach ((json_t *)json, i, value) {
                json_array_append_new(copy, generation_fill_json(value, generation));
        }
        return copy;
}
