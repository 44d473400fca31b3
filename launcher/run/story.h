/*
 * story - the last lifecycle steps of a VM, with times: in record, status and log. Pure but for story_now().
 *
 * A JSON array of {"time", "text"}, at most STORY_MAX; older ones go. The guest can cause entries, so those are for
 * the caller to space out.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#define STORY_MAX 200

/* utc_stamp_now(), as a new string. */
char *story_now(void);
/* time and text are copied. Text that is no UTF-8 is escaped. */
void story_add(json_t *story, const char *time, const char *text);

/* How many lines a minute may have: what a guest, or a QEMU gone wild, has a hand in must not fill the log. */
#define STORY_PER_MINUTE 120
struct story_pace {
        long long minute_ms; /* begin of the minute */
        unsigned said, unsaid;
};
/* May a line be said now (fd_now_ms())? *ret_unsaid: how many were not in the minute that ended with this line. */
bool story_may_say(struct story_pace *pace, long long now_ms, unsigned *ret_unsaid);

/* A JSON string of s, or of its printable form when it is no UTF-8; null for NULL. */
json_t *story_string(const char *s);
