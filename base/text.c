#include "base/text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void text_done(struct text *text)
{
        free(text->data);
        *text = TEXT_INIT;
}

/* What is made room for before anybody knows how much it will be. */
#define USUAL_LENGTH 95

static void reserve(struct text *text, size_t more)
{
        size_t need = text->length + more + 1;

        if (need <= text->capacity)
                return;
        text->capacity = need < 64 ? 64 : need * 2;
        text->data = xrealloc(text->data, text->capacity);
}

void text_add_bytes(struct text *text, const void *bytes, size_t n)
{
        reserve(text, n);
        if (n)
                memcpy(text->data + text->length, bytes, n);
        text->length += n;
        text->data[text->length] = '\0';
}

void text_add(struct text *text, const char *s)
{
        text_add_bytes(text, s, strlen(s));
}

void text_add_u64(struct text *text, uint64_t number)
{
        char digits[20], *first = digits + sizeof(digits);

        do
                *--first = (char)('0' + number % 10);
        while ((number /= 10));
        text_add_bytes(text, first, (size_t)(digits + sizeof(digits) - first));
}

void text_vaddf(struct text *text, const char *format, va_list ap)
{
        va_list again;
        size_t room;
        int n;

        /* Most fit at once, and formatting is what a plan's time goes into. */
        reserve(text, USUAL_LENGTH);
        room = text->capacity - text->length;
        va_copy(again, ap);
        n = vsnprintf(text->data + text->length, room, format, ap);
        if (n < 0)
                n = 0;
        if ((size_t)n >= room) {
                reserve(text, (size_t)n);
                vsnprintf(text->data + text->length, (size_t)n + 1, format, again);
        }
        va_end(again);
        text->length += (size_t)n;
        text->data[text->length] = '\0';
}

void text_addf(struct text *text, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        text_vaddf(text, format, ap);
        va_end(ap);
}

void text_cut(struct text *text, size_t length)
{
        if (length >= text->length)
                return;
        text->length = length;
        text->data[length] = '\0';
}

char *text_take(struct text *text)
{
        char *s = text->data ? text->data : xstrdup("");

        *text = TEXT_INIT;
        return s;
}

const char *text_str(const struct text *text)
{
        return text->data ? text->data : "";
}

static bool parse_digits(const char *s, unsigned base, uint64_t *ret)
{
        uint64_t value = 0;

        if (!*s)
                return false;
        for (; *s; s++) {
                unsigned digit;

                if (*s >= '0' && *s <= '9')
                        digit = (unsigned)(*s - '0');
                else if (base == 16 && isxdigit((unsigned char)*s))
                        digit = (unsigned)(tolower((unsigned char)*s) - 'a' + 10);
                else
                        return false;
                if (__builtin_mul_overflow(value, base, &value) ||
                    __builtin_add_overflow(value, digit, &value))
                        return false;
        }
        *ret = value;
        return true;
}

bool text_parse_u64(const char *s, uint64_t *ret)
{
        if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
                return parse_digits(s + 2, 16, ret);
        return parse_digits(s, 10, ret);
}

bool text_parse_u32(const char *s, uint32_t *ret)
{
        uint64_t value;

        if (!text_parse_u64(s, &value) || value > UINT32_MAX)
                return false;
        *ret = (uint32_t)value;
        return true;
}

bool text_parse_i64(const char *s, int64_t *ret)
{
        bool negative = *s == '-';
        uint64_t value;

        if (!text_parse_u64(s + negative, &value) || value > (uint64_t)INT64_MAX + negative)
                return false;
        *ret = negative ? (int64_t)(0 - value) : (int64_t)value;
        return true;
}

bool text_parse_decimal(const char *s, double *ret)
{
        /* Digits after the fifteenth do not count: mantissa and power of ten are exact, and so is what is written
         * with as many. */
        const uint64_t enough = 100000000000000;
        uint64_t mantissa = 0;
        double value, above = 1, below = 1;
        bool digits = false, fraction = false;

        for (; isdigit((unsigned char)*s) || (*s == '.' && !fraction); s++) {
                if (*s == '.') {
                        fraction = true;
                        continue;
                }
                digits = true;
                if (mantissa < enough) {
                        mantissa = mantissa * 10 + (uint64_t)(*s - '0');
                        below *= fraction ? 10 : 1;
                } else if (!fraction) {
                        above *= 10;
                }
        }
        value = (double)mantissa * above / below;
        if (*s || !digits || !isfinite(value))
                return false;
        *ret = value;
        return true;
}

/* digits of a fraction of unit, in bytes rounded up; what is beyond 18 digits counts as a bit more. */
static bool parse_fraction(const char *digits, uint64_t unit, uint64_t *ret)
{
        unsigned __int128 value = 0, scale = 1;
        bool more = false;
        size_t n = 0;

        for (; digits[n] >= '0' && digits[n] <= '9'; n++) {
                if (n < 18) {
                        value = value * 10 + (unsigned)(digits[n] - '0');
                        scale *= 10;
                } else {
                        more |= digits[n] != '0';
                }
        }
        if (!n || digits[n])
                return false;
        value = value * unit + more;
        *ret = (uint64_t)((value + scale - 1) / scale);
        return true;
}

enum text_size_result text_parse_size(const char *s, uint64_t plain_unit, uint64_t *ret_bytes)
{
        static const struct {
                const char *suffix;
                uint64_t unit;
        } units[] = {
                { "b", 1 },
                { "KB", 1000 },
                { "k", 1ull << 10 },
                { "KiB", 1ull << 10 },
                { "MB", 1000000 },
                { "M", 1ull << 20 },
                { "MiB", 1ull << 20 },
                { "GB", 1000000000 },
                { "G", 1ull << 30 },
                { "GiB", 1ull << 30 },
                { "TB", 1000000000000 },
                { "T", 1ull << 40 },
                { "TiB", 1ull << 40 },
        };
        const char *rest = s + strspn(s, "0123456789.");
        _cleanup_free_ char *digits = xstrndup(s, (size_t)(rest - s));
        uint64_t unit = 0, whole, fraction_bytes = 0, bytes;
        char *dot = strchr(digits, '.');

        if (!*rest)
                unit = plain_unit;
        rest += strspn(rest, " \t");
        for (size_t i = 0; i < ARRAY_SIZE(units) && *rest; i++)
                if (strcasecmp(rest, units[i].suffix) == 0)
                        unit = units[i].unit;
        if (!unit || (dot && !*rest))
                return TEXT_SIZE_BAD;
        if (dot) {
                if (!parse_fraction(dot + 1, unit, &fraction_bytes))
                        return TEXT_SIZE_BAD;
                *dot = '\0';
        }
        if (strspn(digits, "0123456789") != strlen(digits) || !*digits)
                return TEXT_SIZE_BAD;
        if (!parse_digits(digits, 10, &whole) || __builtin_mul_overflow(whole, unit, &bytes) ||
            __builtin_add_overflow(bytes, fraction_bytes, &bytes))
                return TEXT_SIZE_HUGE;
        *ret_bytes = bytes;
        return TEXT_SIZE_OK;
}

char *text_from_size(uint64_t bytes)
{
        static const char *const names[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
        unsigned i = 0;

        while (i + 1 < ARRAY_SIZE(names) && bytes && bytes % 1024 == 0) {
                bytes /= 1024;
                i++;
        }
        return xasprintf("%llu %s", (unsigned long long)bytes, names[i]);
}

bool text_parse_bool(const char *s, bool *ret)
{
        static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off",
                                                                                       "0" };

        for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
                if (strcasecmp(s, yes[i]) == 0)
                        return *ret = true, true;
                if (strcasecmp(s, no[i]) == 0)
                        return *ret = false, true;
        }
        return false;
}

static bool parse_hex_byte(const char *s, uint8_t *ret)
{
        uint64_t value;
        char digits[3] = { s[0], s[0] ? s[1] : '\0', '\0' };

        if (strlen(digits) != 2 || !parse_digits(digits, 16, &value))
                return false;
        *ret = (uint8_t)value;
        return true;
}

bool text_parse_uuid(const char *s, uint8_t ret[16])
{
        uint8_t uuid[16];

        if (strlen(s) != 36)
                return false;
        for (size_t i = 0, at = 0; i < 16; i++) {
                if ((i == 4 || i == 6 || i == 8 || i == 10) && s[at++] != '-')
                        return false;
                if (!parse_hex_byte(s + at, &uuid[i]))
                        return false;
                at += 2;
        }
        memcpy(ret, uuid, sizeof(uuid));
        return true;
}

static const char hex_digits[] = "0123456789abcdef";

void text_from_uuid(const uint8_t uuid[16], char ret[37])
{
        char *out = ret;

        for (size_t i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *out++ = '-';
                *out++ = hex_digits[uuid[i] >> 4];
                *out++ = hex_digits[uuid[i] & 15];
        }
        *out = '\0';
}

char *text_to_hex(const void *bytes, size_t n)
{
        const unsigned char *from = bytes;
        char *hex = xmalloc(2 * n + 1);

        for (size_t i = 0; i < n; i++) {
                hex[2 * i] = hex_digits[from[i] >> 4];
                hex[2 * i + 1] = hex_digits[from[i] & 15];
        }
        hex[2 * n] = '\0';
        return hex;
}

bool text_from_hex(const char *hex, char **ret_bytes, size_t *ret_n)
{
        size_t n = strlen(hex) / 2;
        _cleanup_free_ char *bytes = xmalloc(n + 1);

        if (hex[2 * n])
                return false;
        for (size_t i = 0; i < n; i++)
                if (!parse_hex_byte(hex + 2 * i, (uint8_t *)bytes + i))
                        return false;
        bytes[n] = '\0';
        *ret_bytes = TAKE_PTR(bytes);
        *ret_n = n;
        return true;
}

bool text_parse_mac(const char *s, uint8_t ret[6])
{
        uint8_t mac[6];

        if (strlen(s) != 17)
                return false;
        for (size_t i = 0; i < 6; i++)
                if (!parse_hex_byte(s + 3 * i, &mac[i]) || (i < 5 && s[3 * i + 2] != ':'))
                        return false;
        memcpy(ret, mac, sizeof(mac));
        return true;
}

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

char *text_printable(const char *s)
{
        struct text out = TEXT_INIT;

        for (size_t n; *s; s += n) {
                unsigned char c = (unsigned char)*s;

                n = printable_length(s);
                if (out.length >= 120) {
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

bool text_starts_with(const char *s, const char *prefix)
{
        return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool text_ends_with(const char *s, const char *suffix)
{
        size_t n = strlen(s), m = strlen(suffix);

        return n >= m && strcmp(s + n - m, suffix) == 0;
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

uint64_t text_hash(const void *bytes, size_t n)
{
        const uint8_t *p = bytes;
        uint64_t hash = 0xcbf29ce484222325ull;

        while (n--)
                hash = (hash ^ *p++) * 0x100000001b3ull;
        return hash;
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
