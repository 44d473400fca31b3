/*
 * describe - the attribute tables as text and as JSON.
 *
 * Pure. The reference is NULL (everything, one line each), a vector ("DISK"), a key ("DISK/CACHE") or a top-level
 * attribute ("MEMORY"), in any case of letters. Errors: ERROR_INVALID for a name that there is not, with the nearest
 * one.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"

/* New string, ends with a newline; NULL and *err on failure. */
char *describe_text(const char *reference, struct error **err);
/*
 * New reference. {"schema": 1, "sections": [{"name", "state", "repeats", "any_key", "doc", "source", "why",
 * "attributes": [...]}]}; an attribute has name, full_name, state, kind, default, unit, values, words, layers,
 * lands, live, doc, source, why, means: members without a value are absent.
 */
json_t *describe_json(const char *reference, struct error **err);
