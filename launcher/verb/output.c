#include "launcher/verb/output.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"

struct table {
        char **cells; /* row by row, headers first */
        size_t n_columns, n_cells;
};

void output_text(const char *text)
{
        fputs(text, stdout);
}

void output_json(json_t *json)
{
        _cleanup_free_ char *text = json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

        puts(text ? text : "null");
        json_decref(json);
}

char *object_to_tsv(const json_t *object)
{
        struct text out = TEXT_INIT;
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)object, key, value) {
                _cleanup_free_ char *encoded = NULL, *shown = NULL;

                if (json_is_array(value) || json_is_object(value))
                        continue;
                if (json_is_string(value))
                        shown = text_printable(json_string_value(value));
                else if (!json_is_null(value))
                        encoded = json_dumps(value, JSON_ENCODE_ANY);
                text_addf(&out, "%s\t%s\n", key, shown && *shown ? shown : encoded ? encoded : "-");
        }
        return text_take(&out);
}

void output_object(json_t *object, enum output_format format)
{
        _cleanup_free_ char *tsv = NULL;

        if (format != OUTPUT_TSV) {
                output_json(object);
                return;
        }
        tsv = object_to_tsv(object);
        output_text(tsv);
        json_decref(object);
}

struct table *table_new(const char *const *headers, size_t n_columns)
{
        struct table *table = xcalloc(1, sizeof(*table));

        table->n_columns = n_columns;
        table_row(table, headers);
        return table;
}

void table_row(struct table *table, const char *const *cells)
{
        table->cells = xreallocarray(table->cells, table->n_cells + table->n_columns, sizeof(char *));
        for (size_t i = 0; i < table->n_columns; i++)
                table->cells[table->n_cells++] =
                        cells[i] && *cells[i] ? text_printable(cells[i]) : xstrdup("-");
}

char *table_text(const struct table *table, enum output_format format)
{
        struct text out = TEXT_INIT;
        _cleanup_free_ size_t *widths = xcalloc(table->n_columns, sizeof(*widths));

        for (size_t i = 0; i < table->n_cells; i++)
                if (strlen(table->cells[i]) > widths[i % table->n_columns])
                        widths[i % table->n_columns] = strlen(table->cells[i]);
        for (size_t i = 0; i < table->n_cells; i++) {
                size_t column = i % table->n_columns;
                bool last = column + 1 == table->n_columns;

                if (format == OUTPUT_TSV)
                        text_addf(&out, "%s%c", table->cells[i], last ? '\n' : '\t');
                else if (last)
                        text_addf(&out, "%s\n", table->cells[i]);
                else
                        text_addf(&out, "%-*s", (int)widths[column] + 2, table->cells[i]);
        }
        return text_take(&out);
}

void table_print(const struct table *table, enum output_format format)
{
        _cleanup_free_ char *text = table_text(table, format);

        output_text(text);
}

void table_free(struct table *table)
{
        if (!table)
                return;
        for (size_t i = 0; i < table->n_cells; i++)
                free(table->cells[i]);
        free(table->cells);
        free(table);
}

static void add_place_and_hint(json_t *json, const struct error *error)
{
        if (error->pos.file) {
                json_object_set_new(json, "file", json_string(error->pos.file));
                json_object_set_new(json, "line", json_integer(error->pos.line));
                json_object_set_new(json, "column", json_integer(error->pos.column));
        }
        if (error->hint)
                json_object_set_new(json, "hint", json_string(error->hint));
}

/* The message without its place, which has members of its own: as in the plan's "warnings". */
json_t *warning_to_json(const struct error *warning)
{
        json_t *json = json_pack("{s:s}", "message", warning->message);

        add_place_and_hint(json, warning);
        return json;
}

json_t *error_to_json(const struct error *error)
{
        _cleanup_free_ char *text = error_text(error);
        json_t *json = json_pack("{s:s, s:i, s:s}", "code", error_code_name(error->code), "exit_status",
                                 error_exit_status(error), "message", text);

        add_place_and_hint(json, error);
        if (error->qmp_class)
                json_object_set_new(json, "qmp_class", json_string(error->qmp_class));
        return json;
}

static char *errors_json(const struct error *error, const struct verb_context *context)
{
        json_t *array = json_array();
        json_auto_t *document = json_pack("{s:i, s:o}", "schema", 1, "errors", array);
        _cleanup_free_ char *text = NULL;

        for (; error; error = error->next)
                json_array_append_new(array, error_to_json(error));
        if (context->warnings)
                json_object_set(document, "warnings", context->warnings);
        text = json_dumps(document, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        return xasprintf("%s\n", text ? text : "null");
}

char *errors_text(const struct error *error, const struct verb_context *context)
{
        struct text out = TEXT_INIT;

        if (context->output == OUTPUT_JSON)
                return errors_json(error, context);
        for (; error; error = error->next) {
                _cleanup_free_ char *text = error_text(error);

                text_addf(&out, "vmlaunch: %s\n", text);
                if (error->hint)
                        text_addf(&out, "  %s\n", error->hint);
        }
        return text_take(&out);
}

/* In the journal each line is looked for by its priority. */
static void print_hint(const struct error *error, enum log_level level)
{
        if (error->hint && log_stderr_is_journal())
                log_line(level, "  %s", error->hint);
        else if (error->hint)
                fprintf(stderr, "  %s\n", error->hint);
}

void output_errors(const struct error *error, const struct verb_context *context)
{
        if (context->output == OUTPUT_JSON) {
                _cleanup_free_ char *text = errors_json(error, context);

                fputs(text, stderr);
                return;
        }
        for (; error; error = error->next) {
                _cleanup_free_ char *text = error_text(error);

                log_error("%s", text);
                if (error->excerpt && !log_stderr_is_journal())
                        fprintf(stderr, "%s\n", error->excerpt);
                print_hint(error, LOG_LEVEL_ERROR);
        }
}

void output_warnings(const struct error *warnings, struct verb_context *context)
{
        if (context->quiet)
                return;
        for (; warnings; warnings = warnings->next) {
                _cleanup_free_ char *text = error_text(warnings);

                if (context->output == OUTPUT_JSON) {
                        if (!context->warnings)
                                context->warnings = json_array();
                        json_array_append_new(context->warnings, warning_to_json(warnings));
                        continue;
                }
                log_warning("%s", text);
                print_hint(warnings, LOG_LEVEL_WARNING);
        }
}

void output_finish(struct verb_context *context)
{
        _cleanup_free_ char *text = NULL;
        json_auto_t *document = NULL;

        if (!context->warnings)
                return;
        document = json_pack("{s:i, s:o}", "schema", 1, "warnings", TAKE_PTR(context->warnings));
        text = json_dumps(document, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        fprintf(stderr, "%s\n", text ? text : "null");
}
