/*
 * The call by libsystemd (sd-bus(3)). The library is loaded at run time and its functions are declared here: neither
 * building nor running needs it.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bus_parts.h"
#include "base/library.h"
#include "base/mem.h"
#include "base/text.h"

#define LIBRARY "libsystemd.so.0"

typedef struct sd_bus sd_bus;
typedef struct sd_bus_message sd_bus_message;
/* Public in sd-bus-protocol.h, the same since the first version. */
typedef struct {
        const char *name, *message;
        int need_free;
} sd_bus_error;

#define FUNCTIONS(X)                                                                                         \
        X(int, open_system, sd_bus_open_system, (sd_bus **))                                                 \
        X(int, open_user, sd_bus_open_user, (sd_bus **))                                                     \
        X(sd_bus *, close_unref, sd_bus_flush_close_unref, (sd_bus *))                                       \
        X(int, new_call, sd_bus_message_new_method_call,                                                     \
          (sd_bus *, sd_bus_message **, const char *, const char *, const char *, const char *))             \
        X(int, set_auto_start, sd_bus_message_set_auto_start, (sd_bus_message *, int))                       \
        X(int, append_basic, sd_bus_message_append_basic, (sd_bus_message *, char, const void *))            \
        X(int, open_container, sd_bus_message_open_container, (sd_bus_message *, char, const char *))        \
        X(int, close_container, sd_bus_message_close_container, (sd_bus_message *))                          \
        X(int, call, sd_bus_call, (sd_bus *, sd_bus_message *, uint64_t, sd_bus_error *, sd_bus_message **)) \
        X(int, peek_type, sd_bus_message_peek_type, (sd_bus_message *, char *, const char **))               \
        X(int, enter_container, sd_bus_message_enter_container, (sd_bus_message *, char, const char *))      \
        X(int, read_basic, sd_bus_message_read_basic, (sd_bus_message *, char, void *))

static struct {
#define FUNCTION_FIELD(type, field, name, arguments) type(*field) arguments;
        FUNCTIONS(FUNCTION_FIELD)
#undef FUNCTION_FIELD
} sd;

bool bus_has_library(void)
{
        void *library = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);

        return library && dlclose(library) == 0;
}

static bool load(void)
{
        _cleanup_error_ struct error *ignored = NULL;

#define FUNCTION_NAME(type, field, name, arguments) #name "\0"
        return library_load(LIBRARY, FUNCTIONS(FUNCTION_NAME), &sd, &ignored) == 0;
#undef FUNCTION_NAME
}

/* The words that are still to be written. */
struct cursor {
        const struct argv *words;
        size_t next;
};

static const char *next_word(struct cursor *cursor, struct error **err)
{
        if (cursor->words && cursor->next < cursor->words->n)
                return cursor->words->items[cursor->next++];
        error_set(err, ERROR_FAILED, "too few arguments");
        return NULL;
}

static int append_number(sd_bus_message *message, char type, const char *word, struct error **err)
{
        union {
                uint8_t y;
                int b, i;
                uint16_t q;
                uint32_t u;
                uint64_t t;
        } value = { 0 };
        bool is_true = strcmp(word, "true") == 0;
        uint64_t number = is_true;

        if (!is_true && !(type == 'b' && strcmp(word, "false") == 0) && !text_parse_u64(word, &number))
                return error_set(err, ERROR_FAILED, "argument '%s' is not a number", word);
        switch (type) {
        case 'y':
                value.y = (uint8_t)number;
                break;
        case 'q':
                value.q = (uint16_t)number;
                break;
        case 'b':
        case 'i':
                value.i = (int)number;
                break;
        case 'u':
                value.u = (uint32_t)number;
                break;
        default:
                value.t = number;
                break;
        }
        return sd.append_basic(message, type, &value);
}

/* The length of the complete type at the beginning of the signature. */
static size_t type_length(const char *signature)
{
        size_t depth = 0, n = 0;

        while (signature[n] == 'a')
                n++;
        do {
                if (signature[n] == '(' || signature[n] == '{')
                        depth++;
                else if (signature[n] == ')' || signature[n] == '}')
                        depth--;
                else if (!signature[n])
                        return n;
                n++;
        } while (depth);
        return n;
}

static int append_types(sd_bus_message *message, const char *signature, size_t length, struct cursor *cursor,
                        struct error **err);

static int append_container(sd_bus_message *message, char kind, const char *contents, size_t length,
                            size_t times, struct cursor *cursor, struct error **err)
{
        _cleanup_free_ char *of = xstrndup(contents, length);
        int r = sd.open_container(message, kind, of);

        while (r >= 0 && times-- > 0)
                r = append_types(message, of, length, cursor, err);
        return r < 0 ? r : sd.close_container(message);
}

static int append_one(sd_bus_message *message, const char *type, size_t length, struct cursor *cursor,
                      struct error **err)
{
        const char *word;
        uint64_t times;

        switch (*type) {
        case '(':
                return append_container(message, 'r', type + 1, length - 2, 1, cursor, err);
        case 'a':
                word = next_word(cursor, err);
                if (!word || !text_parse_u64(word, &times))
                        return -1;
                return append_container(message, 'a', type + 1, length - 1, times, cursor, err);
        case 'v':
                word = next_word(cursor, err);
                return word ? append_container(message, 'v', word, strlen(word), 1, cursor, err) : -1;
        default:
                word = next_word(cursor, err);
                if (!word)
                        return -1;
                return strchr("sog", *type) ? sd.append_basic(message, *type, word)
                                            : append_number(message, *type, word, err);
        }
}

static int append_types(sd_bus_message *message, const char *signature, size_t length, struct cursor *cursor,
                        struct error **err)
{
        int r = 0;

        for (size_t at = 0, n; r >= 0 && at < length; at += n) {
                n = type_length(signature + at);
                r = append_one(message, signature + at, n, cursor, err);
        }
        return r;
}

static char *first_value(sd_bus_message *reply)
{
        const char *contents = NULL, *text = NULL;
        union {
                uint8_t y;
                uint16_t q;
                uint32_t u;
                uint64_t t;
                int b;
        } value = { 0 };
        char type = '\0';

        while (sd.peek_type(reply, &type, &contents) > 0 && type == 'v')
                if (sd.enter_container(reply, type, contents) < 0)
                        return xstrdup("");
        if (type && strchr("sog", type))
                return xstrdup(sd.read_basic(reply, type, (void *)&text) > 0 && text ? text : "");
        if (!type || !strchr("ybnqiuxt", type) || sd.read_basic(reply, type, &value) <= 0)
                return xstrdup("");
        switch (type) {
        case 'b':
                return xstrdup(value.b ? "true" : "false");
        case 'y':
                return xasprintf("%u", value.y);
        case 'n':
        case 'q':
                return xasprintf("%u", value.q);
        case 'i':
        case 'u':
                return xasprintf("%u", value.u);
        default:
                return xasprintf("%llu", (unsigned long long)value.t);
        }
}

int bus_library_call(const struct bus_call *call, int deadline_ms, char **ret_text, struct error **err)
{
        sd_bus_message *message = NULL, *reply = NULL;
        struct cursor cursor = { .words = call->words };
        sd_bus_error why = { 0 };
        sd_bus *bus = NULL;
        int r;

        if (!load())
                return 0;
        r = (call->user ? sd.open_user : sd.open_system)(&bus);
        if (r < 0)
                return error_set(err, ERROR_HOST, "there is no D-Bus to talk to: %s", strerror(-r));
        r = sd.new_call(bus, &message, call->destination, call->path, call->interface, call->member);
        if (r >= 0)
                r = sd.set_auto_start(message, call->may_start);
        if (r >= 0)
                r = append_types(message, call->signature, strlen(call->signature), &cursor, err);
        if (r >= 0)
                r = sd.call(bus, message, (uint64_t)deadline_ms * 1000, &why, &reply);
        if (r < 0 && !*err)
                error_set(err, ERROR_FAILED, "%s", why.message ? why.message : strerror(-r));
        if (r >= 0 && ret_text)
                *ret_text = first_value(reply);
        /* The messages and the error's text go with the process. */
        sd.close_unref(bus);
        return r < 0 ? -1 : 1;
}
