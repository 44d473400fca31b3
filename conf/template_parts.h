/*
 * template_parts - what the readers of the text and of the XML form share (template_*.c); private to them.
 */
#pragma once

#include "conf/template.h"

enum { TEMPLATE_MAX_REPORTS = 20 };

/* Of a name or key given twice: which one stays. */
enum repetition { REPEATED_ALL, REPEATED_FIRST, REPEATED_LAST };

/*
 * With a warning each. names: ALL keeps both (the first one counts), LAST is the replace mode of configuration files.
 * keys, within a vector: FIRST or LAST.
 */
void template_drop_repetition(struct template *template, enum repetition names, enum repetition keys);
void template_attribute_done(struct template_attribute *attribute);
/* n bytes in upper case; new string. */
char *template_upper(const char *s, size_t n);

/* Returns -1. Up to twenty errors are kept, each with its excerpt. */
int template_fail(struct template *template, struct error **errors, const struct source_pos *pos,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

struct xml_element;
/*
 * Gives the tree of an OpenNebula VM the meaning of the native form: vm is its <VM>, whose TEMPLATE's children are
 * the attributes of template; deployment_file as the driver message says it (NULL: nothing).
 */
int template_from_vm(struct template *template, const struct xml_element *vm,
                     const struct xml_element *deployment_file, struct error **err);
/* Adds the children of element as attributes. Errors and warnings have places and excerpts, up to twenty. */
void template_add_children(struct template *template, const struct xml_element *element,
                           struct error **errors);
