#include "tests/unit/json_stream_fixture.h"

static const struct json_stream_options lenient = {
        .max_message = 1u << 20, .message_ms = 5000, .max_queue = 1u << 20, .lenient = true
};

static void a_message_may_come_one_byte_at_a_time(void **state)
{
        static const char text[] = "{\"a\": \"}{\\\"\\\\\", \"b\": [{}, []]}\n{\"c\": 1}";
        struct fixture *f = begin(&strict);

        (void)state;
        for (const char *c = text; *c; c++) {
                assert_int_equal(send(f->peer, c, 1, 0), 1);
                loop_step(f->loop, 1000);
        }
        assert_int_equal(f->messages, 2);
        assert_int_equal(json_integer_value(json_object_get(f->last, "c")), 1);
        finish(f);
}

static void many_messages_may_come_in_one_read(void **state)
{
        struct fixture *f = begin(&strict);

        (void)state;
        peer_write(f->peer, " {}{}\r\n\r\n{\"x\":{}}\t{\"y\":2}");
        loop_step(f->loop, 1000);
        assert_int_equal(f->messages, 4);
        assert_int_equal(json_integer_value(json_object_get(f->last, "y")), 2);
        finish(f);
}

static void a_message_larger_than_a_read_is_put_together(void **state)
{
        _cleanup_free_ char *filler = xmalloc(100001);
        struct fixture *f = begin(&strict);

        (void)state;
        memset(filler, 'x', 100000);
        filler[100000] = '\0';
        peer_write(f->peer, "{\"a\":\"");
        peer_write(f->peer, filler);
        peer_write(f->peer, "\"}");
        peer_spin_until(f->loop, &f->messages, 1);
        assert_int_equal(json_string_length(json_object_get(f->last, "a")), 100000);
        finish(f);
}

static void expect_end(const char *bytes, size_t n, enum error_code code)
{
        struct fixture *f = begin(&strict);

        assert_int_equal(send(f->peer, bytes, n, 0), n);
        peer_spin_until(f->loop, &f->closed, 1);
        assert_int_equal(f->why, code);
        assert_int_equal(f->messages, 0);
        peer_settle(f->loop, 20);
        assert_int_equal(f->closed, 1);
        finish(f);
}

static void what_is_no_object_ends_a_strict_stream(void **state)
{
        (void)state;
        expect_end("[]", 2, ERROR_FAILED);
        expect_end("42", 2, ERROR_FAILED);
        expect_end("\xff{}", 3, ERROR_FAILED);
        expect_end("\0{}", 3, ERROR_FAILED);
        expect_end("{]", 2, ERROR_FAILED);
        expect_end("{\"a\":\"\xff\"}", 9, ERROR_FAILED);
        expect_end("{\"a\":\"\xc0\x80\"}", 10, ERROR_FAILED);
        expect_end("{\"a\":1e999}", 11, ERROR_FAILED);
}

static void ten_thousand_brackets_are_refused_undecoded(void **state)
{
        char deep[10006] = "{\"a\":";

        (void)state;
        memset(deep + 5, '[', 10000);
        expect_end(deep, 10005, ERROR_FAILED);
}

static void more_values_than_any_reply_has_are_refused_undecoded(void **state)
{
        struct text many = TEXT_INIT;

        (void)state;
        text_add(&many, "{\"a\":[0");
        for (unsigned i = 0; i < JSON_FRAME_VALUES; i++)
                text_add(&many, ",0");
        /* The mere end of it is missing. */
        expect_end(many.data, many.length, ERROR_FAILED);
        text_done(&many);
}

static void depth_up_to_the_limit_is_fine(void **state)
{
        struct fixture *f = begin(&strict);

        (void)state;
        peer_write(f->peer, "{\"a\":");
        for (int i = 0; i < JSON_FRAME_DEPTH - 1; i++)
                peer_write(f->peer, "[");
        for (int i = 0; i < JSON_FRAME_DEPTH - 1; i++)
                peer_write(f->peer, "]");
        peer_write(f->peer, "}");
        peer_spin_until(f->loop, &f->messages, 1);
        finish(f);
}

static void a_message_over_the_size_limit_ends_the_stream(void **state)
{
        static const struct json_stream_options small = { .max_message = 100,
                                                          .message_ms = 5000,
                                                          .max_queue = 100 };
        char filler[201];
        struct fixture *f = begin(&small);

        (void)state;
        memset(filler, 'x', 200);
        filler[200] = '\0';
        peer_write(f->peer, "{\"a\":\"");
        peer_write(f->peer, filler);
        peer_spin_until(f->loop, &f->closed, 1);
        assert_int_equal(f->why, ERROR_FAILED);
        finish(f);
}

static void a_half_message_ends_the_stream_at_its_deadline(void **state)
{
        static const struct json_stream_options hasty = { .max_message = 1000,
                                                          .message_ms = 60,
                                                          .max_queue = 100 };
        struct fixture *f = begin(&hasty);
        long long start = fd_now_ms();

        (void)state;
        peer_write(f->peer, "{\"a\"");
        for (int i = 0; i < 20 && !f->closed; i++) {
                /* More bytes do not push the deadline away. */
                send(f->peer, " ", 1, MSG_NOSIGNAL);
                peer_settle(f->loop, 20);
        }
        assert_int_equal(f->closed, 1);
        assert_int_equal(f->why, ERROR_DEADLINE);
        assert_true(fd_now_ms() - start >= 55);
        finish(f);
}

static void each_message_has_its_own_time(void **state)
{
        static const struct json_stream_options hasty = { .max_message = 1000,
                                                          .message_ms = 300,
                                                          .max_queue = 100 };
        struct fixture *f = begin(&hasty);

        (void)state;
        peer_write(f->peer, "{\"a\":");
        for (int i = 0; i < 10; i++) {
                peer_settle(f->loop, 60);
                peer_write(f->peer, "1}{\"a\":");
        }
        peer_write(f->peer, "1}");
        peer_settle(f->loop, 400);
        assert_int_equal(f->messages, 11);
        assert_int_equal(f->closed, 0);
        finish(f);
}

static void hang_up_is_told_once_and_after_what_was_said(void **state)
{
        struct fixture *f = begin(&strict);

        (void)state;
        peer_write(f->peer, "{\"a\":1}{\"b\":");
        fd_close(&f->peer);
        peer_spin_until(f->loop, &f->closed, 1);
        peer_settle(f->loop, 20);
        assert_int_equal(f->messages, 1);
        assert_int_equal(f->closed, 1);
        assert_int_equal(f->why, ERROR_DISCONNECTED);
        finish(f);
}

static void a_stream_may_be_freed_by_its_message(void **state)
{
        struct fixture *f = begin(&strict);

        (void)state;
        f->free_in_message = true;
        peer_write(f->peer, "{}{}{}");
        peer_settle(f->loop, 20);
        assert_int_equal(f->messages, 1);
        assert_int_equal(f->closed, 0);
        finish(f);
}

static void integers_of_64_bits_survive_as_reals(void **state)
{
        struct fixture *f = begin(&strict);
        const json_t *list;

        (void)state;
        peer_write(f->peer, "{\"n\":18446744073709551615,\"id\":7,\"l\":[1,2.5,{\"x\":-3}]}");
        peer_spin_until(f->loop, &f->messages, 1);
        assert_true(json_real_value(json_object_get(f->last, "n")) > 1.8e19);
        assert_true(json_is_integer(json_object_get(f->last, "id")));
        assert_int_equal(json_integer_value(json_object_get(f->last, "id")), 7);
        list = json_object_get(f->last, "l");
        assert_true(json_is_integer(json_array_get(list, 0)) && json_is_real(json_array_get(list, 1)));
        assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 2), "x")), -3);
        finish(f);
}

static void what_the_peer_does_not_read_waits_within_the_limit(void **state)
{
        static const struct json_stream_options options = { .max_message = 1000,
                                                            .message_ms = 5000,
                                                            .max_queue = 1u << 20 };
        _cleanup_free_ char *filler = xmalloc(60001);
        struct fixture *f = begin(&options);
        struct error *error = NULL;
        json_t *message;
        unsigned sent = 0;
        size_t lines = 0;

        (void)state;
        memset(filler, 'y', 60000);
        filler[60000] = '\0';
        message = json_pack("{s:s}", "f", filler);
        while (json_stream_send(f->stream, message, NULL, 0, &error) == 0)
                assert_true(++sent < 1000);
        assert_int_equal(error->code, ERROR_BUSY);
        error_free(error);
        assert_true(json_stream_unsent(f->stream) <= 1u << 20);
        assert_true(json_stream_unsent(f->stream) > (1u << 20) - 70000);
        assert_int_equal(f->closed, 0);

        /* The peer reads: everything arrives whole, and there is room again. */
        while (lines < sent) {
                char buffer[65536];
                ssize_t n = recv(f->peer, buffer, sizeof(buffer), MSG_DONTWAIT);

                for (ssize_t i = 0; i < n; i++)
                        lines += buffer[i] == '\n';
                loop_step(f->loop, 0);
        }
        assert_int_equal(json_stream_unsent(f->stream), 0);
        error = NULL;
        assert_int_equal(json_stream_send(f->stream, message, NULL, 0, &error), 0);
        json_decref(message);
        finish(f);
}

static void sending_to_a_peer_that_left_fails_and_its_last_words_are_heard(void **state)
{
        struct fixture *f = begin(&strict);
        struct error *error = NULL;
        json_t *message = json_object();

        (void)state;
        peer_write(f->peer, "{\"last\":1}");
        fd_close(&f->peer);
        assert_int_equal(json_stream_send(f->stream, message, NULL, 0, &error), -1);
        assert_int_equal(error->code, ERROR_DISCONNECTED);
        error_free(error);
        assert_int_equal(f->closed, 0);
        peer_spin_until(f->loop, &f->closed, 1);
        assert_int_equal(f->messages, 1);
        assert_int_equal(f->why, ERROR_DISCONNECTED);
        error = NULL;
        assert_int_equal(json_stream_send(f->stream, message, NULL, 0, &error), -1);
        error_free(error);
        json_decref(message);
        finish(f);
}

static void a_lenient_stream_skips_to_ff_on_demand(void **state)
{
        struct fixture *f = begin(&lenient);

        (void)state;
        json_stream_skip_to_ff(f->stream);
        peer_write(f->peer, "{\"stale\":1}\n{\"error\":{}}\n\xff{\"return\":2}\n");
        loop_step(f->loop, 1000);
        assert_int_equal(f->messages, 1);
        assert_int_equal(json_integer_value(json_object_get(f->last, "return")), 2);
        assert_int_equal(f->garbage, 0);
        finish(f);
}

static void a_lenient_stream_recovers_at_ff_from_anything(void **state)
{
        struct fixture *f = begin(&lenient);

        (void)state;
        peer_write(f->peer, "\x01login: {\"bad\":}{\"lost\":1}\xff{\"a\":1}");
        loop_step(f->loop, 1000);
        assert_int_equal(f->garbage, 1);
        assert_int_equal(f->messages, 1);
        peer_write(f->peer, "{\"half\":\xff{\"b\":2}");
        loop_step(f->loop, 1000);
        assert_int_equal(f->garbage, 2);
        assert_int_equal(f->messages, 2);
        assert_int_equal(json_integer_value(json_object_get(f->last, "b")), 2);
        assert_int_equal(f->closed, 0);
        finish(f);
}

static void a_stream_that_does_not_read_still_sees_the_end(void **state)
{
        struct fixture *f = begin(&lenient);

        (void)state;
        json_stream_set_reading(f->stream, false);
        peer_write(f->peer, "{\"a\":1}");
        peer_settle(f->loop, 20);
        assert_int_equal(f->messages, 0);
        fd_close(&f->peer);
        peer_spin_until(f->loop, &f->closed, 1);
        assert_int_equal(f->why, ERROR_DISCONNECTED);
        finish(f);
}

static void a_held_stream_leaves_the_bytes_in_the_socket(void **state)
{
        struct fixture *f = begin(&strict);

        (void)state;
        json_stream_hold(f->stream, true);
        json_stream_hold(f->stream, true);
        peer_write(f->peer, "{\"a\":1}");
        shutdown(f->peer, SHUT_WR);
        peer_settle(f->loop, 20);
        assert_int_equal(f->messages, 0);
        assert_int_equal(f->closed, 0);
        assert_true(json_stream_is_open(f->stream));
        json_stream_hold(f->stream, false);
        peer_spin_until(f->loop, &f->closed, 1);
        assert_int_equal(f->messages, 1);
        assert_false(json_stream_is_open(f->stream));
        json_stream_hold(f->stream, true);
        finish(f);
}

static void a_half_message_is_not_late_while_its_stream_is_held(void **state)
{
        struct json_stream_options hasty = strict;
        struct fixture *f;

        (void)state;
        hasty.message_ms = 30;
        f = begin(&hasty);
        peer_write(f->peer, "{\"a\":");
        loop_step(f->loop, 1000);
        json_stream_hold(f->stream, true);
        peer_settle(f->loop, 80);
        assert_int_equal(f->closed, 0);
        json_stream_hold(f->stream, false);
        peer_spin_until(f->loop, &f->closed, 1);
        assert_int_equal(f->why, ERROR_DEADLINE);
        finish(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_message_may_come_one_byte_at_a_time),
                cmocka_unit_test(many_messages_may_come_in_one_read),
                cmocka_unit_test(a_message_larger_than_a_read_is_put_together),
                cmocka_unit_test(what_is_no_object_ends_a_strict_stream),
                cmocka_unit_test(ten_thousand_brackets_are_refused_undecoded),
                cmocka_unit_test(more_values_than_any_reply_has_are_refused_undecoded),
                cmocka_unit_test(depth_up_to_the_limit_is_fine),
                cmocka_unit_test(a_message_over_the_size_limit_ends_the_stream),
                cmocka_unit_test(a_half_message_ends_the_stream_at_its_deadline),
                cmocka_unit_test(each_message_has_its_own_time),
                cmocka_unit_test(hang_up_is_told_once_and_after_what_was_said),
                cmocka_unit_test(a_stream_may_be_freed_by_its_message),
                cmocka_unit_test(integers_of_64_bits_survive_as_reals),
                cmocka_unit_test(what_the_peer_does_not_read_waits_within_the_limit),
                cmocka_unit_test(sending_to_a_peer_that_left_fails_and_its_last_words_are_heard),
                cmocka_unit_test(a_lenient_stream_skips_to_ff_on_demand),
                cmocka_unit_test(a_lenient_stream_recovers_at_ff_from_anything),
                cmocka_unit_test(a_stream_that_does_not_read_still_sees_the_end),
                cmocka_unit_test(a_held_stream_leaves_the_bytes_in_the_socket),
                cmocka_unit_test(a_half_message_is_not_late_while_its_stream_is_held),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
