/*
 * json_text - JSON as one line of text, the same as json_dumps(JSON_COMPACT | JSON_ENCODE_ANY) and faster: a plan of many
 * devices is mostly that.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/text.h"

/* Strings of ours are UTF-8; members come in the order in which they were set. */
void json_text_add(struct text *out, const json_t *json);

/*
 * An object that is only printed, written member by member: begin, its members, end. key NULL: the outermost one. A string
 * that is NULL makes no member.
 */
void json_text_begin(struct text *out, const char *key);
void json_text_end(struct text *out);
void json_text_string(struct text *out, const char *key, const char *value);
void json_text_integer(struct text *out, const char *key, json_int_t value);
void json_text_bool(struct text *out, const char *key, bool value);
void json_text_null(struct text *out, const char *key);
