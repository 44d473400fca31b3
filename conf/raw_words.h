/*
 * raw_words - RAW/DATA of TYPE qemu as the words that it is made of. Pure.
 */
#pragma once

#include <stddef.h>

/*
 * Splits text at blanks and newlines, as a shell does but for everything that a shell would replace: between single
 * quotes a byte is itself; between double quotes too, but \" and \\ are " and \; elsewhere a backslash makes the next
 * byte itself. Words that are next to each other in quotes are one; '' is an empty word. *ret_words is an array of *ret_n
 * strings, both the caller's. On failure -1, and *ret_wrong says in words what is.
 */
int raw_words_split(const char *text, char ***ret_words, size_t *ret_n, const char **ret_wrong);
