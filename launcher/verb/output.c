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
                table->cells[table->n_cells++] = xstrdup(cells[i] && *cells[i] ? cells[i] : "-");
}

void table_print(const struct table *table, enum output_format format)
{
        _cleanup_free_ size_t *widths = xcalloc(table->n_columns, sizeof(*widths));

        for (size_t i = 0; i < table->n_cells; i++)
                if (strlen(table->cells[i]) > widths[i % table->n_columns])
                        widths[i % table->n_columns] = strlen(table->cells[i]);
        for (size_t i = 0; i < table->n_cells; i++) {
                size_t column = i % table->n_columns;
                bool last = column + 1 == table->n_columns;

                if (format == OUTPUT_TSV)
                        printf("%s%c", table->cells[i], last ? '\n' : '\t');
                else if (last)
                        printf("%s\n", table->cells[i]);
                else
                        printf("%-*s", (int)widths[column] + 2, table->cells[i]);
        }
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

json_t *error_to_json(const struct error *error)
{
        _cleanup_free_ char *text = error_text(error);
        json_t *json = json_pack("{s:s, s:i, s:s}", "code", error_code_name(error->code), "exit_status",
                                 error_exit_status(error), "message", text);

        if (error->pos.file) {
                json_object_set_new(json, "file", json_string(error->pos.file));
                json_object_set_new(json, "line", json_integer(error->pos.line));
                json_object_set_new(json, "column", json_integer(error->pos.column));
        }
        if (error->hint)
                json_object_set_new(json, "hint", json_string(error->hint));
        if (error->qmp_class)
                json_object_set_new(json, "qmp_class", json_string(error->qmp_class));
        return json;
}

void output_errors(const struct error *error, const struct verb_context *context)
{
        if (context->output == OUTPUT_JSON) {
                json_t *array = json_array();
                _cleanup_free_ char *text = NULL;
                json_t *document = json_pack("{s:i, s:o}", "schema", 1, "errors", array);

                for (; error; error = error->next)
                        json_array_append_new(array, error_to_json(error));
                text = json_dumps(document, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
                fprintf(stderr, "%s\n", text ? text : "null");
                json_decref(document);
                return;
        }
        for (; error; error = error->next) {
                _cleanup_free_ char *text = error_text(error);

                log_error("%s", text);
                if (error->excerpt)
                        fprintf(stderr, "%s\n", error->excerpt);
                if (error->hint)
                        fprintf(stderr, "  %s\n", error->hint);
        }
}

void output_warnings(const struct error *warnings, const struct verb_context *context)
{
        if (context->quiet)
                return;
        for (; warnings; warnings = warnings->next) {
                _cleanup_free_ char *text = error_text(warnings);

                log_warning("%s", text);
        }
}
