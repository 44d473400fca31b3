#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp/json_frame.h"
#include "tests/fake/fake.h"

#define MESSAGE_MAX (64u << 20)
#define READ_BYTES  65536
/* Writes of one round: the peer's words and the clock want the loop too. */
#define ROUND_WRITES 64

struct item {
        struct item *next;
        char *bytes; /* NULL: a pause or a call */
        size_t n, at, piece;
        uint64_t times;
        unsigned ms; /* of a pause, or after each piece */
        void (*fn)(void *data);
        void *data;
};

struct wire {
        struct loop *loop;
        int fd, came_fd;
        struct loop_source *source, *timer, *read_timer;
        struct json_frame *frame;
        bool lenient;
        const struct wire_handlers *handlers;
        void *data;
        struct item *items, **items_end;
        bool blocked;  /* EPOLLOUT is waited for */
        bool in_pause; /* the first item is a pause that runs */
        bool slow, pausing;
        size_t slow_bytes;
        unsigned slow_ms;
        unsigned busy; /* functions of ours on the stack that go on with it */
        bool dead;     /* freed when the last of them returns */
};

static const struct json_frame_limits strict_limits = { .max_message = MESSAGE_MAX, .max_depth = 1024 };
static const struct json_frame_limits lenient_limits = { .max_message = MESSAGE_MAX,
                                                         .max_depth = 1024,
                                                         .lenient = true };

static void pump(struct wire *wire);

static void set_events(struct wire *wire)
{
        bool reading = !wire->pausing && !(wire->slow && wire->slow_bytes == 0);

        loop_set_events(wire->source, (reading ? EPOLLIN : 0u) | (wire->blocked ? EPOLLOUT : 0u));
}

static void pop(struct wire *wire)
{
        struct item *item = wire->items;

        wire->items = item->next;
        if (!wire->items)
                wire->items_end = &wire->items;
        free(item->bytes);
        free(item);
}

static void on_timer(void *data)
{
        struct wire *wire = data;

        wire->timer = NULL;
        if (wire->in_pause)
                pop(wire);
        wire->in_pause = false;
        pump(wire);
}

static void wake_after(struct wire *wire, unsigned ms)
{
        if (!wire->timer)
                wire->timer = loop_add_deadline(wire->loop, ms, on_timer, wire);
}

static void block(struct wire *wire, bool blocked)
{
        if (wire->blocked == blocked)
                return;
        wire->blocked = blocked;
        set_events(wire);
}

/* True: go on with the next item. */
static bool pump_bytes(struct wire *wire, struct item *item)
{
        size_t n = item->n - item->at;
        ssize_t sent;

        if (item->piece && n > item->piece)
                n = item->piece;
        sent = send(wire->fd, item->bytes + item->at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
                /* An end is seen by the reading side. */
                if (errno == EAGAIN)
                        block(wire, true);
                return false;
        }
        item->at += (size_t)sent;
        if (item->at == item->n) {
                item->at = 0;
                if (--item->times == 0) {
                        pop(wire);
                        return true;
                }
        }
        if (item->piece) {
                wake_after(wire, item->ms);
                return false;
        }
        return true;
}

static void pump(struct wire *wire)
{
        for (int i = 0; wire->items && !wire->timer && !wire->blocked; i++) {
                struct item *item = wire->items;

                if (i == ROUND_WRITES) {
                        block(wire, true);
                } else if (item->bytes) {
                        if (!pump_bytes(wire, item))
                                return;
                } else if (item->fn) {
                        void (*fn)(void *) = item->fn;
                        void *data = item->data;

                        pop(wire);
                        if (wire->items)
                                wake_after(wire, 0);
                        /* It may free the wire. */
                        fn(data);
                        return;
                } else {
                        wire->in_pause = true;
                        wake_after(wire, item->ms);
                }
        }
}

static void enter(struct wire *wire)
{
        wire->busy++;
}

/* False: it is gone. */
static bool leave_wire(struct wire *wire)
{
        if (--wire->busy || !wire->dead)
                return !wire->dead;
        free(wire);
        return false;
}

static void feed(struct wire *wire, const char *bytes, size_t n)
{
        enter(wire);
        for (size_t used; n && !wire->dead; bytes += used, n -= used) {
                struct error *error = NULL;
                json_t *message = NULL;
                int result = json_frame_feed(wire->frame, bytes, n, &used, &message, &error);

                if (result > 0) {
                        wire->handlers->on_message(message, wire->data);
                } else if (result < 0) {
                        if (!wire->lenient) {
                                json_frame_free(wire->frame);
                                wire->frame = json_frame_new(&strict_limits);
                        }
                        wire->handlers->on_garbage(error->message, wire->data);
                }
                json_decref(message);
                error_free(error);
        }
        leave_wire(wire);
}

static void take_fds(struct wire *wire, struct msghdr *header)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
                size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                int fds[16];

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                memcpy(fds, CMSG_DATA(c), n * sizeof(int));
                for (size_t i = 0; i < n; i++) {
                        if (wire->came_fd >= 0)
                                close(wire->came_fd);
                        wire->came_fd = fds[i];
                }
        }
}

static void on_read_timer(void *data)
{
        struct wire *wire = data;

        wire->read_timer = NULL;
        wire->pausing = false;
        set_events(wire);
}

static void on_ready(struct loop_source *source, uint32_t events, void *data)
{
        struct wire *wire = data;
        static char buffer[READ_BYTES];
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * 16)];
        } control;
        struct iovec iov = { .iov_base = buffer,
                             .iov_len = wire->slow && wire->slow_bytes ? wire->slow_bytes : sizeof(buffer) };
        struct msghdr header = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        ssize_t n;

        (void)source;
        if (events & EPOLLOUT) {
                enter(wire);
                block(wire, false);
                pump(wire);
                if (!leave_wire(wire))
                        return;
        }
        if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                return;
        if (!(events & EPOLLIN)) {
                wire->handlers->on_closed(wire->data);
                return;
        }
        n = recvmsg(wire->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                wire->handlers->on_closed(wire->data);
                return;
        }
        take_fds(wire, &header);
        if (wire->slow && wire->slow_bytes) {
                wire->pausing = true;
                set_events(wire);
                wire->read_timer = loop_add_deadline(wire->loop, wire->slow_ms, on_read_timer, wire);
        }
        feed(wire, buffer, (size_t)n);
}

struct wire *wire_new(struct loop *loop, int fd_consume, bool lenient, const struct wire_handlers *handlers,
                      void *data)
{
        struct wire *wire = xcalloc(1, sizeof(*wire));

        wire->loop = loop;
        wire->fd = fd_consume;
        wire->came_fd = -1;
        wire->lenient = lenient;
        wire->handlers = handlers;
        wire->data = data;
        wire->frame = json_frame_new(lenient ? &lenient_limits : &strict_limits);
        wire->items_end = &wire->items;
        wire->source = loop_add_fd(loop, fd_consume, EPOLLIN, on_ready, wire);
        return wire;
}

void wire_free(struct wire *wire)
{
        if (!wire)
                return;
        loop_remove(wire->loop, wire->source);
        loop_remove(wire->loop, wire->timer);
        loop_remove(wire->loop, wire->read_timer);
        while (wire->items)
                pop(wire);
        json_frame_free(wire->frame);
        if (wire->came_fd >= 0)
                close(wire->came_fd);
        close(wire->fd);
        wire->dead = true;
        enter(wire);
        leave_wire(wire);
}

static struct item *append(struct wire *wire)
{
        struct item *item = xcalloc(1, sizeof(*item));

        *wire->items_end = item;
        wire->items_end = &item->next;
        wake_after(wire, 0);
        return item;
}

static struct item *append_bytes(struct wire *wire, const void *bytes, size_t n)
{
        struct item *item = append(wire);

        item->bytes = xmalloc(n + 1);
        memcpy(item->bytes, bytes, n);
        item->n = n;
        item->times = 1;
        return item;
}

void wire_send(struct wire *wire, const void *bytes, size_t n, uint64_t times)
{
        if (wire && n && times)
                append_bytes(wire, bytes, n)->times = times;
}

void wire_send_text(struct wire *wire, const char *text)
{
        wire_send(wire, text, strlen(text), 1);
}

void wire_send_pieces(struct wire *wire, const void *bytes, size_t n, size_t piece, unsigned ms)
{
        struct item *item;

        if (!wire || !n)
                return;
        item = append_bytes(wire, bytes, n);
        item->piece = piece;
        item->ms = ms;
}

void wire_pause(struct wire *wire, unsigned ms)
{
        if (wire)
                append(wire)->ms = ms;
}

void wire_then(struct wire *wire, void (*fn)(void *data), void *data)
{
        struct item *item;

        if (!wire) {
                fn(data);
                return;
        }
        item = append(wire);
        item->fn = fn;
        item->data = data;
}

void wire_read_slowly(struct wire *wire, size_t bytes, unsigned ms)
{
        wire->slow = true;
        wire->slow_bytes = bytes;
        wire->slow_ms = ms;
        set_events(wire);
}

void wire_read_at_once(struct wire *wire)
{
        wire->slow = false;
        set_events(wire);
}

int wire_take_fd(struct wire *wire)
{
        int fd = wire ? wire->came_fd : -1;

        if (wire)
                wire->came_fd = -1;
        return fd;
}
