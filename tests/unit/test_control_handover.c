/* Clients that another process goes on with. */
#include "launcher/run/handover.h"
#include "tests/unit/control_fixture.h"

/* The state of f's clients as another process finds it: fds at their numbers, f's control gone. */
static void leave_state(struct fixture *f, struct control_call *but, struct handover *ret)
{
        _cleanup_handover_ struct handover written = { 0 };
        _cleanup_error_ struct error *err = NULL;
        _cleanup_free_ char *text = NULL;
        json_t *fds = json_array(), *state;
        int copies[256];

        handover_init(&written);
        state = control_state(f->control, but, &written, &err);
        assert_non_null(state);
        json_object_set_new(written.document, "control", state);
        for (size_t i = 0; i < written.n_fds; i++) {
                json_array_append_new(fds, json_integer(written.fds[i].fd));
                copies[i] = fcntl(written.fds[i].fd, F_DUPFD_CLOEXEC, 200);
        }
        json_object_set_new(written.document, "fds", fds);
        text = json_dumps(written.document, JSON_COMPACT);
        control_free(f->control);
        f->control = NULL;
        if (but)
                control_answer(but, json_object(), NULL);
        for (size_t i = 0; i < written.n_fds; i++) {
                assert_int_equal(dup3(copies[i], written.fds[i].fd, O_CLOEXEC), written.fds[i].fd);
                close(copies[i]);
        }
        assert_int_equal(handover_parse(text, strlen(text), ret, &err), 0);
}

static void clients_go_on_with_another_process_and_lose_nothing(void **state)
{
        struct fixture *f = *state;
        struct control_call *call;
        struct handover handover;
        int asker, half, fresh;
        json_auto_t *reply = NULL;
        _cleanup_error_ struct error *err = NULL;

        greet(f);
        asker = negotiated_client(f);
        half = negotiated_client(f);
        fresh = connect_client(f);
        peer_write(half, "{\"execute\":\"query-st");
        f->answer_later = true;
        peer_write(asker, "{\"execute\":\"vmlaunch-status\",\"id\":{\"my\":[1]}}{\"execute\":");
        peer_settle(f->loop, 10);
        f->answer_later = false;
        control_hold(f->control, true);
        peer_write(asker, "\"vmlaunch-status\",\"id\":2}");
        peer_settle(f->loop, 10);
        control_event(f->control, "WHILE_HELD", json_object());
        assert_int_equal(f->own, 1);
        leave_state(f, f->owed[0], &handover);
        f->control = control_resume(f->loop, json_object_get(handover.document, "control"), &handover, "web",
                                    "6f0c", &f->roles, &handlers, f, &call, &err);
        assert_non_null(f->control);
        handover_done(&handover);
        assert_non_null(call);
        control_answer(call, json_pack("{s:s}", "version", "2"), NULL);
        peer_settle(f->loop, 10);
        /* The event, the answer that was owed, and that to the command which waited in two pieces. */
        json_decref(peer_read_json(asker));
        reply = peer_read_json(asker);
        assert_true(json_is_array(json_object_get(json_object_get(reply, "id"), "my")));
        json_decref(reply);
        reply = peer_read_json(asker);
        assert_int_equal(json_integer_value(json_object_get(reply, "id")), 2);
        json_decref(peer_read_json(half));
        peer_write(half, "atus\",\"id\":\"x\"}");
        peer_settle(f->loop, 10);
        json_decref(reply);
        reply = peer_read_json(f->qemu);
        assert_string_equal(json_string_value(json_object_get(reply, "execute")), "query-status");
        /* One that has not negotiated still has to, and has had its greeting. */
        json_decref(peer_read_json(fresh));
        expect_error(ask(f, fresh, "{\"execute\":\"query-status\"}"), "CommandNotFound", "capabilities");
        close(connect_client(f));
        peer_spin_until(f->loop, &f->gone, 1);
        assert_int_equal(f->gone_client, 4);
        close(asker);
        close(half);
        close(fresh);
}

static void clients_with_commands_on_their_way_are_not_given_away(void **state)
{
        struct fixture *f = *state;
        int client;

        greet(f);
        client = negotiated_client(f);
        peer_write(client, "{\"execute\":\"query-status\"}");
        peer_settle(f->loop, 10);
        for (int i = 0; i < 2; i++) {
                _cleanup_handover_ struct handover handover = { 0 };
                _cleanup_error_ struct error *err = NULL;
                json_t *asked, *given;
                char line[64];

                handover_init(&handover);
                given = control_state(f->control, NULL, &handover, &err);
                if (i == 1) {
                        assert_non_null(given);
                        json_decref(given);
                        break;
                }
                assert_null(given);
                assert_int_equal(err->code, ERROR_BUSY);
                assert_false(control_has_own_calls(f->control, NULL));
                asked = peer_read_json(f->qemu);
                snprintf(line, sizeof(line), "{\"return\":{},\"id\":%lld}\n",
                         json_integer_value(json_object_get(asked, "id")));
                json_decref(asked);
                peer_write(f->qemu, line);
                peer_settle(f->loop, 10);
        }
        close(client);
}

static void release_held(struct fixture *f, int client)
{
        control_hold(f->control, false);
        json_decref(ask(f, client, "{\"execute\":\"vmlaunch-status\"}"));
        close(connect_client(f));
}

static void held_clients_are_served_when_they_are_released(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f), late;

        control_hold(f->control, true);
        late = connect_client(f);
        peer_write(client, "{\"execute\":\"vmlaunch-status\",\"id\":1}");
        peer_settle(f->loop, 10);
        assert_int_equal(f->own, 0);
        release_held(f, client);
        assert_int_equal(f->own, 2);
        json_decref(peer_read_json(late));
        close(late);
        close(client);
}

/* Each member of each object left out, and replaced by what it is not: an error, and no fd or memory is lost. */
static void spoil_and_resume(struct fixture *f, json_t *document, json_t *object, const char *key,
                             json_t *instead)
{
        json_t *good = json_incref(json_object_get(object, key));
        _cleanup_free_ char *text = NULL;
        _cleanup_handover_ struct handover handover = { 0 };
        _cleanup_error_ struct error *err = NULL;
        struct control_call *call = NULL;
        struct control *control = NULL;

        if (instead)
                json_object_set(object, key, instead);
        else
                json_object_del(object, key);
        text = json_dumps(document, JSON_COMPACT);
        json_object_set_new(object, key, good);
        if (handover_parse(text, strlen(text), &handover, &err) == 0)
                control = control_resume(f->loop, json_object_get(handover.document, "control"), &handover,
                                         "web", "6f0c", &f->roles, &handlers, f, &call, &err);
        assert_true(!control == !!err);
        control_free(control);
        if (call)
                control_answer(call, json_object(), NULL);
        peer_settle(f->loop, 1);
}

static void spoil_all(struct fixture *f, json_t *document, json_t *object)
{
        json_auto_t *instead = json_pack("[n, b, i, i, I, s, s, {}, [], [n, i]]", 1, -1, 7,
                                         (json_int_t)1 << 40, "", "zz", 1);
        _cleanup_free_ const char **keys = xcalloc(json_object_size(object) + 1, sizeof(*keys));
        const char *key;
        json_t *value, *wrong;
        size_t i, n = 0;

        json_object_foreach (object, key, value) {
                keys[n++] = key;
                if (json_is_object(value))
                        spoil_all(f, document, value);
                if (json_is_array(value) && json_is_object(json_array_get(value, 0)))
                        spoil_all(f, document, json_array_get(value, 0));
        }
        for (size_t k = 0; k < n; k++) {
                _cleanup_free_ char *name = xstrdup(keys[k]);

                spoil_and_resume(f, document, object, name, NULL);
                json_array_foreach (instead, i, wrong)
                        spoil_and_resume(f, document, object, name, wrong);
        }
}

static void a_state_with_anything_wrong_is_refused_whole(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f), free_fd = dup(0), sockets[2];
        /* Fds that are there for each try anew would be closed by the first: these are none. */
        json_auto_t *document = json_pack(
                "{s:i, s:[], s:{s:i, s:i, s:{s:{s:{s:i, s:i, s:i}, s:s}}, s:[], s:i, s:[{s:i, s:i, s:i, s:i, s:s, "
                "s:b, s:{}, s:s, s:[], s:s}], s:{s:i, s:s}}}",
                "format", 1, "fds", "control", "listener", 90, "last_client", 3, "greeting", "version",
                "qemu", "major", 1, "minor", 2, "micro", 3, "package", "", "unsettled", "unsettled_last", 0,
                "clients", "number", 1, "fd", 91, "uid", 0, "pid", 1, "role", "admin", "negotiated", 1,
                "fd_names", "half", "7b", "half_fds", "unsent", "", "owed", "client", 1, "id", "x");

        close(free_fd);
        assert_non_null(document);
        spoil_all(f, document, document);
        /* With fds: whatever else is wrong with the client, both are closed. */
        for (int turn = 0; turn < 3; turn++) {
                _cleanup_free_ char *text = NULL;
                _cleanup_handover_ struct handover handover = { 0 };
                _cleanup_error_ struct error *err = NULL;
                struct control_call *call = NULL;
                struct control *control;

                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
                assert_int_equal(dup2(sockets[0], 90), 90);
                assert_int_equal(dup2(sockets[1], 91), 91);
                close(sockets[0]);
                close(sockets[1]);
                json_object_set_new(document, "fds", json_pack("[i, i]", 90, 91));
                json_object_set_new(
                        json_array_get(json_object_get(json_object_get(document, "control"), "clients"), 0),
                        "half",
                        json_string(turn == 0   ? "7b"
                                    : turn == 1 ? "7b7d"
                                                : "5b"));
                text = json_dumps(document, JSON_COMPACT);
                assert_int_equal(handover_parse(text, strlen(text), &handover, &err), 0);
                control = control_resume(f->loop, json_object_get(handover.document, "control"), &handover,
                                         "web", "6f0c", &f->roles, &handlers, f, &call, &err);
                assert_int_equal(control != NULL, turn == 0);
                assert_int_equal(call != NULL, turn == 0);
                control_free(control);
                if (call)
                        control_answer(call, json_object(), NULL);
                assert_int_equal(fcntl(90, F_GETFD), -1);
                assert_int_equal(fcntl(91, F_GETFD), -1);
        }
        close(client);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                TEST(clients_go_on_with_another_process_and_lose_nothing),
                TEST(clients_with_commands_on_their_way_are_not_given_away),
                TEST(held_clients_are_served_when_they_are_released),
                TEST(a_state_with_anything_wrong_is_refused_whole),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
