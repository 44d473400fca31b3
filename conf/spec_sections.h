/*
 * spec_sections - which member of struct vm_spec each section of attributes is.
 *
 * One row per section, in the order of live.tmpl: filling, freeing, writing and looking up all walk this table, so a new
 * section is a line here (and one in attr_sections). Constant.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

struct spec_section {
        const struct attr_section *section; /* NULL ends the table */
        size_t record;      /* of the struct, or of the pointer to the array of a repeated section */
        size_t present;     /* of a bool that says whether the vector was given; 0: nobody asks */
        size_t count;       /* of the number of a repeated section's structs; 0: there is one */
        size_t size;        /* of one struct */
        unsigned max;       /* that are taken; more are an error */
        const char *plural; /* "disks" */
};

enum { SPEC_SECTIONS = 42 }; /* with the end */
extern const struct spec_section spec_sections[SPEC_SECTIONS];

/* The row of a section; NULL: it is the top level, or known by name only. */
const struct spec_section *spec_section_find(const struct attr_section *section);
/* How many records spec has of it: 1 unless it repeats. */
size_t spec_section_count(const struct spec_section *row, const struct vm_spec *spec);
/* Record number index; NULL: there are not so many. */
void *spec_section_record(const struct spec_section *row, const struct vm_spec *spec, size_t index);
/* Was the vector given? true where nobody asks. */
bool spec_section_present(const struct spec_section *row, const struct vm_spec *spec);
/* Frees the texts and origins that a record has by its rows. */
void spec_section_done(const struct attr_section *rows, void *record);
