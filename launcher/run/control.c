#include "launcher/run/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/run/control_parts.h"
#include "launcher/state/crash_point.h"
#include "qmp/json_stream.h"
#include "qmp/ops_machine.h"

/* How long accept() is left alone when it fails: this process or the host has no fds left, say. */
#define ACCEPT_PAUSE_MS 1000u
/* "Debian 1:7.2+dfsg-7+deb12u13" and its like. */
#define PACKAGE_MAX 256

static void free_client(struct client *client)
{
        for (struct control_call *call = client->control->calls; call; call = call->next)
                if (call->client == client)
                        call->client = NULL;
        json_stream_free(client->stream);
        fd_names_done(&client->fd_names);
        free(client);
}

static void on_closefd(json_t *reply, const struct error *error, void *data)
{
        /* A name that QEMU has used meanwhile is no more. */
        (void)reply;
        (void)error;
        (void)data;
}

/* What the client named and did not use would stay in QEMU for ever. */
static void close_fd_names(struct client *client)
{
        const struct control_handlers *handlers = &client->control->handlers;
        struct qmp_client *qmp = NULL;
        const char *name;
        json_t *value;

        if (json_object_size(client->fd_names.held) && handlers->on_clean_up)
                qmp = handlers->on_clean_up(client->control->data);
        if (!qmp)
                return;
        json_object_foreach (client->fd_names.held, name, value) {
                ops_closefd(qmp, name, on_closefd, NULL);
                crash_point(CRASH_FD_CLOSED);
        }
}

static void reap(void *data)
{
        struct control *control = data;

        control->reaper = NULL;
        for (struct client **at = &control->clients; *at;) {
                struct client *client = *at;

                if (client->dead) {
                        *at = client->next;
                        close_fd_names(client);
                        if (control->handlers.on_gone)
                                control->handlers.on_gone(&client->peer, control->data);
                        free_client(client);
                } else {
                        at = &client->next;
                }
        }
}

/* Whoever may connect has a hand in it. */
static void tell_cut_off(struct control *control, const struct control_peer *peer, const char *why)
{
        _cleanup_free_ char *more = NULL;
        unsigned unsaid = 0;

        if (!control->handlers.on_cut_off || !story_may_say(&control->cut_offs, fd_now_ms(), &unsaid))
                return;
        if (unsaid)
                more = xasprintf("%s (and %u others were before, within a minute)", why, unsaid);
        control->handlers.on_cut_off(peer, more ? more : why, control->data);
}

void control_cut_off(struct client *client, const char *why)
{
        struct control *control = client->control;

        if (client->dead)
                return;
        client->dead = true;
        control->n_clients--;
        json_stream_set_reading(client->stream, false);
        if (!control->reaper)
                control->reaper = loop_add_deadline(control->loop, 0, reap, control);
        if (why)
                tell_cut_off(control, &client->peer, why);
}

static void say_and_close(int fd_consume, const char *class, const char *desc)
{
        json_auto_t *reply = control_error_message(class, desc, NULL);
        _cleanup_free_ char *line = json_dumps(reply, JSON_COMPACT);
        _cleanup_free_ char *text = xasprintf("%s\n", line);
        ssize_t n = send(fd_consume, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);

        (void)n;
        close(fd_consume);
}

static void on_closed(const struct error *error, void *data)
{
        struct client *client = data;

        /* What was no JSON, over a limit or never finished is worth a line in the log; going away is not. */
        if (error->code == ERROR_FAILED || error->code == ERROR_DEADLINE) {
                _cleanup_free_ char *text = error_text(error);

                control_cut_off(client, text);
        } else {
                control_cut_off(client, NULL);
        }
}

struct client *control_add_client(struct control *control, int fd_consume, const struct control_peer *peer)
{
        const struct json_stream_options options = {
                .max_message = peer->role == ROLE_ADMIN ? CONTROL_MAX_ADMIN : CONTROL_MAX_MESSAGE,
                .message_ms = CONTROL_MESSAGE_MS,
                .max_queue = CONTROL_MAX_QUEUE,
                .max_fds = peer->role == ROLE_ADMIN ? CONTROL_MAX_FDS : 0,
        };
        static const struct json_stream_handlers handlers = { .on_message = control_on_message,
                                                              .on_closed = on_closed };
        struct client *client = xcalloc(1, sizeof(*client));

        client->control = control;
        client->peer = *peer;
        fd_names_init(&client->fd_names, client->peer.client);
        client->stream = json_stream_new(control->loop, fd_consume, &options, &handlers, client);
        client->next = control->clients;
        control->clients = client;
        control->n_clients++;
        return client;
}

static void welcome(struct control *control, int fd_consume, struct control_peer *peer)
{
        peer->client = ++control->last_client;
        control_send(control_add_client(control, fd_consume, peer), control->greeting);
}

static void on_connect(struct loop_source *source, uint32_t events, void *data);

static void accept_again(void *data)
{
        struct control *control = data;

        control->pause = NULL;
        control->listener = loop_add_fd(control->loop, control->listen_fd, EPOLLIN, on_connect, control);
}

/* The connection stays in the queue and would wake the loop for ever. Off the loop altogether: no mask of events
 * keeps EPOLLERR and EPOLLHUP away. */
static void accept_later(struct control *control)
{
        loop_remove(control->loop, control->listener);
        control->listener = NULL;
        control->pause = loop_add_deadline(control->loop, ACCEPT_PAUSE_MS, accept_again, control);
}

static void refuse_peer(struct control *control, int fd_consume, const struct control_peer *peer)
{
        say_and_close(
                fd_consume, "NotPermitted",
                "the control socket is for root, the VM's owner and members of the groups '" CONTROL_OPERATOR_GROUP
                "' and '" CONTROL_MONITOR_GROUP "'");
        if (peer->uid == control->roles.vm_uid)
                tell_cut_off(control, peer, "it has the uid of the VM's QEMU");
}

static bool has_room_for(const struct control *control, enum control_role role)
{
        unsigned others = 0;

        for (const struct client *client = control->clients; client; client = client->next)
                if (!client->dead && client->peer.role != ROLE_ADMIN)
                        others++;
        return control->n_clients < CONTROL_CLIENTS && (role == ROLE_ADMIN || others < CONTROL_OTHERS);
}

static void on_connect(struct loop_source *source, uint32_t events, void *data)
{
        struct control *control = data;

        (void)source;
        /* The rest of a long queue of connections waits for the next round: others want the loop too. */
        for (int i = 0; i < 16; i++) {
                /* waits: not at all, control_listen() made it so */
                int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                struct control_peer peer = { 0 };

                if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && !(events & (EPOLLERR | EPOLLHUP)))
                        return;
                if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
                        continue;
                if (fd < 0) {
                        accept_later(control);
                        return;
                }
                peer.role = control_role_of_peer(&control->roles, fd, &peer.uid, &peer.pid);
                if (peer.role == ROLE_NONE)
                        refuse_peer(control, fd, &peer);
                else if (!has_room_for(control, peer.role))
                        say_and_close(fd, "Busy", "too many clients are connected");
                else
                        welcome(control, fd, &peer);
        }
}

int control_listen(int dirfd, const char *name, int *ret_fd, struct error **err)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const char *fresh;
        mode_t mask;
        int n, result;

        if (fd < 0)
                return error_os(err, errno, "make a socket for '%s'", name);
        /* Through the directory's fd: RUN/NAME may be longer than the 108 bytes of sun_path (unix(7)). */
        n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s.new", dirfd, name);
        if (n < 0 || (size_t)n >= sizeof(address.sun_path))
                return error_set(err, ERROR_INVALID, "the socket name '%s' is too long", name);
        fresh = strrchr(address.sun_path, '/') + 1;
        if (unlinkat(dirfd, fresh, 0) < 0 && errno != ENOENT)
                return error_os(err, errno, "remove the old '%s'", fresh);
        /* The mode is right from birth. No threads here that could see the mask. */
        mask = umask(0111);
        result = bind(fd, (struct sockaddr *)&address, sizeof(address));
        umask(mask);
        if (result < 0)
                return error_os(err, errno, "bind '%s'", name);
        crash_point(CRASH_CONTROL_BOUND);
        /* Who sees the name can connect: between bind() and listen() it would be refused. */
        if (listen(fd, CONTROL_CLIENTS) < 0 || renameat(dirfd, fresh, dirfd, name) < 0) {
                error_os(err, errno, "listen at '%s'", name);
                unlinkat(dirfd, fresh, 0);
                return -1;
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static json_t *no_greeting(void)
{
        return json_pack("{s:{s:{s:{s:i, s:i, s:i}, s:s}, s:[]}}", "QMP", "version", "qemu", "major", 0,
                         "minor", 0, "micro", 0, "package", "", "capabilities");
}

struct control *control_new(struct loop *loop, int listen_fd_consume, const char *vm, const char *generation,
                            const struct control_roles *roles, const struct control_handlers *handlers,
                            void *data)
{
        struct control *control = xcalloc(1, sizeof(*control));

        control->loop = loop;
        control->listen_fd = listen_fd_consume;
        control->handlers = *handlers;
        control->data = data;
        control->roles = *roles;
        unsettled_init(&control->unsettled);
        control->greeting = no_greeting();
        json_object_set_new(control->greeting, "vmlaunch",
                            json_pack("{s:s, s:s, s:s}", "version", VMLAUNCH_VERSION, "vm", vm, "generation",
                                      generation));
        control->listener = loop_add_fd(loop, listen_fd_consume, EPOLLIN, on_connect, control);
        return control;
}

void control_set_greeting(struct control *control, const json_t *qemu_greeting)
{
        const char *package = "";
        int major, minor, micro;

        /* Its members and no more: QEMU is not trusted, and a greeting longer than a client's queue would lock all of
         * them out. */
        if (json_unpack((json_t *)qemu_greeting, "{s:{s:{s:{s:i, s:i, s:i}, s?s}}}", "QMP", "version", "qemu",
                        "major", &major, "minor", &minor, "micro", &micro, "package", &package) < 0)
                return;
        if (strlen(package) > PACKAGE_MAX)
                package = "";
        json_object_set_new(json_object_get(control->greeting, "QMP"), "version",
                            json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", major, "minor", minor,
                                      "micro", micro, "package", package));
}

bool control_late(struct control *control, const char *command, json_int_t id, const json_t *reply)
{
        json_auto_t *keys = unsettled_late(&control->unsettled, id);
        const json_t *refusal = json_object_get(reply, "error");
        json_t *desc = json_object_get(refusal, "desc");

        if (!keys)
                return false;
        control_event(control, "VMLAUNCH_LATE",
                      json_pack("{s:s, s:O, s:s, s:O*}", "command", command, "keys", keys, "result",
                                refusal ? "failed" : "done", "reason", json_is_string(desc) ? desc : NULL));
        return true;
}

void control_disconnected(struct control *control)
{
        unsettled_disconnected(&control->unsettled);
}

void control_shown(struct control *control, enum command_shows shows)
{
        unsettled_shown(&control->unsettled, shows, unsettled_mark(&control->unsettled));
}

const char *control_unsettled(const struct control *control, const json_t *keys)
{
        return unsettled_blocks(&control->unsettled, keys);
}

void control_broadcast(struct control *control, const json_t *event)
{
        for (struct client *client = control->clients; client; client = client->next)
                if (client->negotiated)
                        control_send(client, event);
}

void control_event(struct control *control, const char *name, json_t *data_consume)
{
        json_auto_t *event = json_object();
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        json_object_set_new(event, "timestamp",
                            json_pack("{s:I, s:I}", "seconds", (json_int_t)now.tv_sec, "microseconds",
                                      (json_int_t)now.tv_nsec / 1000));
        json_object_set_new(event, "event", json_string(name));
        json_object_set_new(event, "data", data_consume);
        control_broadcast(control, event);
}

static void stop_listening(struct control *control)
{
        loop_remove(control->loop, control->listener);
        loop_remove(control->loop, control->pause);
        control->listener = control->pause = NULL;
        fd_close(&control->listen_fd);
}

void control_hold(struct control *control, bool hold)
{
        for (struct client *client = control->clients; client; client = client->next)
                json_stream_hold(client->stream, hold);
        if (control->finished)
                return;
        loop_remove(control->loop, control->listener);
        loop_remove(control->loop, control->pause);
        control->listener = control->pause = NULL;
        if (!hold)
                accept_again(control);
}

void control_finish(struct control *control)
{
        control->finished = true;
        stop_listening(control);
}

bool control_is_flushed(const struct control *control)
{
        for (const struct client *client = control->clients; client; client = client->next)
                if (!client->dead && json_stream_unsent(client->stream) > 0)
                        return false;
        return true;
}

void control_free(struct control *control)
{
        if (!control)
                return;
        stop_listening(control);
        loop_remove(control->loop, control->reaper);
        while (control->clients) {
                struct client *client = control->clients;

                control->clients = client->next;
                free_client(client);
        }
        /* Their callbacks come from the qmp_client, which outlives us or not. */
        for (struct control_call *call = control->calls; call; call = call->next)
                call->control = NULL;
        unsettled_done(&control->unsettled);
        json_decref(control->greeting);
        free(control);
}
