/*
 * loop - one epoll loop with four kinds of source: fd, signal, child (pidfd), deadline.
 *
 * Callbacks do not block and do not run the loop again (it asserts). Removing a source inside a callback, also the one
 * that is running, is safe: it is freed when the round ends. Sources belong to the loop; a source pointer is
 * good until loop_remove(). Deadlines are one-shot, in milliseconds of CLOCK_MONOTONIC, and fire in the order they
 * are due; all share one timerfd, so a loop without deadlines never wakes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/types.h>

#include "base/error.h"

struct loop;
struct loop_source;

typedef void loop_fd_fn(struct loop_source *source, uint32_t epoll_events, void *data);
typedef void loop_signal_fn(const struct signalfd_siginfo *info, void *data);
/* The process has ended; whoever is its parent still has to wait for it. */
typedef void loop_child_fn(int pidfd, void *data);
typedef void loop_deadline_fn(void *data);

struct loop *loop_new(void);
void loop_free(struct loop *loop);
DEFINE_FREEP(struct loop, loop_free)

/*
 * fd is borrowed and must stay open until the source is removed. events: EPOLLIN, EPOLLOUT, ... A regular file
 * and /dev/null, which epoll refuses, are always ready.
 */
struct loop_source *loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data);
void loop_set_events(struct loop_source *source, uint32_t events);
/* Blocks the signals for the process and takes them by signalfd. 0 ends the array, which is borrowed. */
struct loop_source *loop_add_signals(struct loop *loop, const int *signals, loop_signal_fn *fn, void *data);
/* Fires once and has then removed itself, like a deadline. */
struct loop_source *loop_add_child(struct loop *loop, int pidfd, loop_child_fn *fn, void *data);
struct loop_source *loop_add_deadline(struct loop *loop, uint64_t after_ms, loop_deadline_fn *fn, void *data);
/* Accepts NULL. A deadline that has fired has removed itself already: forget its pointer in the callback. */
void loop_remove(struct loop *loop, struct loop_source *source);

/* loop_run() calls fn once when nothing has come for quiet_ms, and then not again until something has. */
void loop_set_rest(struct loop *loop, unsigned quiet_ms, void (*fn)(void));
/* Runs until loop_quit(), which may have come before. Returns the status given there. */
int loop_run(struct loop *loop);
void loop_quit(struct loop *loop, int status);
/* Waits at most timeout_ms for something and runs the callbacks due: one round, for tests and clients. */
void loop_step(struct loop *loop, int timeout_ms);
