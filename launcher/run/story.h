/*
 * story - the last lifecycle steps of a VM, with times: in record, status and log. Pure but for story_now().
 *
 * A JSON array of {"time", "text"}, at most STORY_MAX; older ones go. The guest can cause entries, so those are for
 * the caller to space out.
 */
#pragma once

#include <jansson.h>

#define STORY_MAX 200

/* RFC 3339 in UTC with milliseconds; new string. */
char *story_now(void);
/* time and text are copied. Text that is no UTF-8 is escaped. */
void story_add(json_t *story, const char *time, const char *text);
/* A JSON string of s, or of its printable form when it is no UTF-8; null for NULL. */
json_t *story_string(const char *s);
