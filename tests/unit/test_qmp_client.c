#include "tests/unit/qmp_client_fixture.h"

#include <fcntl.h>
#include <pthread.h>

#include "qmp/ops_machine.h"

static void a_call_gets_its_reply_once(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        json_int_t id;

        (void)state;
        qmp_client_call(f->client, "query-status", NULL, QMP_QUERY, NULL, 0, answered, &o);
        assert_int_equal(o.calls, 0);
        id = expect_command(f, "query-status");
        answer(f, id, "\"return\": {\"status\": \"running\"}");
        answer(f, id, "\"return\": {\"status\": \"paused\"}");
        peer_spin_until(f->loop, &o.calls, 1);
        peer_settle(f->loop, 20);
        assert_int_equal(o.calls, 1);
        assert_string_equal(json_string_value(json_object_get(o.reply, "status")), "running");
        assert_int_equal(f->late, 0);
        finish(f);
}

static void replies_find_their_calls_in_any_order(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome a = { .fixture = f };
        _cleanup_outcome_ struct outcome b = { .fixture = f };
        json_int_t id_a, id_b;

        (void)state;
        qmp_client_call(f->client, "a", json_pack("{s:i}", "x", 1), QMP_QUERY, NULL, 0, answered, &a);
        qmp_client_call(f->client, "b", NULL, QMP_QUERY, NULL, 0, answered, &b);
        id_a = expect_command(f, "a");
        id_b = expect_command(f, "b");
        answer(f, id_b, "\"return\": \"for b\"");
        answer(f, id_a, "\"return\": \"for a\"");
        peer_spin_until(f->loop, &a.calls, 1);
        assert_string_equal(json_string_value(a.reply), "for a");
        assert_string_equal(json_string_value(b.reply), "for b");
        finish(f);
}

static void replies_with_wrong_or_no_id_reach_nobody(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        json_int_t id;

        (void)state;
        qmp_client_call(f->client, "stop", NULL, QMP_MUTATE, NULL, 0, answered, &o);
        id = expect_command(f, "stop");
        answer(f, id + 1000, "\"return\": {}");
        peer_write(f->peer, "{\"return\": {}}");
        peer_write(f->peer, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"stray\"}}");
        peer_write(f->peer, "{\"return\": {}, \"id\": \"1\"}{\"return\": {}, \"id\": null}{\"id\": 2}");
        peer_settle(f->loop, 30);
        assert_int_equal(o.calls, 0);
        answer(f, id, "\"return\": {}");
        peer_spin_until(f->loop, &o.calls, 1);
        assert_false(o.failed);
        assert_int_equal(f->late + f->events + f->disconnected, 0);
        finish(f);
}

static void an_error_reply_keeps_class_and_words_on_one_line(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };

        (void)state;
        qmp_client_call(f->client, "device_del", NULL, QMP_MUTATE, NULL, 0, answered, &o);
        answer(f, expect_command(f, "device_del"),
               "\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"Device 'd3'\\nnot\\u001b found\"}");
        peer_spin_until(f->loop, &o.calls, 1);
        assert_int_equal(o.code, ERROR_QMP);
        assert_string_equal(o.text, "device_del: DeviceNotFound: Device 'd3' not  found");
        finish(f);
}

static void a_deadline_ends_the_waiting_and_the_late_reply_is_told_apart(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        _cleanup_outcome_ struct outcome next = { .fixture = f };
        json_int_t id, next_id;

        (void)state;
        qmp_client_call(f->client, "query-block", NULL, QMP_QUERY, NULL, 0, answered, &o);
        id = expect_command(f, "query-block");
        peer_spin_until(f->loop, &o.calls, 1);
        assert_int_equal(o.code, ERROR_DEADLINE);
        qmp_client_call(f->client, "query-status", NULL, QMP_QUERY, NULL, 0, answered, &next);
        next_id = expect_command(f, "query-status");
        assert_true(next_id != id);
        answer(f, id, "\"return\": \"late\"");
        peer_spin_until(f->loop, &f->late, 1);
        assert_string_equal(f->last_late, "query-block");
        assert_int_equal(o.calls, 1);
        assert_int_equal(next.calls, 0);
        answer(f, next_id, "\"return\": \"in time\"");
        peer_spin_until(f->loop, &next.calls, 1);
        assert_string_equal(json_string_value(next.reply), "in time");
        finish(f);
}

static void hang_up_fails_every_pending_call_once_and_is_told_afterwards(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome a = { .fixture = f };
        _cleanup_outcome_ struct outcome b = { .fixture = f, .ask_again = true };
        _cleanup_outcome_ struct outcome after = { .fixture = f };

        (void)state;
        f->outcomes[0] = &a;
        f->outcomes[1] = &b;
        qmp_client_call(f->client, "a", NULL, QMP_HEAVY, NULL, 0, answered, &a);
        qmp_client_call(f->client, "b", NULL, QMP_HEAVY, NULL, 0, answered, &b);
        fd_close(&f->peer);
        peer_spin_until(f->loop, &f->disconnected, 1);
        assert_int_equal(f->why, ERROR_DISCONNECTED);
        assert_int_equal(f->errors_before_disconnect, 2);
        assert_int_equal(a.code, ERROR_DISCONNECTED);
        /* b asked again in its callback, and gets an answer to that too. */
        peer_spin_until(f->loop, &b.calls, 2);
        assert_int_equal(b.code, ERROR_DISCONNECTED);
        qmp_client_call(f->client, "c", NULL, QMP_HEAVY, NULL, 0, answered, &after);
        assert_int_equal(after.calls, 0);
        peer_spin_until(f->loop, &after.calls, 1);
        assert_int_equal(after.code, ERROR_DISCONNECTED);
        peer_settle(f->loop, 20);
        assert_int_equal(a.calls, 1);
        assert_int_equal(f->disconnected, 1);
        finish(f);
}

static void callbacks_may_free_the_client(void **state)
{
        (void)state;
        /* in a reply, with another call pending; at hang-up; at a deadline */
        for (int way = 0; way < 3; way++) {
                struct fixture *f = begin();
                _cleanup_outcome_ struct outcome a = { .fixture = f, .free_client = true };
                _cleanup_outcome_ struct outcome b = { .fixture = f };

                qmp_client_call(f->client, "a", NULL, QMP_QUERY, NULL, 0, answered, &a);
                qmp_client_call(f->client, "b", NULL, QMP_HEAVY, NULL, 0, answered, &b);
                if (way == 0) {
                        json_int_t id = expect_command(f, "a");

                        answer(f, id, "\"return\": 1");
                        answer(f, id + 1, "\"return\": 2");
                } else if (way == 1) {
                        fd_close(&f->peer);
                }
                peer_spin_until(f->loop, &a.calls, 1);
                peer_settle(f->loop, 20);
                assert_int_equal(a.calls, 1);
                assert_int_equal(b.calls, 1);
                assert_int_equal(b.code, ERROR_DISCONNECTED);
                assert_int_equal(f->disconnected, 0);
                assert_null(f->client);
                finish(f);
        }
}

static void freeing_fails_what_is_pending(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome a = { .fixture = f, .ask_again = true };

        (void)state;
        qmp_client_call(f->client, "a", NULL, QMP_HEAVY, NULL, 0, answered, &a);
        qmp_client_free(f->client);
        f->client = NULL;
        assert_int_equal(a.calls, 2);
        assert_int_equal(a.code, ERROR_DISCONNECTED);
        finish(f);
}

static void a_greeting_that_never_comes_has_a_deadline(void **state)
{
        struct fixture *f = begin_silent(50);
        struct error *error = NULL;

        (void)state;
        assert_int_equal(qmp_client_wait_ready(f->client, &error), -1);
        assert_int_equal(error->code, ERROR_DEADLINE);
        error_free(error);
        assert_int_equal(f->disconnected, 1);
        assert_int_equal(f->why, ERROR_DEADLINE);
        finish(f);
}

static void negotiation_that_is_not_answered_has_the_same_deadline(void **state)
{
        struct fixture *f = begin_silent(50);

        (void)state;
        peer_write(f->peer, GREETING);
        peer_spin_until(f->loop, &f->disconnected, 1);
        assert_int_equal(f->why, ERROR_DEADLINE);
        assert_int_equal(f->ready, 0);
        finish(f);
}

static void what_does_not_greet_is_no_monitor(void **state)
{
        static const char *const others[] = { "{\"hello\":1}", "SSH-2.0-OpenSSH\r\n", "{\"QMP\":7}" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
                struct fixture *f = begin_silent(5000);

                peer_write(f->peer, others[i]);
                peer_spin_until(f->loop, &f->disconnected, 1);
                assert_int_equal(f->why, ERROR_FAILED);
                finish(f);
        }
}

static void calls_before_ready_are_refused(void **state)
{
        struct fixture *f = begin_silent(5000);
        _cleanup_outcome_ struct outcome o = { .fixture = f };

        (void)state;
        qmp_client_call(f->client, "cont", NULL, QMP_MUTATE, NULL, 0, answered, &o);
        assert_int_equal(o.calls, 0);
        peer_spin_until(f->loop, &o.calls, 1);
        assert_int_equal(o.code, ERROR_BUSY);
        finish(f);
}

static void flood_of_events_is_read_at_its_pace_after_a_burst(void **state)
{
        struct fixture *f = begin_silent(5000);
        struct text flood = TEXT_INIT;

        (void)state;
        qmp_client_limit_events(f->client, 1000, 2000);
        text_add(&flood, GREETING);
        for (int i = 0; i < 3000; i++)
                text_add(&flood, "{\"event\":\"RESET\"}\n");
        peer_write(f->peer, text_str(&flood));
        peer_settle(f->loop, 300);
        /* The burst, and 300 ms at the pace; each of the reads has up to 16 KiB. */
        assert_in_range(f->events, 1000, 2700);
        peer_spin_until(f->loop, &f->events, 3000);
        text_done(&flood);
        finish(f);
}

static void events_come_before_the_reply_and_may_be_large(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        char filler[65537];
        _cleanup_free_ char *event = NULL;
        json_int_t id;

        (void)state;
        memset(filler, 'e', 65536);
        filler[65536] = '\0';
        event = xasprintf("{\"event\": \"STOP\", \"data\": {\"filler\": \"%s\"}}", filler);
        qmp_client_call(f->client, "stop", NULL, QMP_MUTATE, NULL, 0, answered, &o);
        id = expect_command(f, "stop");
        peer_write(f->peer, event);
        peer_spin_until(f->loop, &f->events, 1);
        assert_int_equal(f->event_bytes, 65536);
        assert_int_equal(o.calls, 0);
        answer(f, id, "\"return\": {}");
        peer_write(f->peer, "{\"event\": \"RESUME\"}");
        peer_spin_until(f->loop, &f->events, 2);
        assert_string_equal(f->last_event, "RESUME");
        assert_int_equal(o.calls, 1);
        finish(f);
}

static void garbage_ends_the_connection(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };

        (void)state;
        qmp_client_call(f->client, "stop", NULL, QMP_MUTATE, NULL, 0, answered, &o);
        peer_write(f->peer, "{\"return\": {}, \"id\": 2");
        peer_write(f->peer, "]}");
        peer_spin_until(f->loop, &f->disconnected, 1);
        assert_int_equal(f->why, ERROR_FAILED);
        assert_int_equal(o.code, ERROR_DISCONNECTED);
        finish(f);
}

static void a_forwarded_command_gets_the_whole_reply_without_our_id(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome good = { .fixture = f };
        _cleanup_outcome_ struct outcome bad = { .fixture = f };
        json_t *message = json_pack("{s:s, s:{s:s}, s:s}", "execute", "getfd", "arguments", "fdname", "x",
                                    "id", "theirs");
        json_t *seen;

        (void)state;
        qmp_client_forward(f->client, message, QMP_MUTATE, NULL, 0, answered, &good);
        qmp_client_forward(f->client, message, QMP_MUTATE, NULL, 0, answered, &bad);
        assert_string_equal(json_string_value(json_object_get(message, "id")), "theirs");
        json_decref(message);
        seen = peer_read_json(f->peer);
        assert_true(json_is_integer(json_object_get(seen, "id")));
        assert_string_equal(json_string_value(json_object_get(json_object_get(seen, "arguments"), "fdname")),
                            "x");
        answer(f, json_integer_value(json_object_get(seen, "id")), "\"return\": {}");
        json_decref(seen);
        answer(f, expect_command(f, "getfd"), "\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}");
        peer_spin_until(f->loop, &bad.calls, 1);
        assert_false(good.failed || bad.failed);
        assert_non_null(json_object_get(good.reply, "return"));
        assert_non_null(json_object_get(bad.reply, "error"));
        assert_null(json_object_get(good.reply, "id"));
        assert_int_equal(json_object_size(good.reply), 1);
        finish(f);
}

static void fds_travel_with_a_call(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control;
        char buffer[512];
        struct iovec iov = { .iov_base = buffer, .iov_len = sizeof(buffer) };
        struct msghdr header = { .msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof(control.bytes) };
        const int fd = STDERR_FILENO;
        int got;

        (void)state;
        qmp_client_call(f->client, "getfd", json_pack("{s:s}", "fdname", "a"), QMP_MUTATE, &fd, 1, answered,
                        &o);
        assert_true(recvmsg(f->peer, &header, MSG_CMSG_CLOEXEC) > 0);
        assert_non_null(CMSG_FIRSTHDR(&header));
        memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(int));
        assert_true(fcntl(got, F_GETFD) >= 0);
        close(got);
        finish(f);
}

static void too_many_waiting_calls_are_refused_and_the_rest_goes_on(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        _cleanup_outcome_ struct outcome one_too_many = { .fixture = f };
        json_int_t id;

        (void)state;
        for (int i = 0; i < 256; i++)
                qmp_client_call(f->client, "cont", NULL, QMP_HEAVY, NULL, 0, answered, &o);
        qmp_client_call(f->client, "cont", NULL, QMP_HEAVY, NULL, 0, answered, &one_too_many);
        peer_spin_until(f->loop, &one_too_many.calls, 1);
        assert_int_equal(one_too_many.code, ERROR_BUSY);
        assert_int_equal(o.calls, 0);
        id = expect_command(f, "cont");
        for (int i = 0; i < 256; i++)
                answer(f, id + i, "\"return\": {}");
        peer_spin_until(f->loop, &o.calls, 256);
        assert_false(o.failed);
        finish(f);
}

/* A monitor that answers while the client waits. */
static void *monitor(void *data)
{
        const int peer = *(int *)data;
        json_t *command;

        peer_write(peer, GREETING);
        for (int i = 0; i < 3; i++) {
                _cleanup_free_ char *reply = NULL;

                command = peer_read_json(peer);
                reply = xasprintf(
                        "{\"event\":\"E\"}{\"return\": {\"status\": \"prelaunch\"}, \"id\": %lld}\r\n",
                        (long long)json_integer_value(json_object_get(command, "id")));
                json_decref(command);
                peer_write(peer, reply);
        }
        /* The fourth one is not answered, it hangs up. */
        json_decref(peer_read_json(peer));
        close(peer);
        return NULL;
}

static void the_waiting_calls_end_with_reply_or_hang_up(void **state)
{
        struct fixture *f = begin_silent(5000);
        struct error *error = NULL;
        enum run_state run_state;
        json_t *reply = NULL;
        pthread_t thread;

        (void)state;
        assert_int_equal(pthread_create(&thread, NULL, monitor, &f->peer), 0);
        assert_int_equal(qmp_client_wait_ready(f->client, &error), 0);
        assert_int_equal(qmp_client_call_wait(f->client, "query-status", NULL, QMP_HEAVY, &reply, &error), 0);
        assert_int_equal(ops_status_read(reply, &run_state, &error), 0);
        assert_int_equal(run_state, RUN_STATE_PRELAUNCH);
        json_decref(reply);
        assert_int_equal(qmp_client_call_wait(f->client, "cont", NULL, QMP_HEAVY, NULL, &error), 0);
        assert_null(ops_query_machines(f->client, &error));
        assert_int_equal(error->code, ERROR_DISCONNECTED);
        error_free(error);
        pthread_join(thread, NULL);
        f->peer = -1;
        finish(f);
}

static void a_waiting_call_ends_at_its_deadline(void **state)
{
        struct fixture *f = begin();
        struct error *error = NULL;
        long long start = fd_now_ms();

        (void)state;
        assert_int_equal(qmp_client_call_wait(f->client, "query-status", NULL, QMP_QUERY, NULL, &error), -1);
        assert_int_equal(error->code, ERROR_DEADLINE);
        error_free(error);
        assert_true(fd_now_ms() - start >= 490);
        finish(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_call_gets_its_reply_once),
                cmocka_unit_test(replies_find_their_calls_in_any_order),
                cmocka_unit_test(replies_with_wrong_or_no_id_reach_nobody),
                cmocka_unit_test(an_error_reply_keeps_class_and_words_on_one_line),
                cmocka_unit_test(a_deadline_ends_the_waiting_and_the_late_reply_is_told_apart),
                cmocka_unit_test(hang_up_fails_every_pending_call_once_and_is_told_afterwards),
                cmocka_unit_test(callbacks_may_free_the_client),
                cmocka_unit_test(freeing_fails_what_is_pending),
                cmocka_unit_test(a_greeting_that_never_comes_has_a_deadline),
                cmocka_unit_test(negotiation_that_is_not_answered_has_the_same_deadline),
                cmocka_unit_test(what_does_not_greet_is_no_monitor),
                cmocka_unit_test(calls_before_ready_are_refused),
                cmocka_unit_test(flood_of_events_is_read_at_its_pace_after_a_burst),
                cmocka_unit_test(events_come_before_the_reply_and_may_be_large),
                cmocka_unit_test(garbage_ends_the_connection),
                cmocka_unit_test(a_forwarded_command_gets_the_whole_reply_without_our_id),
                cmocka_unit_test(fds_travel_with_a_call),
                cmocka_unit_test(too_many_waiting_calls_are_refused_and_the_rest_goes_on),
                cmocka_unit_test(the_waiting_calls_end_with_reply_or_hang_up),
                cmocka_unit_test(a_waiting_call_ends_at_its_deadline),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
