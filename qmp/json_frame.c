#include "qmp/json_frame.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/text.h"

/* A buffer larger than this is given back between messages. */
#define KEEP_BUFFER (64u << 10)

enum frame_state {
        BETWEEN, /* messages */
        INSIDE,  /* a message, outside of its strings */
        STRING,
        ESCAPE,  /* the byte after a backslash */
        SKIPPING /* to 0xFF */
};

struct json_frame {
        struct json_frame_limits limits;
        enum frame_state state;
        unsigned depth, values;
        struct text half; /* the message so far */
};

struct json_frame *json_frame_new(const struct json_frame_limits *limits)
{
        struct json_frame *frame = xcalloc(1, sizeof(*frame));

        frame->limits = *limits;
        if (!frame->limits.max_depth)
                frame->limits.max_depth = JSON_FRAME_DEPTH;
        return frame;
}

void json_frame_free(struct json_frame *frame)
{
        if (!frame)
                return;
        text_done(&frame->half);
        free(frame);
}

bool json_frame_is_half(const struct json_frame *frame)
{
        return frame->state == INSIDE || frame->state == STRING || frame->state == ESCAPE;
}

const char *json_frame_half(const struct json_frame *frame, size_t *ret_n)
{
        *ret_n = frame->half.length;
        return text_str(&frame->half);
}

static void forget(struct json_frame *frame, enum frame_state state)
{
        if (frame->half.capacity > KEEP_BUFFER)
                text_done(&frame->half);
        frame->half.length = 0;
        frame->depth = frame->values = 0;
        frame->state = state;
}

void json_frame_skip_to_ff(struct json_frame *frame)
{
        assert(frame->limits.lenient);
        forget(frame, SKIPPING);
}

/* Reals that stand for integers become integers again, where that changes nothing. */
static json_t *restore_integers(json_t *value)
{
        const char *key;
        json_t *member;
        size_t i;

        if (json_is_object(value)) {
                json_object_foreach (value, key, member)
                        json_object_set_new(value, key, restore_integers(json_incref(member)));
        } else if (json_is_array(value)) {
                json_array_foreach (value, i, member)
                        json_array_set_new(value, i, restore_integers(json_incref(member)));
        } else if (json_is_real(value)) {
                double real = json_real_value(value);

                if (fabs(real) < 0x1p63 && (double)(long long)real == real) {
                        json_decref(value);
                        return json_integer((json_int_t)real);
                }
        }
        return value;
}

static json_t *decode(const char *bytes, size_t n, struct error **err)
{
        json_error_t why;
        json_t *message = json_loadb(bytes, n, 0, &why);

        if (!message && json_error_code(&why) == json_error_numeric_overflow) {
                message = json_loadb(bytes, n, JSON_DECODE_INT_AS_REAL, &why);
                if (message)
                        message = restore_integers(message);
        }
        if (!message) {
                _cleanup_free_ char *words = text_printable(why.text);

                error_set(err, ERROR_FAILED, "not JSON: %s at byte %d of a message", words, why.position);
        }
        return message;
}

/* One byte of a message. 1: its last one. */
static int step(struct json_frame *frame, unsigned char c, struct error **err)
{
        if (c == 0xFF)
                return error_set(err, ERROR_FAILED, "a byte 0xff inside a JSON message");
        switch (frame->state) {
        case ESCAPE:
                frame->state = STRING;
                return 0;
        case STRING:
                if (c == '"')
                        frame->state = INSIDE;
                else if (c == '\\')
                        frame->state = ESCAPE;
                return 0;
        default:
                break;
        }
        if (c == '"')
                frame->state = STRING;
        else if (c == '{' || c == '[')
                frame->depth++;
        else if (c == '}' || c == ']')
                frame->depth--;
        /* Each value but the first of its list comes after a comma; the first comes after the bracket. */
        if (c == '{' || c == '[' || c == ',')
                frame->values++;
        if (frame->values > JSON_FRAME_VALUES)
                return error_set(err, ERROR_FAILED, "a JSON message has more than %u values",
                                 JSON_FRAME_VALUES);
        if (frame->depth > frame->limits.max_depth)
                return error_set(err, ERROR_FAILED, "a JSON message is more than %u levels deep",
                                 frame->limits.max_depth);
        return frame->depth == 0;
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Drops what is between messages. False: a byte that has no business there. */
static bool skip(struct json_frame *frame, const char *bytes, size_t n, size_t *at)
{
        for (; *at < n; ++*at) {
                if (frame->state == SKIPPING) {
                        if ((unsigned char)bytes[*at] == 0xFF)
                                frame->state = BETWEEN;
                } else if (bytes[*at] == '{') {
                        frame->state = INSIDE;
                        return true;
                } else if (!is_blank(bytes[*at]) && !frame->limits.lenient) {
                        return false;
                }
        }
        return true;
}

static int feed(struct json_frame *frame, const char *bytes, size_t n, size_t *at, json_t **ret_message,
                struct error **err)
{
        size_t start, length;
        int ended = 0;

        if (!json_frame_is_half(frame) && !skip(frame, bytes, n, at))
                return error_set(err, ERROR_FAILED, "a byte 0x%02x where a JSON object should begin",
                                 (unsigned char)bytes[*at]);
        for (start = *at; *at < n && !ended; ++*at) {
                ended = step(frame, (unsigned char)bytes[*at], err);
                if (ended < 0)
                        return -1;
        }
        length = *at - start;
        if (length > frame->limits.max_message - frame->half.length)
                return error_set(err, ERROR_FAILED, "a JSON message is larger than %zu bytes",
                                 frame->limits.max_message);
        if (ended && !frame->half.length) {
                *ret_message = decode(bytes + start, length, err);
                forget(frame, BETWEEN);
                return *ret_message ? 1 : -1;
        }
        text_add_bytes(&frame->half, bytes + start, length);
        if (!ended)
                return 0;
        *ret_message = decode(frame->half.data, frame->half.length, err);
        forget(frame, BETWEEN);
        return *ret_message ? 1 : -1;
}

int json_frame_feed(struct json_frame *frame, const char *bytes, size_t n, size_t *ret_used,
                    json_t **ret_message, struct error **err)
{
        json_t *message = NULL;
        size_t at = 0;
        int result = feed(frame, bytes, n, &at, &message, err);

        /* In a lenient stream an error ends one message, and a 0xFF that did so is the mark looked for. */
        if (result < 0 && frame->limits.lenient) {
                bool marked = at < n && (unsigned char)bytes[at] == 0xFF;

                forget(frame, marked ? BETWEEN : SKIPPING);
                at += marked;
        }
        *ret_used = at;
        if (result == 1)
                *ret_message = message;
        return result;
}
