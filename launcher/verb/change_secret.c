/* Values of hot-plugged secrets, put into a fragment just before it is sent: in no plan, journal or record. */
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "launcher/run/effects.h"
#include "launcher/verb/change.h"

/* As effect_secret.c. */
#define SECRET_MAX 65536
#define RAW        CHANGE_SECRET "raw:"

static char *base64(const char *bytes, size_t n)
{
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const unsigned char *in = (const unsigned char *)bytes;
        char *ret = xmalloc((n + 2) / 3 * 4 + 1), *out = ret;

        for (size_t i = 0; i < n; i += 3) {
                unsigned word = (unsigned)in[i] << 16 | (i + 1 < n ? (unsigned)in[i + 1] << 8 : 0) |
                                (i + 2 < n ? (unsigned)in[i + 2] : 0);

                *out++ = letters[word >> 18 & 63];
                *out++ = letters[word >> 12 & 63];
                *out++ = letters[word >> 6 & 63];
                *out++ = letters[word & 63];
        }
        *out = '\0';
        for (size_t i = 0; i < (3 - n % 3) % 3; i++)
                *--out = '=';
        return ret;
}

static void forget(char *text)
{
        if (text)
                explicit_bzero(text, strlen(text));
        free(text);
}

/* What QEMU is told; new string. */
static char *value_of(const struct change_secret *secret, bool raw, struct error **err)
{
        char *content = NULL, *value;
        size_t length = 0;

        if (!secret->path) {
                content = xstrdup(secret->value);
                length = strlen(content);
        } else {
                if (fd_read_file_at(AT_FDCWD, secret->path, SECRET_MAX, &content, &length, err) < 0)
                        return NULL;
                length = secret_without_line_end(content, length);
        }
        if (length == 0) {
                error_set(err, ERROR_FAILED, "the secret in '%s' is empty",
                          secret->path ? secret->path : secret->name);
                free(content);
                return NULL;
        }
        value = raw ? base64(content, length) : xstrndup(content, length);
        explicit_bzero(content, length);
        free(content);
        return value;
}

static const struct change_secret *find(const struct plan_change *plan, const char *name)
{
        for (size_t i = 0; i < plan->n_secrets; i++)
                if (strcmp(plan->secrets[i].name + strlen("secret:"), name) == 0)
                        return &plan->secrets[i];
        return NULL;
}

json_t *change_with_secrets(const struct plan_change *plan, struct error **err)
{
        json_t *fragment = json_deep_copy(plan->fragment), *step;
        size_t i;

        json_array_foreach (json_object_get(fragment, "steps"), i, step) {
                json_t *arguments = json_object_get(json_object_get(step, "args"), "arguments");
                const char *data = json_member_string(arguments, "data");
                bool raw = data && text_starts_with(data, RAW);
                const struct change_secret *secret;
                char *value;

                if (!data || !text_starts_with(data, CHANGE_SECRET))
                        continue;
                secret = find(plan, data + strlen(raw ? RAW : CHANGE_SECRET));
                value = secret ? value_of(secret, raw, err) : NULL;
                if (!value) {
                        json_decref(fragment);
                        return NULL;
                }
                json_object_set_new(arguments, "data", json_string(value));
                forget(value);
        }
        return fragment;
}
