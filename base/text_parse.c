/* Numbers, sizes and identifiers to and from text. */
#include <ctype.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

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
        struct text out = TEXT_INIT;
        unsigned i = 0;

        while (i + 1 < ARRAY_SIZE(names) && bytes && bytes % 1024 == 0) {
                bytes /= 1024;
                i++;
        }
        text_add_u64(&out, bytes);
        text_add_char(&out, ' ');
        text_add(&out, names[i]);
        return text_take(&out);
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

void text_from_mac(const uint8_t mac[6], char ret[18])
{
        for (size_t i = 0; i < 6; i++) {
                *ret++ = hex_digits[mac[i] >> 4];
                *ret++ = hex_digits[mac[i] & 15];
                *ret++ = i < 5 ? ':' : '\0';
        }
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
