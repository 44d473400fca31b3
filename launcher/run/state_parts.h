/*
 * state_parts - what state_compare.c (template and QEMU), state_work.c (QEMU and record) and state_journal.c (template and
 * journal) share; for no one else.
 */
#pragma once

#include "launcher/run/state_compare.h"
#include "qmp/ops_facts.h"

/* A real machine has some hundred of anything. */
#define STATE_LIST_MAX 4096

struct state_comparison {
        const struct state_sides *sides;
        const struct vm_spec *spec;
        json_t *differences;
};

/* What a side says of something. */
enum state_side { SIDE_TEMPLATE, SIDE_QEMU, SIDE_RECORD, SIDES };

/* A further difference, lent; NULL: there are enough. */
json_t *state_differ(struct state_comparison *c, const char *kind, const char *id, const char *member);
/* value NULL: there is none. Text from outside is made fit to print. */
void state_set_side(json_t *difference, enum state_side side, const char *value);
/* The answer, lent; NULL: there is none, and that is a difference already. */
const json_t *state_fact(struct state_comparison *c, enum machine_fact which, json_type type);
/* QEMU's answer has not the shape it must have. */
void state_not_understood(struct state_comparison *c, enum machine_fact fact);
/* A member that is a string, lent; NULL: it is none. */
const char *state_string(const json_t *json, const char *key);
/* The number behind prefix, at most 9 digits; *rest is what follows. */
bool state_number_behind(const char *text, const char *prefix, unsigned *ret, const char **rest);
const struct disk_spec *state_find_disk(const struct state_comparison *c, unsigned id);

/* state_work.c */
/* QEMU and record. */
void state_compare_work(struct state_comparison *c);

/* state_journal.c */
/* Template and record. */
void state_differ_from_record(struct state_comparison *c, const char *kind, const char *id,
                              const char *member, const char *template, const char *record);
void state_compare_images(struct state_comparison *c);
void state_compare_taps(struct state_comparison *c);
