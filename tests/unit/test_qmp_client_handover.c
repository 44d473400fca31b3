/* A QMP connection that goes on in another client, as another process has it. */
#include "tests/unit/qmp_client_fixture.h"

/* The connection of f goes on in another client. */
static void move_client(struct fixture *f)
{
        _cleanup_error_ struct error *err = NULL;
        json_auto_t *state = NULL;
        int fd;

        peer_settle(f->loop, 5);
        state = qmp_client_state(f->client, &fd, &err);
        assert_non_null(state);
        fd = dup(fd);
        qmp_client_free(f->client);
        f->client = qmp_client_resume(f->loop, fd, state, &handlers, f, &err);
        assert_non_null(f->client);
        assert_true(qmp_client_is_ready(f->client));
}

static void a_connection_goes_on_in_another_client_with_its_ids(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f }, after = { .fixture = f };
        json_int_t first, second;

        (void)state;
        qmp_client_call(f->client, "query-status", NULL, QMP_QUERY, NULL, 0, answered, &o);
        first = expect_command(f, "query-status");
        answer(f, first, "\"return\": {}");
        peer_spin_until(f->loop, &o.calls, 1);
        move_client(f);
        assert_int_equal(f->ready, 1);
        qmp_client_call(f->client, "query-name", NULL, QMP_QUERY, NULL, 0, answered, &after);
        second = expect_command(f, "query-name");
        assert_true(second > first);
        answer(f, second, "\"return\": {}");
        peer_spin_until(f->loop, &after.calls, 1);
        assert_false(after.failed);
        assert_int_equal(o.calls, 1);
        assert_int_equal(f->disconnected, 0);
        finish(f);
}

static void half_an_event_and_late_answers_reach_the_other_client(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        json_int_t late;

        (void)state;
        qmp_client_call(f->client, "query-status", NULL, QMP_QUERY, NULL, 0, answered, &o);
        late = expect_command(f, "query-status");
        peer_spin_until(f->loop, &o.calls, 1);
        assert_int_equal(o.code, ERROR_DEADLINE);
        peer_write(f->peer, "{\"event\": \"ST");
        move_client(f);
        assert_int_equal(f->events, 0);
        peer_write(f->peer, "OP\", \"timestamp\": {}}");
        peer_spin_until(f->loop, &f->events, 1);
        assert_string_equal(f->last_event, "STOP");
        answer(f, late, "\"return\": {}");
        peer_spin_until(f->loop, &f->late, 1);
        assert_string_equal(f->last_late, "query-status");
        finish(f);
}

static void a_connection_with_a_call_is_not_given_away(void **state)
{
        struct fixture *f = begin();
        _cleanup_outcome_ struct outcome o = { .fixture = f };
        _cleanup_error_ struct error *err = NULL, *again = NULL;
        int fd;

        (void)state;
        qmp_client_call(f->client, "query-status", NULL, QMP_QUERY, NULL, 0, answered, &o);
        assert_null(qmp_client_state(f->client, &fd, &err));
        assert_int_equal(err->code, ERROR_BUSY);
        fd_close(&f->peer);
        peer_spin_until(f->loop, &f->disconnected, 1);
        assert_null(qmp_client_state(f->client, &fd, &again));
        finish(f);
}

static void what_is_no_state_makes_no_client(void **state)
{
        static const char *const wrong[] = {
                "{}",
                "{\"last_id\":0,\"late\":[],\"half\":\"\"}",
                "{\"last_id\":\"1\",\"late\":[],\"half\":\"\"}",
                "{\"last_id\":1,\"late\":{},\"half\":\"\"}",
                "{\"last_id\":1,\"late\":[],\"half\":\"7\"}",
                "{\"last_id\":1,\"late\":[],\"half\":\"5b\"}",
                "{\"last_id\":1,\"late\":[],\"half\":\"7b7d\"}",
                "{\"last_id\":1,\"late\":[{\"id\":2,\"command\":\"x\"}],\"half\":\"\"}",
                "{\"last_id\":1,\"late\":[{\"id\":1}],\"half\":\"\"}",
        };
        struct fixture *f = begin();

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                json_auto_t *json = json_loads(wrong[i], 0, NULL);
                _cleanup_error_ struct error *err = NULL;
                int ours, peer;

                assert_non_null(json);
                peer_pair(&ours, &peer);
                assert_null(qmp_client_resume(f->loop, ours, json, &handlers, f, &err));
                assert_int_equal(err->code, ERROR_FAILED);
                close(peer);
        }
        finish(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_connection_goes_on_in_another_client_with_its_ids),
                cmocka_unit_test(half_an_event_and_late_answers_reach_the_other_client),
                cmocka_unit_test(a_connection_with_a_call_is_not_given_away),
                cmocka_unit_test(what_is_no_state_makes_no_client),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
