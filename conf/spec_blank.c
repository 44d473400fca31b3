#include "conf/spec_blank.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

struct row_origin {
        const struct attr *row;
        struct origin origin;
};

struct spec_blank {
        void *record;
        struct row_origin *origins; /* of the rows that have a default */
        uint16_t *texts;            /* offsets of the fields that are strings */
        size_t n_origins, n_texts;
};

static const struct spec_blank *blank_of(const struct spec_section *row)
{
        static struct spec_blank blanks[SPEC_SECTIONS];
        const struct attr_section *section = row->section;
        struct spec_blank *blank = &blanks[row - spec_sections];

        if (blank->record)
                return blank;
        blank->record = xcalloc(1, row->size);
        ((struct section *)blank->record)->blank = blank;
        for (size_t i = 0; i < section->n_rows; i++) {
                const struct attr *attr = &section->rows[i];
                struct error *error = NULL;

                if (attr->has_field && attr_is_text(attr)) {
                        ARRAY_GROW(blank->texts, blank->n_texts);
                        blank->texts[blank->n_texts++] = attr->offset;
                }
                if (attr->state != ATTR_HERE || !(attr->has_field || attr->kept) || !attr->dflt)
                        continue;
                attr_set(section, attr, attr->dflt, NULL, blank->record, &error);
                assert(!error);
                ARRAY_GROW(blank->origins, blank->n_origins);
                blank->origins[blank->n_origins++] =
                        (struct row_origin){ attr, origin_of_default(attr->dflt) };
        }
        return blank;
}

void spec_blank_fill(const struct spec_section *row, void *record)
{
        const struct spec_blank *blank = blank_of(row);

        memcpy(record, blank->record, row->size);
        for (size_t i = 0; i < blank->n_texts; i++) {
                char **field = (char **)((char *)record + blank->texts[i]);

                *field = xstrdup_null(*field);
        }
}

void spec_blank_done(const struct spec_blank *blank, void *record)
{
        for (size_t i = 0; i < blank->n_texts; i++)
                free(*(char **)((char *)record + blank->texts[i]));
}

const struct origin *spec_row_origin(const struct attr_section *section, const void *record,
                                     const struct attr *row)
{
        static const struct origin none;
        const struct section *head = record;

        if (!head->blank)
                return &head->origins[row - section->rows];
        for (size_t i = 0; i < head->blank->n_origins; i++)
                if (head->blank->origins[i].row == row)
                        return &head->blank->origins[i].origin;
        return &none;
}

struct origin *spec_own_row_origin(const struct attr_section *section, void *record, const struct attr *row)
{
        struct section *head = record;

        if (head->blank) {
                head->origins = xcalloc(section->n_rows, sizeof(*head->origins));
                for (size_t i = 0; i < head->blank->n_origins; i++)
                        head->origins[head->blank->origins[i].row - section->rows] =
                                head->blank->origins[i].origin;
                head->blank = NULL;
        }
        return &head->origins[row - section->rows];
}
