/*
 * json_member - members of JSON objects: values that are read by their key; and what json_pack() and json_string() make, in
 * less than half of their time: a plan of many devices has thousands of members.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* json_string(): NULL for what is not UTF-8. ASCII, which most is, is seen eight bytes at a time. */
json_t *json_member_text(const char *value);
/* Is it what JSON can hold? */
bool json_member_is_utf8(const char *value);

/* key: ASCII. A string that is NULL, or is not UTF-8, makes no member. */
void json_member_add(json_t *object, const char *key, const char *value);
void json_member_add_bool(json_t *object, const char *key, bool value);

/* The member of that key; NULL, 0, false: there is none, it is of another kind, or object is NULL or none. The text is lent. */
const char *json_member_string(const json_t *object, const char *key);
json_int_t json_member_integer(const json_t *object, const char *key);
bool json_member_is_true(const json_t *object, const char *key);
