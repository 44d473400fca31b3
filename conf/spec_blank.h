/*
 * spec_blank - a section of which nobody has given anything, as are most sections of most VMs.
 *
 * What it is follows from the rows' defaults alone, which are constants: they are read once in the life of the process. A
 * blank section is a copy, and has no origins of its own before one of them changes; of others the rows that nobody gave
 * are copied. Here is also how to ask any section for an origin. Pure.
 */
#pragma once

#include "conf/attr.h"
#include "conf/origin.h"

/* record: of zeros. */
void spec_blank_fill(const struct attr_section *section, void *record);
/* The defaults of a record with origins of its own, in those rows that have none yet. */
void spec_blank_complete(const struct attr_section *section, void *record);
/* Frees the strings that a record has by its rows. */
void spec_blank_done(const struct spec_blank *blank, void *record);
/* Where a row's value in a filled record came from: lent, until that origin changes. */
const struct origin *spec_row_origin(const struct attr_section *section, const void *record,
                                     const struct attr *row);
/* The same to be changed. */
struct origin *spec_own_row_origin(const struct attr_section *section, void *record, const struct attr *row);
