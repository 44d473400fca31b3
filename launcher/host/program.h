/*
 * program - where programs are: in fixed directories, so that a plan does not depend on the caller's environment.
 */
#pragma once

#include <stdbool.h>

/* A regular file that somebody may execute, by its mode: whether the caller himself may must not matter. */
bool program_is(const char *path);
/* An absolute path, or a name in /usr/local/bin, /usr/bin or /bin: the program's path as a new string, or NULL. */
char *program_find(const char *name);
/* The first of several, separated by blanks. */
char *program_find_first(const char *names);
