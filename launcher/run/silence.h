/*
 * silence - when QEMU counts as one that does not answer. Pure: times come from the caller, in milliseconds.
 *
 * A deadline that has passed says that one command waits, not that QEMU is stuck: a busy host is slower than 0.5 s. The
 * word is for somebody who looks at night, so it is given when a command is overdue and QEMU has said nothing at all
 * for SILENCE_MS, counted from the command at the earliest: a VM that nobody asks is silent for days.
 */
#pragma once

#include <stdbool.h>

#define SILENCE_MS 2000

struct silence {
        long long since_ms;
        bool asked; /* something was sent after QEMU's last word */
};

void silence_sent(struct silence *silence, long long now_ms);
/* Any message: reply, late reply, event. */
void silence_heard(struct silence *silence, long long now_ms);
/* A command is overdue: how long until QEMU counts as silent if it says nothing; 0: it does now. */
unsigned silence_wait_ms(const struct silence *silence, long long now_ms);
