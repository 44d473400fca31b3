/*
 * slice - names of systemd's slices. Pure.
 */
#pragma once

#include <stdbool.h>

/* "machine.slice", "a-b.slice": a name that systemd takes and that is below its root slice. */
bool slice_name_is_valid(const char *name);
