#include "conf/attr_check.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "conf/attr.h"
#include "conf/foreign.h"

enum { MAX_REPORTS = 20, MAX_NAMED = 60 };

/* Names for one warning: those known and left alone, those of a later version, those of VM templates only, those that
 * only OpenNebula knows. */
struct name_list {
        struct text text;
        struct source_pos pos;
        unsigned n;
};

struct check {
        const struct template *template;
        enum layer layer;
        struct error **errors, **warnings;
        unsigned n_errors;
        struct name_list alone, coming, vm_only, unknown;
};

static void name_list_add(struct name_list *list, const char *name, const struct source_pos *pos)
{
        const char *found = text_str(&list->text);
        size_t n = strlen(name);

        while ((found = strstr(found, name))) {
                bool starts = found == text_str(&list->text) || found[-1] == ' ';

                if (starts && (found[n] == ',' || !found[n]))
                        return;
                found += n;
        }
        if (!list->n)
                list->pos = *pos;
        if (++list->n > MAX_NAMED) {
                if (list->n == MAX_NAMED + 1)
                        text_add(&list->text, ", ...");
                return;
        }
        text_addf(&list->text, "%s%s", list->n > 1 ? ", " : "", name);
}

static void __attribute__((format(printf, 4, 0)))
add(struct check *check, struct error **list, const struct source_pos *pos, const char *format, va_list ap)
{
        _cleanup_text_ struct text message = TEXT_INIT;
        struct error *error = NULL;

        text_vaddf(&message, format, ap);
        error_at(&error, pos, "%s", text_str(&message));
        template_add_excerpt(check->template, error);
        error_append(list, error);
}

static void __attribute__((format(printf, 3, 4)))
fail(struct check *check, const struct source_pos *pos, const char *format, ...)
{
        va_list ap;

        if (++check->n_errors > MAX_REPORTS)
                return;
        va_start(ap, format);
        add(check, check->errors, pos, format, ap);
        va_end(ap);
}

static void __attribute__((format(printf, 3, 4)))
warn(struct check *check, const struct source_pos *pos, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        add(check, check->warnings, pos, format, ap);
        va_end(ap);
}

static void unknown(struct check *check, const struct attr_section *section, const char *full,
                    const char *name, const struct source_pos *pos)
{
        /* Of a hundred thousand unknown ones most are counted only. */
        bool is_told = check->n_errors < MAX_REPORTS && !check->template->is_vm;
        const char *nearest = is_told ? attr_nearest(section, name) : NULL;
        const char *foreign = *section->name ? NULL : foreign_attribute(name);
        _cleanup_free_ char *shown = text_printable(full);

        /* OpenNebula's core adds what its data stores and networks say, and nobody can take it away there. */
        if (check->template->is_vm)
                name_list_add(&check->unknown, shown, pos);
        else if (foreign)
                fail(check, pos, "%s: %s", shown, foreign);
        else if (nearest)
                fail(check, pos, "%s: no such %s; did you mean '%s'?", shown,
                     *section->name ? "key" : "attribute", nearest);
        else
                fail(check, pos, "%s: no such %s", shown, *section->name ? "key" : "attribute");
}

static bool counts_in(enum attr_lookup lookup, enum layer layer)
{
        switch (lookup) {
        case LOOKUP_A:
        case LOOKUP_C:
                return true;
        case LOOKUP_B:
                return layer != LAYER_TEMPLATE;
        case LOOKUP_D:
                return layer == LAYER_TEMPLATE;
        case LOOKUP_E:
                return layer == LAYER_CLUSTER || layer == LAYER_DRIVER;
        case LOOKUP_HOST:
                return layer == LAYER_HOST;
        }
        return false;
}

static void check_row(struct check *check, const struct attr_section *section, const struct attr *row,
                      const char *full, const struct source_pos *pos)
{
        if (row->state == ATTR_MISSPELT) {
                const struct attr *meant = attr_find(section, row->right);

                if (meant->state == ATTR_COMING && check->layer == LAYER_TEMPLATE) {
                        fail(check, pos, "%s: means %s, which is not supported by this version of vmlaunch",
                             full, row->right);
                        return;
                }
                warn(check, pos, "%s: misspelt, taken as %s", full, row->right);
                row = meant;
        }
        if (row->state == ATTR_LEFT_ALONE)
                name_list_add(&check->alone, full, pos);
        else if (counts_in(row->lookup, check->layer) && row->state == ATTR_HERE)
                return;
        else if (check->layer == LAYER_TEMPLATE && row->lookup == LOOKUP_D)
                fail(check, pos, "%s: not supported by this version of vmlaunch", full);
        else if (check->layer != LAYER_TEMPLATE && row->lookup == LOOKUP_D)
                name_list_add(&check->vm_only, full, pos);
        else if (!counts_in(row->lookup, check->layer))
                fail(check, pos, "%s: is read from %s only", full, attr_lookup_name(row->lookup));
        else if (check->layer == LAYER_TEMPLATE)
                fail(check, pos, "%s: not supported by this version of vmlaunch", full);
        else
                name_list_add(&check->coming, full, pos);
}

static void check_vector(struct check *check, const struct template_attribute *vector)
{
        const struct attr_section *section = attr_section_find(vector->name);

        if (!section) {
                if (attr_find(&attr_vm, vector->name))
                        fail(check, &vector->value_pos, "%s: is not a vector: %s = \"VALUE\"", vector->name,
                             vector->name);
                else
                        unknown(check, &attr_vm, vector->name, vector->name, &vector->name_pos);
                return;
        }
        if (section->state == ATTR_LEFT_ALONE) {
                name_list_add(&check->alone, vector->name, &vector->name_pos);
                return;
        }
        if (section->state == ATTR_COMING) {
                if (check->layer == LAYER_TEMPLATE)
                        fail(check, &vector->name_pos, "%s: not supported by this version of vmlaunch",
                             vector->name);
                else
                        name_list_add(&check->coming, vector->name, &vector->name_pos);
                return;
        }
        if (section->keys_of && check->layer != LAYER_TEMPLATE) {
                name_list_add(&check->vm_only, vector->name, &vector->name_pos);
                return;
        }
        for (size_t i = 0; i < vector->n_pairs; i++) {
                const struct template_value *pair = &vector->pairs[i];
                const struct attr *row = attr_find(section->keys_of ? section->keys_of : section, pair->name);
                _cleanup_free_ char *full = NULL;

                if (row && row->state == ATTR_HERE && counts_in(row->lookup, check->layer))
                        continue;
                full = xasprintf("%s/%s", vector->name, pair->name);
                if (row)
                        check_row(check, section->keys_of ? section->keys_of : section, row, full,
                                  &pair->name_pos);
                else
                        unknown(check, section->keys_of ? section->keys_of : section, full, pair->name,
                                &pair->name_pos);
        }
}

static void check_single(struct check *check, const struct template_attribute *single)
{
        const struct attr *row = attr_find(&attr_vm, single->name);

        if (row)
                check_row(check, &attr_vm, row, single->name, &single->name_pos);
        else if (attr_section_find(single->name))
                fail(check, &single->value_pos, "%s: is a vector: %s = [ KEY = \"VALUE\" ]", single->name,
                     single->name);
        else
                unknown(check, &attr_vm, single->name, single->name, &single->name_pos);
}

void attr_check_names(const struct template *template, enum layer layer, struct error **errors,
                      struct error **warnings)
{
        struct check check = { .template = template, .layer = layer, .errors = errors, .warnings = warnings };

        for (size_t i = 0; i < template->n_attributes; i++) {
                const struct template_attribute *attribute = &template->attributes[i];

                if (attribute->is_vector)
                        check_vector(&check, attribute);
                else
                        check_single(&check, attribute);
        }
        if (check.alone.n)
                warn(&check, &check.alone.pos, "known and without effect here: %s",
                     text_str(&check.alone.text));
        if (check.coming.n)
                warn(&check, &check.coming.pos,
                     "not supported by this version of vmlaunch, going on without: %s",
                     text_str(&check.coming.text));
        if (check.vm_only.n)
                warn(&check, &check.vm_only.pos, "without effect, counts in a VM template only: %s",
                     text_str(&check.vm_only.text));
        if (check.unknown.n)
                warn(&check, &check.unknown.pos, "not known here, without effect: %s",
                     text_str(&check.unknown.text));
        text_done(&check.alone.text);
        text_done(&check.unknown.text);
        text_done(&check.coming.text);
        text_done(&check.vm_only.text);
}
