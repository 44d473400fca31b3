/*
 * json_ref - the end of a reference to a JSON value, once in the program.
 *
 * jansson.h gives every file a copy of json_decref(), and of what json_auto_t calls: 2 KiB. Each file is compiled with
 * this in front (Makefile), and goes on using jansson's names.
 */
#pragma once

#include <jansson.h>

/* json may be NULL. */
void json_ref_end(json_t *json);
void json_ref_endp(json_t **json);

#define json_decref(json) json_ref_end(json)
#undef json_auto_t
#define json_auto_t json_t __attribute__((cleanup(json_ref_endp)))
