#include "launcher/plan/plan_word.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"

/* U+0000 to U+001F, U+007F, and U+0080 to U+009F, which are C2 80 to C2 9F. */
static bool is_control(const char *s)
{
        unsigned char first = (unsigned char)s[0], second = (unsigned char)(first ? s[1] : 0);

        return first < 0x20 || first == 0x7f || (first == 0xc2 && second < 0xa0);
}

/* How many bytes there are before one that is_control(), of n; s ends with a NUL there or later. */
static size_t visible_length(const char *s, size_t n)
{
        const uint64_t each = 0x0101010101010101;
        size_t i = 0;

        /* Eight at a time while all of them are 0x20 to 0x7e: nothing borrows or carries into a neighbour then. */
        for (uint64_t word; i + sizeof(word) <= n; i += sizeof(word)) {
                memcpy(&word, s + i, sizeof(word));
                if ((word | (word - 0x20 * each) | (word + each)) & (0x80 * each))
                        break;
        }
        while (i < n && !is_control(s + i))
                i++;
        return i;
}

void plan_add_visible(struct text *out, const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                size_t plain = visible_length(s + i, n - i);
                bool is_two_bytes;

                text_add_bytes(out, s + i, plain);
                i += plain;
                if (i == n)
                        break;
                is_two_bytes = (unsigned char)s[i] == 0xc2 && i + 1 < n;
                text_addf(out, "\\x%02x", (unsigned char)s[i]);
                if (is_two_bytes)
                        text_addf(out, "\\x%02x", (unsigned char)s[++i]);
        }
}

char *plan_visible(const char *s, size_t n)
{
        struct text out = TEXT_INIT;

        plan_add_visible(&out, s, n);
        return text_take(&out);
}

void plan_add_word(struct text *out, const char *s)
{
        size_t n = strlen(s);

        if (visible_length(s, n) == n) {
                text_add_shell_quoted(out, s);
                return;
        }
        text_add(out, "$'");
        for (; *s; s++) {
                if (*s == '\'' || *s == '\\')
                        text_addf(out, "\\%c", *s);
                else
                        plan_add_visible(out, s, is_control(s) && (unsigned char)*s == 0xc2 ? 2 : 1);
                if (is_control(s) && (unsigned char)*s == 0xc2)
                        s++;
        }
        text_add(out, "'");
}

char *plan_word(const char *s)
{
        struct text out = TEXT_INIT;

        plan_add_word(&out, s);
        return text_take(&out);
}
