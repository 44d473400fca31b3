/*
 * timezone - what a time zone's file says of its time, as TZ takes it.
 */
#pragma once

#include "base/error.h"

#define TIMEZONE_DIR "/usr/share/zoneinfo"

/*
 * The rule at the end of DIRECTORY/NAME, such as "CET-1CEST,M3.5.0,M10.5.0/3" (tzfile(5), version 2 and later); new
 * string. NULL in *ret and 0 when there is no such zone, or its file has no rule.
 */
int timezone_rule_read(const char *directory, const char *name, char **ret, struct error **err);
