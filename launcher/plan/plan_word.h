/*
 * plan_word - user text in a plan for people: no byte that a terminal would obey, no line that is not one.
 *
 * New strings. Names come from templates and, for backing files, from image headers. Input is UTF-8 (plan_build()
 * refuses anything else).
 */
#pragma once

#include <stddef.h>

struct text;

/* One word of a shell command: as text_shell_quoted(), or $'...' when it has control characters. */
char *plan_word(const char *s);
/* n bytes with control characters written as \xNN. */
char *plan_visible(const char *s, size_t n);
/* The same at the end of a text. */
void plan_add_word(struct text *out, const char *s);
void plan_add_visible(struct text *out, const char *s, size_t n);
