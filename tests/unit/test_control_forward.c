/* What goes through to QEMU, and back to the client that it is for. */
#include "launcher/run/fd_names.h"
#include "launcher/run/unsettled.h"
#include "tests/unit/control_fixture.h"

static void fds_and_their_names_are_the_clients_own(void **state)
{
        struct fixture *f = *state;
        int a = negotiated_client(f), b = negotiated_client(f);
        char seen[2][64], bytes[CMSG_SPACE(sizeof(int))], buffer[512];
        struct iovec iov = { .iov_base = buffer, .iov_len = sizeof(buffer) };
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = bytes, .msg_controllen = sizeof(bytes)
        };
        static const char line[] = "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"tap\"}}\n";
        struct error *err = NULL;
        json_t *command, *arguments;

        greet(f);
        for (int i = 0; i < 2; i++) {
                ssize_t n;

                assert_int_equal(fd_send(i ? b : a, line, strlen(line), &f->dirfd, 1, &err), 0);
                peer_settle(f->loop, 5);
                message.msg_controllen = sizeof(bytes);
                n = recvmsg(f->qemu, &message, MSG_CMSG_CLOEXEC);
                assert_true(n > 0);
                /* The fd came along. */
                assert_non_null(CMSG_FIRSTHDR(&message));
                close(*(int *)(void *)CMSG_DATA(CMSG_FIRSTHDR(&message)));
                command = json_loadb(buffer, (size_t)n, 0, NULL);
                arguments = json_object_get(command, "arguments");
                snprintf(seen[i], sizeof(seen[i]), "%s",
                         json_string_value(json_object_get(arguments, "fdname")));
                qemu_answers(f, command, "\"return\":{}");
                json_decref(peer_read_json(i ? b : a));
        }
        assert_string_not_equal(seen[0], seen[1]);
        peer_write(
                b,
                "{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"tap\",\"id\":\"n\",\"fds\":\"tap:7\"}}\n");
        peer_settle(f->loop, 5);
        command = peer_read_json(f->qemu);
        snprintf(buffer, sizeof(buffer), "%s:7", seen[1]);
        assert_string_equal(json_string_value(json_object_get(json_object_get(command, "arguments"), "fds")),
                            buffer);
        qemu_answers(f, command, "\"return\":{}");
        /* Used is used; what was not is closed when its client goes. */
        close(b);
        close(a);
        peer_settle(f->loop, 20);
        command = peer_read_json(f->qemu);
        assert_string_equal(json_string_value(json_object_get(command, "execute")), "closefd");
        assert_string_equal(
                json_string_value(json_object_get(json_object_get(command, "arguments"), "fdname")), seen[0]);
        json_decref(command);
        assert_int_equal(recv(f->qemu, buffer, 1, MSG_DONTWAIT), -1);
        assert_int_equal(f->gone, 2);
}

static void socket_addresses_and_migration_name_the_clients_fds(void **state)
{
        struct fd_names names;
        struct error *err = NULL;
        json_t *out;

        (void)state;
        fd_names_init(&names, 5);
        for (int i = 0; i < 3; i++) {
                static const char *const in[] = {
                        "{\"addr\":{\"type\":\"fd\",\"data\":{\"str\":\"s\"}}}",
                        "{\"backend\":{\"data\":[{\"addr\":{\"type\":\"fd\",\"str\":\"s\"}}]}}",
                        "{\"uri\":\"fd:s\"}",
                };
                static const char *const commands[] = { "nbd-server-start", "chardev-add", "migrate" };
                json_t *arguments = json_loads(in[i], 0, NULL);
                char *text;

                assert_int_equal(fd_names_rewrite(&names, commands[i], arguments, &out, &err), 0);
                text = json_dumps(out, JSON_COMPACT);
                assert_non_null(strstr(text, "client5-s\""));
                free(text);
                /* What came is as it was. */
                text = json_dumps(arguments, JSON_COMPACT);
                assert_string_equal(text, in[i]);
                free(text);
                json_decref(out);
                json_decref(arguments);
        }
        for (int i = 0; i <= FD_NAMES_MAX; i++) {
                json_t *arguments = json_pack("{s:o}", "fdname", json_sprintf("n%d", i));

                assert_int_equal(fd_names_rewrite(&names, "getfd", arguments, &out, &err),
                                 i < FD_NAMES_MAX ? 0 : -1);
                json_decref(out);
                json_decref(arguments);
        }
        error_free(err);
        fd_names_done(&names);
}

/* stop goes unanswered; its deadline is 5 s. Returns QEMU's copy of it. */
static json_t *unanswered_stop(struct fixture *f, int client)
{
        json_t *command;

        peer_write(client, "{\"execute\":\"stop\"}\n");
        peer_settle(f->loop, 5);
        command = peer_read_json(f->qemu);
        peer_spin_until(f->loop, &f->late, 1);
        expect_error(peer_read_json(client), "DeadlinePassed", "whether it was done is unknown");
        expect_error(ask(f, client, "{\"execute\":\"cont\"}\n"), "Busy", "'stop' was not answered");
        return command;
}

static void what_depends_on_an_unknown_outcome_waits_for_the_late_answer(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f);
        json_t *command, *event;

        greet(f);
        command = unanswered_stop(f, client);
        /* Another thing does not depend on it. */
        peer_write(client, "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"d\"}}\n");
        peer_settle(f->loop, 5);
        qemu_answers(f, peer_read_json(f->qemu), "\"return\":{}");
        json_decref(peer_read_json(client));
        qemu_answers(f, command, "\"return\":{}");
        assert_int_equal(f->settled_late, 1);
        event = peer_read_json(client);
        assert_string_equal(json_string_value(json_object_get(event, "event")), "VMLAUNCH_LATE");
        assert_string_equal(json_string_value(json_object_get(json_object_get(event, "data"), "result")),
                            "done");
        json_decref(event);
        peer_write(client, "{\"execute\":\"cont\"}\n");
        peer_settle(f->loop, 5);
        qemu_answers(f, peer_read_json(f->qemu), "\"return\":{}");
        json_decref(peer_read_json(client));
        close(client);
}

static void an_unknown_outcome_is_settled_by_the_query_that_shows_it(void **state)
{
        static const char *const query[] = { "query-block", "query-status" };
        struct fixture *f = *state;
        int client = negotiated_client(f);

        greet(f);
        json_decref(unanswered_stop(f, client));
        for (int i = 0; i < 2; i++) {
                _cleanup_free_ char *line = xasprintf("{\"execute\":\"%s\"}\n", query[i]);

                expect_error(ask(f, client, "{\"execute\":\"cont\"}\n"), "Busy", "ask with query-status");
                peer_write(client, line);
                peer_settle(f->loop, 5);
                qemu_answers(f, peer_read_json(f->qemu), "\"return\":{}");
                json_decref(peer_read_json(client));
        }
        peer_write(client, "{\"execute\":\"cont\"}\n");
        peer_settle(f->loop, 5);
        qemu_answers(f, peer_read_json(f->qemu), "\"return\":{}");
        json_decref(peer_read_json(client));
        close(client);
}

static void a_query_on_its_way_at_the_deadline_settles_nothing(void **state)
{
        struct unsettled unsettled;
        struct control_command stop = *control_command_find("stop"),
                               del = *control_command_find("device_del");
        json_auto_t *arguments = json_pack("{s:s}", "id", "d1");
        json_auto_t *stop_keys = control_command_keys(&stop, NULL);
        json_auto_t *del_keys = control_command_keys(&del, arguments);
        json_int_t mark;

        (void)state;
        unsettled_init(&unsettled);
        mark = unsettled_mark(&unsettled);
        unsettled_add(&unsettled, 7, &stop, stop_keys);
        unsettled_add(&unsettled, 8, &del, del_keys);
        unsettled_shown(&unsettled, SHOWS_RUN_STATE, mark);
        assert_string_equal(unsettled_blocks(&unsettled, stop_keys), "stop");
        unsettled_shown(&unsettled, SHOWS_RUN_STATE, unsettled_mark(&unsettled));
        assert_null(unsettled_blocks(&unsettled, stop_keys));
        assert_string_equal(unsettled_blocks(&unsettled, del_keys), "device_del");
        /* A new connection begins its ids anew: 8 is another's. */
        unsettled_disconnected(&unsettled);
        assert_null(unsettled_late(&unsettled, 8));
        for (int i = 0; i < 2 * UNSETTLED_MAX; i++)
                unsettled_add(&unsettled, 100 + i, &del, del_keys);
        assert_int_equal(json_array_size(unsettled.entries), UNSETTLED_MAX);
        unsettled_done(&unsettled);
}

static void arguments_of_a_query_reach_qemu_unchanged(void **state)
{
        struct fixture *f = *state;
        const char *path, *property;
        json_t *command;
        int client;

        greet(f);
        client = negotiated_client(f);
        peer_write(client,
                   "{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"/machine\",\"property\":\"acpi\"}}\n");
        peer_settle(f->loop, 5);
        command = peer_read_json(f->qemu);
        assert_int_equal(
                json_unpack(command, "{s:{s:s, s:s}}", "arguments", "path", &path, "property", &property), 0);
        assert_string_equal(path, "/machine");
        assert_string_equal(property, "acpi");
        json_decref(command);
        close(client);
}

static void ids_of_three_clients_do_not_mix(void **state)
{
        struct fixture *f = *state;
        int clients[3];
        json_int_t qemu_ids[3];

        greet(f);
        for (int i = 0; i < 3; i++) {
                json_t *command;

                clients[i] = negotiated_client(f);
                peer_write(clients[i], "{\"execute\":\"query-status\",\"id\":\"same\"}\n");
                peer_settle(f->loop, 5);
                command = peer_read_json(f->qemu);
                assert_true(json_is_integer(json_object_get(command, "id")));
                qemu_ids[i] = json_integer_value(json_object_get(command, "id"));
                json_decref(command);
        }
        assert_int_not_equal(qemu_ids[0], qemu_ids[1]);
        assert_int_not_equal(qemu_ids[1], qemu_ids[2]);
        /* Answered in another order. */
        for (int i = 2; i >= 0; i--) {
                char line[128];

                snprintf(line, sizeof(line), "{\"return\":{\"n\":%d},\"id\":%lld}\n", i, qemu_ids[i]);
                peer_write(f->qemu, line);
        }
        peer_settle(f->loop, 5);
        for (int i = 0; i < 3; i++) {
                json_t *reply = peer_read_json(clients[i]);
                const char *id;
                int n;

                assert_int_equal(json_unpack(reply, "{s:{s:i}, s:s}", "return", "n", &n, "id", &id), 0);
                assert_int_equal(n, i);
                assert_string_equal(id, "same");
                json_decref(reply);
                close(clients[i]);
        }
        assert_int_equal(f->in_time, 3);
}

static void qemus_own_errors_pass_and_a_missing_qemu_is_said(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f);
        json_t *command;
        char line[160];
        struct qmp_client *qmp;

        greet(f);
        peer_write(client, "{\"execute\":\"cont\",\"id\":3}\n");
        peer_settle(f->loop, 5);
        command = peer_read_json(f->qemu);
        snprintf(line, sizeof(line),
                 "{\"error\":{\"class\":\"DeviceNotFound\",\"desc\":\"no\"},\"id\":%lld}\n",
                 json_integer_value(json_object_get(command, "id")));
        json_decref(command);
        peer_write(f->qemu, line);
        peer_settle(f->loop, 5);
        expect_error(peer_read_json(client), "DeviceNotFound", "no");
        /* QEMU goes while a command is on its way. */
        peer_write(client, "{\"execute\":\"stop\",\"id\":4}\n");
        peer_settle(f->loop, 5);
        qmp = f->qmp;
        f->qmp = NULL;
        qmp_client_free(qmp);
        expect_error(peer_read_json(client), "NotRunning", "");
        expect_error(ask(f, client, "{\"execute\":\"stop\"}\n"), "Busy", "does not answer");
        close(client);
}

static void a_client_that_goes_before_its_answer_harms_nobody(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f);
        json_t *command;
        char line[64];

        greet(f);
        peer_write(client, "{\"execute\":\"query-block\"}\n");
        peer_settle(f->loop, 5);
        close(client);
        peer_settle(f->loop, 5);
        command = peer_read_json(f->qemu);
        snprintf(line, sizeof(line), "{\"return\":[],\"id\":%lld}\n",
                 json_integer_value(json_object_get(command, "id")));
        json_decref(command);
        peer_write(f->qemu, line);
        peer_spin_until(f->loop, &f->in_time, 1);
        /* And one whose control socket goes first. */
        client = negotiated_client(f);
        peer_write(client, "{\"execute\":\"query-block\"}\n");
        peer_settle(f->loop, 5);
        control_free(f->control);
        f->control = NULL;
        close(client);
}

static void events_reach_every_client_that_has_negotiated(void **state)
{
        struct fixture *f = *state;
        int a = negotiated_client(f), b = negotiated_client(f), shy = connect_client(f);
        char c;

        json_decref(peer_read_json(shy));
        greet(f);
        peer_write(f->qemu, "{\"event\":\"STOP\",\"timestamp\":{\"seconds\":1,\"microseconds\":2}}\n");
        peer_settle(f->loop, 5);
        control_event(f->control, "VMLAUNCH_STATE", json_pack("{s:s}", "state", "paused"));
        for (int i = 0; i < 2; i++) {
                int fd = i ? b : a;
                json_t *event = peer_read_json(fd);

                assert_string_equal(json_string_value(json_object_get(event, "event")), "STOP");
                json_decref(event);
                event = peer_read_json(fd);
                assert_string_equal(json_string_value(json_object_get(event, "event")), "VMLAUNCH_STATE");
                assert_true(json_is_integer(
                        json_object_get(json_object_get(event, "timestamp"), "microseconds")));
                json_decref(event);
        }
        assert_int_equal(recv(shy, &c, 1, MSG_DONTWAIT), -1);
        close(a);
        close(b);
        close(shy);
}

/* More than the socket takes at once. */
static void write_all(struct fixture *f, const char *s)
{
        for (size_t length = strlen(s); length;) {
                ssize_t n = send(f->qemu, s, length, MSG_DONTWAIT | MSG_NOSIGNAL);

                s += n > 0 ? n : 0;
                length -= n > 0 ? (size_t)n : 0;
                loop_step(f->loop, 10);
        }
        peer_settle(f->loop, 20);
}

/* It is QEMU's doing, not the client's, who may hold a lease. */
static void what_is_larger_than_a_client_may_leave_unread_does_not_end_it(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *filler = xmalloc(CONTROL_MAX_QUEUE + 1), *event = NULL, *answer = NULL;
        int client;

        memset(filler, 'x', CONTROL_MAX_QUEUE);
        filler[CONTROL_MAX_QUEUE] = '\0';
        event = xasprintf("{\"event\":\"HUGE\",\"data\":{\"x\":\"%s\"}}\n", filler);
        greet(f);
        client = negotiated_client(f);
        write_all(f, event);
        /* One that has 30 s: so long a line takes its time. */
        peer_write(client, "{\"execute\":\"screendump\",\"id\":7}\n");
        peer_settle(f->loop, 5);
        json_auto_t *command = peer_read_json(f->qemu);
        answer = xasprintf("{\"return\":\"%s\",\"id\":%lld}\n", filler,
                           json_integer_value(json_object_get(command, "id")));
        write_all(f, answer);
        expect_error(peer_read_json(client), "GenericError", "larger than");
        assert_int_equal(f->cut_off + f->gone, 0);
        close(client);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                TEST(fds_and_their_names_are_the_clients_own),
                cmocka_unit_test(socket_addresses_and_migration_name_the_clients_fds),
                TEST(what_depends_on_an_unknown_outcome_waits_for_the_late_answer),
                TEST(an_unknown_outcome_is_settled_by_the_query_that_shows_it),
                cmocka_unit_test(a_query_on_its_way_at_the_deadline_settles_nothing),
                TEST(arguments_of_a_query_reach_qemu_unchanged),
                TEST(ids_of_three_clients_do_not_mix),
                TEST(qemus_own_errors_pass_and_a_missing_qemu_is_said),
                TEST(a_client_that_goes_before_its_answer_harms_nobody),
                TEST(events_reach_every_client_that_has_negotiated),
                TEST(what_is_larger_than_a_client_may_leave_unread_does_not_end_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
