/*
 * output - results on stdout, errors on stderr, in the format asked for.
 */
#pragma once

#include <jansson.h>

#include "launcher/verb/verbs.h"

/* One JSON document and a newline on stdout. Steals json. */
void output_json(json_t *json);
/* An object: JSON, or for OUTPUT_TSV a line "member<TAB>value" for each member that is no array or object. Steals it. */
void output_object(json_t *object, enum output_format format);
/* What output_object() prints for OUTPUT_TSV; new string. */
char *object_to_tsv(const json_t *object);
/* text as it is on stdout. */
void output_text(const char *text);

/* A table: header and rows of strings; aligned columns for people, tab-separated for OUTPUT_TSV. */
struct table;
struct table *table_new(const char *const *headers, size_t n_columns);
/* n_columns strings, copied; NULL prints as "-", control characters escaped. */
void table_row(struct table *table, const char *const *cells);
void table_print(const struct table *table, enum output_format format);
/* What table_print() prints; new string. */
char *table_text(const struct table *table, enum output_format format);
void table_free(struct table *table);
DEFINE_FREEP(struct table, table_free)

/*
 * Every error of the list, with excerpt and hint: text, or one JSON document {"schema":1,"errors":[...]}, which has
 * the warnings too, so that stderr is one document.
 */
/* What output_errors() says on a terminal; new string. */
char *errors_text(const struct error *error, const struct verb_context *context);
void output_errors(const struct error *error, const struct verb_context *context);
/* Warnings of a template or plan, as log lines (not with --quiet); with OUTPUT_JSON they wait for output_finish(). */
void output_warnings(const struct error *warnings, struct verb_context *context);
/* {"schema":1,"warnings":[...]} on stderr when there are some that no error has taken along. */
void output_finish(struct verb_context *context);
/* The JSON form of one warning: message, and place and hint where it has them. New reference. */
json_t *warning_to_json(const struct error *warning);
/* The JSON form of one error. New reference. */
json_t *error_to_json(const struct error *error);
