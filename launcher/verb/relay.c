#include "launcher/verb/relay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#define NOTE_MAX 80
/* A writable pipe takes this much without blocking (pipe(7)): for one that could not be made non-blocking. */
#define WRITE_MAX 4096

void relay_done(struct relay *relay)
{
        free(relay->bytes);
        *relay = (struct relay){ 0 };
}

size_t relay_room(const struct relay *relay)
{
        return relay->length < RELAY_MAX ? RELAY_MAX - relay->length : 0;
}

static void append(struct relay *relay, const char *bytes, size_t n)
{
        memcpy(relay->bytes + relay->start + relay->length, bytes, n);
        relay->length += n;
}

static void add_note(struct relay *relay)
{
        char note[NOTE_MAX];
        int n = snprintf(note, sizeof(note), "\r\n[vmlaunch: %zu bytes of output were not read in time]\r\n",
                         relay->dropped);

        append(relay, note, (size_t)n);
        relay->dropped = 0;
}

void relay_put(struct relay *relay, const char *bytes, size_t n)
{
        size_t room = relay_room(relay);

        if (!relay->bytes)
                relay->bytes = xmalloc(RELAY_MAX + NOTE_MAX);
        memmove(relay->bytes, relay->bytes + relay->start, relay->length);
        relay->start = 0;
        /* Once something was dropped, all is until half is free: one note for a gap, not one for each read. */
        if (relay->dropped && room < RELAY_MAX / 2)
                room = 0;
        if (relay->dropped && room && relay->says_drops)
                add_note(relay);
        room = room ? relay_room(relay) : 0;
        append(relay, bytes, n < room ? n : room);
        relay->dropped += n < room ? 0 : n - room;
}

int relay_write(struct relay *relay, int fd)
{
        while (relay->length) {
                size_t n = relay->length < WRITE_MAX ? relay->length : WRITE_MAX;
                ssize_t written = send(fd, relay->bytes + relay->start, n, MSG_DONTWAIT | MSG_NOSIGNAL);
                bool is_socket = written >= 0 || errno != ENOTSOCK;

                if (!is_socket)
                        written = write(fd, relay->bytes + relay->start, n);
                if (written < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : -1;
                relay->start += (size_t)written;
                relay->length -= (size_t)written;
                /* One write for one poll() where write() could block. */
                if (!is_socket)
                        break;
        }
        return 0;
}
