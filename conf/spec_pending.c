#include "conf/spec_pending.h"

#include <string.h>

#include "conf/attr.h"
#include "conf/spec_blank.h"
#include "conf/spec_sections.h"

struct pending {
        const struct vm_spec *wanted, *live;
        spec_pending_fn *fn;
        void *data;
};

/* Worked out at the start, said by another row, of the configuration, or a secret that live.tmpl does not tell. */
static bool is_worked_out(const struct attr_section *section, const struct attr *row)
{
        static const char *const rows[] = { "ADDRESS", "IMAGE",    "DRIVER",    "SOURCE",
                                            "UUID",    "SNIPPETS", "VM_ADDRESS" };

        if (row->state != ATTR_HERE || !row->has_field || row->lookup == LOOKUP_B || row->secret)
                return true;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (strcmp(row->name, rows[i]) == 0 &&
                    (section == &attr_disk || strcmp(rows[i], "DRIVER") != 0) &&
                    (section != &attr_pci || i == ARRAY_SIZE(rows) - 1))
                        return true;
        return false;
}

/* Nobody has said it, or has left it to the plan: what that has decided is no wish of somebody's. */
static bool is_left_open(const struct attr_section *section, const struct attr *row, const void *wanted,
                         const char *value)
{
        bool is_backend = section == &attr_nic && strcmp(row->name, "BACKEND") == 0;

        return wanted && ((row->kind == ATTR_U32 && row->words) || is_backend) &&
               (spec_row_origin(section, wanted, row)->layer == LAYER_NONE || !value ||
                strcmp(value, "auto") == 0);
}

/* Which device of the host it is, as far as the template leaves it to what was there at the start. */
static bool is_found(const struct attr_section *section, const char *wanted)
{
        return (section == &attr_pci || section == &attr_usb) && !wanted;
}

static bool says_nothing(const struct attr_section *section, const struct attr *row, const void *record,
                         const char *value)
{
        return !record || spec_row_origin(section, record, row)->layer == LAYER_NONE ||
               (row->dflt && value && strcmp(row->dflt, value) == 0);
}

/* "q35" is a family of "pc-q35-7.2". */
static bool is_alias(const char *wanted, const char *live)
{
        return wanted && live && !strchr(wanted, '-') && strchr(live, '-');
}

/* The most that a guest can have is what it has where nobody says more; resize and balloon write it down. */
static bool is_same_most(const struct pending *pending, const struct attr_section *section,
                         const struct attr *row)
{
        const struct vm_spec *wanted = pending->wanted, *live = pending->live;

        return section == &attr_vm && wanted && live && strcmp(row->name, "MEMORY_MAX") == 0 &&
               (wanted->memory_max ?: wanted->memory) == (live->memory_max ?: live->memory);
}

static void compare_rows(const struct pending *pending, const struct attr_section *section,
                         const char *prefix, const void *wanted, const void *live)
{
        for (size_t i = 0; i < section->n_rows; i++) {
                const struct attr *row = &section->rows[i];
                _cleanup_free_ char *a = NULL, *b = NULL, *reference = NULL;

                if (is_worked_out(section, row))
                        continue;
                a = wanted ? attr_get(row, wanted) : NULL;
                b = live ? attr_get(row, live) : NULL;
                /* A vector that is not there says nothing, as one of defaults does. */
                if ((!wanted || !live) && says_nothing(section, row, wanted ? wanted : live, a ? a : b))
                        continue;
                if (is_same_most(pending, section, row) || is_found(section, a) || (!a && !b) ||
                    (a && b && strcmp(a, b) == 0) || is_left_open(section, row, wanted, a) ||
                    (section == &attr_os && strcmp(row->name, "MACHINE") == 0 && is_alias(a, b)))
                        continue;
                reference = xasprintf("%s%s", prefix, row->name);
                pending->fn(reference, pending->data);
        }
}

/* A disk's place, whichever attribute says it. */
static void compare_places(const struct pending *pending, const struct attr_section *section,
                           const char *prefix, const void *wanted, const void *live)
{
        const struct disk_spec *a = wanted, *b = live;
        _cleanup_free_ char *reference = xasprintf("%sSOURCE", prefix);

        if (section == &attr_disk && strcmp(a->path ? a->path : "", b->path ? b->path : "") != 0)
                pending->fn(reference, pending->data);
}

static void compare_section(const struct pending *pending, const struct spec_section *row)
{
        const char *name = row->section->name;
        _cleanup_free_ char *prefix = xasprintf("%s/", name);
        size_t n_wanted = spec_section_count(row, pending->wanted),
               n_live = spec_section_count(row, pending->live);

        if (!row->section->repeats) {
                compare_rows(pending, row->section, prefix,
                             spec_section_present(row, pending->wanted)
                                     ? spec_section_record(row, pending->wanted, 0)
                                     : NULL,
                             spec_section_present(row, pending->live)
                                     ? spec_section_record(row, pending->live, 0)
                                     : NULL);
                return;
        }
        for (size_t i = 0; i < n_wanted || i < n_live; i++) {
                const void *wanted = spec_section_record(row, pending->wanted, i),
                           *live = spec_section_record(row, pending->live, i);
                _cleanup_free_ char *one = xasprintf("%s[%zu]", name, i), *inside = xasprintf("%s/", one);

                if (!wanted || !live) {
                        pending->fn(one, pending->data);
                        continue;
                }
                compare_rows(pending, row->section, inside, wanted, live);
                compare_places(pending, row->section, inside, wanted, live);
        }
}

void spec_pending(const struct vm_spec *wanted, const struct vm_spec *live, spec_pending_fn *fn, void *data)
{
        const struct pending pending = { .wanted = wanted, .live = live, .fn = fn, .data = data };

        compare_rows(&pending, &attr_vm, "", wanted, live);
        for (const struct spec_section *row = spec_sections; row->section; row++)
                compare_section(&pending, row);
}
