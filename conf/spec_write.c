/* The spec as template text: what live.tmpl holds. */
#include <string.h>

#include "base/text.h"
#include "conf/secret.h"
#include "conf/spec_blank.h"
#include "conf/spec_rules.h"
#include "conf/spec_sections.h"

/* The value of a row as text, NULL when nothing has to be said. */
static char *row_value(const struct attr_section *section, const struct attr *row, const void *record)
{
        const struct origin *origin = spec_row_origin(section, record, row);
        char *value;

        /* A number that nobody gave and that has no default, and what is not the VM's to say. */
        if ((origin->layer == LAYER_NONE && !attr_is_text(row) && row->kind != ATTR_ENUM) ||
            row->lookup == LOOKUP_B || row->lookup == LOOKUP_E)
                return NULL;
        if (row->kept)
                return xstrdup_null(origin->text);
        value = attr_get(row, record);
        if (row->secret && value && secret_kind_of(value, NULL) == SECRET_TEXT) {
                free(value);
                return xstrdup(SECRET_WITHHELD_TEXT);
        }
        /* An empty text keeps a weaker layer's value away. */
        if (!value && origin->layer == LAYER_TEMPLATE)
                return xstrdup("");
        return value;
}

/* What of a disk is written as something else. */
static bool is_said_otherwise(const struct attr *row, const struct disk_spec *disk, char **ret_value)
{
        static const struct attr *source, *image, *driver, *filesystem;

        if (!source) {
                source = attr_find(&attr_disk, "SOURCE");
                image = attr_find(&attr_disk, "IMAGE");
                driver = attr_find(&attr_disk, "DRIVER");
                filesystem = attr_find(&attr_disk, "FILESYSTEM");
        }
        /* The place is absolute now, and FORMAT says what DRIVER did, FS what FILESYSTEM. */
        if (row == image || row == driver || row == filesystem)
                return true;
        if (row == source)
                *ret_value = xstrdup_null(disk->path);
        return false;
}

static void write_rows(struct text *out, const struct attr_section *section, const void *record)
{
        bool is_vector = *section->name, first = true;

        for (size_t i = 0; i < section->n_rows; i++) {
                const struct attr *row = &section->rows[i];
                _cleanup_free_ char *value = NULL;

                if (row->state != ATTR_HERE || !(row->has_field || row->kept))
                        continue;
                if (section == &attr_disk && is_said_otherwise(row, record, &value))
                        continue;
                /* What snippets mean has become attributes. */
                if (section == &attr_vm && strcmp(row->name, "SNIPPETS") == 0)
                        value = xstrdup("done");
                if (!value)
                        value = row_value(section, row, record);
                if (!value)
                        continue;
                if (is_vector)
                        text_add(out, first ? "\n  " : ",\n  ");
                template_write_value(out, row->name, value);
                if (!is_vector)
                        text_add(out, "\n");
                first = false;
        }
}

static void write_vector(struct text *out, const struct attr_section *section, const void *record)
{
        struct text rows = TEXT_INIT;

        write_rows(&rows, section, record);
        if (rows.length || section->repeats)
                text_addf(out, "%s = [%s\n]\n", section->name, text_str(&rows));
        text_done(&rows);
}

char *spec_to_template(const struct vm_spec *spec)
{
        struct text out = TEXT_INIT;

        write_rows(&out, &attr_vm, spec);
        for (const struct spec_section *row = spec_sections; row->section; row++) {
                size_t n = spec_section_present(row, spec) ? spec_section_count(row, spec) : 0;

                for (size_t i = 0; i < n; i++)
                        write_vector(&out, row->section, spec_section_record(row, spec, i));
        }
        return text_take(&out);
}
