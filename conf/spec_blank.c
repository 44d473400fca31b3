#include "conf/spec_blank.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "conf/spec_sections.h"

struct row_origin {
        const struct attr *row;
        struct origin origin;
};

struct spec_blank {
        void *record;
        size_t size;
        struct row_origin *origins; /* of the rows that have a default */
        uint16_t *texts;            /* offsets of the fields that are strings */
        size_t n_origins, n_texts;
};

static void read_defaults(const struct attr_section *section, struct spec_blank *blank)
{
        ((struct section *)blank->record)->blank = blank;
        for (size_t i = 0; i < section->n_rows; i++) {
                const struct attr *row = &section->rows[i];
                struct error *error = NULL;

                if (row->has_field && attr_is_text(row)) {
                        ARRAY_GROW(blank->texts, blank->n_texts);
                        blank->texts[blank->n_texts++] = row->offset;
                }
                if (row->state != ATTR_HERE || !(row->has_field || row->kept) || !row->dflt)
                        continue;
                attr_set(section, row, row->dflt, NULL, blank->record, &error);
                assert(!error);
                ARRAY_GROW(blank->origins, blank->n_origins);
                blank->origins[blank->n_origins++] = (struct row_origin){ row, origin_of_default(row->dflt) };
        }
}

static const struct spec_blank *blank_of(const struct attr_section *section)
{
        /* The last one is of the top level, where spec_sections has its end. */
        static struct spec_blank blanks[SPEC_SECTIONS];
        const struct spec_section *member = section == &attr_vm ? NULL : spec_section_find(section);
        struct spec_blank *blank = &blanks[member ? (size_t)(member - spec_sections) : SPEC_SECTIONS - 1];

        if (!blank->record) {
                blank->size = member ? member->size : sizeof(struct vm_spec);
                blank->record = xcalloc(1, blank->size);
                read_defaults(section, blank);
        }
        return blank;
}

void spec_blank_fill(const struct attr_section *section, void *record)
{
        const struct spec_blank *blank = blank_of(section);

        memcpy(record, blank->record, blank->size);
        for (size_t i = 0; i < blank->n_texts; i++) {
                char **field = (char **)((char *)record + blank->texts[i]);

                *field = xstrdup_null(*field);
        }
}

static size_t field_size(const struct attr *row)
{
        switch (row->kind) {
        case ATTR_BOOL:
                return sizeof(bool);
        case ATTR_U32:
                return sizeof(uint32_t);
        case ATTR_ENUM:
                return sizeof(int);
        case ATTR_DECIMAL:
                return sizeof(double);
        default:
                return sizeof(uint64_t);
        }
}

void spec_blank_complete(const struct attr_section *section, void *record)
{
        const struct spec_blank *blank = blank_of(section);
        struct section *head = record;

        head->blank = blank;
        for (size_t i = 0; i < blank->n_origins; i++) {
                const struct attr *row = blank->origins[i].row;
                struct origin *origin = &head->origins[row - section->rows];
                void *field = attr_field(row, record);
                const void *dflt = attr_field(row, blank->record);

                if (origin->layer != LAYER_NONE)
                        continue;
                *origin = blank->origins[i].origin;
                if (row->has_field && attr_is_text(row))
                        *(char **)field = xstrdup(*(char *const *)dflt);
                else if (row->has_field)
                        memcpy(field, dflt, field_size(row));
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

        if (head->origins)
                return &head->origins[row - section->rows];
        for (size_t i = 0; i < head->blank->n_origins; i++)
                if (head->blank->origins[i].row == row)
                        return &head->blank->origins[i].origin;
        return &none;
}

struct origin *spec_own_row_origin(const struct attr_section *section, void *record, const struct attr *row)
{
        struct section *head = record;

        if (!head->origins) {
                head->origins = xcalloc(section->n_rows, sizeof(*head->origins));
                for (size_t i = 0; i < head->blank->n_origins; i++)
                        head->origins[head->blank->origins[i].row - section->rows] =
                                head->blank->origins[i].origin;
        }
        return &head->origins[row - section->rows];
}
