/*
 * raw_words - RAW/DATA of TYPE qemu as the words that it is made of. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Splits text at blanks and newlines, as a shell does but for everything that a shell would replace: between single
 * quotes a byte is itself; between double quotes too, but \" and \\ are " and \; elsewhere a backslash makes the next
 * byte itself. Words that are next to each other in quotes are one; '' is an empty word. *ret_words is an array of *ret_n
 * strings, both the caller's. On failure -1, and *ret_wrong says in words what is.
 */
int raw_words_split(const char *text, char ***ret_words, size_t *ret_n, const char **ret_wrong);

/* May QEMU's environment have a variable of this name (RAW/ENV)? */
bool raw_variable_is_allowed(const char *name);
#define RAW_VARIABLE_REFUSED                                                                            \
        "is none of the variables that QEMU may have: it could change what is loaded into QEMU, or is " \
        "nothing that QEMU knows"
