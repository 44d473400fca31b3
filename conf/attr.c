#include "conf/attr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/secret.h"
#include "conf/template.h"

enum { IFNAME_MAX_BYTES = 15, PATH_MAX_BYTES = 4095, TARGET_MAX_BYTES = 12 };

const struct attr_word attr_auto_words[] = { WORD("auto", ATTR_AUTO), WORDS_END };

const struct attr_section *attr_section_find(const char *name)
{
        for (size_t i = 0; attr_sections[i]; i++)
                if (strcmp(attr_sections[i]->name, name) == 0)
                        return attr_sections[i];
        for (size_t i = 0; attr_coming_sections[i]; i++)
                if (strcmp(attr_coming_sections[i]->name, name) == 0)
                        return attr_coming_sections[i];
        return NULL;
}

/*
 * Where names were found, by hash. Rules ask for their keys by name, a device at a time: of 256 disks that is a hundred
 * thousand questions. Nothing but time depends on it.
 */
#define FOUND_SLOTS      1024
#define FOUND_NEIGHBOURS 8
static struct found {
        const struct attr_section *section;
        const struct attr *row;
} found[FOUND_SLOTS], asked[FOUND_SLOTS];

static const struct attr *find_by_text(const struct attr_section *section, const char *name)
{
        size_t hash = (size_t)(uintptr_t)section / sizeof(*section), slot = 0;

        for (const char *c = name; *c; c++)
                hash = hash * 31 + (unsigned char)*c;
        /* In the first free slot from there on; of too many neighbours the last one gives way. */
        for (size_t i = 0; i < FOUND_NEIGHBOURS; i++) {
                slot = (hash + i) % FOUND_SLOTS;
                if (!found[slot].section)
                        break;
                if (found[slot].section == section && strcmp(found[slot].row->name, name) == 0)
                        return found[slot].row;
        }
        for (size_t i = 0; i < section->n_rows; i++) {
                if (strcmp(section->rows[i].name, name) != 0)
                        continue;
                found[slot] = (struct found){ section, &section->rows[i] };
                return found[slot].row;
        }
        return NULL;
}

const struct attr *attr_find(const struct attr_section *section, const char *name)
{
        /* A rule's key is the same literal each time; what lies at that address now is compared all the same. */
        struct found *last = &asked[((uintptr_t)section / sizeof(*section) + (uintptr_t)name) % FOUND_SLOTS];
        const struct attr *row;

        if (last->section == section && strcmp(last->row->name, name) == 0)
                return last->row;
        row = find_by_text(section, name);
        if (row)
                *last = (struct found){ section, row };
        return row;
}

const char *attr_nearest(const struct attr_section *section, const char *name)
{
        _cleanup_free_ const char **names = NULL;
        size_t n = 0;

        for (size_t i = 0; i < section->n_rows; i++) {
                if (section->rows[i].state == ATTR_MISSPELT)
                        continue;
                ARRAY_GROW(names, n);
                names[n++] = section->rows[i].name;
        }
        for (size_t i = 1; !*section->name && attr_sections[i]; i++) {
                ARRAY_GROW(names, n);
                names[n++] = attr_sections[i]->name;
        }
        for (size_t i = 0; !*section->name && attr_coming_sections[i]; i++) {
                ARRAY_GROW(names, n);
                names[n++] = attr_coming_sections[i]->name;
        }
        ARRAY_GROW(names, n);
        names[n] = NULL;
        return text_nearest(name, names);
}

uint64_t attr_plain_unit(const struct attr *row)
{
        return 1ull << row->unit_shift;
}

void *attr_field(const struct attr *row, void *record)
{
        return (char *)record + row->offset;
}

bool attr_is_text(const struct attr *row)
{
        switch (row->kind) {
        case ATTR_TEXT:
        case ATTR_PATH:
        case ATTR_MAC:
        case ATTR_UUID:
        case ATTR_IFNAME:
        case ATTR_TARGET:
        case ATTR_ADDRESS:
                return true;
        case ATTR_BOOL:
        case ATTR_U32:
        case ATTR_U64:
        case ATTR_SIGNED:
        case ATTR_DECIMAL:
        case ATTR_SIZE:
        case ATTR_ENUM:
                break;
        }
        return false;
}

char *attr_full_name(const struct attr_section *section, const struct attr *row)
{
        return xasprintf("%s%s%s", section->name, *section->name ? "/" : "", row->name);
}

const char *attr_kind_name(enum attr_kind kind)
{
        static const char *const names[] = {
                [ATTR_TEXT] = "text",
                [ATTR_PATH] = "path",
                [ATTR_BOOL] = "yes or no",
                [ATTR_U32] = "number",
                [ATTR_U64] = "number",
                [ATTR_SIGNED] = "number, may be negative",
                [ATTR_DECIMAL] = "decimal number",
                [ATTR_SIZE] = "size",
                [ATTR_ENUM] = "word",
                [ATTR_MAC] = "MAC address",
                [ATTR_UUID] = "UUID",
                [ATTR_IFNAME] = "interface name",
                [ATTR_TARGET] = "disk name",
                [ATTR_ADDRESS] = "IP address",
        };

        return names[kind];
}

const char *attr_unit(const struct attr *row)
{
        return row->kind == ATTR_TEXT ? NULL : row->unit;
}

const char *attr_lands_name(enum attr_lands lands)
{
        static const char *const names[] = {
                [LANDS_ARGV] = "argv",     [LANDS_CGROUP] = "cgroup",
                [LANDS_HELPER] = "helper", [LANDS_ENVIRONMENT] = "environment",
                [LANDS_NAME] = "name",     [LANDS_GUEST_ADDRESS] = "guest address",
                [LANDS_NET] = "net",       [LANDS_METADATA] = "metadata",
                [LANDS_QMP] = "qmp",       [LANDS_RULE] = "rule",
                [LANDS_UNIT] = "unit",
        };

        return names[lands];
}

const char *attr_state_name(enum attr_state state)
{
        static const char *const names[] = {
                [ATTR_HERE] = "supported",
                [ATTR_COMING] = "not supported by this version",
                [ATTR_LEFT_ALONE] = "left alone",
                [ATTR_MISSPELT] = "misspelt",
        };

        return names[state];
}

const char *attr_lookup_name(enum attr_lookup lookup)
{
        static const char *const names[] = {
                [LOOKUP_A] = "VM, host.conf, cluster.conf, vmm_exec_kvm.conf",
                [LOOKUP_B] = "host.conf, cluster.conf, vmm_exec_kvm.conf",
                [LOOKUP_C] = "VM, host.conf, cluster.conf, vmm_exec_kvm.conf",
                [LOOKUP_D] = "VM",
                [LOOKUP_E] = "cluster.conf, vmm_exec_kvm.conf",
                [LOOKUP_HOST] = "host.conf",
        };

        return names[lookup];
}

static void add_words(struct text *out, const struct attr_word *words)
{
        bool first = true;

        for (; words->text; words++) {
                if (words->coming)
                        continue;
                text_addf(out, "%s%s", first ? "" : ", ", words->text);
                first = false;
        }
}

static char *size_limits(const struct attr *row)
{
        _cleanup_free_ char *min = text_from_size(row->min), *max = text_from_size(row->max);

        struct text out = TEXT_INIT;

        text_addf(&out, "%s to %s", min, max);
        if (row->words) {
                text_add(&out, ", or ");
                add_words(&out, row->words);
        }
        return text_take(&out);
}

char *attr_values(const struct attr *row)
{
        struct text out = TEXT_INIT;

        if (row->words && row->kind != ATTR_U32 && row->kind != ATTR_ADDRESS && row->kind != ATTR_SIZE) {
                text_add(&out, "one of ");
                add_words(&out, row->words);
                return text_take(&out);
        }
        switch (row->kind) {
        case ATTR_BOOL:
                return xstrdup("yes true on 1, or no false off 0");
        case ATTR_U32:
        case ATTR_U64:
                if (row->max)
                        text_addf(&out, "%llu to %llu", (unsigned long long)row->min,
                                  (unsigned long long)row->max);
                else
                        text_addf(&out, "%llu or more", (unsigned long long)row->min);
                if (row->words) {
                        text_add(&out, ", or ");
                        add_words(&out, row->words);
                }
                return text_take(&out);
        case ATTR_SIGNED:
                return xasprintf("-%llu to %llu", (unsigned long long)row->max, (unsigned long long)row->max);
        case ATTR_DECIMAL:
                return xasprintf("above 0, up to %llu", (unsigned long long)row->max);
        case ATTR_SIZE:
                return size_limits(row);
        case ATTR_MAC:
                return xstrdup("xx:xx:xx:xx:xx:xx");
        case ATTR_UUID:
                return xstrdup("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
        case ATTR_IFNAME:
                return xstrdup("1 to 15 letters, digits, '.', '_' and '-'");
        case ATTR_TARGET:
                return xstrdup("3 to 12 lower-case letters, such as vda or sdb");
        case ATTR_ADDRESS:
                text_add(&out, row->ip_version == 4   ? "an IPv4 address"
                               : row->ip_version == 6 ? "an IPv6 address"
                                                      : "an IPv4 or IPv6 address");
                if (row->words) {
                        text_add(&out, ", or ");
                        add_words(&out, row->words);
                }
                return text_take(&out);
        case ATTR_PATH:
                return xstrdup("a file name");
        case ATTR_TEXT:
        case ATTR_ENUM:
                break;
        }
        return xstrdup(row->kind == ATTR_TEXT && row->chars ? "letters, digits and a few signs" : "any text");
}

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
        _cleanup_free_ char *range = row->kind == ATTR_SIZE ? size_limits(row) : attr_values(row);

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
        add_words(&list, row->words);
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
