/*
 * spec_blank - a section of which nobody has given anything, as are most sections of most VMs.
 *
 * What it is follows from the rows' defaults alone, which are constants: they are read once in the life of the process,
 * and a blank section is a copy. It has no origins of its own before one of them changes. Here is also how to ask any
 * section for an origin. Pure.
 */
#pragma once

#include "conf/spec_sections.h"

/* record: of zeros; it is not one of a section that repeats. */
void spec_blank_fill(const struct spec_section *row, void *record);
/* Frees the texts of a record that is blank, which rules may have set all the same. */
void spec_blank_done(const struct spec_blank *blank, void *record);
/* Where a row's value in a filled record came from: lent, until that origin changes. */
const struct origin *spec_row_origin(const struct attr_section *section, const void *record,
                                     const struct attr *row);
/* The same to be changed. */
struct origin *spec_own_row_origin(const struct attr_section *section, void *record, const struct attr *row);
