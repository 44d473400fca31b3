/*
 * output - results on stdout, errors on stderr, in the format asked for.
 */
#pragma once

#include <jansson.h>

#include "launcher/verb/verbs.h"

/* One JSON document and a newline on stdout. Steals json. */
void output_json(json_t *json);
/* text as it is on stdout. */
void output_text(const char *text);

/* A table: header and rows of strings; aligned columns for people, tab-separated for OUTPUT_TSV. */
struct table;
struct table *table_new(const char *const *headers, size_t n_columns);
/* n_columns strings, copied; NULL prints as "-". */
void table_row(struct table *table, const char *const *cells);
void table_print(const struct table *table, enum output_format format);
void table_free(struct table *table);
DEFINE_FREEP(struct table, table_free)

/* Every error of the list, with excerpt and hint: text, or one JSON document {"schema":1,"errors":[...]}. */
void output_errors(const struct error *error, const struct verb_context *context);
/* Warnings of a template or plan, as log lines (not with --quiet). */
void output_warnings(const struct error *warnings, const struct verb_context *context);
/* The JSON form of one error. New reference. */
json_t *error_to_json(const struct error *error);
