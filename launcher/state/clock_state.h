/*
 * clock_state - what a guest has made of its hardware clock, kept over its runs (CLOCK OFFSET = "variable").
 *
 * Template text in STATE/NAME/clock (0644), written by the supervisor at each RTC_CHANGE, read by the plan.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

/* Changes beyond this are no clock's: 200 years. */
#define CLOCK_CHANGE_MAX (200ll * 366 * 86400)

struct clock_state {
        char *uuid;         /* of the VM it was made for */
        int64_t adjustment; /* CLOCK/ADJUSTMENT of the template at that time: another one replaces all this */
        int64_t change;     /* seconds, on top of it */
};

char *clock_state_path(const char *state_dir, const char *vm);
/* NULL in *ret and 0 when there is none. */
int clock_state_read(const char *state_dir, const char *vm, struct clock_state **ret, struct error **err);
/* Makes the directory when it is not there. Not fsynced: a guest may set its clock often. */
int clock_state_write(const char *path, const struct clock_state *state, struct error **err);
void clock_state_free(struct clock_state *state);
DEFINE_FREEP(struct clock_state, clock_state_free)
