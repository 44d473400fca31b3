/*
 * json_stream_fixture - a stream whose other end the test plays, and what came of it.
 */
#pragma once

#include "qmp/json_stream.h"

#include "base/mem.h"
#include "qmp/json_frame.h"
#include "tests/unit/peer.h"

struct fixture {
        struct loop *loop;
        struct json_stream *stream;
        int peer;
        unsigned messages, garbage, closed;
        json_t *last;
        size_t fds_of_last;
        int kept_fd; /* the first fd of the last message */
        bool free_in_message;
        enum error_code why;
};

static inline void on_message(json_t *message, int *fds, size_t n_fds, void *data)
{
        struct fixture *f = data;

        f->messages++;
        json_decref(f->last);
        f->last = json_incref(message);
        f->fds_of_last = n_fds;
        if (n_fds) {
                fd_close(&f->kept_fd);
                f->kept_fd = TAKE_FD(fds[0]);
        }
        if (f->free_in_message) {
                json_stream_free(f->stream);
                f->stream = NULL;
        }
}

static inline void on_garbage(const struct error *error, void *data)
{
        struct fixture *f = data;

        assert_non_null(error);
        f->garbage++;
}

static inline void on_closed(const struct error *error, void *data)
{
        struct fixture *f = data;

        f->closed++;
        f->why = error->code;
}

static const struct json_stream_handlers handlers = { .on_message = on_message,
                                                      .on_garbage = on_garbage,
                                                      .on_closed = on_closed };

static inline struct fixture *begin(const struct json_stream_options *options)
{
        struct fixture *f = xcalloc(1, sizeof(*f));
        int ours;

        f->kept_fd = -1;
        f->loop = loop_new();
        peer_pair(&ours, &f->peer);
        f->stream = json_stream_new(f->loop, ours, options, &handlers, f);
        return f;
}

static inline void finish(struct fixture *f)
{
        json_stream_free(f->stream);
        loop_free(f->loop);
        json_decref(f->last);
        fd_close(&f->peer);
        fd_close(&f->kept_fd);
        free(f);
}

static const struct json_stream_options strict = {
        .max_message = 1u << 20, .message_ms = 5000, .max_queue = 1u << 20, .max_fds = 4
};
