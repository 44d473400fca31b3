#include "conf/attr.h"

#include <string.h>

#include "base/text.h"

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
static const struct attr *found[FOUND_SLOTS], *asked[FOUND_SLOTS];

/* A row, NULL or not, of the section, and its name. */
static bool is_row(const struct attr *row, const struct attr_section *section, const char *name)
{
        return row >= section->rows && row < section->rows + section->n_rows &&
               (row->name == name || strcmp(row->name, name) == 0);
}

static const struct attr *find_by_text(const struct attr_section *section, const char *name)
{
        size_t hash = (size_t)(uintptr_t)section / sizeof(*section), slot = 0;

        for (const char *c = name; *c; c++)
                hash = hash * 31 + (unsigned char)*c;
        /* In the first free slot from there on; of too many neighbours the last one gives way. */
        for (size_t i = 0; i < FOUND_NEIGHBOURS; i++) {
                slot = (hash + i) % FOUND_SLOTS;
                if (!found[slot])
                        break;
                if (is_row(found[slot], section, name))
                        return found[slot];
        }
        for (size_t i = 0; i < section->n_rows; i++)
                if (*section->rows[i].name == *name && strcmp(section->rows[i].name, name) == 0)
                        return found[slot] = &section->rows[i];
        return NULL;
}

const struct attr *attr_find(const struct attr_section *section, const char *name)
{
        /* A rule's key is the same literal each time; what lies at that address now is compared all the same. */
        const struct attr **last =
                &asked[((uintptr_t)section / sizeof(*section) + (uintptr_t)name) % FOUND_SLOTS];

        if (!is_row(*last, section, name))
                *last = find_by_text(section, name);
        return *last;
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

char *attr_full_name(const struct attr_section *section, const struct attr *row)
{
        return xasprintf("%s%s%s", section->name, *section->name ? "/" : "", row->name);
}
