#include "launcher/run/control.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/unit/peer.h"

#define GREETING \
        "{\"QMP\":{\"version\":{\"qemu\":{\"major\":7,\"minor\":2,\"micro\":22},\"package\":\"x\"},\"capabilities\":[\"oob\"]}}\n"

/* The test plays QEMU at the one end and the clients at the other. */
struct fixture {
        struct loop *loop;
        struct control *control;
        struct qmp_client *qmp;    /* NULL: none to forward to */
        int qemu, dirfd, listener; /* the listener is the control's */
        char dir[64];
        unsigned ready, own, in_time, late, cut_off;
        bool broadcast_in_own;
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

static json_t *on_own(const struct control_command *command, json_t *arguments,
                      const struct control_peer *peer, void *data, struct error **err)
{
        struct fixture *f = data;

        assert_int_equal(peer->uid, geteuid());
        assert_int_equal(peer->pid, getpid());
        f->own++;
        for (int i = 0; f->broadcast_in_own && i < 40; i++)
                broadcast_filler(f);
        if (json_object_get(arguments, "fail")) {
                error_set(err, ERROR_GUEST, "the guest agent is absent");
                return NULL;
        }
        return json_pack("{s:s}", "command", command->name);
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
                .on_cut_off = on_cut_off,
        };
        static const struct qmp_client_handlers qmp_handlers = { .on_ready = on_ready, .on_event = on_event };
        struct fixture *f = xcalloc(1, sizeof(*f));
        _cleanup_error_ struct error *err = NULL;
        int ours, fd = -1;

        f->loop = loop_new();
        snprintf(f->dir, sizeof(f->dir), "/tmp/vmlaunch-control-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(control_listen(f->dirfd, "control.sock", &fd, &err), 0);
        f->listener = fd;
        f->control = control_new(f->loop, fd, "web", "6f0c", &handlers, f);
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

static void what_is_not_in_the_table_is_denied(void **state)
{
        static const char *const denied[] = { "quit",
                                              "human-monitor-command",
                                              "device_add",
                                              "add-fd",
                                              "getfd",
                                              "object-add",
                                              "migrate",
                                              "set-action",
                                              "qom-set",
                                              "Stop",
                                              "" };
        struct fixture *f = *state;
        int client = negotiated_client(f);
        char c;

        greet(f);
        for (size_t i = 0; i < ARRAY_SIZE(denied); i++) {
                char line[128];

                snprintf(line, sizeof(line), "{\"execute\":\"%s\"}\n", denied[i]);
                expect_error(ask(f, client, line), "CommandNotFound", "has not been found");
        }
        expect_error(ask(f, client, "{\"exec-oob\":\"stop\"}\n"), "GenericError", "'exec-oob' is unexpected");
        expect_error(ask(f, client, "{\"id\":1}\n"), "GenericError", "lacks member 'execute'");
        expect_error(ask(f, client, "{\"execute\":7}\n"), "GenericError", "lacks member 'execute'");
        expect_error(ask(f, client, "{\"execute\":\"stop\",\"arguments\":[]}\n"), "GenericError",
                     "must be an object");
        /* Nothing of it reached QEMU. */
        assert_int_equal(recv(f->qemu, &c, 1, MSG_DONTWAIT), -1);
        close(client);
}

static void query_commands_lists_the_table(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f);
        json_t *reply = ask(f, client, "{\"execute\":\"query-commands\"}\n"), *each;
        size_t i;

        assert_true(json_array_size(json_object_get(reply, "return")) > 5);
        json_array_foreach (json_object_get(reply, "return"), i, each) {
                assert_non_null(control_command_find(json_string_value(json_object_get(each, "name"))));
        }
        json_decref(reply);
        close(client);
}

static void what_counts_as_a_query_changes_nothing(void **state)
{
        struct fixture *f = *state;
        int client = negotiated_client(f);
        json_t *reply = ask(f, client, "{\"execute\":\"query-commands\"}\n"), *each;
        size_t i;

        json_array_foreach (json_object_get(reply, "return"), i, each) {
                const char *name = json_string_value(json_object_get(each, "name"));
                const struct control_command *command = control_command_find(name);
                bool is_query = strncmp(name, "query-", 6) == 0 || strcmp(name, "qom-get") == 0 ||
                                strcmp(name, "qom-list") == 0 || strcmp(name, "vmlaunch-status") == 0;

                assert_int_equal(command->class, is_query ? QMP_QUERY : QMP_MUTATE);
                assert_int_equal(command->changes, !is_query);
        }
        json_decref(reply);
        close(client);
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
        for (int i = 0; i < 40 && n > 0; i++) {
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
        expect_error(peer_read_json(fds[CONTROL_CLIENTS]), "GenericError", "too many clients");
        assert_int_equal(recv(fds[CONTROL_CLIENTS], &c, 1, 0), 0);
        for (int i = 0; i <= CONTROL_CLIENTS; i++)
                close(fds[i]);
        peer_settle(f->loop, 20);
        /* Their places are free again. */
        fds[0] = negotiated_client(f);
        close(fds[0]);
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
                _exit(strstr(line, "only root") ? 0 : 1);
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

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                TEST(the_socket_is_for_all_and_its_greeting_names_the_vm),
                TEST(nothing_is_answered_before_negotiation_and_negotiation_is_once),
                TEST(own_commands_are_answered_without_qemu),
                TEST(what_is_not_in_the_table_is_denied),
                TEST(query_commands_lists_the_table),
                TEST(what_counts_as_a_query_changes_nothing),
                TEST(arguments_of_a_query_reach_qemu_unchanged),
                TEST(ids_of_three_clients_do_not_mix),
                TEST(qemus_own_errors_pass_and_a_missing_qemu_is_said),
                TEST(a_client_that_goes_before_its_answer_harms_nobody),
                TEST(events_reach_every_client_that_has_negotiated),
                TEST(a_client_that_does_not_read_is_cut_off_and_others_are_not),
                TEST(a_client_may_be_cut_off_by_its_own_command),
                TEST(huge_or_broken_input_ends_the_client_only),
                TEST(clients_beyond_the_limit_are_told_and_closed),
                TEST(a_stranger_is_told_and_closed),
                TEST(a_finished_control_takes_no_commands_but_sends_what_waits),
                TEST(a_long_directory_does_not_matter),
                TEST(greeting_of_a_hostile_qemu_locks_no_client_out),
                TEST(accept_that_fails_does_not_make_the_loop_spin),
                TEST(client_is_served_when_there_are_fds_again),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
