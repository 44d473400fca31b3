/* Who may do what on the control socket. */
#include <grp.h>
#include <sys/wait.h>

#include "base/group.h"
#include "tests/unit/control_fixture.h"

/* A connection of another user, made in a child; the groups are all the supplementary ones. */
static int connect_as(struct fixture *f, uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups)
{
        int pair[2], fd = -1, status;
        char bytes[CMSG_SPACE(sizeof(int))], c = 'x';
        struct iovec iov = { .iov_base = &c, .iov_len = 1 };
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = bytes, .msg_controllen = sizeof(bytes)
        };
        pid_t child;

        chmod(f->dir, 0755);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        child = fork();
        if (child == 0) {
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                int sock = socket(AF_UNIX, SOCK_STREAM, 0);
                struct error *err = NULL;

                snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", f->dir);
                if (setgroups(n_groups, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
                    setresuid(uid, uid, uid) < 0 ||
                    connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
                        _exit(2);
                _exit(fd_send(pair[1], "x", 1, &sock, 1, &err) == 0 ? 0 : 3);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(recvmsg(pair[0], &message, MSG_CMSG_CLOEXEC), 1);
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        close(pair[0]);
        close(pair[1]);
        peer_settle(f->loop, 5);
        return fd;
}

static int negotiated_as(struct fixture *f, uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups)
{
        int client = connect_as(f, uid, gid, groups, n_groups);
        json_t *greeting = peer_read_json(client);

        assert_non_null(json_object_get(greeting, "QMP"));
        json_decref(greeting);
        json_decref(ask(f, client, "{\"execute\":\"qmp_capabilities\"}\n"));
        return client;
}

static void an_operator_has_power_and_nothing_of_an_admins(void **state)
{
        static const char *const denied[] = { "quit",        "human-monitor-command",
                                              "device_add",  "add-fd",
                                              "getfd",       "object-add",
                                              "migrate",     "set-action",
                                              "qom-set",     "qom-get",
                                              "Stop",        "query-something-new",
                                              "set_password" };
        const gid_t groups[] = { 7, OPERATOR_GID };
        struct fixture *f = *state;
        json_t *reply;
        int client;
        char c;

        if (geteuid() != 0)
                skip();
        greet(f);
        client = negotiated_as(f, 65534, 65534, groups, 2);
        for (size_t i = 0; i < ARRAY_SIZE(denied); i++) {
                _cleanup_free_ char *line = xasprintf("{\"execute\":\"%s\"}\n", denied[i]);

                expect_error(ask(f, client, line), "NotPermitted", "needs the role admin");
        }
        assert_int_equal(recv(f->qemu, &c, 1, MSG_DONTWAIT), -1);
        peer_write(client, "{\"execute\":\"stop\"}\n");
        peer_settle(f->loop, 5);
        qemu_answers(f, peer_read_json(f->qemu), "\"return\":{}");
        reply = peer_read_json(client);
        assert_non_null(json_object_get(reply, "return"));
        json_decref(reply);
        peer_write(client, "{\"execute\":\"query-commands\"}\n");
        peer_settle(f->loop, 5);
        qemu_answers(f, peer_read_json(f->qemu),
                     "\"return\":[{\"name\":\"stop\"},{\"name\":\"device_add\"}]");
        reply = peer_read_json(client);
        assert_true(lists(reply, "stop") && !lists(reply, "device_add"));
        json_decref(reply);
        close(client);
}

static void a_monitor_may_look_and_not_touch(void **state)
{
        const gid_t other = 7;
        struct fixture *f = *state;
        int client;
        json_t *event;

        if (geteuid() != 0)
                skip();
        greet(f);
        /* By the primary group, which SO_PEERGROUPS has not. */
        client = negotiated_as(f, 65534, MONITOR_GID, &other, 1);
        expect_error(ask(f, client, "{\"execute\":\"stop\"}\n"), "NotPermitted", "needs the role operator");
        expect_error(ask(f, client, "{\"execute\":\"vmlaunch-shutdown\"}\n"), "NotPermitted", "monitor");
        peer_write(client, "{\"execute\":\"query-status\"}\n");
        peer_settle(f->loop, 5);
        qemu_answers(f, peer_read_json(f->qemu), "\"return\":{}");
        json_decref(peer_read_json(client));
        control_event(f->control, "VMLAUNCH_STATE", json_pack("{s:s}", "state", "paused"));
        event = peer_read_json(client);
        assert_non_null(json_object_get(event, "event"));
        json_decref(event);
        close(client);
}

static void the_vms_own_uid_is_refused_whatever_its_groups(void **state)
{
        const gid_t groups[] = { OPERATOR_GID, MONITOR_GID };
        struct fixture *f = *state;
        int client;
        char c;

        if (geteuid() != 0)
                skip();
        client = connect_as(f, VM_UID, OPERATOR_GID, groups, 2);
        expect_error(peer_read_json(client), "NotPermitted", "control socket is for");
        assert_int_equal(recv(client, &c, 1, 0), 0);
        assert_int_equal(f->cut_off, 1);
        close(client);
}

static void roles_are_by_uid_first_and_by_group_then(void **state)
{
        const struct control_roles roles = {
                .own_uid = 1000, .vm_uid = 2000, .operator_gid = 50, .monitor_gid = 60
        };
        const struct control_roles absent = {
                .own_uid = 1000, .vm_uid = 2000, .operator_gid = GROUP_ABSENT, .monitor_gid = GROUP_ABSENT
        };
        const gid_t both[] = { 60, 50 }, none[] = { GROUP_ABSENT };

        (void)state;
        assert_int_equal(control_role_of(&roles, 0, 0, NULL, 0), ROLE_ADMIN);
        assert_int_equal(control_role_of(&roles, 1000, 9, NULL, 0), ROLE_ADMIN);
        assert_int_equal(control_role_of(&roles, 2000, 50, both, 2), ROLE_NONE);
        assert_int_equal(control_role_of(&roles, 3000, 9, both, 2), ROLE_OPERATOR);
        assert_int_equal(control_role_of(&roles, 3000, 50, NULL, 0), ROLE_OPERATOR);
        assert_int_equal(control_role_of(&roles, 3000, 9, both, 1), ROLE_MONITOR);
        assert_int_equal(control_role_of(&roles, 3000, 9, NULL, 0), ROLE_NONE);
        assert_int_equal(control_role_of(&absent, 3000, GROUP_ABSENT, none, 1), ROLE_NONE);
}

static void every_row_is_once_there_and_means_what_its_name_says(void **state)
{
        const struct control_command *row, *found;
        struct control_command other;

        (void)state;
        for (size_t i = 0; (row = control_command_at(i)); i++) {
                bool query = strncmp(row->name, "query-", 6) == 0;

                found = control_command_find(row->name);
                assert_ptr_equal(found, row);
                assert_int_not_equal(row->role, ROLE_NONE);
                assert_true(!query || (row->class == QMP_QUERY && !row->changes));
                assert_true(!row->changes || row->class != QMP_QUERY);
                assert_true(!row->changes || row->role >= ROLE_OPERATOR);
                assert_true(!row->by_hand || (row->changes && row->role == ROLE_ADMIN));
        }
        assert_true(control_command_classify("query-of-the-future", NULL, &other));
        assert_true(other.role == ROLE_ADMIN && !other.by_hand && other.class == QMP_QUERY);
        assert_true(control_command_classify("change-the-future", NULL, &other));
        assert_true(other.role == ROLE_ADMIN && other.by_hand);
}

/* The role is that of the moment of connect(). */
static int connect_operator(struct fixture *f)
{
        int fd;

        assert_int_equal(setegid(OPERATOR_GID), 0);
        assert_int_equal(seteuid(65534), 0);
        fd = connect_client(f);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(setegid(0), 0);
        return fd;
}

static void operators_cannot_keep_an_admin_out(void **state)
{
        struct fixture *f = *state;
        int fds[CONTROL_OTHERS + 1], admin;

        if (geteuid() != 0)
                skip();
        chmod(f->dir, 0755);
        for (int i = 0; i <= CONTROL_OTHERS; i++)
                fds[i] = connect_operator(f);
        expect_error(peer_read_json(fds[CONTROL_OTHERS]), "Busy", "too many clients");
        admin = negotiated_client(f);
        close(admin);
        for (int i = 0; i <= CONTROL_OTHERS; i++)
                close(fds[i]);
}

static void a_stranger_is_told_and_closed(void **state)
{
        struct fixture *f = *state;
        pid_t child;
        int status;

        if (geteuid() != 0)
                skip();
        chmod(f->dir, 0755);
        child = fork();
        if (child == 0) {
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                int fd = socket(AF_UNIX, SOCK_STREAM, 0);
                char *line;

                snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", f->dir);
                if (setresuid(65534, 65534, 65534) < 0 ||
                    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                        _exit(2);
                line = peer_read_line(fd);
                _exit(strstr(line, "NotPermitted") ? 0 : 1);
        }
        for (int i = 0; i < 500 && waitpid(child, &status, WNOHANG) == 0; i++)
                loop_step(f->loop, 10);
        assert_int_equal(status, 0);
}

/* QEMU is stopped, say: what it has not answered is bounded, for all clients together. */
static void monitors_cannot_keep_an_admins_commands_out(void **state)
{
        struct fixture *f = *state;
        struct text lines = TEXT_INIT;
        int monitors[6], admin;

        if (geteuid() != 0)
                skip();
        greet(f);
        admin = negotiated_client(f);
        for (size_t i = 0; i < ARRAY_SIZE(monitors); i++)
                monitors[i] = negotiated_as(f, 65534, MONITOR_GID, NULL, 0);
        for (int i = 0; i < CONTROL_IN_FLIGHT; i++)
                text_add(&lines, "{\"execute\":\"query-status\"}\n");
        for (size_t i = 0; i < ARRAY_SIZE(monitors); i++)
                peer_write(monitors[i], text_str(&lines));
        peer_write(admin, "{\"execute\":\"query-name\"}\n");
        peer_settle(f->loop, 50);
        for (bool found = false; !found;) {
                json_auto_t *command = peer_read_json(f->qemu);

                found = strcmp(json_string_value(json_object_get(command, "execute")), "query-name") == 0;
        }
        for (size_t i = 0; i < ARRAY_SIZE(monitors); i++)
                close(monitors[i]);
        close(admin);
        text_done(&lines);
}

static void lines_of_etc_group_are_read_and_others_passed_over(void **state)
{
        char text[] = "root:x:0:\n\n# a comment\nno:number:here:\nshort:x\n+:::\nbig:x:4294967296:a\n"
                      "kvm:x:104:a,b\nlast::7";
        char *rest = text, *none = NULL;
        const char *name;
        uint32_t gid;

        (void)state;
        assert_true(group_next(&rest, &name, &gid));
        assert_string_equal(name, "root");
        assert_int_equal(gid, 0);
        assert_true(group_next(&rest, &name, &gid));
        assert_string_equal(name, "kvm");
        assert_int_equal(gid, 104);
        assert_true(group_next(&rest, &name, &gid));
        assert_string_equal(name, "last");
        assert_int_equal(gid, 7);
        assert_false(group_next(&rest, &name, &gid));
        assert_false(group_next(&none, &name, &gid));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                TEST(an_operator_has_power_and_nothing_of_an_admins),
                TEST(a_monitor_may_look_and_not_touch),
                TEST(the_vms_own_uid_is_refused_whatever_its_groups),
                cmocka_unit_test(roles_are_by_uid_first_and_by_group_then),
                cmocka_unit_test(every_row_is_once_there_and_means_what_its_name_says),
                cmocka_unit_test(lines_of_etc_group_are_read_and_others_passed_over),
                TEST(operators_cannot_keep_an_admin_out),
                TEST(a_stranger_is_told_and_closed),
                TEST(monitors_cannot_keep_an_admins_commands_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
