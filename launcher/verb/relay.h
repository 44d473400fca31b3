/*
 * relay - bytes on their way to somebody who may not take them now.
 *
 * A queue with an end: what does not fit is dropped and counted, and a note of it takes its place in the stream. So
 * the one who fills the queue never waits: QEMU stops the guest's output, and with it the guest, when the client of
 * a console does not read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define RELAY_MAX (1u << 20)

struct relay {
        char *bytes; /* RELAY_MAX and room for one note, from the first put on */
        size_t start, length;
        size_t dropped;  /* since the last note */
        bool says_drops; /* put "[N bytes dropped]" into the stream */
};

void relay_done(struct relay *relay);
#define _cleanup_relay_ _cleanup_(relay_done)

/* Bytes that fit now. */
size_t relay_room(const struct relay *relay);
void relay_put(struct relay *relay, const char *bytes, size_t n);
/* Writes what fd takes without waiting. fd: non-blocking, or a socket, or known to be writable. -1: fd has gone, errno. */
int relay_write(struct relay *relay, int fd);
