/* A value as a row says: template text into the field, and back. */
#include "conf/attr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/secret.h"
#include "conf/template.h"

enum { IFNAME_MAX_BYTES = 15, PATH_MAX_BYTES = 4095, TARGET_MAX_BYTES = 12 };

static int wrong(const struct attr_section *section, const struct attr *row, const struct source_pos *pos,
                 struct error **err, const char *format, ...) __attribute__((format(printf, 5, 6)));

static int wrong(const struct attr_section *section, const struct attr *row, const struct source_pos *pos,
                 struct error **err, const char *format, ...)
{
        _cleanup_free_ char *name = attr_full_name(section, row);
        _cleanup_text_ struct text message = TEXT_INIT;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&message, format, ap);
        va_end(ap);
        return error_at(err, pos, "%s: %s", name, text_str(&message));
}

/* Two writings of one size in the row's unit, as examples: 8 GiB. */
static char *size_example(const struct attr *row)
{
        const uint64_t bytes = 8ull << 30;

        return xasprintf("%s = \"%llu\" for %s, or \"8 GiB\"", row->name,
                         (unsigned long long)(bytes / attr_plain_unit(row)), row->unit);
}

/* For messages. */
static char *shown_value(const struct attr *row, const char *value)
{
        return row->secret ? xstrdup(SECRET_SHOWN) : text_printable(value);
}

/* "NAME: 'VALUE' FORMAT" */
static int __attribute__((format(printf, 6, 7)))
wrong_value(const struct attr_section *section, const struct attr *row, const char *value,
            const struct source_pos *pos, struct error **err, const char *format, ...)
{
        _cleanup_free_ char *shown = shown_value(row, value);
        _cleanup_text_ struct text message = TEXT_INIT;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&message, format, ap);
        va_end(ap);
        return wrong(section, row, pos, err, "'%s' %s", shown, text_str(&message));
}

static int wrong_number(const struct attr_section *section, const struct attr *row, const char *value,
                        const struct source_pos *pos, struct error **err, const char *what)
{
        _cleanup_free_ char *range = attr_values(row);

        return wrong_value(section, row, value, pos, err, "is %s (%s)", what, range);
}

static int wrong_size(const struct attr_section *section, const struct attr *row, const char *value,
                      const struct source_pos *pos, struct error **err)
{
        _cleanup_free_ char *example = size_example(row);

        return wrong_value(section, row, value, pos, err, "is not a size (try %s)", example);
}

static int wrong_address(const struct attr_section *section, const struct attr *row, const char *value,
                         const struct source_pos *pos, struct error **err)
{
        _cleanup_free_ char *values = attr_values(row);

        return wrong_value(section, row, value, pos, err, "is not %s (like %s)", values,
                           row->ip_version == 6 ? "2001:db8::7" : "192.168.0.7");
}

/* NULL and *err when it is none of the row's words, or one of a later version. */
static const struct attr_word *find_word(const struct attr_section *section, const struct attr *row,
                                         const char *value, const struct source_pos *pos, struct error **err)
{
        _cleanup_free_ const char **names = NULL;
        _cleanup_text_ struct text list = TEXT_INIT;
        const char *nearest;
        size_t n = 0;

        for (const struct attr_word *word = row->words; word->text; word++) {
                if (strcasecmp(word->text, value) != 0)
                        continue;
                if (!word->coming)
                        return word;
                if (word->gone)
                        wrong(section, row, pos, err, "'%s' cannot be used: %s", word->text, word->gone);
                else
                        wrong(section, row, pos, err, "'%s' is not supported by this version of vmlaunch",
                              word->text);
                return NULL;
        }
        for (const struct attr_word *word = row->words; word->text; word++) {
                if (word->coming)
                        continue;
                ARRAY_GROW(names, n);
                names[n++] = word->text;
        }
        ARRAY_GROW(names, n);
        names[n] = NULL;
        nearest = text_nearest(value, names);
        attr_add_words(&list, row->words);
        if (nearest)
                wrong_value(section, row, value, pos, err, "is not one of %s; did you mean '%s'?",
                            text_str(&list), nearest);
        else
                wrong_value(section, row, value, pos, err, "is not one of %s", text_str(&list));
        return NULL;
}

static bool ifname_is_valid(const char *s)
{
        return *s && *s != '-' && strcmp(s, ".") != 0 && strcmp(s, "..") != 0 &&
               s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

static int check_text(const struct attr_section *section, const struct attr *row, const char *value,
                      const struct source_pos *pos, struct error **err)
{
        const char *path = NULL;
        uint8_t bytes[16];

        if (!template_value_is_writable(value))
                return wrong_value(
                        section, row, value, pos, err,
                        "holds backslashes before a quote or at its end that a template cannot hold");
        if (row->secret && secret_kind_of(value, &path) == SECRET_FILE &&
            (*path != '/' || strchr(path, '\n')))
                return wrong(section, row, pos, err, "file: goes before an absolute path");
        switch (row->kind) {
        case ATTR_PATH:
                if (strchr(value, '\n'))
                        return wrong_value(section, row, value, pos, err, "holds a newline");
                if (strlen(value) > PATH_MAX_BYTES)
                        return wrong_value(section, row, value, pos, err, "is longer than %d bytes",
                                           PATH_MAX_BYTES);
                break;
        case ATTR_MAC:
                if (!text_parse_mac(value, bytes))
                        return wrong_value(section, row, value, pos, err,
                                           "is not a MAC address (like 52:54:00:12:34:56)");
                if (bytes[0] & 1)
                        return wrong_value(section, row, value, pos, err,
                                           "is a multicast address: the first byte has to be even");
                /* QEMU takes it for "none given" and makes one up. */
                if (memcmp(bytes, (const uint8_t[6]){ 0 }, 6) == 0)
                        return wrong_value(section, row, value, pos, err, "is no address of a card");
                break;
        case ATTR_UUID:
                if (!text_parse_uuid(value, bytes))
                        return wrong_value(section, row, value, pos, err,
                                           "is not a UUID (like 6b1c5a2e-04a1-4a0c-9f39-0a2f6c7d8e90)");
                break;
        case ATTR_IFNAME:
                if (strlen(value) > IFNAME_MAX_BYTES)
                        return wrong_value(section, row, value, pos, err,
                                           "is %zu bytes long; the kernel takes %d for an interface name",
                                           strlen(value), IFNAME_MAX_BYTES);
                if (!ifname_is_valid(value))
                        return wrong_value(
                                section, row, value, pos, err,
                                "is not an interface name: letters, digits, '.', '_' and '-' only");
                break;
        case ATTR_TARGET:
                if (strlen(value) < 3 || strlen(value) > TARGET_MAX_BYTES ||
                    value[strspn(value, "abcdefghijklmnopqrstuvwxyz")])
                        return wrong_value(
                                section, row, value, pos, err,
                                "is not a disk name: 3 to %d lower-case letters, such as vda or sdb",
                                TARGET_MAX_BYTES);
                break;
        case ATTR_ADDRESS:
                if ((row->ip_version == 6 || inet_pton(AF_INET, value, bytes) != 1) &&
                    (row->ip_version == 4 || inet_pton(AF_INET6, value, bytes) != 1))
                        return wrong_address(section, row, value, pos, err);
                break;
        default:
                if (row->chars && value[strspn(value, row->chars)])
                        return wrong_value(section, row, value, pos, err,
                                           "holds a character that is not allowed here");
                if (row->max && strlen(value) > row->max)
                        return wrong_value(section, row, value, pos, err, "is longer than %llu bytes",
                                           (unsigned long long)row->max);
        }
        return 0;
}

static void set_string(char **field, const char *value)
{
        /* The value may be the field's own. */
        char *copy = xstrdup(value);

        free(*field);
        *field = copy;
}

static int set_text(const struct attr_section *section, const struct attr *row, const char *value,
                    const struct source_pos *pos, char **field, struct error **err)
{
        const struct attr_word *word;

        if (row->words && row->kind == ATTR_ADDRESS) {
                for (word = row->words; word->text && strcasecmp(word->text, value) != 0;)
                        word++;
                if (word->text) {
                        if (field)
                                set_string(field, word->text);
                        return 0;
                }
        } else if (row->words) {
                word = find_word(section, row, value, pos, err);
                if (!word)
                        return -1;
                value = word->text;
        }
        if (check_text(section, row, value, pos, err) < 0)
                return -1;
        if (!field)
                return 0;
        set_string(field, value);
        if (row->kind == ATTR_MAC || row->kind == ATTR_UUID)
                for (char *c = *field; *c; c++)
                        *c = (char)tolower((unsigned char)*c);
        return 0;
}

/* A word that stands for a number out of the row's range. */
static bool is_word(const struct attr *row, const char *value, uint64_t *ret)
{
        for (const struct attr_word *word = row->words; word && word->text; word++)
                if (strcasecmp(word->text, value) == 0) {
                        *ret = (uint64_t)word->value;
                        return true;
                }
        return false;
}

static int read_number(const struct attr_section *section, const struct attr *row, const char *value,
                       const struct source_pos *pos, uint64_t *ret, struct error **err)
{
        uint64_t limit = row->kind == ATTR_U32 ? UINT32_MAX : UINT64_MAX;

        if (row->max)
                limit = row->max;
        if (is_word(row, value, ret))
                return 0;
        if (!text_parse_u64(value, ret))
                return wrong_number(section, row, value, pos, err, "not a number");
        if (*ret < row->min || *ret > limit)
                return wrong_number(section, row, value, pos, err, "out of range");
        return 0;
}

static int read_signed(const struct attr_section *section, const struct attr *row, const char *value,
                       const struct source_pos *pos, int64_t *ret, struct error **err)
{
        bool negative = *value == '-';
        uint64_t number;

        if (!text_parse_u64(value + (negative || *value == '+'), &number))
                return wrong_number(section, row, value, pos, err, "not a number");
        if (number > row->max)
                return wrong_number(section, row, value, pos, err, "out of range");
        *ret = negative ? -(int64_t)number : (int64_t)number;
        return 0;
}

static int read_size(const struct attr_section *section, const struct attr *row, const char *value,
                     const struct source_pos *pos, uint64_t *ret, struct error **err)
{
        if (is_word(row, value, ret))
                return 0;
        switch (text_parse_size(value, attr_plain_unit(row), ret)) {
        case TEXT_SIZE_BAD:
                return wrong_size(section, row, value, pos, err);
        case TEXT_SIZE_HUGE:
                return wrong_number(section, row, value, pos, err, "out of range");
        case TEXT_SIZE_OK:
                break;
        }
        if (*ret < row->min || (row->max && *ret > row->max))
                return wrong_number(section, row, value, pos, err, "out of range");
        return 0;
}

/* Without the blanks around it: lent where there are none, else a new string that is also *ret_copy. */
static const char *trimmed(const char *text, char **ret_copy)
{
        size_t n;

        while (isspace((unsigned char)*text))
                text++;
        n = strlen(text);
        if (!n || !isspace((unsigned char)text[n - 1]))
                return text;
        while (n && isspace((unsigned char)text[n - 1]))
                n--;
        return *ret_copy = xstrndup(text, n);
}

int attr_set(const struct attr_section *section, const struct attr *row, const char *text,
             const struct source_pos *pos, void *record, struct error **err)
{
        _cleanup_free_ char *copy = NULL;
        const char *value = trimmed(text, &copy);
        void *field = record && row->has_field ? attr_field(row, record) : NULL;
        const struct attr_word *word;
        uint64_t number;
        int64_t with_sign = 0;
        double decimal;
        bool yes;

        if (attr_is_text(row))
                return set_text(section, row, value, pos, field, err);
        switch (row->kind) {
        case ATTR_BOOL:
                if (!text_parse_bool(value, &yes))
                        return wrong_value(section, row, value, pos, err, "is neither yes nor no");
                if (field)
                        *(bool *)field = yes;
                break;
        case ATTR_U32:
        case ATTR_U64:
                if (read_number(section, row, value, pos, &number, err) < 0)
                        return -1;
                if (field && row->kind == ATTR_U32)
                        *(uint32_t *)field = (uint32_t)number;
                else if (field)
                        *(uint64_t *)field = number;
                break;
        case ATTR_SIGNED:
                if (read_signed(section, row, value, pos, &with_sign, err) < 0)
                        return -1;
                if (field)
                        *(int64_t *)field = with_sign;
                break;
        case ATTR_DECIMAL:
                if (!text_parse_decimal(value, &decimal))
                        return wrong_value(section, row, value, pos, err,
                                           "is not a number (try %s = \"0.5\")", row->name);
                if (!(decimal > 0) || decimal > (double)row->max)
                        return wrong_value(section, row, value, pos, err,
                                           "is out of range (above 0, up to %llu)",
                                           (unsigned long long)row->max);
                if (field)
                        *(double *)field = decimal;
                break;
        case ATTR_SIZE:
                if (read_size(section, row, value, pos, &number, err) < 0)
                        return -1;
                if (field)
                        *(uint64_t *)field = number;
                break;
        case ATTR_ENUM:
                word = find_word(section, row, value, pos, err);
                if (!word)
                        return -1;
                if (field)
                        *(int *)field = word->value;
                break;
        default:
                break;
        }
        return 0;
}

char *attr_get(const struct attr *row, const void *record)
{
        const void *field = (const char *)record + row->offset;

        switch (row->kind) {
        case ATTR_BOOL:
                return xstrdup(*(const bool *)field ? "yes" : "no");
        case ATTR_U32:
                for (const struct attr_word *word = row->words; word && word->text; word++)
                        if ((uint32_t)word->value == *(const uint32_t *)field)
                                return xstrdup(word->text);
                return xasprintf("%u", *(const uint32_t *)field);
        case ATTR_U64:
                return xasprintf("%llu", (unsigned long long)*(const uint64_t *)field);
        case ATTR_SIGNED:
                return xasprintf("%lld", (long long)*(const int64_t *)field);
        case ATTR_DECIMAL:
                /* The shortest digits that read back as the same number; %g would bring an exponent. */
                for (int digits = 0; digits < 40; digits++) {
                        _cleanup_free_ char *s = xasprintf("%.*f", digits, *(const double *)field);
                        double again;

                        if (text_parse_decimal(s, &again) && again == *(const double *)field)
                                return TAKE_PTR(s);
                }
                return xasprintf("%.40f", *(const double *)field);
        case ATTR_SIZE: {
                for (const struct attr_word *word = row->words; word && word->text; word++)
                        if ((uint64_t)word->value == *(const uint64_t *)field)
                                return xstrdup(word->text);
                char *s = text_from_size(*(const uint64_t *)field);
                size_t n = strlen(s);

                /* "bytes" is for people; the suffix is "b". */
                if (text_ends_with(s, " bytes"))
                        s[n - 4] = '\0';
                return s;
        }
        case ATTR_ENUM:
                for (const struct attr_word *word = row->words; word->text; word++)
                        if (!word->coming && word->value == *(const int *)field)
                                return xstrdup(word->text);
                return NULL;
        default:
                return xstrdup_null(*(char *const *)field);
        }
}
