#include "conf/operator_change.h"

#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "conf/attr.h"
#include "conf/template.h"

#define WHICH_MAX 64
/* No slash: what a disk's image is called is not an operator's to find out. */
#define WHICH_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-"
#define VALUE_MAX   4096

static bool is_medium(const struct attr *row)
{
        return row->kind == ATTR_PATH;
}

/* One line, as long as it says it is. */
static bool is_value(const json_t *value)
{
        const char *text = json_string_value(value);

        return text && strlen(text) == json_string_length(value) && strlen(text) <= VALUE_MAX &&
               !strpbrk(text, "\n\r") && template_value_is_writable(text);
}

static int check_one(const struct attr_section *section, const json_t *one, struct error **err)
{
        const struct source_pos nowhere = { 0 };
        const char *name, *value;
        const struct attr *row;
        json_error_t why;

        if (json_unpack_ex((json_t *)one, &why, JSON_STRICT, "{s:s, s:s}", "attribute", &name, "value",
                           &value) < 0 ||
            !is_value(json_object_get(one, "value")))
                return error_set(err, ERROR_FAILED, "not an attribute and a value of one line");
        row = attr_find(section, name);
        if (!row || row->state != ATTR_HERE || !row->operators) {
                _cleanup_free_ char *shown = text_printable(name);

                return error_set(err, ERROR_NOT_PERMITTED,
                                 "%s/%s of a running VM is for admins to change, not for operators",
                                 section->name, shown);
        }
        return is_medium(row) ? 0 : attr_set(section, row, value, &nowhere, NULL, err);
}

int operator_change_check(const json_t *change, struct error **err)
{
        const char *vector, *which;
        const struct attr_section *section;
        json_t *set, *one;
        json_error_t why;
        int force = 0;
        size_t i;

        if (json_unpack_ex((json_t *)change, &why, JSON_STRICT, "{s:s, s:s, s:o, s?b}", "vector", &vector,
                           "which", &which, "set", &set, "force", &force) < 0)
                return error_set(err, ERROR_FAILED, "change: %s", why.text);
        if (!*which || strlen(which) > WHICH_MAX || which[strspn(which, WHICH_CHARS)])
                return error_set(err, ERROR_FAILED, "change: which is no id, TARGET or MAC of a device");
        section = *vector ? attr_section_find(vector) : NULL;
        if (!section)
                return error_set(err, ERROR_FAILED, "change: there is no such vector");
        if (!json_is_array(set) || json_array_size(set) == 0 || json_array_size(set) > OPERATOR_CHANGES)
                return error_set(err, ERROR_FAILED, "change: set is not an array of 1 to %d",
                                 OPERATOR_CHANGES);
        json_array_foreach (set, i, one) {
                if (check_one(section, one, err) < 0)
                        return -1;
        }
        return 0;
}

int operator_change_check_medium(const char *media, const char *path, struct error **err)
{
        size_t length = strlen(path), n;

        if (!length)
                return 0;
        for (const char *at = media ? media : ""; *at; at += n) {
                at += strspn(at, " ");
                n = strcspn(at, " ");
                if (n == length && strncmp(at, path, n) == 0)
                        return 0;
        }
        return error_set(
                err, ERROR_NOT_PERMITTED,
                "DISK/SOURCE: an operator may put in only what the drive's MEDIA lists, and that does not list it");
}

char *operator_change_text(const json_t *change)
{
        struct text out = TEXT_INIT;
        const json_t *one;
        size_t i;

        text_addf(&out, "%s %s:", json_member_string(change, "vector"), json_member_string(change, "which"));
        json_array_foreach (json_object_get(change, "set"), i, one)
                text_addf(&out, "%s %s", i ? "," : "", json_member_string(one, "attribute"));
        return text_take(&out);
}
