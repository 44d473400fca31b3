/*
 * live_change - how one live.tmpl becomes another: the "live" of a fragment (launcher/run/live_template.h).
 *
 * Pure. Vectors that may be repeated are known again by their number (DISK_ID, NIC_ID, ...), or when their kind has none
 * by all they say; the others by their name.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"

/* {"set":[...],"remove":[...]}; new reference, or NULL and *err: a text is no template. */
json_t *live_change(const char *was, const char *wanted, struct error **err);
