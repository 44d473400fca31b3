/*
 * template_edit - changes of a template's text that leave the rest of it, comments and all, as somebody wrote it.
 *
 * Pure. For templates that people keep (--config). The template gives the places and must be of this text, read in native
 * syntax; each function returns a new text.
 */
#pragma once

#include "conf/template.h"

/* Another vector at the end. */
char *template_edit_add(const struct template *template, const struct template_attribute *vector);
/* Without attribute i: whole lines where nothing else is on them. */
char *template_edit_remove(const struct template *template, size_t i);
/* NAME = "value", in place of the last one of that name, or at the end. */
char *template_edit_set(const struct template *template, const char *name, const char *value);
/* A key of vector i: in place, or the first one of it. */
char *template_edit_set_pair(const struct template *template, size_t i, const char *key, const char *value);
