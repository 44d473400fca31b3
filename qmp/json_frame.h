/*
 * json_frame - finds the end of each JSON message in a stream of bytes, and decodes it.
 *
 * Pure: bytes in, messages out. A message is one JSON object; blanks and newlines between messages are
 * skipped, no newline is needed after one. A message may come in any number of pieces, many may come in
 * one. The bytes kept are those of the one unfinished message, at most max_message of them; brackets nest
 * at most max_depth deep and it has at most JSON_FRAME_VALUES values, which is found before anything is decoded:
 * "[]" takes two bytes in a message and hundreds when decoded.
 *
 * Strict (QMP): anything but an object is an error, and the framer is of no use afterwards. Lenient (guest
 * agent, where a byte 0xFF says "from here on"): bytes between messages are dropped, 0xFF drops a half
 * message, and after an error everything up to the next 0xFF is dropped.
 *
 * Integers above INT64_MAX (QEMU's uint64 values) become reals, as jansson has no other place for them; then
 * other integers of that message are exact up to 2^53 only.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define JSON_FRAME_DEPTH 64
/* query-qmp-schema, the largest reply, has about 20000. */
#define JSON_FRAME_VALUES 100000u

struct json_frame_limits {
        size_t max_message; /* bytes */
        unsigned max_depth; /* 0: JSON_FRAME_DEPTH */
        bool lenient;
};

struct json_frame;

struct json_frame *json_frame_new(const struct json_frame_limits *limits);
void json_frame_free(struct json_frame *frame);
DEFINE_FREEP(struct json_frame, json_frame_free)

/*
 * Takes bytes up to the end of the first message in them; *ret_used says how many were taken. 1: a message
 * (*ret_message, owned by the caller), feed the rest again. 0: all taken, no message ended. -1: ERROR_FAILED.
 */
int json_frame_feed(struct json_frame *frame, const char *bytes, size_t n, size_t *ret_used,
                    json_t **ret_message, struct error **err);
/* Drops a half message and everything up to and including the next byte 0xFF. Lenient framers only. */
void json_frame_skip_to_ff(struct json_frame *frame);
/* Inside a message. */
bool json_frame_is_half(const struct json_frame *frame);
/* The message so far, lent: fed to a new framer of the same limits it brings that one to where this one is. */
const char *json_frame_half(const struct json_frame *frame, size_t *ret_n);
