/* File descriptors that travel with messages. */
#include "tests/unit/json_stream_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

static void send_with_fds(int sock, const char *text, const int *fds, size_t n)
{
        struct error *err = NULL;

        assert_int_equal(fd_send(sock, text, strlen(text), fds, n, &err), 0);
}

static ino_t inode(int fd)
{
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        return st.st_ino;
}

static void fds_come_with_their_message(void **state)
{
        struct fixture *f = begin(&strict);
        int pipe_fds[2];

        (void)state;
        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        /* Both are read at once: the fd belongs to the second. */
        peer_write(f->peer, "{\"a\":1}");
        send_with_fds(f->peer, "{\"b\":2}\n", pipe_fds, 1);
        loop_step(f->loop, 1000);
        assert_int_equal(f->messages, 2);
        assert_int_equal(f->fds_of_last, 1);
        assert_int_equal(inode(f->kept_fd), inode(pipe_fds[0]));
        assert_true(fcntl(f->kept_fd, F_GETFD) & FD_CLOEXEC);

        /* With the first half of a message, or with a blank before it. */
        send_with_fds(f->peer, "{\"c\":", pipe_fds, 2);
        loop_step(f->loop, 1000);
        peer_write(f->peer, "3}{\"d\":4}");
        loop_step(f->loop, 1000);
        assert_int_equal(f->messages, 4);
        assert_int_equal(f->fds_of_last, 0);
        send_with_fds(f->peer, " ", pipe_fds, 2);
        loop_step(f->loop, 1000);
        peer_write(f->peer, "{\"e\":5}");
        loop_step(f->loop, 1000);
        assert_int_equal(f->messages, 5);
        assert_int_equal(f->fds_of_last, 2);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        finish(f);
}

static void fds_that_are_not_kept_are_closed(void **state)
{
        struct fixture *f = begin(&strict);
        int pipe_fds[2], two[2];
        char c;

        (void)state;
        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
        two[0] = pipe_fds[0];
        two[1] = pipe_fds[1];
        send_with_fds(f->peer, "{}", two, 2);
        loop_step(f->loop, 1000);
        assert_int_equal(f->messages, 1);
        /* No writer is left but in the message that was not kept. */
        close(pipe_fds[1]);
        assert_int_equal(read(pipe_fds[0], &c, 1), 0);
        close(pipe_fds[0]);
        finish(f);
}

static void more_fds_than_allowed_end_the_stream(void **state)
{
        static const struct json_stream_options none = { .max_message = 1000,
                                                         .message_ms = 5000,
                                                         .max_queue = 100 };
        const int fds[5] = { 2, 2, 2, 2, 2 };
        struct fixture *f = begin(&strict);

        (void)state;
        send_with_fds(f->peer, "{}", fds, 5);
        peer_spin_until(f->loop, &f->closed, 1);
        assert_int_equal(f->messages, 0);
        finish(f);

        f = begin(&none);
        send_with_fds(f->peer, "{}", fds, 1);
        peer_spin_until(f->loop, &f->closed, 1);
        assert_int_equal(f->messages, 0);
        finish(f);
}

static void fds_wait_with_their_message(void **state)
{
        struct fixture *f = begin(&strict);
        _cleanup_free_ char *filler = xmalloc(500001);
        struct error *error = NULL;
        int pipe_fds[2], got = -1;
        json_t *big, *small = json_pack("{s:i}", "with", 1);
        bool found = false;

        (void)state;
        memset(filler, 'z', 500000);
        filler[500000] = '\0';
        big = json_pack("{s:s}", "f", filler);
        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        assert_int_equal(json_stream_send(f->stream, big, NULL, 0, &error), 0);
        assert_true(json_stream_unsent(f->stream) > 0);
        assert_int_equal(json_stream_send(f->stream, small, &pipe_fds[0], 1, &error), 0);
        close(pipe_fds[0]);
        for (int rounds = 0; rounds < 1000 && !found; rounds++) {
                union {
                        char bytes[CMSG_SPACE(sizeof(int))];
                        struct cmsghdr align;
                } control;
                char buffer[65536];
                struct iovec iov = { .iov_base = buffer, .iov_len = sizeof(buffer) };
                struct msghdr header = { .msg_iov = &iov,
                                         .msg_iovlen = 1,
                                         .msg_control = control.bytes,
                                         .msg_controllen = sizeof(control.bytes) };
                ssize_t n = recvmsg(f->peer, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

                if (n > 0 && CMSG_FIRSTHDR(&header)) {
                        memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(int));
                        found = memmem(buffer, (size_t)n, "{\"with\":1}\n", 11);
                }
                loop_step(f->loop, 0);
        }
        assert_true(found);
        assert_int_equal(inode(got), inode(pipe_fds[1]));
        close(got);
        close(pipe_fds[1]);
        json_decref(big);
        json_decref(small);
        finish(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(fds_come_with_their_message),
                cmocka_unit_test(fds_that_are_not_kept_are_closed),
                cmocka_unit_test(more_fds_than_allowed_end_the_stream),
                cmocka_unit_test(fds_wait_with_their_message),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
