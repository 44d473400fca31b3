/*
 * peer - the other end of a socketpair, played by the test itself.
 *
 * What the module under test sends is in the socket when its function returns, so the test reads and writes
 * its end between rounds of the loop.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <jansson.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/text.h"

/* ours is for the module under test; the peer's end gives up reading after 5 s. */
static inline void peer_pair(int *ret_ours, int *ret_peer)
{
        const struct timeval limit = { .tv_sec = 5 };
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        *ret_ours = fds[0];
        *ret_peer = fds[1];
}

static inline void peer_write(int fd, const char *s)
{
        assert_int_equal(send(fd, s, strlen(s), MSG_NOSIGNAL), strlen(s));
}

/* Runs the loop until *counter reaches wanted, at most 5 s. */
static inline void peer_spin_until(struct loop *loop, const unsigned *counter, unsigned wanted)
{
        long long deadline = fd_now_ms() + 5000;

        while (*counter < wanted && fd_now_ms() < deadline)
                loop_step(loop, 50);
        assert_true(*counter >= wanted);
}

/* Runs the loop for ms, and on until all is done that there was to do by then, however little of the time was ours. */
static inline void peer_settle(struct loop *loop, int ms)
{
        long long deadline = fd_now_ms() + ms;

        while (fd_now_ms() < deadline)
                loop_step(loop, (int)(deadline - fd_now_ms()) + 1);
        for (int i = 0; i < 32; i++)
                loop_step(loop, 0);
}

/* The next line the module sent, without its newline; owned by the caller. */
static inline char *peer_read_line(int fd)
{
        struct text line = TEXT_INIT;
        char c;

        while (recv(fd, &c, 1, 0) == 1 && c != '\n')
                text_add_bytes(&line, &c, 1);
        return text_take(&line);
}

/* The next line as JSON; a 0xFF before it is dropped. New reference. */
static inline json_t *peer_read_json(int fd)
{
        _cleanup_free_ char *line = peer_read_line(fd);
        json_t *message = json_loads(line + ((unsigned char)line[0] == 0xFF), 0, NULL);

        assert_non_null(message);
        return message;
}
