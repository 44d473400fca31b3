/*
 * unsettled - commands whose deadline passed without an answer: nobody knows whether they were done.
 *
 * Pure. Each hangs on keys (control_command_keys()); a further command on one of them is refused until the late answer
 * has come or a query that was sent after the deadline has shown how things are. Bounded: the oldest goes.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "launcher/run/command_table.h"

#define UNSETTLED_MAX 64

struct unsettled {
        json_t *entries; /* array of {seq, id, command, keys, run}, oldest first */
        json_int_t last;
};

void unsettled_init(struct unsettled *unsettled);
void unsettled_done(struct unsettled *unsettled);
/* id: QEMU's, for the late answer. */
void unsettled_add(struct unsettled *unsettled, json_int_t id, const struct control_command *command,
                   json_t *keys);
/* The command that has to be settled first, lent; NULL: none. */
const char *unsettled_blocks(const struct unsettled *unsettled, const json_t *keys);
/* A query is sent now: what its answer can settle. */
json_int_t unsettled_mark(const struct unsettled *unsettled);
void unsettled_shown(struct unsettled *unsettled, enum command_shows shows, json_int_t mark);
/* The late answer came: its keys, a new reference, or NULL when it settles nothing. */
json_t *unsettled_late(struct unsettled *unsettled, json_int_t id);
/* The connection is gone, and with it the late answers; ids begin anew. */
void unsettled_disconnected(struct unsettled *unsettled);
