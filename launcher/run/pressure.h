/*
 * pressure - how much memory a guest is left when its host is short of it (BALLOON/PRESSURE_FLOOR).
 *
 * Pure. The host's word is PSI (Documentation/accounting/psi.rst): the share of the last 10 s in which some task waited for
 * memory. Above a tenth the guest gives a step, below a hundredth it gets one back; between the two everything stays, so
 * that what one step has mended is not undone by the next.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PRESSURE_HIGH 10.0 /* percent */
#define PRESSURE_LOW  1.0

/* "some avg10=" of /proc/pressure/memory, in percent. False: it is no such text. */
bool pressure_parse(const char *text, double *ret_percent);
/*
 * Bytes: what the guest is to have that has `has` now: from floor to ceiling, in steps of an eighth of ceiling and MiB. A
 * floor above the ceiling is the ceiling.
 */
uint64_t pressure_target(double percent, uint64_t has, uint64_t floor, uint64_t ceiling);
