/*
 * utc - points in time as RFC 3339 in UTC: in logs, records and answers, and for QEMU's clock.
 */
#pragma once

#include <stdbool.h>
#include <time.h>

#define UTC_DATE_SIZE  64
#define UTC_STAMP_SIZE (UTC_DATE_SIZE + 5)

/* "2026-11-28T15:43:21". false, and out is untouched, for a year that no int holds when counted from 1900. */
bool utc_date(char out[static UTC_DATE_SIZE], time_t seconds);

/* "2026-11-28T15:43:21.007Z". What utc_date() cannot write is the first day of 1900: somebody sent nonsense. */
void utc_stamp(char out[static UTC_STAMP_SIZE], time_t seconds, long nanoseconds);
/* Of this moment. */
void utc_stamp_now(char out[static UTC_STAMP_SIZE]);
