/* Text for people, shells and manual pages. */
#include <ctype.h>
#include <string.h>

#include "base/text.h"

/* Bytes of the UTF-8 sequence at s, 0 if it is none, or is a control (C1 too: terminals obey those). */
static size_t printable_length(const char *s)
{
        const unsigned char *u = (const unsigned char *)s;
        size_t n = u[0] < 0x80                   ? 1
                   : u[0] >= 0xc2 && u[0] < 0xe0 ? 2
                   : (u[0] & 0xf0) == 0xe0       ? 3
                   : u[0] >= 0xf0 && u[0] < 0xf5 ? 4
                                                 : 0;

        for (size_t i = 1; i < n; i++)
                if ((u[i] & 0xc0) != 0x80)
                        return 0;
        if (u[0] < 0x20 || u[0] == 0x7f || (u[0] == 0xc2 && u[1] < 0xa0))
                return 0;
        /* Overlong forms, surrogates, beyond U+10FFFF. */
        if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) || (u[0] == 0xf0 && u[1] < 0x90) ||
            (u[0] == 0xf4 && u[1] > 0x8f))
                return 0;
        return n;
}

#define SHOWN_BYTES 120

char *text_printable(const char *s)
{
        struct text out = TEXT_INIT;
        size_t plain = 0;

        /* Most are names and paths. */
        while (plain < SHOWN_BYTES && s[plain] >= ' ' && s[plain] < 0x7f && s[plain] != '\'' &&
               s[plain] != '\\')
                plain++;
        text_add_bytes(&out, s, plain);
        s += plain;
        for (size_t n; *s; s += n) {
                unsigned char c = (unsigned char)*s;

                n = printable_length(s);
                if (out.length >= SHOWN_BYTES) {
                        text_add(&out, "...");
                        break;
                }
                if (c == '\n')
                        text_add(&out, "\\n");
                else if (c == '\t')
                        text_add(&out, "\\t");
                else if (n == 0)
                        text_addf(&out, "\\x%02x", c);
                else if (c == '\'' || c == '\\')
                        text_addf(&out, "\\%c", c);
                else
                        text_add_bytes(&out, s, n);
                if (n == 0)
                        n = 1;
        }
        return text_take(&out);
}

/* strspn() would make itself a table of so many, for each word. */
static bool is_plain_word(const char *s)
{
        static const bool plain[256] = {
                ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['_'] = true, ['-'] = true,
                ['+'] = true,         ['='] = true,         [','] = true,         ['.'] = true, ['/'] = true,
                [':'] = true,         ['@'] = true,         ['%'] = true,
        };
        size_t n = 0;

        while (plain[(unsigned char)s[n]])
                n++;
        return n && !s[n];
}

void text_add_shell_quoted(struct text *text, const char *s)
{
        if (is_plain_word(s)) {
                text_add(text, s);
                return;
        }
        text_add(text, "'");
        for (;;) {
                size_t n = strcspn(s, "'");

                text_add_bytes(text, s, n);
                s += n;
                if (!*s++)
                        break;
                text_add(text, "'\\''");
        }
        text_add(text, "'");
}

char *text_shell_quoted(const char *s)
{
        struct text out = TEXT_INIT;

        text_add_shell_quoted(&out, s);
        return text_take(&out);
}

/* Damerau-Levenshtein distance (optimal string alignment), at most 31 characters are looked at. */
static unsigned edit_distance(const char *a, const char *b)
{
        unsigned d[32][32];
        size_t n = strnlen(a, 31), m = strnlen(b, 31);

        for (size_t i = 0; i <= n; i++)
                d[i][0] = (unsigned)i;
        for (size_t j = 0; j <= m; j++)
                d[0][j] = (unsigned)j;
        for (size_t i = 1; i <= n; i++)
                for (size_t j = 1; j <= m; j++) {
                        bool same = toupper((unsigned char)a[i - 1]) == toupper((unsigned char)b[j - 1]);
                        unsigned best = d[i - 1][j - 1] + !same;

                        if (d[i - 1][j] + 1 < best)
                                best = d[i - 1][j] + 1;
                        if (d[i][j - 1] + 1 < best)
                                best = d[i][j - 1] + 1;
                        if (i > 1 && j > 1 &&
                            toupper((unsigned char)a[i - 1]) == toupper((unsigned char)b[j - 2]) &&
                            toupper((unsigned char)a[i - 2]) == toupper((unsigned char)b[j - 1]) &&
                            d[i - 2][j - 2] + 1 < best)
                                best = d[i - 2][j - 2] + 1;
                        d[i][j] = best;
                }
        return d[n][m];
}

const char *text_nearest(const char *s, const char *const *names)
{
        const char *best = NULL;
        /* One letter in three may be wrong, and at least one: FOO is not LOGO. */
        unsigned best_distance = (unsigned)strlen(s) / 3;

        best_distance = best_distance < 1 ? 1 : best_distance > 3 ? 3 : best_distance;
        best_distance++;
        for (; *names; names++) {
                unsigned distance = edit_distance(s, *names);

                if (distance < best_distance && distance < strlen(*names)) {
                        best = *names;
                        best_distance = distance;
                } else if (!best && strlen(s) >= 3 && strncasecmp(s, *names, strlen(s)) == 0) {
                        best = *names;
                }
        }
        return best;
}

void text_add_roff(struct text *text, const char *s)
{
        bool at_start = true;

        for (; *s; s++) {
                if (at_start && (*s == '.' || *s == '\''))
                        text_add(text, "\\&");
                if (*s == '\\')
                        text_add(text, "\\e");
                else if (*s == '-')
                        text_add(text, "\\-");
                else
                        text_add_bytes(text, s, 1);
                at_start = *s == '\n';
        }
}
