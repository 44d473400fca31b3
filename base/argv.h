/*
 * argv - an argument vector under construction, and its shell-quoted printer.
 *
 * Owns its strings. items is NULL-terminated after the first argv_add(), ready for execve().
 */
#pragma once

#include <stddef.h>

#include "base/mem.h"
#include "base/text.h"

struct argv {
        char **items;
        size_t n;
};

#define ARGV_INIT ((struct argv){ 0 })

void argv_done(struct argv *argv);
#define _cleanup_argv_ _cleanup_(argv_done)
void argv_add(struct argv *argv, const char *s);
void argv_addf(struct argv *argv, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Steals the string. */
void argv_add_take(struct argv *argv, char *s);
/* Appends the words to out as one shell command line. */
void argv_print_shell(const struct argv *argv, struct text *out);
