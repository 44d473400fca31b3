#include "launcher/run/control.h"

#include <assert.h>
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
#include "qmp/json_stream.h"

/* How long accept() is left alone when it fails: this process or the host has no fds left, say. */
#define ACCEPT_PAUSE_MS 1000u
/* "Debian 1:7.2+dfsg-7+deb12u13" and its like. */
#define PACKAGE_MAX 256

/* docs/control-socket.md; a mutating command gets 5 s, as everywhere. */
static const struct control_command commands[] = {
        { "vmlaunch-status", CONTROL_OWN, QMP_QUERY, false },
        { "vmlaunch-shutdown", CONTROL_OWN, QMP_MUTATE, true },
        { "query-commands", CONTROL_OWN, QMP_QUERY, false },
        { "query-status", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-name", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-uuid", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-version", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-block", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-chardev", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-cpus-fast", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-named-block-nodes", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-iothreads", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-kvm", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-memdev", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-memory-size-summary", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-pci", CONTROL_FORWARD, QMP_QUERY, false },
        { "query-target", CONTROL_FORWARD, QMP_QUERY, false },
        { "qom-get", CONTROL_FORWARD, QMP_QUERY, false },
        { "qom-list", CONTROL_FORWARD, QMP_QUERY, false },
        { "stop", CONTROL_FORWARD, QMP_MUTATE, true },
        { "cont", CONTROL_FORWARD, QMP_MUTATE, true },
        { "system_reset", CONTROL_FORWARD, QMP_MUTATE, true },
        { "system_powerdown", CONTROL_FORWARD, QMP_MUTATE, true },
};

const struct control_command *control_command_find(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                if (strcmp(commands[i].name, name) == 0)
                        return &commands[i];
        return NULL;
}

struct client {
        struct control *control;
        struct json_stream *stream;
        struct control_peer peer;
        bool negotiated;
        bool dead; /* freed by reap(), so that nobody's callback loses its client under its feet */
        unsigned in_flight;
        struct client *next;
};

/* A command on its way to QEMU. */
struct call {
        struct control *control; /* NULL: freed meanwhile */
        struct client *client;   /* NULL: gone meanwhile */
        json_t *id;
        struct call *next;
};

struct control {
        struct loop *loop;
        int listen_fd;
        struct loop_source *listener, *pause, *reaper;
        json_t *greeting;
        struct control_handlers handlers;
        void *data;
        struct client *clients;
        unsigned n_clients;
        struct call *calls;
        bool finished;
};

static void free_client(struct client *client)
{
        for (struct call *call = client->control->calls; call; call = call->next)
                if (call->client == client)
                        call->client = NULL;
        json_stream_free(client->stream);
        free(client);
}

static void reap(void *data)
{
        struct control *control = data;

        control->reaper = NULL;
        for (struct client **at = &control->clients; *at;) {
                struct client *client = *at;

                if (client->dead) {
                        *at = client->next;
                        free_client(client);
                } else {
                        at = &client->next;
                }
        }
}

static void cut_off(struct client *client, const char *why)
{
        struct control *control = client->control;

        if (client->dead)
                return;
        client->dead = true;
        control->n_clients--;
        json_stream_set_reading(client->stream, false);
        if (!control->reaper)
                control->reaper = loop_add_deadline(control->loop, 0, reap, control);
        if (why && control->handlers.on_cut_off)
                control->handlers.on_cut_off(&client->peer, why, control->data);
}

static void send_message(struct client *client, const json_t *message)
{
        _cleanup_error_ struct error *err = NULL;

        if (client->dead)
                return;
        if (json_stream_send(client->stream, message, NULL, 0, &err) < 0)
                cut_off(client, err->code == ERROR_BUSY ? "it does not read what it is sent" : NULL);
}

static void send_return(struct client *client, const json_t *id, json_t *value_consume)
{
        json_auto_t *reply = json_object();

        json_object_set_new(reply, "return", value_consume);
        if (id)
                json_object_set(reply, "id", (json_t *)id);
        send_message(client, reply);
}

static json_t *error_message(const char *class, const char *desc, const json_t *id)
{
        json_t *reply = json_object(), *body = json_object();
        json_t *text = json_string(desc);

        json_object_set_new(body, "class", json_string(class));
        /* What came from outside may be no UTF-8. */
        json_object_set_new(body, "desc", text ? text : json_string("an error whose text is no UTF-8"));
        json_object_set_new(reply, "error", body);
        if (id)
                json_object_set(reply, "id", (json_t *)id);
        return reply;
}

static void send_error(struct client *client, const json_t *id, const char *class, const char *desc)
{
        json_auto_t *reply = error_message(class, desc, id);

        send_message(client, reply);
}

/* QEMU's classes where they fit, ours where a client has to tell (docs/control-socket.md). */
static const char *class_of(const struct error *error)
{
        switch (error->code) {
        case ERROR_QMP:
                return error->qmp_class;
        case ERROR_GUEST:
                return "GuestRefused";
        case ERROR_BUSY:
                return "Busy";
        case ERROR_DEADLINE:
                return "DeadlinePassed";
        case ERROR_NOT_RUNNING:
        case ERROR_DISCONNECTED:
                return "NotRunning";
        default:
                return "GenericError";
        }
}

static void send_our_error(struct client *client, const json_t *id, const struct error *error)
{
        _cleanup_free_ char *text = error_text(error);

        assert(error);
        send_error(client, id, class_of(error), text);
}

static void forget_call(struct call *call)
{
        if (call->control)
                for (struct call **at = &call->control->calls; *at; at = &(*at)->next)
                        if (*at == call) {
                                *at = call->next;
                                break;
                        }
        json_decref(call->id);
        free(call);
}

static void on_reply(json_t *reply, const struct error *error, void *data)
{
        struct call *call = data;
        struct control *control = call->control;
        struct client *client = call->client;

        if (client) {
                client->in_flight--;
                if (reply) {
                        json_auto_t *copy = json_copy(reply);

                        if (call->id)
                                json_object_set(copy, "id", call->id);
                        send_message(client, copy);
                } else {
                        send_our_error(client, call->id, error);
                }
        }
        forget_call(call);
        if (control && control->handlers.on_answer) {
                if (reply)
                        control->handlers.on_answer(true, control->data);
                else if (error->code == ERROR_DEADLINE)
                        control->handlers.on_answer(false, control->data);
        }
}

static void forward(struct client *client, const struct control_command *command, json_t *message,
                    const json_t *id)
{
        struct control *control = client->control;
        _cleanup_error_ struct error *err = NULL;
        struct qmp_client *qmp;
        struct call *call;

        if (client->in_flight >= CONTROL_IN_FLIGHT) {
                send_error(client, id, "Busy", "too many commands of this client wait for QEMU");
                return;
        }
        qmp = control->handlers.on_forward(command, &client->peer, control->data, &err);
        if (!qmp) {
                send_our_error(client, id, err);
                return;
        }
        call = xcalloc(1, sizeof(*call));
        call->control = control;
        call->client = client;
        call->id = json_incref((json_t *)id);
        call->next = control->calls;
        control->calls = call;
        client->in_flight++;
        qmp_client_forward(qmp, message, command->class, NULL, 0, on_reply, call);
}

/* What a client may ask for; QEMU's own list names hundreds that it may not. */
static json_t *list_commands(void)
{
        json_t *list = json_array();

        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                json_array_append_new(list, json_pack("{s:s}", "name", commands[i].name));
        return list;
}

static void run_own(struct client *client, const struct control_command *command, json_t *arguments,
                    const json_t *id)
{
        struct control *control = client->control;
        _cleanup_error_ struct error *err = NULL;
        json_t *value;

        if (strcmp(command->name, "query-commands") == 0)
                value = list_commands();
        else
                value = control->handlers.on_own(command, arguments, &client->peer, control->data, &err);
        if (value)
                send_return(client, id, value);
        else
                send_our_error(client, id, err);
}

static void negotiate(struct client *client, const json_t *arguments, const json_t *id)
{
        const json_t *enable = json_object_get(arguments, "enable");

        if (client->negotiated) {
                send_error(client, id, "CommandNotFound",
                           "Capabilities negotiation is already complete, command ignored");
        } else if (enable && (!json_is_array(enable) || json_array_size(enable) > 0)) {
                send_error(client, id, "GenericError", "no capability is offered that could be enabled");
        } else {
                client->negotiated = true;
                send_return(client, id, json_object());
        }
}

static void on_message(json_t *message, int *fds, size_t n_fds, void *data)
{
        struct client *client = data;
        const json_t *id = json_object_get(message, "id");
        json_t *arguments = json_object_get(message, "arguments");
        const char *name = json_string_value(json_object_get(message, "execute"));
        const struct control_command *command;
        const char *key;
        json_t *value;

        (void)fds;
        (void)n_fds;
        if (client->dead || client->control->finished)
                return;
        json_object_foreach (message, key, value) {
                if (strcmp(key, "execute") != 0 && strcmp(key, "arguments") != 0 && strcmp(key, "id") != 0) {
                        _cleanup_free_ char *shown = text_printable(key);
                        _cleanup_free_ char *desc = xasprintf("QMP input member '%s' is unexpected", shown);

                        send_error(client, id, "GenericError", desc);
                        return;
                }
        }
        if (!name) {
                send_error(client, id, "GenericError", "QMP input lacks member 'execute'");
                return;
        }
        if (arguments && !json_is_object(arguments)) {
                send_error(client, id, "GenericError", "QMP input member 'arguments' must be an object");
                return;
        }
        if (strcmp(name, "qmp_capabilities") == 0) {
                negotiate(client, arguments, id);
                return;
        }
        if (!client->negotiated) {
                send_error(client, id, "CommandNotFound",
                           "Expecting capabilities negotiation with 'qmp_capabilities'");
                return;
        }
        command = control_command_find(name);
        if (!command) {
                _cleanup_free_ char *shown = text_printable(name);
                _cleanup_free_ char *desc = xasprintf("The command %s has not been found", shown);

                send_error(client, id, "CommandNotFound", desc);
        } else if (command->kind == CONTROL_OWN) {
                run_own(client, command, arguments, id);
        } else {
                forward(client, command, message, id);
        }
}

static void say_and_close(int fd_consume, const char *desc)
{
        json_auto_t *reply = error_message("GenericError", desc, NULL);
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

                cut_off(client, text);
        } else {
                cut_off(client, NULL);
        }
}

static void add_client(struct control *control, int fd_consume, const struct control_peer *peer)
{
        static const struct json_stream_options options = {
                .max_message = CONTROL_MAX_MESSAGE,
                .message_ms = CONTROL_MESSAGE_MS,
                .max_queue = CONTROL_MAX_QUEUE,
        };
        static const struct json_stream_handlers handlers = { .on_message = on_message,
                                                              .on_closed = on_closed };
        struct client *client = xcalloc(1, sizeof(*client));

        client->control = control;
        client->peer = *peer;
        client->stream = json_stream_new(control->loop, fd_consume, &options, &handlers, client);
        client->next = control->clients;
        control->clients = client;
        control->n_clients++;
        send_message(client, control->greeting);
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

static void on_connect(struct loop_source *source, uint32_t events, void *data)
{
        struct control *control = data;

        (void)source;
        /* The rest of a long queue of connections waits for the next round: others want the loop too. */
        for (int i = 0; i < 16; i++) {
                int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                struct ucred cred = { 0 };
                socklen_t length = sizeof(cred);
                struct control_peer peer;

                if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && !(events & (EPOLLERR | EPOLLHUP)))
                        return;
                if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
                        continue;
                if (fd < 0) {
                        accept_later(control);
                        return;
                }
                if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) < 0) {
                        close(fd);
                        continue;
                }
                peer = (struct control_peer){ .uid = cred.uid, .pid = cred.pid };
                if (peer.uid != 0 && peer.uid != geteuid())
                        say_and_close(fd, "only root and the VM's owner may use the control socket");
                else if (control->n_clients >= CONTROL_CLIENTS)
                        say_and_close(fd, "too many clients are connected");
                else
                        add_client(control, fd, &peer);
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
                            const struct control_handlers *handlers, void *data)
{
        struct control *control = xcalloc(1, sizeof(*control));

        control->loop = loop;
        control->listen_fd = listen_fd_consume;
        control->handlers = *handlers;
        control->data = data;
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

void control_broadcast(struct control *control, const json_t *event)
{
        for (struct client *client = control->clients; client; client = client->next)
                if (client->negotiated)
                        send_message(client, event);
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
        for (struct call *call = control->calls; call; call = call->next)
                call->control = NULL;
        json_decref(control->greeting);
        free(control);
}
