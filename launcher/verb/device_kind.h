/*
 * device_kind - the kinds of devices that verbs attach, detach and update, and which one of a template an argument means.
 */
#pragma once

#include "conf/template.h"
#include "launcher/verb/verbs.h"

struct device_kind {
        const char *word;   /* "disk": on the command line, and the option with its vector */
        const char *vector; /* "DISK" */
        const char *id;     /* "DISK_ID" */
        const char *device; /* QEMU's ids begin with it */
        /* By whose values it is known besides the number, "BUS-PORT" by both; the first is its name for people. */
        const char *keys[4];
        bool stays; /* it comes and goes, nothing of it changes: no update */
};

/* ERROR_USAGE: no such kind. */
const struct device_kind *device_kind_find(const char *word, struct error **err);
/* Of this vector; NULL: none. */
const struct device_kind *device_kind_of(const char *vector);

/* "1", "disk1", "vdb", "web-1", a MAC: the vector of a template as spec_to_template() writes it. */
int device_find(const struct template *template, const struct device_kind *kind, const char *argument,
                size_t *ret, struct error **err);
/* How many vectors of its name come before attribute i. */
size_t template_ordinal(const struct template *template, size_t i);
/* The attribute that is the nth vector of that name; -1: there are fewer. */
long template_nth(const struct template *template, const char *vector, size_t n);
