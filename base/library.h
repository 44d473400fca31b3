/*
 * library - functions of a shared library that most runs do without: loaded when it is first wanted (dlopen(3)), as to map
 * and link it would cost every start.
 */
#pragma once

#include "base/error.h"

/*
 * functions: their names, each with its NUL, an empty one at the end. table: a pointer for each of them, in that order, of
 * whatever type. ERROR_HOST, and all of them NULL: there is no such library, or one without such a function.
 */
int library_load(const char *library, const char *functions, void *table, struct error **err);
