/*
 * kvmrc - upstream's shell file of variables, read and never executed.
 *
 * A line is [export] NAME=value with an optional pair of quotes and a comment behind, a comment, or blank; any
 * other line is reported with its place and has no effect. Each variable has a row that says what it does here.
 * Pure.
 */
#pragma once

#include "conf/site.h"

struct kvmrc_row {
        const char *name;
        const char *dflt;    /* upstream's value as shipped; NULL: not set there */
        const char *doc;     /* what it does here */
        bool here;           /* acted on by this version */
        const char *plain;   /* what goes without saying: a variable with this value is not reported */
        const char *ours;    /* our own default; NULL: not set */
        const char *shipped; /* what our own file sets it to; NULL: it leaves it at its default */
};

extern const struct kvmrc_row kvmrc_rows[]; /* ends with a NULL name */

/* kvmrc_done() frees what it holds. */
void kvmrc_init(struct kvmrc *kvmrc);
void kvmrc_done(struct kvmrc *kvmrc);
/* Lines that are not understood, unknown variables and those without effect are appended to *warnings. */
int kvmrc_parse(const char *file, const char *text, size_t length, struct kvmrc *kvmrc,
                struct error **warnings, struct error **err);
