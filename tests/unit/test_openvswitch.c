/* A scripted OVSDB server, whose answers need not be any. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "net/openvswitch.h"
#include "tests/unit/scratch.h"

#define OWNER "vmlaunch:web:0123456789abcdef"
#define PORT(owner)                                                                                  \
        "{\"id\":1,\"error\":null,\"result\":[{\"rows\":[{\"name\":\"t0\","                          \
        "\"_uuid\":[\"uuid\",\"u\"],\"external_ids\":[\"map\",[[\"a\",\"b\"],[\"vmlaunch\",\"" owner \
        "\"]]]}]}]}"
#define NONE  "{\"id\":1,\"error\":null,\"result\":[{\"rows\":[]}]}"
#define ADDED "{\"id\":1,\"error\":null,\"result\":[{},{},{\"count\":1}]}"
#define WORKS "{\"id\":1,\"error\":null,\"result\":[{},{\"rows\":[{\"ofport\":7,\"error\":[\"set\",[]]}]}]}"
#define NO_DEVICE \
        "{\"id\":1,\"error\":null,\"result\":[{},{\"rows\":[{\"ofport\":-1,\"error\":\"no\\u0007 device\"}]}]}"

/* Instead of an answer. */
#define HANG_UP NULL
static const char drip[] = "one byte at a time", flood[] = "without end";

struct server {
        char *path;
        pid_t pid;
        int requests; /* what it was asked, one a line */
};

static bool say(int fd, const char *bytes, size_t n)
{
        return send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static void answer(int fd, const char *text)
{
        static const char blanks[65536] = { [0 ... 65535] = ' ' };

        if (text == drip)
                while (say(fd, " ", 1))
                        usleep(100000);
        else if (text == flood)
                while (say(fd, blanks, sizeof(blanks)))
                        ;
        else if (text)
                say(fd, text, strlen(text));
}

/* Answers one connection after the other; the list ends with "". */
static void serve(int listener, int requests, const char *const *answers)
{
        static char request[65536];

        for (; !*answers || **answers; answers++) {
                int fd = accept(listener, NULL, NULL);
                ssize_t n = recv(fd, request, sizeof(request), 0);

                if (n > 0 && (write(requests, request, (size_t)n) < 0 || write(requests, "\n", 1) < 0))
                        _exit(1);
                answer(fd, *answers);
                close(fd);
        }
        _exit(0);
}

static struct server begin(void **state, const char *const *answers)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct server server = { .path = xasprintf("%s/db.sock", ((const struct fixture *)*state)->path) };
        int listener = socket(AF_UNIX, SOCK_STREAM, 0), pipes[2];

        assert_int_equal(pipe(pipes), 0);
        strncpy(address.sun_path, server.path, sizeof(address.sun_path) - 1);
        unlink(server.path);
        assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(listener, 8), 0);
        server.pid = fork();
        if (server.pid == 0)
                serve(listener, pipes[1], answers);
        close(listener);
        close(pipes[1]);
        server.requests = pipes[0];
        return server;
}

/* All that it was asked; new string. */
static char *end(struct server *server)
{
        struct error *err = NULL;
        char *asked = NULL;

        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
        assert_int_equal(fd_read_all(server->requests, "requests", 1 << 20, &asked, NULL, &err), 0);
        close(server->requests);
        free(server->path);
        return asked;
}

static const struct net_op join = { .kind = NET_BRIDGE_JOIN,
                                    .ifname = "t0",
                                    .join = { .bridge = "ovs0",
                                              .in_ovs = true,
                                              .ovs = { .tag = 20,
                                                       .trunks = "100,4093-4094",
                                                       .mac = "52:54:00:AA:bb:cc",
                                                       .vm_id = "01234567-89ab-8cde-8123-456789abcdef" } } };

static void a_port_is_added_in_one_transaction(void **state)
{
        /* Other messages of the server before its answer are nothing to us. */
        static const char *const answers[] = {
                NONE, ("{\"id\":\"echo\",\"method\":\"echo\",\"params\":[]}[1]" ADDED), WORKS, ""
        };
        struct server server = begin(state, answers);
        struct error *err = NULL;
        _cleanup_free_ char *asked = NULL;

        assert_int_equal(ovs_port_add(server.path, &join, OWNER, &err), 0);
        asked = end(&server);
        assert_non_null(strstr(
                asked,
                "{\"method\":\"transact\",\"params\":[\"Open_vSwitch\","
                "{\"op\":\"insert\",\"table\":\"Interface\",\"uuid-name\":\"i\",\"row\":{\"name\":\"t0\",\"external_ids\":"
                "[\"map\",[[\"attached-mac\",\"52:54:00:AA:bb:cc\"],"
                "[\"iface-id\",\"01234567-89ab-8cde-8123-525400aabbcc\"],[\"iface-status\",\"active\"],"
                "[\"vm-id\",\"01234567-89ab-8cde-8123-456789abcdef\"]]]}},"
                "{\"op\":\"insert\",\"table\":\"Port\",\"uuid-name\":\"p\",\"row\":{\"name\":\"t0\","
                "\"interfaces\":[\"named-uuid\",\"i\"],\"external_ids\":[\"map\",[[\"vmlaunch\",\"" OWNER
                "\"]]],"
                "\"other_config\":[\"map\",[[\"transient\",\"true\"]]],\"tag\":20,"
                "\"trunks\":[\"set\",[100,4093,4094]],\"vlan_mode\":\"native-untagged\"}},"
                "{\"op\":\"mutate\",\"table\":\"Bridge\",\"where\":[[\"name\",\"==\",\"ovs0\"]],"
                "\"mutations\":[[\"ports\",\"insert\",[\"named-uuid\",\"p\"]]]}],\"id\":1}"));
}

static void a_port_that_the_switch_does_not_take_is_removed(void **state)
{
        static const char *const answers[] = {
                NONE, ADDED, NO_DEVICE, PORT(OWNER), "{\"id\":1,\"result\":[{\"count\":1}]}", ""
        };
        static const char *const late[] = { NONE,
                                            ADDED,
                                            "{\"id\":1,\"result\":[{\"error\":\"timed out\"},null]}",
                                            PORT(OWNER),
                                            "{\"id\":1,\"result\":[{\"count\":1}]}",
                                            "" };
        struct server server = begin(state, answers);
        struct error *err = NULL;
        char *asked;

        assert_int_equal(ovs_port_add(server.path, &join, OWNER, &err), -1);
        assert_int_equal(err->code, ERROR_HOST);
        assert_string_equal(err->message, "Open vSwitch does not take it: no\\x07 device");
        error_free(TAKE_PTR(err));
        asked = end(&server);
        assert_non_null(strstr(asked, "\"mutations\":[[\"ports\",\"delete\",[\"uuid\",\"u\"]]]"));
        free(asked);

        server = begin(state, late);
        assert_int_equal(ovs_port_add(server.path, &join, OWNER, &err), -1);
        assert_int_equal(err->code, ERROR_DEADLINE);
        error_free(err);
        asked = end(&server);
        assert_non_null(strstr(asked, "\"delete\""));
        free(asked);
}

static void a_port_of_somebody_else_is_left_alone(void **state)
{
        static const char *const answers[] = { PORT("other:web:1"), PORT("vmlaunch:web:1"),
                                               PORT("vmlaunch:web:1"), "" };
        struct server server = begin(state, answers);
        struct error *err = NULL;
        char bridge[IFNAMSIZ];

        assert_int_equal(ovs_port_add(server.path, &join, OWNER, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        error_free(TAKE_PTR(err));
        assert_int_equal(ovs_port_remove(server.path, "t0", OWNER, &err), 0);
        assert_int_equal(ovs_bridge_of(server.path, "t0", OWNER, bridge, &err), 0);
        assert_string_equal(bridge, "");
        free(end(&server));
}

static void a_bridge_that_is_not_there_is_told_with_those_that_are(void **state)
{
        static const char *const answers[] = {
                NONE, "{\"id\":1,\"result\":[{},{},{\"count\":0}]}",
                "{\"id\":1,\"result\":[{\"rows\":[{\"name\":\"a\\u001b\"},{\"name\":7},[]]}]}", ""
        };
        struct server server = begin(state, answers);
        struct error *err = NULL;

        assert_int_equal(ovs_port_add(server.path, &join, OWNER, &err), -1);
        assert_int_equal(err->code, ERROR_HOST);
        assert_string_equal(err->message, "Open vSwitch has no bridge 'ovs0' (bridges: a\\x1b, ?, ?)");
        error_free(err);
        free(end(&server));
}

static void a_bridge_with_a_long_name_is_cut(void **state)
{
        static const char *const answers[] = {
                PORT(OWNER), "{\"id\":1,\"result\":[{\"rows\":[{\"name\":\"a-bridge-with-a-long-name\"}]}]}",
                ""
        };
        struct server server = begin(state, answers);
        struct error *err = NULL;
        char bridge[IFNAMSIZ];

        assert_int_equal(ovs_bridge_of(server.path, "t0", OWNER, bridge, &err), 0);
        assert_string_equal(bridge, "a-bridge-with-a");
        free(end(&server));
}

static void answers_that_are_none_are_errors(void **state)
{
        static const char *const hostile[] = {
                HANG_UP,
                flood,
                "{",
                "nothing",
                "{\"id\":1}",
                "{\"id\":1,\"result\":null,\"error\":{\"error\":\"no\",\"details\":\"\\u001b[1m\"}}",
                "{\"id\":1,\"result\":{}}",
                "{\"id\":1,\"result\":[]}",
                "{\"id\":1,\"result\":[{},{}]}",
                "{\"id\":1,\"result\":[{\"error\":7}]}",
                "{\"id\":2,\"result\":[]}[[]]7",
        };
        struct error *err = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
                const char *const answers[] = { hostile[i], "" };
                struct server server = begin(state, answers);

                assert_null(ovs_find(server.path, "vmlaunch:", &err));
                assert_int_equal(err->code, ERROR_FAILED);
                error_free(TAKE_PTR(err));
                free(end(&server));
        }
}

static void what_it_says_of_a_request_as_a_whole_is_told(void **state)
{
        static const char *const said[][2] = {
                { "{\"id\":1,\"result\":null,\"error\":{\"error\":\"unknown database\",\"details\":\"none\\u001b\"}}",
                  "ask Open vSwitch: it says no: none\\x1b" },
                { "{\"id\":1,\"result\":null,\"error\":{\"error\":\"unknown database\"}}",
                  "ask Open vSwitch: it says no: unknown database" },
                { "{\"id\":1,\"result\":[{\"error\":\"constraint violation\"}]}",
                  "ask Open vSwitch: it says no: constraint violation" },
                { "{\"id\":1,\"result\":null}", "ask Open vSwitch: it says no: no reason is given" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(said); i++) {
                const char *const answers[] = { said[i][0], "" };
                struct server server = begin(state, answers);
                struct error *err = NULL;
                _cleanup_free_ char *text = NULL;

                assert_null(ovs_find(server.path, "vmlaunch:", &err));
                text = error_text(err);
                assert_string_equal(text, said[i][1]);
                error_free(err);
                free(end(&server));
        }
}

static void rows_of_other_shapes_are_no_ports_of_ours(void **state)
{
        static const char *const answers[] = {
                "{\"id\":1,\"result\":[7]}", "{\"id\":1,\"result\":[{\"rows\":{}}]}",
                "{\"id\":1,\"result\":[{\"rows\":[7,[],{},{\"name\":\"x\"},{\"name\":\"x\",\"external_ids\":7},"
                "{\"name\":\"x\",\"external_ids\":[\"map\",[7,[],[1,2],[\"vmlaunch\"],[\"vmlaunch\",3]]]},"
                "{\"external_ids\":[\"map\",[[\"vmlaunch\",\"vmlaunch:a:1\"]]]}]}]}",
                ""
        };
        struct server server = begin(state, answers);
        struct error *err = NULL;

        for (size_t i = 0; i < 3; i++) {
                json_auto_t *found = ovs_find(server.path, "vmlaunch:", &err);

                assert_int_equal(json_object_size(found), 0);
                assert_null(err);
        }
        free(end(&server));
}

static void a_server_that_does_not_come_to_an_end_is_not_waited_for(void **state)
{
        static const char *const answers[] = { drip, "" };
        struct server server = begin(state, answers);
        struct error *err = NULL;

        assert_null(ovs_find(server.path, "vmlaunch:", &err));
        assert_int_equal(err->code, ERROR_DEADLINE);
        error_free(err);
        free(end(&server));
}

static void a_host_without_the_switch_has_no_ports(void **state)
{
        _cleanup_free_ char *path = xasprintf("%s/none.sock", ((const struct fixture *)*state)->path);
        struct error *err = NULL;
        json_auto_t *found = ovs_find(path, "vmlaunch:", &err);

        assert_int_equal(json_object_size(found), 0);
        assert_int_equal(ovs_port_remove(path, "t0", OWNER, &err), 0);
        assert_null(err);
        assert_int_equal(ovs_port_add(path, &join, OWNER, &err), -1);
        assert_int_equal(err->code, ERROR_OS);
        error_free(err);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_port_is_added_in_one_transaction, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_port_that_the_switch_does_not_take_is_removed, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(a_port_of_somebody_else_is_left_alone, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_bridge_that_is_not_there_is_told_with_those_that_are,
                                                set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_bridge_with_a_long_name_is_cut, set_up, tear_down),
                cmocka_unit_test_setup_teardown(answers_that_are_none_are_errors, set_up, tear_down),
                cmocka_unit_test_setup_teardown(what_it_says_of_a_request_as_a_whole_is_told, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(rows_of_other_shapes_are_no_ports_of_ours, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_server_that_does_not_come_to_an_end_is_not_waited_for,
                                                set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_host_without_the_switch_has_no_ports, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
