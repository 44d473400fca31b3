#include <sys/resource.h>

#include "launcher/run/story.h"
#include "tests/unit/control_fixture.h"

static void the_socket_is_for_all_and_its_greeting_names_the_vm(void **state)
{
        struct fixture *f = *state;
        int client = connect_client(f);
        json_t *greeting = peer_read_json(client);
        const char *vm, *generation, *version;
        json_t *caps;
        int major;
        struct stat st;

        assert_int_equal(fstatat(f->dirfd, "control.sock", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0666);
        assert_int_equal(json_unpack(greeting, "{s:{s:{s:{s:i}}, s:o}, s:{s:s, s:s, s:s}}", "QMP", "version",
                                     "qemu", "major", &major, "capabilities", &caps, "vmlaunch", "version",
                                     &version, "vm", &vm, "generation", &generation),
                         0);
        assert_int_equal(major, 0);
        assert_int_equal(json_array_size(caps), 0);
        assert_string_equal(vm, "web");
        assert_string_equal(generation, "6f0c");
        json_decref(greeting);
        close(client);
        /* Once QEMU is there, its version is in it. */
        greet(f);
        client = connect_client(f);
        greeting = peer_read_json(client);
        json_unpack(greeting, "{s:{s:{s:{s:i}}}}", "QMP", "version", "qemu", "major", &major);
        assert_int_equal(major, 7);
        json_decref(greeting);
        close(client);
}

static void nothing_is_answered_before_negotiation_and_negotiation_is_once(void **state)
{
        struct fixture *f = *state;
        int client = connect_client(f);

        json_decref(peer_read_json(client));
        expect_error(ask(f, client, "{\"execute\":\"vmlaunch-status\"}\n"), "CommandNotFound",
                     "Expecting capabilities negotiation");
        assert_int_equal(f->own, 0);
        expect_error(
                ask(f, client, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}\n"),
                "GenericError", "no capability is offered");
        json_decref(ask(f, client, "{\"execute\":\"qmp_capabilities\"}\n"));
        expect_error(ask(f, client, "{\"execute\":\"qmp_capabilities\"}\n"), "CommandNotFound",
                     "already complete");
        close(client);
}

static void own_commands_are_answered_without_qemu(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f);
        json_t *reply = ask(f, client, "{\"execute\":\"vmlaunch-status\",\"id\":{\"a\":[1]}}\n");

        assert_string_equal(json_string_value(json_object_get(json_object_get(reply, "return"), "command")),
                            "vmlaunch-status");
        assert_int_equal(json_array_size(json_object_get(json_object_get(reply, "id"), "a")), 1);
        json_decref(reply);
        expect_error(ask(f, client, "{\"execute\":\"vmlaunch-shutdown\",\"arguments\":{\"fail\":1}}\n"),
                     "GuestRefused", "absent");
        close(client);
}

static void what_is_no_command_is_refused_without_qemu(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f);
        char c;

        greet(f);
        expect_error(ask(f, client, "{\"execute\":\"\"}\n"), "CommandNotFound", "has not been found");
        expect_error(ask(f, client, "{\"execute\":\"vmlaunch-nonsense\"}\n"), "CommandNotFound",
                     "vmlaunch-nonsense has not been found");
        expect_error(ask(f, client, "{\"exec-oob\":\"stop\"}\n"), "GenericError", "'exec-oob' is unexpected");
        expect_error(ask(f, client, "{\"id\":1}\n"), "GenericError", "lacks member 'execute'");
        expect_error(ask(f, client, "{\"execute\":7}\n"), "GenericError", "lacks member 'execute'");
        expect_error(ask(f, client, "{\"execute\":\"stop\",\"arguments\":[]}\n"), "GenericError",
                     "must be an object");
        /* Nothing of it reached QEMU. */
        assert_int_equal(recv(f->qemu, &c, 1, MSG_DONTWAIT), -1);
        close(client);
}

static void query_commands_lists_qemus_and_our_own(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f);
        json_t *reply;

        greet(f);
        peer_write(client, "{\"execute\":\"query-commands\",\"id\":null}\n");
        peer_settle(f->loop, 5);
        qemu_answers(f, peer_read_json(f->qemu), "\"return\":[{\"name\":\"stop\"},{\"name\":\"new-one\"}]");
        reply = peer_read_json(client);
        assert_true(lists(reply, "stop") && lists(reply, "new-one") && lists(reply, "vmlaunch-status"));
        assert_false(lists(reply, "device_add"));
        assert_true(json_is_null(json_object_get(reply, "id")));
        json_decref(reply);
        close(client);
}

static void a_client_that_does_not_read_is_cut_off_and_others_are_not(void **state)
{
        struct fixture *f = *state;
        int slow = negotiated_client(f), quick = negotiated_client(f);

        for (int i = 0; i < 40; i++) {
                json_t *event;

                broadcast_filler(f);
                peer_settle(f->loop, 2);
                event = peer_read_json(quick);
                assert_string_equal(json_string_value(json_object_get(event, "event")), "FILLER");
                json_decref(event);
        }
        assert_int_equal(f->cut_off, 1);
        close(slow);
        close(quick);
}

static void a_client_may_be_cut_off_by_its_own_command(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f);

        f->broadcast_in_own = true;
        peer_write(client, "{\"execute\":\"vmlaunch-status\"}\n");
        peer_spin_until(f->loop, &f->cut_off, 1);
        peer_settle(f->loop, 5);
        close(client);
}

static void huge_or_broken_input_ends_the_client_only(void **state)
{
        struct fixture *f = *state;
        int big = negotiated_client(f), broken = negotiated_client(f), good = negotiated_client(f);
        char filler[4096];
        json_t *reply;
        ssize_t n = 1;

        memset(filler, 'x', sizeof(filler));
        peer_write(big, "{\"execute\":\"");
        for (int i = 0; i < 600 && n > 0; i++) {
                n = send(big, filler, sizeof(filler), MSG_NOSIGNAL | MSG_DONTWAIT);
                loop_step(f->loop, 1);
        }
        peer_settle(f->loop, 20);
        peer_write(broken, "[1,2]\n");
        peer_settle(f->loop, 20);
        assert_int_equal(f->cut_off, 2);
        reply = ask(f, good, "{\"execute\":\"vmlaunch-status\"}\n");
        assert_non_null(json_object_get(reply, "return"));
        json_decref(reply);
        close(big);
        close(broken);
        close(good);
}

static void clients_beyond_the_limit_are_told_and_closed(void **state)
{
        struct fixture *f = *state;
        int fds[CONTROL_CLIENTS + 1];
        char c;

        for (int i = 0; i <= CONTROL_CLIENTS; i++)
                fds[i] = connect_client(f);
        expect_error(peer_read_json(fds[CONTROL_CLIENTS]), "Busy", "too many clients");
        assert_int_equal(recv(fds[CONTROL_CLIENTS], &c, 1, 0), 0);
        for (int i = 0; i <= CONTROL_CLIENTS; i++)
                close(fds[i]);
        peer_settle(f->loop, 20);
        /* Their places are free again. */
        fds[0] = negotiated_client(f);
        close(fds[0]);
}

static void a_finished_control_takes_no_commands_but_sends_what_waits(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f);
        json_t *event;
        char c;

        control_event(f->control, "VMLAUNCH_END", json_pack("{s:s}", "verdict", "asked"));
        control_finish(f->control);
        assert_true(control_is_flushed(f->control));
        peer_write(client, "{\"execute\":\"vmlaunch-status\"}\n");
        peer_settle(f->loop, 5);
        assert_int_equal(f->own, 0);
        event = peer_read_json(client);
        assert_string_equal(json_string_value(json_object_get(event, "event")), "VMLAUNCH_END");
        json_decref(event);
        control_free(f->control);
        f->control = NULL;
        assert_int_equal(recv(client, &c, 1, 0) > 0, 0);
        close(client);
}

static void a_long_directory_does_not_matter(void **state)
{
        struct fixture *f = *state;
        _cleanup_error_ struct error *err = NULL;
        char name[200], sub[100];
        int dirfd, fd = -1;

        memset(sub, 'd', 99);
        sub[99] = '\0';
        snprintf(name, sizeof(name), "%s", sub);
        assert_int_equal(mkdirat(f->dirfd, name, 0755), 0);
        dirfd = openat(f->dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(control_listen(dirfd, "control.sock", &fd, &err), 0);
        close(fd);
        /* Once more over the old one. */
        assert_int_equal(control_listen(dirfd, "control.sock", &fd, &err), 0);
        close(fd);
        unlinkat(dirfd, "control.sock", 0);
        close(dirfd);
        unlinkat(f->dirfd, name, AT_REMOVEDIR);
}

static void greeting_of_a_hostile_qemu_locks_no_client_out(void **state)
{
        struct fixture *f = *state;
        char *filler = xcalloc(1, 2 * CONTROL_MAX_QUEUE);
        json_t *greeting;
        int client;

        memset(filler, 'x', 2 * CONTROL_MAX_QUEUE - 1);
        greeting = json_pack("{s:{s:{s:{s:i, s:i, s:i}, s:s, s:s}, s:[]}}", "QMP", "version", "qemu", "major",
                             7, "minor", 2, "micro", 0, "package", filler, "more", filler, "capabilities");
        control_set_greeting(f->control, greeting);
        json_decref(greeting);
        free(filler);
        client = negotiated_client(f);
        json_decref(ask(f, client, "{\"execute\":\"vmlaunch-status\"}\n"));
        assert_int_equal(f->own, 1);
        close(client);
}

/* How often the loop wakes in ms. */
static unsigned wakes(struct fixture *f, int ms)
{
        long long end = fd_now_ms() + ms, left;
        unsigned n = 0;

        for (; (left = end - fd_now_ms()) > 0; n++)
                loop_step(f->loop, (int)left);
        return n;
}

static void accept_that_fails_does_not_make_the_loop_spin(void **state)
{
        struct fixture *f = *state;

        /* accept() fails from now on, and epoll says EPOLLHUP whatever it is asked for. */
        shutdown(f->listener, SHUT_RDWR);
        assert_in_range(wakes(f, 200), 1, 5);
}

static void client_is_served_when_there_are_fds_again(void **state)
{
        struct rlimit none, before;
        struct fixture *f = *state;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        unsigned woken;

        getrlimit(RLIMIT_NOFILE, &before);
        none = (struct rlimit){ .rlim_cur = 3, .rlim_max = before.rlim_max };
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", f->dir);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        setrlimit(RLIMIT_NOFILE, &none);
        woken = wakes(f, 200);
        setrlimit(RLIMIT_NOFILE, &before);
        assert_in_range(woken, 1, 5);
        peer_settle(f->loop, 1100);
        json_decref(peer_read_json(fd));
        close(fd);
}

static void an_own_command_may_be_answered_later_with_its_own_id(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f);
        struct error *error = NULL;
        json_t *reply;

        f->answer_later = true;
        peer_write(client, "{\"execute\":\"vmlaunch-status\",\"id\":1}\n{\"execute\":\"vmlaunch-status\","
                           "\"id\":2}\n");
        peer_settle(f->loop, 5);
        assert_int_equal(f->own, 2);
        f->answer_later = false;
        reply = ask(f, client, "{\"execute\":\"vmlaunch-status\",\"id\":3}\n");
        assert_int_equal(json_integer_value(json_object_get(reply, "id")), 3);
        json_decref(reply);
        control_answer(f->owed[0], json_integer(7), NULL);
        reply = peer_read_json(client);
        assert_int_equal(json_integer_value(json_object_get(reply, "return")), 7);
        close(client);
        json_decref(reply);
        peer_settle(f->loop, 5);
        /* Nobody is left to hear it. */
        error_set(&error, ERROR_BUSY, "no");
        control_answer(f->owed[1], NULL, error);
        error_free(error);
}

/* A helper process tells codes and words. */
static void an_error_of_qemus_without_a_class_has_one_for_the_client(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f);
        struct error *error = NULL;
        const char *class, *desc;
        json_t *reply;

        f->answer_later = true;
        peer_write(client, "{\"execute\":\"vmlaunch-status\",\"id\":1}\n");
        peer_settle(f->loop, 5);
        error_set(&error, ERROR_QMP, "it is locked");
        control_answer(f->owed[0], NULL, error);
        error_free(error);
        reply = peer_read_json(client);
        assert_int_equal(json_unpack(reply, "{s:{s:s, s:s}}", "error", "class", &class, "desc", &desc), 0);
        assert_string_equal(class, "GenericError");
        assert_string_equal(desc, "it is locked");
        json_decref(reply);
        close(client);
}

static void the_end_of_a_connection_is_told_once_with_its_number(void **state)
{
        struct fixture *f = *state;
        int a = negotiated_client(f), b = negotiated_client(f);
        unsigned long long number;

        json_decref(ask(f, a, "{\"execute\":\"vmlaunch-status\"}\n"));
        number = f->asked_by;
        json_decref(ask(f, b, "{\"execute\":\"vmlaunch-status\"}\n"));
        assert_true(number != f->asked_by);
        assert_int_equal(f->gone, 0);
        close(a);
        peer_spin_until(f->loop, &f->gone, 1);
        assert_true(f->gone_client == number);
        peer_settle(f->loop, 5);
        assert_int_equal(f->gone, 1);
        close(b);
        peer_spin_until(f->loop, &f->gone, 2);
}

/* The log is on a disk, and anybody who may connect, QEMU among them, can have lines written into it. */
static void who_is_cut_off_again_and_again_does_not_fill_the_log(void **state)
{
        struct fixture *f = *state;
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", f->dir);
        for (int i = 0; i < 2 * STORY_PER_MINUTE; i++) {
                int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

                assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
                peer_write(fd, "]\n");
                for (unsigned gone = f->gone; f->gone == gone;)
                        loop_step(f->loop, 1000);
                close(fd);
        }
        assert_in_range(f->cut_off, 1, STORY_PER_MINUTE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                TEST(the_socket_is_for_all_and_its_greeting_names_the_vm),
                TEST(nothing_is_answered_before_negotiation_and_negotiation_is_once),
                TEST(own_commands_are_answered_without_qemu),
                TEST(what_is_no_command_is_refused_without_qemu),
                TEST(query_commands_lists_qemus_and_our_own),
                TEST(a_client_that_does_not_read_is_cut_off_and_others_are_not),
                TEST(a_client_may_be_cut_off_by_its_own_command),
                TEST(huge_or_broken_input_ends_the_client_only),
                TEST(clients_beyond_the_limit_are_told_and_closed),
                TEST(a_finished_control_takes_no_commands_but_sends_what_waits),
                TEST(a_long_directory_does_not_matter),
                TEST(greeting_of_a_hostile_qemu_locks_no_client_out),
                TEST(accept_that_fails_does_not_make_the_loop_spin),
                TEST(client_is_served_when_there_are_fds_again),
                TEST(an_own_command_may_be_answered_later_with_its_own_id),
                TEST(an_error_of_qemus_without_a_class_has_one_for_the_client),
                TEST(the_end_of_a_connection_is_told_once_with_its_number),
                TEST(who_is_cut_off_again_and_again_does_not_fill_the_log),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
