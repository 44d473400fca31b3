#include "launcher/plan/plan_word.h"

#include <stdbool.h>
#include <string.h>

#include "base/text.h"

/* U+0000 to U+001F, U+007F, and U+0080 to U+009F, which are C2 80 to C2 9F. */
static bool is_control(const char *s)
{
        unsigned char first = (unsigned char)s[0], second = (unsigned char)(first ? s[1] : 0);

        return first < 0x20 || first == 0x7f || (first == 0xc2 && second < 0xa0);
}

static bool has_control(const char *s)
{
        for (; *s; s++)
                if (is_control(s))
                        return true;
        return false;
}

void plan_add_visible(struct text *out, const char *s, size_t n)
{
        for (size_t i = 0, plain; i < n; i++) {
                bool is_two_bytes;

                for (plain = i; plain < n && !is_control(s + plain); plain++)
                        ;
                text_add_bytes(out, s + i, plain - i);
                i = plain;
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
        if (!has_control(s)) {
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
