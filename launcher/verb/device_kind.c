#include "launcher/verb/device_kind.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "launcher/verb/change.h"

static const struct device_kind kinds[] = {
        { "disk", "DISK", "DISK_ID", "disk", { "TARGET", "SOURCE" }, false },
        { "nic", "NIC", "NIC_ID", "nic", { "TARGET", "MAC" }, false },
        { "pci", "PCI", "PCI_ID", "hostdev", { "ADDRESS", "UUID" }, true },
        { "usb", "USB", "USB_ID", "usbhost", { "BUS-PORT" }, true },
        { "fs", "FILESYSTEM", "FS_ID", "fs", { "TARGET", "SOURCE" }, true },
};

const struct device_kind *device_kind_find(const char *word, struct error **err)
{
        _cleanup_text_ struct text known = TEXT_INIT;
        _cleanup_free_ char *shown = text_printable(word);

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                if (strcmp(kinds[i].word, word) == 0)
                        return &kinds[i];
                text_addf(&known, "%s%s", i ? ", " : "", kinds[i].word);
        }
        error_set(err, ERROR_USAGE, "there is no kind of device '%s'; it can be %s", shown, text_str(&known));
        return NULL;
}

const struct device_kind *device_kind_of(const char *vector)
{
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (strcmp(kinds[i].vector, vector) == 0)
                        return &kinds[i];
        return NULL;
}

/* The value of a key; of "BUS-PORT" both, with the dash between them. New string, NULL: it has none. */
static char *name_by(const struct template_attribute *vector, const char *key)
{
        size_t n = strcspn(key, "-:");
        _cleanup_free_ char *first = xstrndup(key, n);
        const char *value = template_pair(vector, first), *second;

        if (!key[n] || !value)
                return xstrdup_null(value);
        second = template_pair(vector, key + n + 1);
        return second ? xasprintf("%s%c%s", value, key[n], second) : NULL;
}

static bool is_meant(const struct device_kind *kind, const struct template_attribute *vector,
                     const char *argument)
{
        const char *id = template_pair(vector, kind->id);
        size_t n = strlen(kind->device);

        if (id && strncmp(argument, kind->device, n) == 0 && isdigit((unsigned char)argument[n]) &&
            strcmp(id, argument + n) == 0)
                return true;
        if (id && strcmp(id, argument) == 0)
                return true;
        for (size_t i = 0; i < ARRAY_SIZE(kind->keys) && kind->keys[i]; i++) {
                _cleanup_free_ char *value = name_by(vector, kind->keys[i]);

                if (value && strcasecmp(value, argument) == 0)
                        return true;
        }
        return false;
}

int device_find(const struct template *template, const struct device_kind *kind, const char *argument,
                size_t *ret, struct error **err)
{
        _cleanup_text_ struct text known = TEXT_INIT;
        _cleanup_free_ char *shown = text_printable(argument);

        for (size_t i = 0; i < template->n_attributes; i++) {
                const struct template_attribute *vector = &template->attributes[i];
                _cleanup_free_ char *name = NULL;
                const char *id;

                if (!vector->is_vector || strcmp(vector->name, kind->vector) != 0)
                        continue;
                if (is_meant(kind, vector, argument)) {
                        *ret = i;
                        return 0;
                }
                id = template_pair(vector, kind->id);
                name = name_by(vector, kind->keys[0]);
                text_addf(&known, "%s%s%s%s%s", known.length ? ", " : "", id ? id : "?", name ? " (" : "",
                          name ? name : "", name ? ")" : "");
        }
        return error_set(err, ERROR_FAILED, "it has no %s '%s'; there %s %s", kind->word, shown,
                         known.length ? "are" : "is", known.length ? text_str(&known) : "none");
}

size_t template_ordinal(const struct template *template, size_t i)
{
        size_t n = 0;

        for (size_t k = 0; k < i; k++)
                n += template->attributes[k].is_vector &&
                     strcmp(template->attributes[k].name, template->attributes[i].name) == 0;
        return n;
}

long template_nth(const struct template *template, const char *vector, size_t n)
{
        for (size_t i = 0; i < template->n_attributes; i++)
                if (template->attributes[i].is_vector && strcmp(template->attributes[i].name, vector) == 0 &&
                    n-- == 0)
                        return (long)i;
        return -1;
}
