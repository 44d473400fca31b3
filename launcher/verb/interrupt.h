/*
 * interrupt - the first Ctrl-C of a verb that waits: ends it, saying what was left.
 *
 * What it says is prepared beforehand, so that the handler does nothing but write and exit. For verbs that hold
 * nothing which their end would leave in disorder.
 */
#pragma once

#include "launcher/verb/verbs.h"

/* From here on SIGINT ends the process with status 1 and this message (and hint, unless NULL) on stderr. */
void interrupt_arm(const struct verb_context *context, const char *hint, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
