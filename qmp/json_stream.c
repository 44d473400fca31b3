#include "qmp/json_stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/json_text.h"
#include "qmp/json_frame.h"

#define READ_BYTES 16384
/* Reads of what a peer left behind when it stopped taking what we send. */
#define LAST_READS 64

/* Bytes that wait, and the fds that go with the first of them. */
struct chunk {
        struct chunk *next;
        size_t length, sent;
        int *fds;
        size_t n_fds;
        char bytes[];
};

struct json_stream {
        struct loop *loop;
        struct loop_source *source;
        struct loop_source *half_deadline; /* of the message being received */
        struct loop_source *write_failed;  /* ends the stream from the loop */
        int fd;
        int write_errno;
        struct json_stream_options options;
        struct json_stream_handlers handlers;
        void *data;
        struct json_frame *frame;
        json_stream_tap_fn *tap;
        void *tap_data;
        struct chunk *queue, **queue_end;
        size_t queued;
        int fds[JSON_STREAM_FDS]; /* that came, for the message in progress or the next */
        size_t n_fds;
        bool reading;
        bool closed;
        bool freed;    /* memory goes when the callback that did it has returned */
        unsigned busy; /* callbacks of ours on the stack */
};

static void release(struct json_stream *stream)
{
        json_frame_free(stream->frame);
        free(stream);
}

static void leave(struct json_stream *stream)
{
        if (--stream->busy == 0 && stream->freed)
                release(stream);
}

static void close_fds(int *fds, size_t n_fds)
{
        for (size_t i = 0; i < n_fds; i++)
                fd_close(&fds[i]);
}

static void chunk_free(struct chunk *chunk)
{
        close_fds(chunk->fds, chunk->n_fds);
        free(chunk->fds);
        free(chunk);
}

static void update_events(struct json_stream *stream)
{
        if (stream->source)
                loop_set_events(stream->source,
                                (stream->reading ? EPOLLIN : 0) | (stream->queue ? EPOLLOUT : 0));
}

void json_stream_drop_unsent(struct json_stream *stream)
{
        while (stream->queue) {
                struct chunk *next = stream->queue->next;

                chunk_free(stream->queue);
                stream->queue = next;
        }
        stream->queue_end = &stream->queue;
        stream->queued = 0;
        update_events(stream);
}

/* Lets go of everything but the memory. */
static void shut(struct json_stream *stream)
{
        if (stream->closed)
                return;
        stream->closed = true;
        loop_remove(stream->loop, stream->source);
        loop_remove(stream->loop, stream->half_deadline);
        loop_remove(stream->loop, stream->write_failed);
        stream->source = stream->half_deadline = stream->write_failed = NULL;
        json_stream_drop_unsent(stream);
        close_fds(stream->fds, stream->n_fds);
        stream->n_fds = 0;
        fd_close(&stream->fd);
}

void json_stream_free(struct json_stream *stream)
{
        if (!stream || stream->freed)
                return;
        shut(stream);
        stream->freed = true;
        if (!stream->busy)
                release(stream);
}

/* Steals the error. */
static void end(struct json_stream *stream, struct error *error)
{
        shut(stream);
        stream->handlers.on_closed(error, stream->data);
        error_free(error);
}

/* What came is over a limit or no JSON. Steals the error; the framer skips already. */
static void bad_input(struct json_stream *stream, struct error *error)
{
        if (!stream->options.lenient) {
                end(stream, error);
                return;
        }
        stream->handlers.on_garbage(error, stream->data);
        error_free(error);
}

static void half_deadline_passed(void *data)
{
        struct json_stream *stream = data;
        struct error *error = NULL;

        stream->half_deadline = NULL;
        error_set(&error, ERROR_DEADLINE, "a JSON message was not complete after %u ms",
                  stream->options.message_ms);
        if (stream->options.lenient)
                json_frame_skip_to_ff(stream->frame);
        stream->busy++;
        bad_input(stream, error);
        leave(stream);
}

/* Stores the fds of one recvmsg(). False: more than the peer may send. */
static bool take_fds(struct json_stream *stream, struct msghdr *header, int *fds, size_t *n_fds)
{
        bool all = !(header->msg_flags & MSG_CTRUNC);

        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
                size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (*n_fds + stream->n_fds < stream->options.max_fds) {
                                fds[(*n_fds)++] = fd;
                        } else {
                                fd_close(&fd);
                                all = false;
                        }
                }
        }
        return all;
}

static bool is_blank(const char *bytes, size_t n)
{
        while (n && strchr(" \t\r\n", *bytes) && *bytes) {
                bytes++;
                n--;
        }
        return n == 0;
}

static void keep_fds(struct json_stream *stream, int *fds, size_t *n_fds)
{
        for (size_t i = 0; i < *n_fds; i++)
                stream->fds[stream->n_fds++] = fds[i];
        *n_fds = 0;
}

static void deliver(struct json_stream *stream, json_t *message)
{
        int fds[JSON_STREAM_FDS];
        size_t n_fds = stream->n_fds;

        memcpy(fds, stream->fds, n_fds * sizeof(fds[0]));
        stream->n_fds = 0;
        if (stream->tap)
                stream->tap(false, message, stream->tap_data);
        stream->handlers.on_message(message, fds, n_fds, stream->data);
        close_fds(fds, n_fds);
        json_decref(message);
}

/* Of a held stream nothing is read, so nothing is late. */
static void watch_half(struct json_stream *stream)
{
        if (stream->source && json_frame_is_half(stream->frame) && !stream->half_deadline)
                stream->half_deadline = loop_add_deadline(stream->loop, stream->options.message_ms,
                                                          half_deadline_passed, stream);
}

/* fds came with these bytes. */
static void take_bytes(struct json_stream *stream, const char *bytes, size_t n, int *fds, size_t n_fds)
{
        bool was_half = json_frame_is_half(stream->frame), same = was_half;
        struct error *error = NULL;

        while (n && !stream->closed) {
                json_t *message = NULL;
                size_t used;
                int result = json_frame_feed(stream->frame, bytes, n, &used, &message, &error);

                bytes += used;
                n -= used;
                if (result != 0)
                        same = false;
                if (result < 0)
                        bad_input(stream, TAKE_PTR(error));
                if (result > 0) {
                        if (is_blank(bytes, n))
                                keep_fds(stream, fds, &n_fds);
                        deliver(stream, message);
                }
        }
        if (stream->closed) {
                close_fds(fds, n_fds);
                return;
        }
        keep_fds(stream, fds, &n_fds);
        if (!same || !json_frame_is_half(stream->frame)) {
                loop_remove(stream->loop, stream->half_deadline);
                stream->half_deadline = NULL;
        }
        watch_half(stream);
}

/* One read. False: nothing there. */
static bool receive(struct json_stream *stream)
{
        union {
                char bytes[CMSG_SPACE(sizeof(int) * JSON_STREAM_FDS)];
                struct cmsghdr align;
        } control;
        char bytes[READ_BYTES];
        struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
        struct msghdr header = { .msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof(control.bytes) };
        struct error *error = NULL;
        int fds[JSON_STREAM_FDS];
        size_t n_fds = 0;
        ssize_t n;

        do
                n = recvmsg(stream->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                return false;
        if (n == 0 || (n < 0 && errno == ECONNRESET))
                error_set(&error, ERROR_DISCONNECTED, "the connection was closed%s",
                          json_frame_is_half(stream->frame) ? " in the middle of a message" : "");
        else if (n < 0)
                error_os(&error, errno, "receive");
        else if (!take_fds(stream, &header, fds, &n_fds)) {
                close_fds(fds, n_fds);
                error_set(&error, ERROR_FAILED, "more than %zu fds came with a message",
                          stream->options.max_fds);
        }
        if (error)
                end(stream, error);
        else
                take_bytes(stream, bytes, (size_t)n, fds, n_fds);
        return true;
}

/* Ends a stream whose peer does not take bytes any more, after what it had said before. */
static void write_failed(void *data)
{
        struct json_stream *stream = data;

        stream->write_failed = NULL;
        stream->busy++;
        for (int i = 0; i < LAST_READS && !stream->closed && stream->reading && receive(stream); i++)
                ;
        if (!stream->closed) {
                struct error *error = NULL;

                if (stream->write_errno == EPIPE || stream->write_errno == ECONNRESET)
                        error_set(&error, ERROR_DISCONNECTED, "the connection was closed");
                else
                        error_os(&error, stream->write_errno, "send");
                end(stream, error);
        }
        leave(stream);
}

/* Sends what the socket takes of bytes, with fds at the first. -1: the stream ends, from the loop. */
static ssize_t transmit(struct json_stream *stream, const char *bytes, size_t n, const int *fds, size_t n_fds)
{
        union {
                char bytes[CMSG_SPACE(sizeof(int) * JSON_STREAM_FDS)];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec iov = { .iov_base = (char *)bytes, .iov_len = n };
        struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t sent;

        if (n_fds) {
                struct cmsghdr *c;

                header.msg_control = control.bytes;
                header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                c = CMSG_FIRSTHDR(&header);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
        }
        do
                sent = sendmsg(stream->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent >= 0)
                return sent;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
                return 0;
        stream->write_errno = errno;
        json_stream_drop_unsent(stream);
        stream->write_failed = loop_add_deadline(stream->loop, 0, write_failed, stream);
        return -1;
}

static void flush(struct json_stream *stream)
{
        while (stream->queue) {
                struct chunk *chunk = stream->queue;
                ssize_t n = transmit(stream, chunk->bytes + chunk->sent, chunk->length - chunk->sent,
                                     chunk->fds, chunk->n_fds);

                if (n < 0)
                        return;
                if (n == 0)
                        break;
                close_fds(chunk->fds, chunk->n_fds);
                chunk->n_fds = 0;
                chunk->sent += (size_t)n;
                stream->queued -= (size_t)n;
                if (chunk->sent < chunk->length)
                        break;
                stream->queue = chunk->next;
                if (!stream->queue)
                        stream->queue_end = &stream->queue;
                chunk_free(chunk);
        }
        update_events(stream);
}

static void ready(struct loop_source *source, uint32_t events, void *data)
{
        struct json_stream *stream = data;

        (void)source;
        stream->busy++;
        if ((events & EPOLLOUT) && stream->queue)
                flush(stream);
        if (!stream->reading && (events & (EPOLLHUP | EPOLLERR))) {
                struct error *error = NULL;

                error_set(&error, ERROR_DISCONNECTED, "the connection was closed");
                end(stream, error);
        } else if (stream->reading && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
                receive(stream);
        }
        leave(stream);
}

struct json_stream *json_stream_new(struct loop *loop, int fd_consume,
                                    const struct json_stream_options *options,
                                    const struct json_stream_handlers *handlers, void *data)
{
        const struct json_frame_limits limits = { .max_message = options->max_message,
                                                  .max_depth = options->max_depth,
                                                  .lenient = options->lenient };
        struct json_stream *stream = xcalloc(1, sizeof(*stream));

        assert(options->max_message && options->max_queue && options->message_ms);
        assert(options->max_fds <= JSON_STREAM_FDS && (!options->lenient || handlers->on_garbage));
        stream->loop = loop;
        stream->fd = fd_consume;
        stream->options = *options;
        stream->handlers = *handlers;
        stream->data = data;
        stream->frame = json_frame_new(&limits);
        stream->queue_end = &stream->queue;
        stream->reading = true;
        stream->source = loop_add_fd(loop, fd_consume, EPOLLIN, ready, stream);
        return stream;
}

static void queue_bytes(struct json_stream *stream, const char *bytes, size_t n, const int *fds, size_t n_fds)
{
        struct chunk *chunk = xcalloc(1, sizeof(*chunk) + n);

        chunk->length = n;
        memcpy(chunk->bytes, bytes, n);
        if (n_fds)
                chunk->fds = xreallocarray(NULL, n_fds, sizeof(int));
        for (; fds && chunk->n_fds < n_fds; chunk->n_fds++)
                chunk->fds[chunk->n_fds] = fds[chunk->n_fds];
        *stream->queue_end = chunk;
        stream->queue_end = &chunk->next;
        stream->queued += n;
        update_events(stream);
}

static int send_bytes(struct json_stream *stream, const char *bytes, size_t n, const int *fds, size_t n_fds,
                      struct error **err)
{
        int copies[JSON_STREAM_FDS];
        size_t sent = 0;

        if (n_fds > JSON_STREAM_FDS)
                return error_set(err, ERROR_FAILED, "cannot pass %zu fds with one message", n_fds);
        if (stream->closed || stream->write_failed)
                return error_set(err, ERROR_DISCONNECTED, "the connection was closed");
        if (n > stream->options.max_queue - stream->queued)
                return error_set(err, ERROR_BUSY, "the peer does not read: %zu bytes wait to be sent",
                                 stream->queued);
        if (!stream->queue) {
                ssize_t result = transmit(stream, bytes, n, fds, n_fds);

                if (result < 0)
                        return error_set(err, ERROR_DISCONNECTED, "the connection was closed");
                sent = (size_t)result;
        }
        if (sent == n)
                return 0;
        if (sent)
                n_fds = 0;
        for (size_t i = 0; i < n_fds; i++) {
                copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
                if (copies[i] < 0) {
                        error_os(err, errno, "keep fd %d until it can be sent", fds[i]);
                        close_fds(copies, i);
                        return -1;
                }
        }
        queue_bytes(stream, bytes + sent, n - sent, copies, n_fds);
        return 0;
}

int json_stream_send_bytes(struct json_stream *stream, const void *bytes, size_t n, struct error **err)
{
        return send_bytes(stream, bytes, n, NULL, 0, err);
}

int json_stream_send(struct json_stream *stream, const json_t *message, const int *fds, size_t n_fds,
                     struct error **err)
{
        _cleanup_text_ struct text line = TEXT_INIT;

        if (!message)
                return error_set(err, ERROR_FAILED, "a message cannot be written as JSON");
        json_text_add(&line, message);
        text_add_char(&line, '\n');
        if (send_bytes(stream, line.data, line.length, fds, n_fds, err) < 0)
                return -1;
        if (stream->tap)
                stream->tap(true, message, stream->tap_data);
        return 0;
}

void json_stream_set_tap(struct json_stream *stream, json_stream_tap_fn *fn, void *data)
{
        stream->tap = fn;
        stream->tap_data = data;
}

size_t json_stream_unsent(const struct json_stream *stream)
{
        return stream->queued;
}

void json_stream_set_reading(struct json_stream *stream, bool reading)
{
        stream->reading = reading;
        update_events(stream);
}

void json_stream_skip_to_ff(struct json_stream *stream)
{
        json_frame_skip_to_ff(stream->frame);
        loop_remove(stream->loop, stream->half_deadline);
        stream->half_deadline = NULL;
}

int json_stream_fd(const struct json_stream *stream)
{
        return stream->fd;
}

void json_stream_hold(struct json_stream *stream, bool hold)
{
        if (stream->closed || hold == !stream->source)
                return;
        if (hold) {
                loop_remove(stream->loop, stream->source);
                loop_remove(stream->loop, stream->half_deadline);
                stream->source = stream->half_deadline = NULL;
        } else {
                stream->source = loop_add_fd(stream->loop, stream->fd, EPOLLIN, ready, stream);
                update_events(stream);
                watch_half(stream);
        }
}

bool json_stream_is_open(const struct json_stream *stream)
{
        return !stream->closed && !stream->write_failed;
}

const char *json_stream_half(const struct json_stream *stream, size_t *ret_n)
{
        return json_frame_half(stream->frame, ret_n);
}

size_t json_stream_half_fds(const struct json_stream *stream, const int **ret_fds)
{
        *ret_fds = stream->fds;
        return stream->n_fds;
}

char *json_stream_unsent_bytes(const struct json_stream *stream, size_t *ret_n)
{
        struct text all = TEXT_INIT;

        for (const struct chunk *chunk = stream->queue; chunk; chunk = chunk->next)
                text_add_bytes(&all, chunk->bytes + chunk->sent, chunk->length - chunk->sent);
        *ret_n = all.length;
        return text_take(&all);
}

int json_stream_resume(struct json_stream *stream, const struct json_stream_rest *rest, struct error **err)
{
        json_t *message = NULL;
        size_t used = 0;

        assert(!stream->options.lenient && !stream->queue && !stream->n_fds);
        for (size_t i = 0; i < rest->n_fds; i++) {
                int fd = rest->fds[i];

                if (stream->n_fds < stream->options.max_fds)
                        stream->fds[stream->n_fds++] = fd;
                else
                        fd_close(&fd);
        }
        if (rest->n_fds > stream->options.max_fds || rest->n_unsent > stream->options.max_queue)
                return error_set(err, ERROR_FAILED, "more than the stream may have");
        if (rest->n_half) {
                int result = json_frame_feed(stream->frame, rest->half, rest->n_half, &used, &message, err);

                json_decref(message);
                if (result < 0)
                        return -1;
                if (result > 0 || !json_frame_is_half(stream->frame))
                        return error_set(err, ERROR_FAILED, "what came of a message is not half a message");
        }
        if (rest->n_unsent)
                queue_bytes(stream, rest->unsent, rest->n_unsent, NULL, 0);
        watch_half(stream);
        return 0;
}
