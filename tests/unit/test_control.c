#include "launcher/run/control.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "launcher/run/fd_names.h"
#include "launcher/run/unsettled.h"
#include "tests/unit/peer.h"

#define GREETING \
        "{\"QMP\":{\"version\":{\"qemu\":{\"major\":7,\"minor\":2,\"micro\":22},\"package\":\"x\"},\"capabilities\":[\"oob\"]}}\n"

/* Nobody's here. */
#define VM_UID       1900000017
#define OPERATOR_GID 1900000018
#define MONITOR_GID  1900000019

/* The test plays QEMU at the one end and the clients at the other. */
struct fixture {
        struct loop *loop;
        struct control *control;
        struct qmp_client *qmp;    /* NULL: none to forward to */
        int qemu, dirfd, listener; /* the listener is the control's */
        char dir[64];
        unsigned ready, own, in_time, late, cut_off, gone, settled_late;
        bool broadcast_in_own, answer_later;
        struct control_call *owed[2];
        unsigned long long asked_by, gone_client;
        struct control_roles roles;
};

static void on_ready(json_t *greeting, void *data)
{
        struct fixture *f = data;

        f->ready++;
        control_set_greeting(f->control, greeting);
}

static void on_event(const char *name, json_t *event_data, json_t *event, void *data)
{
        struct fixture *f = data;

        (void)name;
        (void)event_data;
        control_broadcast(f->control, event);
}

static void broadcast_filler(struct fixture *f)
{
        char filler[100001];

        memset(filler, 'x', sizeof(filler) - 1);
        filler[sizeof(filler) - 1] = '\0';
        control_event(f->control, "FILLER", json_pack("{s:s}", "text", filler));
}

static json_t *on_own(const struct control_command *command, json_t *arguments, int *fds, size_t n_fds,
                      const struct control_peer *peer, void *data, struct error **err)
{
        struct fixture *f = data;

        (void)fds, (void)n_fds;
        assert_int_equal(peer->uid, geteuid());
        assert_int_equal(peer->pid, getpid());
        f->own++;
        f->asked_by = peer->client;
        if (f->answer_later) {
                f->owed[f->own - 1] = control_answer_later(f->control);
                return NULL;
        }
        for (int i = 0; f->broadcast_in_own && i < 40; i++)
                broadcast_filler(f);
        if (json_object_get(arguments, "fail")) {
                error_set(err, ERROR_GUEST, "the guest agent is absent");
                return NULL;
        }
        return json_pack("{s:s}", "command", command->name);
}

static struct qmp_client *on_clean_up(void *data)
{
        struct fixture *f = data;

        return f->qmp;
}

static void on_gone(const struct control_peer *peer, void *data)
{
        struct fixture *f = data;

        f->gone++;
        f->gone_client = peer->client;
}

static void on_late(const char *command, json_int_t id, json_t *reply, void *data)
{
        struct fixture *f = data;

        f->settled_late += control_late(f->control, command, id, reply);
}

static struct qmp_client *on_forward(const struct control_command *command, const struct control_peer *peer,
                                     void *data, struct error **err)
{
        struct fixture *f = data;

        (void)command;
        (void)peer;
        if (!f->qmp)
                error_set(err, ERROR_BUSY, "QEMU does not answer");
        return f->qmp;
}

static void on_answer(bool in_time, void *data)
{
        struct fixture *f = data;

        f->in_time += in_time;
        f->late += !in_time;
}

static void on_cut_off(const struct control_peer *peer, const char *why, void *data)
{
        struct fixture *f = data;

        (void)peer;
        assert_non_null(why);
        f->cut_off++;
}

static int set_up(void **state)
{
        static const struct control_handlers handlers = {
                .on_own = on_own,
                .on_forward = on_forward,
                .on_answer = on_answer,
                .on_clean_up = on_clean_up,
                .on_gone = on_gone,
                .on_cut_off = on_cut_off,
        };
        static const struct qmp_client_handlers qmp_handlers = { .on_ready = on_ready,
                                                                 .on_event = on_event,
                                                                 .on_late = on_late };
        struct fixture *f = xcalloc(1, sizeof(*f));
        _cleanup_error_ struct error *err = NULL;
        int ours, fd = -1;

        f->loop = loop_new();
        snprintf(f->dir, sizeof(f->dir), "/tmp/vmlaunch-control-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(control_listen(f->dirfd, "control.sock", &fd, &err), 0);
        f->listener = fd;
        f->roles = (struct control_roles){ .own_uid = geteuid(),
                                           .vm_uid = VM_UID,
                                           .operator_gid = OPERATOR_GID,
                                           .monitor_gid = MONITOR_GID };
        f->control = control_new(f->loop, fd, "web", "6f0c", &f->roles, &handlers, f);
        peer_pair(&ours, &f->qemu);
        f->qmp = qmp_client_new(f->loop, ours, 5000, &qmp_handlers, f);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        control_free(f->control);
        qmp_client_free(f->qmp);
        loop_free(f->loop);
        close(f->qemu);
        unlinkat(f->dirfd, "control.sock", 0);
        close(f->dirfd);
        rmdir(f->dir);
        free(f);
        return 0;
}

static void greet(struct fixture *f)
{
        json_t *negotiation;
        char line[64];

        peer_write(f->qemu, GREETING);
        peer_settle(f->loop, 20);
        negotiation = peer_read_json(f->qemu);
        assert_string_equal(json_string_value(json_object_get(negotiation, "execute")), "qmp_capabilities");
        snprintf(line, sizeof(line), "{\"return\":{},\"id\":%lld}\n",
                 json_integer_value(json_object_get(negotiation, "id")));
        json_decref(negotiation);
        peer_write(f->qemu, line);
        peer_spin_until(f->loop, &f->ready, 1);
}

static int connect_client(struct fixture *f)
{
        const struct timeval limit = { .tv_sec = 5 };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", f->dir);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        peer_settle(f->loop, 5);
        return fd;
}

/* What the client gets when it sends this. New reference. */
static json_t *ask(struct fixture *f, int client, const char *line)
{
        peer_write(client, line);
        peer_settle(f->loop, 5);
        return peer_read_json(client);
}

static int negotiated_client(struct fixture *f)
{
        int client = connect_client(f);

        json_decref(peer_read_json(client));
        json_decref(ask(f, client, "{\"execute\":\"qmp_capabilities\"}\n"));
        return client;
}

static void expect_error(json_t *reply_consume, const char *class, const char *desc)
{
        json_t *error = json_object_get(reply_consume, "error");

        assert_non_null(error);
        assert_string_equal(json_string_value(json_object_get(error, "class")), class);
        assert_non_null(strstr(json_string_value(json_object_get(error, "desc")), desc));
        json_decref(reply_consume);
}

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

/* Answers the command that QEMU has got. extra: "return" or "error" and its value. */
static void qemu_answers(struct fixture *f, json_t *command_consume, const char *answer)
{
        _cleanup_free_ char *line = xasprintf("{%s,\"id\":%lld}\n", answer,
                                              json_integer_value(json_object_get(command_consume, "id")));

        json_decref(command_consume);
        peer_write(f->qemu, line);
        peer_settle(f->loop, 5);
}

static bool lists(const json_t *reply, const char *name)
{
        json_t *each;
        size_t i;

        json_array_foreach (json_object_get(reply, "return"), i, each) {
                if (strcmp(json_string_value(json_object_get(each, "name")), name) == 0)
                        return true;
        }
        return false;
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

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                TEST(the_socket_is_for_all_and_its_greeting_names_the_vm),
                TEST(nothing_is_answered_before_negotiation_and_negotiation_is_once),
                TEST(own_commands_are_answered_without_qemu),
                TEST(what_is_no_command_is_refused_without_qemu),
                TEST(query_commands_lists_qemus_and_our_own),
                TEST(an_operator_has_power_and_nothing_of_an_admins),
                TEST(a_monitor_may_look_and_not_touch),
                TEST(the_vms_own_uid_is_refused_whatever_its_groups),
                cmocka_unit_test(roles_are_by_uid_first_and_by_group_then),
                cmocka_unit_test(every_row_is_once_there_and_means_what_its_name_says),
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
                TEST(a_client_that_does_not_read_is_cut_off_and_others_are_not),
                TEST(a_client_may_be_cut_off_by_its_own_command),
                TEST(huge_or_broken_input_ends_the_client_only),
                TEST(clients_beyond_the_limit_are_told_and_closed),
                TEST(operators_cannot_keep_an_admin_out),
                TEST(a_stranger_is_told_and_closed),
                TEST(a_finished_control_takes_no_commands_but_sends_what_waits),
                TEST(a_long_directory_does_not_matter),
                TEST(greeting_of_a_hostile_qemu_locks_no_client_out),
                TEST(accept_that_fails_does_not_make_the_loop_spin),
                TEST(client_is_served_when_there_are_fds_again),
                TEST(an_own_command_may_be_answered_later_with_its_own_id),
                TEST(the_end_of_a_connection_is_told_once_with_its_number),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
