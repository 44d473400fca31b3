/*
 * json_ref - begin and end of a reference to a JSON value, once in the program.
 *
 * jansson.h gives every file a copy of json_incref() and json_decref(), and of what calls them: 3 KiB. Each file is
 * compiled with this in front (Makefile), and goes on using jansson's names.
 */
#pragma once

#include <jansson.h>

/* json may be NULL. The same reference, to be ended twice. */
json_t *json_ref_begin(json_t *json);
void json_ref_end(json_t *json);
void json_ref_endp(json_t **json);

#define json_incref(json)                   json_ref_begin(json)
#define json_decref(json)                   json_ref_end(json)
#define json_object_set(object, key, value) json_object_set_new(object, key, json_ref_begin(value))
#define json_array_append(array, value)     json_array_append_new(array, json_ref_begin(value))
#undef json_auto_t
#define json_auto_t json_t __attribute__((cleanup(json_ref_endp)))
