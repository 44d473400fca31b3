/*
 * json_text - JSON as one line of text, the same as json_dumps(JSON_COMPACT | JSON_ENCODE_ANY) and faster: a plan of many
 * devices is mostly that.
 */
#pragma once

#include <jansson.h>

#include "base/text.h"

/* Strings of ours are UTF-8; members come in the order in which they were set. */
void json_text_add(struct text *out, const json_t *json);
