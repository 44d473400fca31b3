/*
 * locator - the place in a file of a byte of a text that stands in it, as it is or written with escapes.
 *
 * Errors inside a value (a libvirt snippet in RAW/DATA) name the line and column where the reader finds it in the
 * template. Pure; owns nothing: file and raw text are borrowed. Asking in order is linear in the raw text, going
 * back starts anew.
 */
#pragma once

#include "conf/template.h"

enum locator_writing {
        LOCATOR_PLAIN,  /* the raw text itself */
        LOCATOR_QUOTED, /* a quoted value of the native syntax: \" is a quote, CR LF one line end */
        LOCATOR_XML,    /* character data: references, CDATA sections, comments */
};

struct locator {
        const char *file, *raw;
        size_t raw_length;
        enum locator_writing writing;
        bool starts_in_cdata;
        size_t raw_start; /* of the value in the raw text */
        unsigned start_line, start_column;
        /* The last place asked for. */
        size_t at, raw_at;
        unsigned line, column;
        bool in_cdata;
};

void locator_init(struct locator *locator, const char *file, const char *raw, size_t raw_length);
/* The value that begins at pos of the template's text. */
void locator_init_value(struct locator *locator, const struct template *template,
                        const struct source_pos *pos);
/* offset: of a byte of the value; behind its end is its end. */
struct source_pos locator_place(struct locator *locator, size_t offset);
