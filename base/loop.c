#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

/* What is later than this is as good as never, and does not overflow: a hundred years. */
#define NEVER_MS (100ull * 366 * 86400 * 1000)

enum source_kind { SOURCE_FD, SOURCE_SIGNAL, SOURCE_CHILD, SOURCE_DEADLINE };

struct loop_source {
        enum source_kind kind;
        bool dead;
        bool always_ready; /* SOURCE_FD that epoll does not take: a regular file, /dev/null */
        int fd;            /* SOURCE_FD, SOURCE_CHILD: borrowed */
        const int *signals;
        uint32_t events; /* SOURCE_FD, where always_ready */
        long long at_ms;
        uint64_t number; /* deadlines due at the same time go in the order they were added */
        union {
                loop_fd_fn *fd_fn;
                loop_signal_fn *signal_fn;
                loop_child_fn *child_fn;
                loop_deadline_fn *deadline_fn;
        };
        void *data;
        struct loop *loop;
        struct loop_source *next;
};

struct loop {
        int epoll_fd, signal_fd, timer_fd;
        sigset_t signals;
        long long timer_at_ms; /* what timer_fd is set to, 0: off */
        struct loop_source *sources;
        uint64_t last_number;
        unsigned n_always_ready;
        bool stepping, quit, any_dead;
        int status;
        unsigned rest_ms; /* loop_set_rest() */
        void (*rest_fn)(void);
};

/* Marks in epoll's data for the loop's own two fds; sources are real pointers. */
static char signal_mark, timer_mark;

struct loop *loop_new(void)
{
        struct loop *loop = xcalloc(1, sizeof(*loop));
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &timer_mark };

        loop->signal_fd = -1;
        sigemptyset(&loop->signals);
        loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        /* Only want of fds or memory makes these fail: as fatal as malloc. */
        if (loop->epoll_fd < 0 || loop->timer_fd < 0 ||
            epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &event) < 0)
                abort();
        return loop;
}

void loop_free(struct loop *loop)
{
        if (!loop)
                return;
        while (loop->sources) {
                struct loop_source *next = loop->sources->next;

                free(loop->sources);
                loop->sources = next;
        }
        fd_close(&loop->epoll_fd);
        fd_close(&loop->timer_fd);
        fd_close(&loop->signal_fd);
        free(loop);
}

static struct loop_source *add(struct loop *loop, enum source_kind kind, void *data)
{
        struct loop_source *source = xcalloc(1, sizeof(*source));

        source->kind = kind;
        source->data = data;
        source->loop = loop;
        source->fd = -1;
        source->next = loop->sources;
        loop->sources = source;
        return source;
}

struct loop_source *loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data)
{
        struct loop_source *source = add(loop, SOURCE_FD, data);
        struct epoll_event event = { .events = events, .data.ptr = source };

        source->fd = fd;
        source->fd_fn = fn;
        source->events = events;
        if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
                if (errno != EPERM)
                        abort();
                source->always_ready = true;
                loop->n_always_ready++;
        }
        return source;
}

void loop_set_events(struct loop_source *source, uint32_t events)
{
        struct epoll_event event = { .events = events, .data.ptr = source };

        assert(source->kind == SOURCE_FD && !source->dead);
        if (source->events == events)
                return;
        source->events = events;
        if (!source->always_ready)
                epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

struct loop_source *loop_add_signals(struct loop *loop, const int *signals, loop_signal_fn *fn, void *data)
{
        struct loop_source *source = add(loop, SOURCE_SIGNAL, data);
        bool first = loop->signal_fd < 0;

        source->signals = signals;
        source->signal_fn = fn;
        for (; *signals; signals++)
                sigaddset(&loop->signals, *signals);
        sigprocmask(SIG_BLOCK, &loop->signals, NULL);
        loop->signal_fd = signalfd(loop->signal_fd, &loop->signals, SFD_CLOEXEC | SFD_NONBLOCK);
        if (loop->signal_fd < 0)
                abort();
        if (first) {
                struct epoll_event event = { .events = EPOLLIN, .data.ptr = &signal_mark };

                epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->signal_fd, &event);
        }
        return source;
}

struct loop_source *loop_add_child(struct loop *loop, int pidfd, loop_child_fn *fn, void *data)
{
        struct loop_source *source = add(loop, SOURCE_CHILD, data);
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

        source->fd = pidfd;
        source->child_fn = fn;
        if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, pidfd, &event) < 0)
                abort();
        return source;
}

static void arm_timer(struct loop *loop)
{
        long long first = 0;
        struct itimerspec spec = { 0 };

        for (struct loop_source *s = loop->sources; s; s = s->next)
                if (s->kind == SOURCE_DEADLINE && !s->dead && (!first || s->at_ms < first))
                        first = s->at_ms;
        if (first == loop->timer_at_ms)
                return;
        spec.it_value.tv_sec = first / 1000;
        spec.it_value.tv_nsec = first % 1000 * 1000000;
        timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
        loop->timer_at_ms = first;
}

struct loop_source *loop_add_deadline(struct loop *loop, uint64_t after_ms, loop_deadline_fn *fn, void *data)
{
        struct loop_source *source = add(loop, SOURCE_DEADLINE, data);

        if (after_ms > NEVER_MS)
                after_ms = NEVER_MS;
        source->at_ms = fd_now_ms() + (long long)after_ms;
        if (source->at_ms == 0)
                source->at_ms = 1;
        source->number = ++loop->last_number;
        source->deadline_fn = fn;
        return source;
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
        if (!source || source->dead)
                return;
        source->dead = true;
        loop->any_dead = true;
        if (source->always_ready)
                loop->n_always_ready--;
        else if (source->kind == SOURCE_FD || source->kind == SOURCE_CHILD)
                epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

static void bury(struct loop *loop)
{
        for (struct loop_source **at = &loop->sources; loop->any_dead && *at;) {
                struct loop_source *source = *at;

                if (source->dead) {
                        *at = source->next;
                        free(source);
                } else {
                        at = &source->next;
                }
        }
        loop->any_dead = false;
}

static void take_signals(struct loop *loop)
{
        struct signalfd_siginfo info;

        while (read(loop->signal_fd, &info, sizeof(info)) == sizeof(info))
                for (struct loop_source *s = loop->sources; s; s = s->next)
                        for (const int *sig = s->signals; sig && *sig && !s->dead; sig++)
                                if (*sig == (int)info.ssi_signo)
                                        s->signal_fn(&info, s->data);
}

static struct loop_source *first_due(struct loop *loop, long long now, uint64_t newest)
{
        struct loop_source *first = NULL;

        for (struct loop_source *s = loop->sources; s; s = s->next)
                if (s->kind == SOURCE_DEADLINE && !s->dead && s->at_ms <= now && s->number <= newest &&
                    (!first || s->at_ms < first->at_ms ||
                     (s->at_ms == first->at_ms && s->number < first->number)))
                        first = s;
        return first;
}

static void take_deadlines(struct loop *loop)
{
        /* One that a callback adds waits for the next round, however soon it is due. */
        uint64_t newest = loop->last_number;
        long long now = fd_now_ms();
        struct loop_source *source;
        uint64_t count;
        ssize_t n = read(loop->timer_fd, &count, sizeof(count));

        (void)n;
        loop->timer_at_ms = 0;
        while ((source = first_due(loop, now, newest))) {
                loop_remove(loop, source);
                source->deadline_fn(source->data);
        }
}

static bool any_always_ready(const struct loop *loop)
{
        if (loop->n_always_ready)
                for (const struct loop_source *s = loop->sources; s; s = s->next)
                        if (s->always_ready && !s->dead && (s->events & (EPOLLIN | EPOLLOUT)))
                                return true;
        return false;
}

static void take_always_ready(struct loop *loop)
{
        for (struct loop_source *s = loop->sources; s; s = s->next)
                if (s->always_ready && !s->dead && (s->events & (EPOLLIN | EPOLLOUT)))
                        s->fd_fn(s, s->events & (EPOLLIN | EPOLLOUT), s->data);
}

/* How many have been ready. */
static int step(struct loop *loop, int timeout_ms)
{
        struct epoll_event events[32];
        int n;

        assert(!loop->stepping);
        loop->stepping = true;
        arm_timer(loop);
        /* waits: as long as the caller says */
        n = epoll_wait(loop->epoll_fd, events, ARRAY_SIZE(events), any_always_ready(loop) ? 0 : timeout_ms);
        for (int i = 0; i < n; i++) {
                struct loop_source *source = events[i].data.ptr;

                if (events[i].data.ptr == &signal_mark)
                        take_signals(loop);
                else if (events[i].data.ptr == &timer_mark)
                        take_deadlines(loop);
                else if (source->dead)
                        continue;
                else if (source->kind == SOURCE_FD)
                        source->fd_fn(source, events[i].events, source->data);
                else if (source->kind == SOURCE_CHILD) {
                        int pidfd = source->fd;

                        loop_remove(loop, source);
                        source->child_fn(pidfd, source->data);
                }
        }
        if (loop->n_always_ready)
                take_always_ready(loop);
        bury(loop);
        loop->stepping = false;
        return n;
}

void loop_step(struct loop *loop, int timeout_ms)
{
        step(loop, timeout_ms);
}

void loop_set_rest(struct loop *loop, unsigned quiet_ms, void (*fn)(void))
{
        loop->rest_ms = quiet_ms;
        loop->rest_fn = fn;
}

int loop_run(struct loop *loop)
{
        bool active = true;

        while (!loop->quit) {
                bool rests = loop->rest_fn && active;
                /* waits: for the sources, which is what it is for; deadlines are among them */
                int n = step(loop, rests ? (int)loop->rest_ms : -1);

                active = n != 0;
                if (n == 0 && rests)
                        loop->rest_fn();
        }
        loop->quit = false;
        return loop->status;
}

void loop_quit(struct loop *loop, int status)
{
        loop->quit = true;
        loop->status = status;
}
