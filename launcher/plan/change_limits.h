/*
 * change_limits - from the limits of one plan to those of another of the same VM: private to this folder. Pure.
 *
 * A limit that is gone is set to what a group has that asks for nothing.
 */
#pragma once

#include <jansson.h>

#include "launcher/plan/launch_plan.h"

/* Steps {"effect","args","because"} in the order of doing; new reference. */
json_t *change_limits(const struct launch_plan *was, const struct launch_plan *wanted);
/* Is it one of the effects that change_limits() looks at? */
bool change_limits_has(enum plan_effect effect);
