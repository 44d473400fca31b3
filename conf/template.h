/*
 * template - the attribute tree of a text in OpenNebula's template language, each value with its place.
 *
 * Pure. A template owns everything below it, including the file name; free with template_free(), which
 * accepts NULL. Names and keys are upper case. Order is the text's order. Sections 1 of
 * opennebula-semantics and 5.1 of DESIGN decide the syntax; template_text.c and template_xml.c read it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Bounds on any input: beyond them is an error with its place. */
#define TEMPLATE_MAX_BYTES      (16u << 20)
#define TEMPLATE_MAX_ATTRIBUTES 100000

struct template_value {
        char *name;                            /* upper case */
        char *value;                           /* never NULL in a pair */
        struct source_pos name_pos, value_pos; /* file borrowed from the template */
        int layer;         /* enum layer of the snippet that it comes from, 0: of the tree (conf/snippet.h) */
        size_t start, end; /* of the text NAME = VALUE; 0: it was not native syntax */
};

struct template_attribute {
        char *name; /* upper case */
        bool is_vector;
        char *value;                  /* when !is_vector */
        struct template_value *pairs; /* when is_vector; may be empty */
        size_t n_pairs;
        bool attaches; /* of a VM XML: the one with ATTACH = YES */
        struct source_pos name_pos, value_pos;
        int layer; /* as of a pair, when !is_vector */
        size_t start, end;
};

struct template
{
        char *file; /* as messages name it; "-" becomes "stdin" */
        char *text; /* the source, for excerpts */
        bool is_xml;
        bool is_vm; /* OpenNebula's core has worked on it: a <VM> with an ID */
        /* Of such a VM: its directory, absolute or below the datastores' (site.h). NULL: not said. */
        char *vm_directory;
        struct template_attribute *attributes;
        size_t n_attributes;
        struct error *warnings; /* a name given twice, a key given twice: list; owned */
};

/*
 * Reads native syntax, or XML where the first character is '<'. length bytes, need not end in NUL. Goes on after an
 * error of native syntax at the next line that starts an attribute and reports up to twenty, as a list in *err, each
 * with place and excerpt. A byte order mark in front of either is skipped.
 */
int template_parse(const char *file, const char *text, size_t length, struct template **ret,
                   struct error **err);
/* Either of the two. */
int template_parse_text(const char *file, const char *text, size_t length, struct template **ret,
                        struct error **err);
/*
 * A <VM> as OpenNebula's core writes it, alone or in VMM_DRIVER_ACTION_DATA (opennebula-semantics section 2), or any
 * other element with a child for each attribute (section 1.1). It stops at the first error of XML.
 */
int template_parse_xml(const char *file, const char *text, size_t length, struct template **ret,
                       struct error **err);
/*
 * The same for a configuration file, which upstream reads in replace mode: of a name given twice only the last
 * one is kept.
 */
int template_parse_layer(const char *file, const char *text, size_t length, struct template **ret,
                         struct error **err);
/* A tree of its own with the same attributes and text, without warnings. */
struct template *template_copy(const struct template *template);
void template_free(struct template *template);
DEFINE_FREEP(struct template, template_free)

/* The first attribute of this name and kind from start on, or NULL; *start is moved behind it. */
const struct template_attribute *template_next(const struct template *template, const char *name,
                                               bool is_vector, size_t *start);
struct text;
/* Appends NAME = "value" (no newline) with quoting as the language needs it. What follows must be a line end, or
 * a comma or bracket and a line end: a value that ends in a backslash is only read right there. */
void template_write_value(struct text *out, const char *name, const char *value);
/* The language cannot say some values: a quote after an odd number of backslashes, a text with blanks that ends
 * in an odd number of them. */
bool template_value_is_writable(const char *value);
/* Two lines: the line of the text at pos (cut to a window, control bytes replaced) and a caret; new string, NULL
 * when pos names no line of the text. */
char *template_excerpt(const char *text, size_t length, const struct source_pos *pos);
/* Fills in error->excerpt: the line of the text at error->pos and a caret under its column. */
void template_add_excerpt(const struct template *template, struct error *error);
