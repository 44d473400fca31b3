/*
 * control_fixture - a control socket whose QEMU and clients the test plays.
 */
#pragma once

#include "launcher/run/control.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>

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

static inline void on_ready(json_t *greeting, void *data)
{
        struct fixture *f = data;

        f->ready++;
        control_set_greeting(f->control, greeting);
}

static inline void on_event(const char *name, json_t *event_data, json_t *event, void *data)
{
        struct fixture *f = data;

        (void)name;
        (void)event_data;
        control_broadcast(f->control, event);
}

static inline void broadcast_filler(struct fixture *f)
{
        char filler[100001];

        memset(filler, 'x', sizeof(filler) - 1);
        filler[sizeof(filler) - 1] = '\0';
        control_event(f->control, "FILLER", json_pack("{s:s}", "text", filler));
}

static inline json_t *on_own(const struct control_command *command, json_t *arguments, int *fds, size_t n_fds,
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

static inline struct qmp_client *on_clean_up(void *data)
{
        struct fixture *f = data;

        return f->qmp;
}

static inline void on_gone(const struct control_peer *peer, void *data)
{
        struct fixture *f = data;

        f->gone++;
        f->gone_client = peer->client;
}

static inline void on_late(const char *command, json_int_t id, json_t *reply, void *data)
{
        struct fixture *f = data;

        f->settled_late += control_late(f->control, command, id, reply);
}

static inline struct qmp_client *on_forward(const struct control_command *command,
                                            const struct control_peer *peer, void *data, struct error **err)
{
        struct fixture *f = data;

        (void)command;
        (void)peer;
        if (!f->qmp)
                error_set(err, ERROR_BUSY, "QEMU does not answer");
        return f->qmp;
}

static inline void on_answer(bool in_time, void *data)
{
        struct fixture *f = data;

        f->in_time += in_time;
        f->late += !in_time;
}

static inline void on_cut_off(const struct control_peer *peer, const char *why, void *data)
{
        struct fixture *f = data;

        (void)peer;
        assert_non_null(why);
        f->cut_off++;
}

static const struct control_handlers handlers = {
        .on_own = on_own,
        .on_forward = on_forward,
        .on_answer = on_answer,
        .on_clean_up = on_clean_up,
        .on_gone = on_gone,
        .on_cut_off = on_cut_off,
};

static inline int set_up(void **state)
{
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

static inline int tear_down(void **state)
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

static inline void greet(struct fixture *f)
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

static inline int connect_client(struct fixture *f)
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
static inline json_t *ask(struct fixture *f, int client, const char *line)
{
        peer_write(client, line);
        peer_settle(f->loop, 5);
        return peer_read_json(client);
}

static inline int negotiated_client(struct fixture *f)
{
        int client = connect_client(f);

        json_decref(peer_read_json(client));
        json_decref(ask(f, client, "{\"execute\":\"qmp_capabilities\"}\n"));
        return client;
}

static inline void expect_error(json_t *reply_consume, const char *class, const char *desc)
{
        json_t *error = json_object_get(reply_consume, "error");

        assert_non_null(error);
        assert_string_equal(json_string_value(json_object_get(error, "class")), class);
        assert_non_null(strstr(json_string_value(json_object_get(error, "desc")), desc));
        json_decref(reply_consume);
}

/* Answers the command that QEMU has got. extra: "return" or "error" and its value. */
static inline void qemu_answers(struct fixture *f, json_t *command_consume, const char *answer)
{
        _cleanup_free_ char *line = xasprintf("{%s,\"id\":%lld}\n", answer,
                                              json_integer_value(json_object_get(command_consume, "id")));

        json_decref(command_consume);
        peer_write(f->qemu, line);
        peer_settle(f->loop, 5);
}

static inline bool lists(const json_t *reply, const char *name)
{
        json_t *each;
        size_t i;

        json_array_foreach (json_object_get(reply, "return"), i, each) {
                if (strcmp(json_string_value(json_object_get(each, "name")), name) == 0)
                        return true;
        }
        return false;
}
