#include "conf/spec_build.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "conf/attr_check.h"
#include "conf/disk_share.h"
#include "conf/secret.h"
#include "conf/snippet.h"
#include "conf/spec_blank.h"
#include "conf/spec_rules.h"
#include "conf/spec_sections.h"

enum { MAX_REPORTS = 20 };

static const struct template *template_of(const struct spec_builder *builder, const struct source_pos *pos)
{
        const struct template *const all[] = { builder->template, builder->site->driver,
                                               builder->site->cluster, builder->site->host };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i] && pos->file && strcmp(all[i]->file, pos->file) == 0)
                        return all[i];
        return NULL;
}

void spec_report(struct spec_builder *builder, struct error *error)
{
        const struct template *template = template_of(builder, &error->pos);

        if (builder->n_errors++ >= MAX_REPORTS) {
                error_free(error);
                return;
        }
        if (template)
                template_add_excerpt(template, error);
        error_append(&builder->errors, error);
}

static struct error *__attribute__((format(printf, 2, 0)))
make(const struct source_pos *pos, const char *format, va_list ap)
{
        _cleanup_text_ struct text message = TEXT_INIT;
        struct error *error = NULL;

        text_vaddf(&message, format, ap);
        error_at(&error, pos, "%s", text_str(&message));
        return error;
}

void spec_fail(struct spec_builder *builder, const struct source_pos *pos, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        spec_report(builder, make(pos, format, ap));
        va_end(ap);
}

void spec_fail_twice(struct spec_builder *builder, const struct source_pos *pos,
                     const struct source_pos *other, const char *format, ...)
{
        _cleanup_free_ char *where = source_pos_name(other, pos), *what = NULL;
        struct error *error;
        va_list ap;

        va_start(ap, format);
        error = make(pos, format, ap);
        va_end(ap);
        what = error->message;
        error->message = xasprintf("%s %s", what, where);
        spec_report(builder, error);
}

void spec_warn(struct spec_builder *builder, const struct source_pos *pos, const char *format, ...)
{
        const struct template *template;
        struct error *warning;
        va_list ap;

        va_start(ap, format);
        warning = make(pos, format, ap);
        va_end(ap);
        template = template_of(builder, &warning->pos);
        if (template)
                template_add_excerpt(template, warning);
        error_append(&builder->spec->warnings, warning);
}

const struct origin *spec_origin(const struct attr_section *section, const void *record, const char *key)
{
        return spec_row_origin(section, record, attr_find(section, key));
}

struct origin *spec_own_origin(const struct attr_section *section, void *record, const char *key)
{
        return spec_own_row_origin(section, record, attr_find(section, key));
}

void spec_drop_origin(const struct attr_section *section, void *record, const char *key)
{
        if (spec_origin(section, record, key)->layer != LAYER_NONE)
                origin_done(spec_own_origin(section, record, key));
}

bool spec_is_given(const struct attr_section *section, const void *record, const char *key)
{
        const struct origin *origin = spec_origin(section, record, key);

        return origin->layer > LAYER_DEFAULT && origin->text && origin->text[strspn(origin->text, " \t\r\n")];
}

/* A file name that lives as long as the spec. */
static const char *pooled(struct vm_spec *spec, const char *file)
{
        if (!file)
                return NULL;
        for (size_t i = 0; i < spec->n_files; i++)
                if (strcmp(spec->files[i], file) == 0)
                        return spec->files[i];
        ARRAY_GROW(spec->files, spec->n_files);
        return spec->files[spec->n_files++] = xstrdup(file);
}

void spec_set_origin(struct vm_spec *spec, struct origin *origin, enum layer layer, const char *text,
                     const struct source_pos *pos)
{
        /* The text may be the one that is replaced. */
        char *copy = xstrdup_null(text);

        origin_done(origin);
        origin->layer = layer;
        origin->text = copy;
        if (pos) {
                origin->pos = *pos;
                origin->pos.file = pooled(spec, pos->file);
        }
}

void spec_forget(const struct attr_section *section, const struct attr *row, void *record)
{
        void *field = attr_field(row, record);

        switch (row->kind) {
        case ATTR_BOOL:
                *(bool *)field = false;
                break;
        case ATTR_U32:
                *(uint32_t *)field = 0;
                break;
        case ATTR_U64:
        case ATTR_SIGNED:
        case ATTR_SIZE:
                *(uint64_t *)field = 0;
                break;
        case ATTR_DECIMAL:
                *(double *)field = 0;
                break;
        case ATTR_ENUM:
                *(int *)field = 0;
                break;
        default:
                free(*(char **)field);
                *(char **)field = NULL;
        }
        if (spec_row_origin(section, record, row)->layer != LAYER_NONE)
                origin_done(spec_own_row_origin(section, record, row));
}

/* given: the value of the template's vector, or NULL. */
static void fill_row(struct spec_builder *builder, const struct attr_section *section, const struct attr *row,
                     const struct template_value *given, void *record)
{
        struct origin *origin = &((struct section *)record)->origins[row - section->rows];
        struct spec_value found = { 0 };
        struct error *error = NULL;
        bool is_empty;

        if (row->state != ATTR_HERE || !(row->has_field || row->kept) ||
            !spec_look_up_in(builder, section, given, row, &found))
                return;
        is_empty = spec_text_is_empty(found.text);
        spec_set_origin(builder->spec, origin, found.layer,
                        row->secret && !is_empty ? SECRET_SHOWN : found.text, &found.pos);
        if (is_empty && !row->dflt)
                return;
        if (attr_set(section, row, is_empty ? row->dflt : found.text, is_empty ? NULL : &found.pos, record,
                     &error) < 0) {
                origin->is_wrong = true;
                spec_report(builder, error);
        }
}

/* Fills a section from the vector (NULL: none was given, or top-level), the layers and the rows' defaults. */
static void fill(struct spec_builder *builder, const struct attr_section *section,
                 const struct template_attribute *vector, void *record)
{
        struct section *head = record;
        _cleanup_free_ const struct template_value **given =
                xcalloc(section->n_rows, sizeof(const struct template_value *));
        _cleanup_free_ bool *named = *section->name ? NULL : xcalloc(section->n_rows, sizeof(bool));
        bool only_given = spec_is_only_given(builder);

        spec_sort_values(section, vector, given);
        for (size_t i = 0; named && i < builder->template->n_attributes; i++) {
                const struct template_attribute *single = &builder->template->attributes[i];
                const struct attr *row = single->is_vector ? NULL : attr_find(section, single->name);

                if (row)
                        named[row - section->rows] = true;
        }
        head->origins = xcalloc(section->n_rows, sizeof(*head->origins));
        if (vector) {
                head->pos = vector->name_pos;
                head->pos.file = pooled(builder->spec, vector->name_pos.file);
        }
        for (size_t i = 0; i < section->n_rows; i++)
                if (given[i] || !only_given || (named && named[i]))
                        fill_row(builder, section, &section->rows[i], given[i], record);
        spec_blank_complete(section, record);
}

/* Fills the only section of its kind; says so when there are more. */
static const struct template_attribute *fill_single(struct spec_builder *builder,
                                                    const struct attr_section *section, void *record)
{
        size_t start = 0;
        const struct template_attribute *vector =
                template_next(builder->template, section->name, true, &start);
        const struct template_attribute *more;

        if (!vector && spec_is_only_given(builder)) {
                spec_blank_fill(section, record);
                return NULL;
        }
        fill(builder, section, vector, record);
        while (vector && (more = template_next(builder->template, section->name, true, &start)))
                spec_warn(builder, &more->name_pos, "%s: given twice, the first one counts (line %u)",
                          section->name, vector->name_pos.line);
        return vector;
}

static size_t count_vectors(const struct template *template, const char *name)
{
        size_t n = 0, start = 0;

        while (template_next(template, name, true, &start))
                n++;
        return n;
}

static void fill_repeated(struct spec_builder *builder, const struct spec_section *row)
{
        const struct template *template = builder->template;
        const char *name = row->section->name;
        size_t given = count_vectors(template, name), n = given < row->max ? given : row->max, start = 0;
        char *records = xcalloc(given, row->size);

        *(char **)((char *)builder->spec + row->record) = records;
        *(size_t *)((char *)builder->spec + row->count) = n;
        for (size_t i = 0; i < n; i++)
                fill(builder, row->section, template_next(template, name, true, &start),
                     records + i * row->size);
        if (given > n)
                spec_fail(builder, &template_next(template, name, true, &start)->name_pos,
                          "%s: more than %u %s", name, row->max, row->plural);
}

void *spec_add_record(struct spec_builder *builder, const struct attr_section *section)
{
        const struct spec_section *row = spec_section_find(section);
        char **records = (char **)((char *)builder->spec + row->record), *record;
        size_t *n = (size_t *)((char *)builder->spec + row->count);

        *records = xreallocarray(*records, *n + 1, row->size);
        record = *records + (*n)++ * row->size;
        memset(record, 0, row->size);
        fill(builder, section, NULL, record);
        return record;
}

static void fill_sections(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        for (const struct spec_section *row = spec_sections; row->section; row++) {
                bool given;

                if (row->count) {
                        fill_repeated(builder, row);
                        continue;
                }
                given = fill_single(builder, row->section, spec_section_record(row, spec, 0)) != NULL;
                if (row->present)
                        *(bool *)((char *)spec + row->present) = given;
        }
        spec_number(builder);
}

static struct error *copy_errors(const struct error *error)
{
        struct error *first = NULL, **next = &first;

        for (; error; error = error->next) {
                struct error *copy = xcalloc(1, sizeof(*copy));

                copy->code = error->code;
                copy->pos = error->pos;
                copy->pos.file = xstrdup_null(error->pos.file);
                copy->message = xstrdup(error->message);
                copy->hint = xstrdup_null(error->hint);
                copy->excerpt = xstrdup_null(error->excerpt);
                *next = copy;
                next = &copy->next;
        }
        return first;
}

/* The template's errors in the order of its lines, then what belongs to no line or to another file. */
static void sort_errors(struct error **list, const char *file)
{
        struct error *sorted = NULL, *error;

        while ((error = *list)) {
                struct error **at = &sorted;
                bool has_place = error->pos.line && strcmp(error->pos.file, file) == 0;

                *list = error->next;
                while (*at) {
                        const struct source_pos *pos = &(*at)->pos;

                        if (has_place &&
                            (!pos->line || strcmp(pos->file, file) != 0 || pos->line > error->pos.line ||
                             (pos->line == error->pos.line && pos->column > error->pos.column)))
                                break;
                        at = &(*at)->next;
                }
                error->next = *at;
                *at = error;
        }
        *list = sorted;
}

/* Of a VM of OpenNebula its own, whatever file it was read from. New string. */
static char *vm_directory(const struct template *template, const struct site *site, const char *base_dir)
{
        if (!template->vm_directory)
                return xstrdup(base_dir);
        if (*template->vm_directory == '/')
                return xstrdup(template->vm_directory);
        return xasprintf("%s/%s", site->datastore_location, template->vm_directory);
}

int spec_build(const struct template *template, const struct site *site, const char *base_dir,
               const char *default_name, struct vm_spec **ret, struct error **err)
{
        _cleanup_(vm_spec_freep) struct vm_spec *spec = xcalloc(1, sizeof(*spec));
        struct spec_builder builder = { .template = template, .site = site, .spec = spec };
        _cleanup_free_ char *directory = vm_directory(template, site, base_dir);
        _cleanup_(template_freep) struct template *expanded = NULL;

        spec->template_file = xstrdup(template->file);
        spec->warnings = copy_errors(template->warnings);
        attr_check_names(template, LAYER_TEMPLATE, &builder.errors, &spec->warnings);
        builder.n_errors = error_count(builder.errors);
        expanded = snippets_expand(&builder);
        if (expanded)
                builder.template = expanded;
        disk_shares_expand(&builder, &expanded);

        fill(&builder, &attr_vm, NULL, spec);
        spec_find_defaults(&builder);
        fill_sections(&builder);

        spec_set_identity(&builder, default_name);
        spec_set_machine(&builder, directory);
        spec_set_capacity(&builder);
        spec_set_numa(&builder);
        spec_set_pins(&builder);
        spec_set_disks(&builder, directory);
        spec_set_nics(&builder);
        spec_set_display(&builder);
        spec_set_boot_order(&builder);
        spec_set_devices(&builder, directory);
        spec_check_plugged(&builder);
        spec_check(&builder);

        if (builder.errors) {
                sort_errors(&builder.errors, template->file);
                *err = builder.errors;
                return -1;
        }
        *ret = TAKE_PTR(spec);
        return 0;
}
