/*
 * json_stream - JSON messages with file descriptors over a Unix stream socket, on the loop.
 *
 * Under the QMP client, the guest agent client and the control socket. Never blocks. Everything is bounded:
 * size, depth and duration of a message, fds that come with it, bytes waiting to be sent. What exceeds a
 * limit on the way in ends the stream; on the way out it is refused and the stream goes on: an owner that
 * fans out to slow peers closes them then.
 *
 * Callbacks come from the loop only, never from inside a function of this module, and may free the stream.
 * on_closed comes at most once and is the last one; the stream still has to be freed.
 *
 * Fds belong to the message that the last byte read with them is part of: a peer sends a message and
 * its fds with one sendmsg(), and the kernel ends a read after bytes that carry fds (unix(7)).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"

#define JSON_STREAM_FDS 64

struct json_stream_options {
        size_t max_message;  /* bytes of one message */
        unsigned max_depth;  /* 0: JSON_FRAME_DEPTH */
        unsigned message_ms; /* from the first byte seen of a message to its last */
        size_t max_queue;    /* bytes waiting to be sent */
        size_t max_fds;      /* fds of one message, at most JSON_STREAM_FDS; 0: none are taken */
        bool lenient;        /* see json_frame; errors of the framing go to on_garbage */
};

struct json_stream_handlers {
        /* Both borrowed. A callee that keeps an fd puts -1 in its place; the rest are closed afterwards. */
        void (*on_message)(json_t *message, int *fds, size_t n_fds, void *data);
        /* Lenient streams only: what came was no message; everything up to the next 0xFF will be skipped. */
        void (*on_garbage)(const struct error *error, void *data);
        /* ERROR_DISCONNECTED when the peer has gone, ERROR_DEADLINE for a half message, ERROR_FAILED for
         * what is no JSON or over a limit, ERROR_OS. */
        void (*on_closed)(const struct error *error, void *data);
};

struct json_stream;

struct json_stream *json_stream_new(struct loop *loop, int fd_consume,
                                    const struct json_stream_options *options,
                                    const struct json_stream_handlers *handlers, void *data);
void json_stream_free(struct json_stream *stream);
DEFINE_FREEP(struct json_stream, json_stream_free)

/*
 * Sends message as one line, and fds (borrowed; dup'ed while they wait) with its first byte. Errors:
 * ERROR_BUSY over max_queue, nothing was sent; ERROR_DISCONNECTED once the stream has ended.
 */
int json_stream_send(struct json_stream *stream, const json_t *message, const int *fds, size_t n_fds,
                     struct error **err);
/* The same for bytes as they are: the agent's 0xFF. */
int json_stream_send_bytes(struct json_stream *stream, const void *bytes, size_t n, struct error **err);
/* Forgets what has not been sent. Half a message may have gone out: the next bytes must be a 0xFF. */
void json_stream_drop_unsent(struct json_stream *stream);
/* Bytes waiting to be sent. */
size_t json_stream_unsent(const struct json_stream *stream);

/* Who listens to the messages of both directions; lent. Messages that were not taken are not told. NULL: nobody. */
typedef void json_stream_tap_fn(bool sent, const json_t *message, void *data);
void json_stream_set_tap(struct json_stream *stream, json_stream_tap_fn *fn, void *data);

/* A stream that does not read leaves its peer's bytes in the kernel; the peer's going away is still seen. */
void json_stream_set_reading(struct json_stream *stream, bool reading);
/* As json_frame_skip_to_ff(). */
void json_stream_skip_to_ff(struct json_stream *stream);
/* The socket, lent: for SO_PEERCRED. */
int json_stream_fd(const struct json_stream *stream);

/*
 * For a process that takes this one's place and goes on with the socket. While held, a stream is off the loop: it reads
 * nothing, nothing that waits is sent, its peer's going away is not noticed. What it is told to send is sent
 * or waits as ever.
 */
void json_stream_hold(struct json_stream *stream, bool hold);
/* Not once it has ended or is about to. */
bool json_stream_is_open(const struct json_stream *stream);
/* What has come of a message that is not complete, and the fds that came with it; both lent. */
const char *json_stream_half(const struct json_stream *stream, size_t *ret_n);
size_t json_stream_half_fds(const struct json_stream *stream, const int **ret_fds);
/* The bytes that wait to be sent, as one string; owned by the caller. Fds that go with them are not in it. */
char *json_stream_unsent_bytes(const struct json_stream *stream, size_t *ret_n);

struct json_stream_rest {
        const char *half;
        size_t n_half;
        const int *fds; /* taken over, also on failure */
        size_t n_fds;
        const char *unsent;
        size_t n_unsent;
};
/*
 * Right after json_stream_new() of a strict stream: what the process before this one had of it. The time for the half
 * message begins anew. ERROR_FAILED when it is no half message or over the stream's limits; the stream is of no use then.
 */
int json_stream_resume(struct json_stream *stream, const struct json_stream_rest *rest, struct error **err);
