/* A stream that goes on in another one, as another process has it. */
#include "tests/unit/json_stream_fixture.h"

#include <fcntl.h>

/* The stream of f goes on as another one with the same socket. */
static void move_stream(struct fixture *f, const struct json_stream_options *options, struct error **err)
{
        struct json_stream_rest rest = { 0 };
        _cleanup_free_ char *half = NULL, *unsent = NULL;
        int socket_fd = dup(json_stream_fd(f->stream)), copies[JSON_STREAM_FDS];
        const int *fds;

        rest.half = json_stream_half(f->stream, &rest.n_half);
        rest.half = half = xstrndup(rest.half, rest.n_half);
        rest.unsent = unsent = json_stream_unsent_bytes(f->stream, &rest.n_unsent);
        rest.n_fds = json_stream_half_fds(f->stream, &fds);
        for (size_t i = 0; i < rest.n_fds; i++)
                copies[i] = dup(fds[i]);
        rest.fds = copies;
        json_stream_free(f->stream);
        f->stream = json_stream_new(f->loop, socket_fd, options, &handlers, f);
        if (json_stream_resume(f->stream, &rest, err) < 0) {
                json_stream_free(f->stream);
                f->stream = NULL;
        }
}

static void another_stream_goes_on_at_every_byte_of_a_message(void **state)
{
        static const char text[] = "{\"a\": \"}{\\\"\\\\\", \"b\": [{}, []], \"c\": 7}\n";
        _cleanup_error_ struct error *err = NULL;

        (void)state;
        for (size_t cut = 0; cut < sizeof(text) - 1; cut++) {
                struct fixture *f = begin(&strict);

                if (cut) {
                        assert_int_equal(send(f->peer, text, cut, 0), cut);
                        loop_step(f->loop, 1000);
                }
                move_stream(f, &strict, &err);
                assert_null(err);
                peer_write(f->peer, text + cut);
                peer_spin_until(f->loop, &f->messages, 1);
                assert_int_equal(f->messages, 1);
                assert_int_equal(json_integer_value(json_object_get(f->last, "c")), 7);
                finish(f);
        }
}

static void fds_and_unsent_bytes_go_on_with_another_stream(void **state)
{
        struct fixture *f = begin(&strict);
        _cleanup_error_ struct error *err = NULL;
        _cleanup_free_ char *long_text = xmalloc(2001);
        json_auto_t *filler = json_object();
        unsigned sent = 0;
        int pair[2];
        char byte;

        (void)state;
        memset(long_text, 'x', 2000);
        long_text[2000] = '\0';
        json_object_set_new(filler, "x", json_string(long_text));
        while (json_stream_unsent(f->stream) < 10000) {
                assert_int_equal(json_stream_send(f->stream, filler, NULL, 0, &err), 0);
                sent++;
        }
        assert_int_equal(pipe(pair), 0);
        assert_int_equal(fd_send(f->peer, "{\"a\"", 4, &pair[0], 1, &err), 0);
        close(pair[0]);
        loop_step(f->loop, 1000);
        move_stream(f, &strict, &err);
        assert_null(err);
        assert_true(json_stream_unsent(f->stream) >= 10000);
        peer_write(f->peer, ":1}");
        peer_spin_until(f->loop, &f->messages, 1);
        assert_int_equal(f->fds_of_last, 1);
        assert_int_equal(write(pair[1], "!", 1), 1);
        assert_int_equal(read(f->kept_fd, &byte, 1), 1);
        close(pair[1]);
        /* Each line whole and once. */
        fcntl(f->peer, F_SETFL, O_NONBLOCK);
        for (struct text line = TEXT_INIT; sent > 0;) {
                char c;
                ssize_t n = recv(f->peer, &c, 1, 0);

                if (n < 0)
                        loop_step(f->loop, 100);
                else if (c != '\n')
                        text_add_bytes(&line, &c, 1);
                else {
                        assert_int_equal(line.length, strlen("{\"x\":\"\"}") + 2000);
                        text_done(&line);
                        sent--;
                }
        }
        assert_int_equal(json_stream_unsent(f->stream), 0);
        finish(f);
}

static void what_is_no_half_message_is_no_state_of_a_stream(void **state)
{
        static const char *const wrong[] = { "x", "{}", "{\"a\":1}", " ", "{\"a\":1}{", "[", "{]" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                struct fixture *f = begin(&strict);
                struct json_stream_rest rest = { .half = wrong[i], .n_half = strlen(wrong[i]) };
                struct error *err = NULL;

                assert_int_equal(json_stream_resume(f->stream, &rest, &err), -1);
                assert_int_equal(err->code, ERROR_FAILED);
                error_free(err);
                finish(f);
        }
}

static void more_than_a_stream_may_have_is_no_state_of_it(void **state)
{
        const struct json_stream_options small = {
                .max_message = 10, .message_ms = 1000, .max_queue = 10, .max_fds = 0
        };
        struct json_stream_rest rests[] = { { .half = "{\"0123456789", .n_half = 12 },
                                            { .unsent = "01234567890", .n_unsent = 11 },
                                            { .n_fds = 1 } };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rests); i++) {
                struct fixture *f = begin(&small);
                int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
                struct error *err = NULL;

                rests[i].fds = &fd;
                assert_int_equal(json_stream_resume(f->stream, &rests[i], &err), -1);
                if (rests[i].n_fds)
                        assert_int_equal(fcntl(fd, F_GETFD), -1);
                else
                        close(fd);
                error_free(err);
                finish(f);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(another_stream_goes_on_at_every_byte_of_a_message),
                cmocka_unit_test(fds_and_unsent_bytes_go_on_with_another_stream),
                cmocka_unit_test(what_is_no_half_message_is_no_state_of_a_stream),
                cmocka_unit_test(more_than_a_stream_may_have_is_no_state_of_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
