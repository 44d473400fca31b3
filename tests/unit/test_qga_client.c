#include "qmp/qga_client.h"

#include "tests/unit/outcome.h"

struct fixture {
        struct loop *loop;
        struct qga_client *client;
        int peer;
        unsigned disconnected;
        struct qga_outcome last; /* what was known of the request that was answered last */
};

static void on_disconnect(const struct error *error, void *data)
{
        struct fixture *f = data;

        assert_non_null(error);
        f->disconnected++;
}

static void answered(json_t *reply, const struct error *error, void *data)
{
        struct outcome *o = data;

        outcome_take(o, reply, error);
        if (o->fixture->client)
                o->fixture->last = *qga_client_outcome(o->fixture->client);
        if (o->free_client) {
                qga_client_free(o->fixture->client);
                o->fixture->client = NULL;
        }
        if (o->ask_again) {
                o->ask_again = false;
                qga_client_ping(o->fixture->client, 1000, answered, o);
        }
}

static void answered_and_thaws(json_t *reply, const struct error *error, void *data)
{
        struct outcome *o = data;

        answered(reply, error, o);
        qga_client_thaw(o->fixture->client, 1000, answered, o);
}

static struct fixture *begin(void)
{
        struct fixture *f = xcalloc(1, sizeof(*f));
        int ours;

        f->loop = loop_new();
        peer_pair(&ours, &f->peer);
        f->client = qga_client_new(f->loop, ours, on_disconnect, f);
        return f;
}

static void finish(struct fixture *f)
{
        qga_client_free(f->client);
        loop_free(f->loop);
        fd_close(&f->peer);
        free(f);
}

/* The next command at the agent, which must be this one; its number for a sync, else 0. */
static json_int_t expect(struct fixture *f, const char *name)
{
        json_t *command = peer_read_json(f->peer);
        json_int_t number = json_integer_value(json_object_get(json_object_get(command, "arguments"), "id"));

        assert_string_equal(json_string_value(json_object_get(command, "execute")), name);
        json_decref(command);
        return number;
}

/* Takes the sync of the next conversation as a real agent does, the complaint about 0xFF included. */
static void sync_up(struct fixture *f)
{
        _cleanup_free_ char *reply = NULL;
        json_int_t number;

        peer_settle(f->loop, 10);
        number = expect(f, "guest-sync-delimited");
        reply = xasprintf("{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error, stray "
                          "'\\uFFFD'\"}}\n\xff{\"return\": %lld}\n",
                          (long long)number);
        peer_write(f->peer, reply);
        peer_settle(f->loop, 10);
}

static void a_ping_syncs_first_and_takes_its_answer(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };

        (void)state;
        qga_client_ping(f->client, 1000, answered, &o);
        sync_up(f);
        expect(f, "guest-ping");
        peer_write(f->peer, "{\"return\": {}}\n");
        peer_spin_until(f->loop, &o.calls, 1);
        assert_false(o.failed);
        finish(f);
}

static void requests_go_one_at_a_time_in_order(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome a = { .fixture = f };
        _cleanup_outcome_ struct outcome b = { .fixture = f };
        char c;

        (void)state;
        qga_client_ping(f->client, 1000, answered, &a);
        qga_client_call(f->client, "guest-info", NULL, 1000, answered, &b);
        sync_up(f);
        expect(f, "guest-ping");
        assert_int_equal(recv(f->peer, &c, 1, MSG_DONTWAIT), -1);
        peer_write(f->peer, "{\"return\": {}}\n");
        peer_spin_until(f->loop, &a.calls, 1);
        assert_int_equal(b.calls, 0);
        sync_up(f);
        expect(f, "guest-info");
        peer_write(f->peer, "{\"return\": {\"version\": \"7.2.22\"}}\n");
        peer_spin_until(f->loop, &b.calls, 1);
        assert_string_equal(json_string_value(json_object_get(b.reply, "version")), "7.2.22");
        finish(f);
}

static void stale_answers_reach_nobody(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };

        (void)state;
        /* Answers to an earlier client, its sync's too, before and while we sync. */
        peer_write(f->peer, "{\"return\": {\"pid\": 1}}\n\xff{\"return\": 77}\n{\"return\": 1}\n");
        peer_settle(f->loop, 10);
        qga_client_ping(f->client, 1000, answered, &o);
        peer_settle(f->loop, 10);
        peer_write(f->peer, "\xff{\"return\": 78}\n{\"error\": {}}\xff\xff\n");
        sync_up(f);
        assert_int_equal(o.calls, 0);
        expect(f, "guest-ping");
        peer_write(f->peer, "{\"return\": {}}\n");
        peer_spin_until(f->loop, &o.calls, 1);
        assert_false(o.failed);
        finish(f);
}

static void a_silent_agent_fails_the_sync_at_its_deadline(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        _cleanup_outcome_ struct outcome next = { .fixture = f };

        (void)state;
        qga_client_ping(f->client, 60, answered, &o);
        qga_client_ping(f->client, 1000, answered, &next);
        peer_spin_until(f->loop, &o.calls, 1);
        assert_int_equal(o.code, ERROR_DEADLINE);
        assert_non_null(strstr(o.text, "guest-sync-delimited"));
        /* It wakes up and answers both syncs, the late one first. */
        sync_up(f);
        assert_int_equal(next.calls, 0);
        sync_up(f);
        expect(f, "guest-ping");
        peer_write(f->peer, "{\"return\": {}}\n");
        peer_spin_until(f->loop, &next.calls, 1);
        assert_false(next.failed);
        assert_int_equal(o.calls, 1);
        finish(f);
}

static void a_half_answer_fails_at_the_deadline_and_is_forgotten(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        _cleanup_outcome_ struct outcome next = { .fixture = f };

        (void)state;
        qga_client_ping(f->client, 60, answered, &o);
        sync_up(f);
        expect(f, "guest-ping");
        peer_write(f->peer, "{\"return\": {\"a\": [");
        peer_spin_until(f->loop, &o.calls, 1);
        assert_int_equal(o.code, ERROR_DEADLINE);
        qga_client_ping(f->client, 1000, answered, &next);
        sync_up(f);
        expect(f, "guest-ping");
        peer_write(f->peer, "{\"return\": {}}\n");
        peer_spin_until(f->loop, &next.calls, 1);
        assert_false(next.failed);
        finish(f);
}

static void nonsense_fails_the_request_and_not_the_client(void **state)
{
        static const char *const nonsense[] = { "{\"return\":}\n", "{\"hello\": 1}\n", "{\"a\":\xff",
                                                "{\"n\": 1e999}\n" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++) {
                struct fixture *f = begin();
                _cleanup_outcome_ struct outcome o = { .fixture = f };
                _cleanup_outcome_ struct outcome next = { .fixture = f };

                qga_client_ping(f->client, 1000, answered, &o);
                sync_up(f);
                expect(f, "guest-ping");
                peer_write(f->peer, nonsense[i]);
                peer_spin_until(f->loop, &o.calls, 1);
                assert_int_equal(o.code, ERROR_GUEST);
                qga_client_ping(f->client, 1000, answered, &next);
                sync_up(f);
                expect(f, "guest-ping");
                peer_write(f->peer, "{\"return\": {}}\n");
                peer_spin_until(f->loop, &next.calls, 1);
                assert_false(next.failed);
                assert_int_equal(f->disconnected, 0);
                finish(f);
        }
}

static void an_endless_answer_is_cut(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        char filler[4097];

        (void)state;
        memset(filler, 'x', 4096);
        filler[4096] = '\0';
        qga_client_call(f->client, "guest-info", NULL, 5000, answered, &o);
        sync_up(f);
        expect(f, "guest-info");
        peer_write(f->peer, "{\"return\": \"");
        for (int i = 0; i < 1000 && !o.calls; i++) {
                send(f->peer, filler, 4096, MSG_DONTWAIT);
                loop_step(f->loop, 0);
        }
        assert_int_equal(o.calls, 1);
        assert_int_equal(o.code, ERROR_GUEST);
        finish(f);
}

static void a_babbling_agent_is_not_read_between_requests(void **state)
{
        struct fixture *f = begin();
        ssize_t taken = 0;
        char filler[4096] = { 0 };

        (void)state;
        for (int i = 0; i < 2000; i++) {
                ssize_t n = send(f->peer, filler, sizeof(filler), MSG_DONTWAIT);

                taken += n > 0 ? n : 0;
                loop_step(f->loop, 0);
        }
        assert_true(taken < 2000 * (ssize_t)sizeof(filler));
        finish(f);
}

static void an_agent_that_does_not_read_fails_requests_one_by_one(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        const int small = 4096;
        unsigned wanted = 0;

        (void)state;
        /* Each unread conversation stays in the socket until it is full; then its bytes are dropped. */
        setsockopt(f->peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        for (int round = 0; round < 40; round++) {
                for (int i = 0; i < 10; i++)
                        qga_client_ping(f->client, 1, answered, &o);
                wanted += 10;
                peer_spin_until(f->loop, &o.calls, wanted);
                assert_int_equal(o.code, ERROR_DEADLINE);
        }
        assert_int_equal(o.calls, wanted);
        finish(f);
}

static void a_refusal_has_its_class(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };

        (void)state;
        qga_client_call(f->client, "guest-info", NULL, 1000, answered, &o);
        sync_up(f);
        expect(f, "guest-info");
        peer_write(f->peer, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"not\\nfound\"}}\n");
        peer_spin_until(f->loop, &o.calls, 1);
        assert_int_equal(o.code, ERROR_QMP);
        assert_string_equal(o.text, "guest agent: guest-info: CommandNotFound: not found");
        finish(f);
}

static void a_refusal_because_of_the_freeze_is_no_missing_command(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };

        (void)state;
        qga_client_call(f->client, "guest-exec", json_pack("{s:s}", "path", "/bin/true"), 1000, answered, &o);
        sync_up(f);
        expect(f, "guest-exec");
        peer_write(f->peer, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"Command guest-exec has "
                            "been disabled: the agent is in frozen state\"}}\n");
        peer_spin_until(f->loop, &o.calls, 1);
        assert_int_equal(o.code, ERROR_BUSY);
        assert_true(f->last.frozen);
        assert_true(f->last.sent);
        finish(f);
}

static void a_thaw_is_written_while_the_freeze_has_not_answered(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome freeze = { .fixture = f };
        _cleanup_outcome_ struct outcome thaw = { .fixture = f };
        _cleanup_outcome_ struct outcome ping = { .fixture = f };
        _cleanup_free_ char *reply = NULL;
        json_int_t number;

        (void)state;
        qga_client_freeze(f->client, 60000, answered, &freeze);
        qga_client_ping(f->client, 1000, answered, &ping);
        sync_up(f);
        expect(f, "guest-fsfreeze-freeze");
        qga_client_thaw(f->client, 1000, answered, &thaw);
        /* Both are there before anything was answered; the loop has not even run. */
        number = expect(f, "guest-sync-delimited");
        expect(f, "guest-fsfreeze-thaw");
        peer_spin_until(f->loop, &freeze.calls, 1);
        assert_int_equal(freeze.code, ERROR_BUSY);
        assert_true(f->last.sent);
        /* The late answer of the freeze is nobody's, and not the thaw's. */
        reply = xasprintf("{\"return\": 3}\n\xff{\"return\": %lld}\n{\"return\": 2}\n", (long long)number);
        peer_write(f->peer, reply);
        peer_spin_until(f->loop, &thaw.calls, 1);
        assert_int_equal(json_integer_value(thaw.reply), 2);
        assert_int_equal(freeze.calls, 1);
        sync_up(f);
        expect(f, "guest-ping");
        finish(f);
}

static void a_freeze_that_was_never_written_says_so(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };

        (void)state;
        qga_client_freeze(f->client, 30, answered, &o);
        peer_spin_until(f->loop, &o.calls, 1);
        assert_int_equal(o.code, ERROR_DEADLINE);
        assert_false(f->last.sent);
        finish(f);
}

static void a_thaw_goes_before_those_that_wait_and_may_come_from_a_callback(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome a = { .fixture = f };
        _cleanup_outcome_ struct outcome b = { .fixture = f };

        (void)state;
        qga_client_ping(f->client, 1000, answered_and_thaws, &a);
        qga_client_call(f->client, "guest-info", NULL, 1000, answered, &b);
        sync_up(f);
        expect(f, "guest-ping");
        peer_write(f->peer, "{\"return\": {}}\n");
        peer_spin_until(f->loop, &a.calls, 1);
        sync_up(f);
        expect(f, "guest-fsfreeze-thaw");
        peer_write(f->peer, "{\"return\": 0}\n");
        peer_spin_until(f->loop, &a.calls, 2);
        sync_up(f);
        expect(f, "guest-info");
        finish(f);
}

static void a_suspend_is_acknowledged_by_the_sync_behind_it(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        _cleanup_free_ char *reply = NULL;

        (void)state;
        qga_client_call(f->client, "guest-suspend-ram", NULL, 1000, answered, &o);
        sync_up(f);
        expect(f, "guest-suspend-ram");
        reply = xasprintf("{\"return\": %lld}\n", (long long)expect(f, "guest-sync"));
        peer_write(f->peer, reply);
        peer_spin_until(f->loop, &o.calls, 1);
        assert_true(json_is_null(o.reply));
        finish(f);
}

static void begin_shutdown(struct fixture *f, struct outcome *o)
{
        qga_client_shutdown(f->client, "powerdown", answered, o);
        sync_up(f);
        expect(f, "guest-shutdown");
}

static void a_shutdown_is_acknowledged_by_the_sync_behind_it(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        _cleanup_free_ char *reply = NULL;

        (void)state;
        begin_shutdown(f, &o);
        reply = xasprintf("{\"return\": %lld}\n", (long long)expect(f, "guest-sync"));
        peer_settle(f->loop, 20);
        assert_int_equal(o.calls, 0);
        peer_write(f->peer, reply);
        peer_spin_until(f->loop, &o.calls, 1);
        assert_false(o.failed);
        assert_true(json_is_null(o.reply));
        finish(f);
}

static void a_shutdown_that_is_refused_says_so(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };

        (void)state;
        begin_shutdown(f, &o);
        peer_write(f->peer, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"child failed\"}}\n");
        peer_spin_until(f->loop, &o.calls, 1);
        assert_int_equal(o.code, ERROR_QMP);
        finish(f);
}

static void a_shutdown_is_acknowledged_by_the_end_of_agent_or_qemu(void **state)
{
        (void)state;
        for (int way = 0; way < 2; way++) {
                struct fixture *f = begin();
                _cleanup_outcome_ struct outcome o = { .fixture = f };
                _cleanup_outcome_ struct outcome waiting = { .fixture = f };

                begin_shutdown(f, &o);
                qga_client_ping(f->client, 1000, answered, &waiting);
                if (way == 0)
                        qga_client_set_open(f->client, false);
                else
                        fd_close(&f->peer);
                assert_int_equal(o.calls, 0);
                peer_spin_until(f->loop, &o.calls, 1);
                peer_settle(f->loop, 10);
                assert_false(o.failed);
                assert_int_equal(waiting.calls, 1);
                assert_int_equal(waiting.code, way == 0 ? ERROR_GUEST : ERROR_DISCONNECTED);
                assert_int_equal(f->disconnected, way == 1);
                finish(f);
        }
}

static void a_shutdown_before_the_sync_is_not_acknowledged_by_the_end(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };

        (void)state;
        qga_client_shutdown(f->client, "reboot", answered, &o);
        peer_settle(f->loop, 10);
        qga_client_set_open(f->client, false);
        peer_spin_until(f->loop, &o.calls, 1);
        assert_int_equal(o.code, ERROR_GUEST);
        finish(f);
}

static void a_closed_port_refuses_at_once_until_it_opens(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        char c;

        (void)state;
        qga_client_set_open(f->client, false);
        qga_client_ping(f->client, 5000, answered, &o);
        assert_int_equal(o.calls, 0);
        peer_spin_until(f->loop, &o.calls, 1);
        assert_int_equal(o.code, ERROR_GUEST);
        assert_int_equal(recv(f->peer, &c, 1, MSG_DONTWAIT), -1);
        qga_client_set_open(f->client, true);
        qga_client_ping(f->client, 1000, answered, &o);
        sync_up(f);
        expect(f, "guest-ping");
        peer_write(f->peer, "{\"return\": {}}\n");
        peer_spin_until(f->loop, &o.calls, 2);
        assert_false(o.failed);
        finish(f);
}

static void too_many_requests_are_refused(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        _cleanup_outcome_ struct outcome one_too_many = { .fixture = f };

        (void)state;
        for (int i = 0; i < 16; i++)
                qga_client_ping(f->client, 1000, answered, &o);
        qga_client_ping(f->client, 1000, answered, &one_too_many);
        peer_spin_until(f->loop, &one_too_many.calls, 1);
        assert_int_equal(one_too_many.code, ERROR_BUSY);
        assert_int_equal(o.calls, 0);
        qga_client_free(f->client);
        f->client = NULL;
        assert_int_equal(o.calls, 16);
        assert_int_equal(o.code, ERROR_DISCONNECTED);
        finish(f);
}

static void hang_up_fails_all_and_later_requests_too(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome a = { .fixture = f, .ask_again = true };

        (void)state;
        fd_close(&f->peer);
        qga_client_ping(f->client, 1000, answered, &a);
        peer_spin_until(f->loop, &a.calls, 2);
        assert_int_equal(a.code, ERROR_DISCONNECTED);
        assert_int_equal(f->disconnected, 1);
        finish(f);
}

static void callbacks_may_free_the_client(void **state)
{
        (void)state;
        /* in an answer; at a deadline; at hang-up; when refused outside of the loop */
        for (int way = 0; way < 4; way++) {
                struct fixture *f = begin();
                _cleanup_outcome_ struct outcome a = { .fixture = f, .free_client = true };
                _cleanup_outcome_ struct outcome b = { .fixture = f };

                if (way == 3)
                        qga_client_set_open(f->client, false);
                qga_client_ping(f->client, way == 1 ? 20 : 1000, answered, &a);
                qga_client_ping(f->client, 1000, answered, &b);
                if (way == 0) {
                        sync_up(f);
                        expect(f, "guest-ping");
                        peer_write(f->peer, "{\"return\": {}}\n{\"return\": {}}\n");
                } else if (way == 2) {
                        peer_settle(f->loop, 10);
                        fd_close(&f->peer);
                }
                peer_spin_until(f->loop, &a.calls, 1);
                peer_settle(f->loop, 10);
                assert_null(f->client);
                assert_int_equal(a.calls, 1);
                assert_int_equal(b.calls, 1);
                assert_int_equal(f->disconnected, 0);
                finish(f);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_ping_syncs_first_and_takes_its_answer),
                cmocka_unit_test(requests_go_one_at_a_time_in_order),
                cmocka_unit_test(stale_answers_reach_nobody),
                cmocka_unit_test(a_silent_agent_fails_the_sync_at_its_deadline),
                cmocka_unit_test(a_half_answer_fails_at_the_deadline_and_is_forgotten),
                cmocka_unit_test(nonsense_fails_the_request_and_not_the_client),
                cmocka_unit_test(an_endless_answer_is_cut),
                cmocka_unit_test(a_babbling_agent_is_not_read_between_requests),
                cmocka_unit_test(an_agent_that_does_not_read_fails_requests_one_by_one),
                cmocka_unit_test(a_refusal_has_its_class),
                cmocka_unit_test(a_refusal_because_of_the_freeze_is_no_missing_command),
                cmocka_unit_test(a_thaw_is_written_while_the_freeze_has_not_answered),
                cmocka_unit_test(a_freeze_that_was_never_written_says_so),
                cmocka_unit_test(a_thaw_goes_before_those_that_wait_and_may_come_from_a_callback),
                cmocka_unit_test(a_suspend_is_acknowledged_by_the_sync_behind_it),
                cmocka_unit_test(a_shutdown_is_acknowledged_by_the_sync_behind_it),
                cmocka_unit_test(a_shutdown_that_is_refused_says_so),
                cmocka_unit_test(a_shutdown_is_acknowledged_by_the_end_of_agent_or_qemu),
                cmocka_unit_test(a_shutdown_before_the_sync_is_not_acknowledged_by_the_end),
                cmocka_unit_test(a_closed_port_refuses_at_once_until_it_opens),
                cmocka_unit_test(too_many_requests_are_refused),
                cmocka_unit_test(hang_up_fails_all_and_later_requests_too),
                cmocka_unit_test(callbacks_may_free_the_client),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
