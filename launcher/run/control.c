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
        if (why)
                tell_cut_off(control, &client->peer, why);
}

/* False: it is larger than what any client may leave unread, which is not this one's fault, and not sent. */
static bool send_message(struct client *client, const json_t *message)
{
        _cleanup_error_ struct error *err = NULL;

        if (client->dead || json_stream_send(client->stream, message, NULL, 0, &err) == 0)
                return true;
        if (err->code == ERROR_BUSY && json_dumpb(message, NULL, 0, JSON_COMPACT) >= CONTROL_MAX_QUEUE)
                return false;
        cut_off(client, err->code == ERROR_BUSY ? "it does not read what it is sent" : NULL);
        return true;
}

static void tell_wire(const struct client *client, bool sent, const json_t *message)
{
        const struct control *control = client->control;

        if (control->handlers.on_wire && !client->dead)
                control->handlers.on_wire(&client->peer, sent, message, control->data);
}

static void send_error(struct client *client, const json_t *id, const char *class, const char *desc);

static void send_answer(struct client *client, const json_t *id, const json_t *reply)
{
        _cleanup_free_ char *why = NULL;

        if (send_message(client, reply))
                return;
        why = xasprintf("the answer is larger than %u bytes", CONTROL_MAX_QUEUE);
        send_error(client, id, "GenericError", why);
}

/* told: the recorder is. Who asks for the status every second would leave nothing else in it. */
static void send_return(struct client *client, const json_t *id, json_t *value_consume, bool told)
{
        json_auto_t *reply = json_object();

        json_object_set_new(reply, "return", value_consume);
        if (id)
                json_object_set(reply, "id", (json_t *)id);
        if (told)
                tell_wire(client, true, reply);
        send_answer(client, id, reply);
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

        tell_wire(client, true, reply);
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
        case ERROR_NOT_PERMITTED:
                return "NotPermitted";
        case ERROR_BUSY:
                return "Busy";
        case ERROR_DEADLINE:
                return "DeadlinePassed";
        case ERROR_NOT_RUNNING:
        case ERROR_DISCONNECTED:
                return "NotRunning";
        case ERROR_INVALID:
                return "TemplateInvalid";
        case ERROR_HOST:
                return "HostCannot";
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

static void forget_call(struct control_call *call)
{
        if (call->control)
                for (struct control_call **at = &call->control->calls; *at; at = &(*at)->next)
                        if (*at == call) {
                                *at = call->next;
                                break;
                        }
        json_decref(call->id);
        json_decref(call->keys);
        free(call->name);
        free(call);
}

struct control_call *control_add_call(struct client *client, const json_t *id)
{
        struct control *control = client->control;
        struct control_call *call = xcalloc(1, sizeof(*call));

        call->control = control;
        call->client = client;
        call->id = json_incref((json_t *)id);
        call->next = control->calls;
        control->calls = call;
        client->in_flight++;
        return call;
}

struct control_call *control_answer_later(struct control *control)
{
        assert(control->asking);
        return control_add_call(control->asking, control->asking_id);
}

void control_answer(struct control_call *call, json_t *value_consume, const struct error *error)
{
        struct client *client = call->client;

        if (client) {
                client->in_flight--;
                if (value_consume)
                        send_return(client, call->id, value_consume, true);
                else
                        send_our_error(client, call->id, error);
        } else {
                json_decref(value_consume);
        }
        forget_call(call);
}

/* QEMU's list: what this role may use of it, and ours. */
static json_t *commands_for(enum control_role role, const json_t *list)
{
        json_t *allowed = json_array(), *each;
        const struct control_command *row;
        size_t i;

        for (size_t n = 0; (row = control_command_at(n)); n++)
                if (row->kind == CONTROL_OWN && role >= row->role)
                        json_array_append_new(allowed, json_pack("{s:s}", "name", row->name));
        json_array_foreach (list, i, each) {
                const char *name = json_string_value(json_object_get(each, "name"));
                struct control_command command;

                if (name && control_command_classify(name, NULL, &command) && role >= command.role)
                        json_array_append(allowed, each);
        }
        return allowed;
}

static void pass_reply(struct control_call *call, json_t *reply)
{
        json_auto_t *copy = json_copy(reply);

        if (call->lists_commands && json_is_array(json_object_get(reply, "return")))
                json_object_set_new(copy, "return",
                                    commands_for(call->role, json_object_get(reply, "return")));
        if (call->id)
                json_object_set(copy, "id", call->id);
        send_answer(call->client, call->id, copy);
}

/* The deadline has ended the waiting only. */
static void pass_deadline(struct control_call *call, const struct error *error)
{
        _cleanup_free_ char *text = error_text(error), *more = NULL;

        more = xasprintf("%s%s", text,
                         call->command.changes
                                 ? "; whether it was done is unknown: a query will show, or the "
                                   "event VMLAUNCH_LATE"
                                 : "");
        send_error(call->client, call->id, class_of(error), more);
}

static void on_reply(json_t *reply, const struct error *error, void *data)
{
        struct control_call *call = data;
        struct control *control = call->control;
        struct client *client = call->client;
        bool too_late = !reply && error->code == ERROR_DEADLINE;

        if (control && too_late && call->keys)
                unsettled_add(&control->unsettled, call->qemu_id, &call->command, call->keys);
        if (control && reply && call->command.shows != SHOWS_NOTHING && json_object_get(reply, "return"))
                unsettled_shown(&control->unsettled, call->command.shows, call->mark);
        if (client) {
                client->in_flight--;
                if (reply)
                        pass_reply(call, reply);
                else if (too_late)
                        pass_deadline(call, error);
                else
                        send_our_error(client, call->id, error);
        }
        forget_call(call);
        if (control && control->handlers.on_answer && (reply || too_late))
                control->handlers.on_answer(!too_late, control->data);
}

/* Is what the command would change known? */
static int check_settled(const struct control *control, const struct control_command *command,
                         const json_t *keys, struct error **err)
{
        const char *first = unsettled_blocks(&control->unsettled, keys);

        if (!first)
                return 0;
        error_set(err, ERROR_BUSY,
                  "'%s' was not answered in its time and what it did is not known: ask with %s first", first,
                  command->run_state ? "query-status" : "a query that shows it");
        return -1;
}

static bool is_too_busy(struct client *client, const json_t *id)
{
        if (client->in_flight < CONTROL_IN_FLIGHT)
                return false;
        send_error(client, id, "Busy", "too many commands of this client wait for their answers");
        return true;
}

/* What clients that have gone meanwhile had asked counts too. */
static bool are_others_too_busy(struct client *client, const json_t *id)
{
        unsigned n = 0;

        if (client->peer.role == ROLE_ADMIN)
                return false;
        for (const struct control_call *call = client->control->calls; call; call = call->next)
                n += call->name && call->role != ROLE_ADMIN;
        if (n < CONTROL_OTHERS_IN_FLIGHT)
                return false;
        send_error(client, id, "Busy", "too many commands of all clients wait for QEMU's answers");
        return true;
}

static void forward(struct client *client, const struct control_command *command, json_t *message,
                    const json_t *id, const int *fds, size_t n_fds)
{
        struct control *control = client->control;
        const json_t *arguments = json_object_get(message, "arguments");
        json_auto_t *keys = command->changes ? control_command_keys(command, arguments) : NULL;
        json_auto_t *renamed = NULL, *changed = NULL;
        _cleanup_error_ struct error *err = NULL;
        struct qmp_client *qmp;
        struct control_call *call;

        if (is_too_busy(client, id) || are_others_too_busy(client, id))
                return;
        if ((keys && check_settled(control, command, keys, &err) < 0) ||
            (keys && control->handlers.on_keys && control->handlers.on_keys(keys, control->data, &err) < 0) ||
            !(qmp = control->handlers.on_forward(command, &client->peer, control->data, &err)) ||
            fd_names_rewrite(&client->fd_names, command->name, arguments, &renamed, &err) < 0) {
                send_our_error(client, id, err);
                return;
        }
        if (renamed) {
                changed = json_copy(message);
                json_object_set(changed, "arguments", renamed);
        }
        call = control_add_call(client, id);
        call->command = *command;
        call->command.name = call->name = xstrdup(command->name);
        call->role = client->peer.role;
        call->lists_commands = strcmp(command->name, "query-commands") == 0;
        call->keys = json_incref(keys);
        call->mark = unsettled_mark(&control->unsettled);
        call->qemu_id = qmp_client_forward(qmp, changed ? changed : message, command->class, fds, n_fds,
                                           on_reply, call);
        crash_point(CRASH_COMMAND_SENT);
}

static void run_own(struct client *client, const struct control_command *command, json_t *arguments,
                    const json_t *id, int *fds, size_t n_fds)
{
        struct control *control = client->control;
        _cleanup_error_ struct error *err = NULL;
        json_t *value;

        if (is_too_busy(client, id))
                return;
        control->asking = client;
        control->asking_id = id;
        value = control->handlers.on_own(command, arguments, fds, n_fds, &client->peer, control->data, &err);
        control->asking = NULL;
        if (value)
                send_return(client, id, value, command->changes);
        else if (err)
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
                send_return(client, id, json_object(), false);
        }
}

/* Of what a client may say, what changes something; a query that is passed on is told by QEMU's side of the wire. */
static bool is_told(const struct client *client, const char *name, const json_t *arguments)
{
        struct control_command command;

        if (!name || !client->negotiated)
                return !name || strcmp(name, "qmp_capabilities") != 0;
        return !control_command_classify(name, arguments, &command) || client->peer.role < command.role ||
               command.changes;
}

static void on_message(json_t *message, int *fds, size_t n_fds, void *data)
{
        struct client *client = data;
        const json_t *id = json_object_get(message, "id");
        json_t *arguments = json_object_get(message, "arguments");
        const char *name = json_string_value(json_object_get(message, "execute"));
        struct control_command command;
        const char *key;
        json_t *value;

        if (client->dead || client->control->finished)
                return;
        if (is_told(client, name, arguments))
                tell_wire(client, false, message);
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
        if (!control_command_classify(name, arguments, &command)) {
                _cleanup_free_ char *shown = text_printable(name);
                _cleanup_free_ char *desc = xasprintf("The command %s has not been found", shown);

                send_error(client, id, "CommandNotFound", desc);
        } else if (client->peer.role < command.role) {
                _cleanup_free_ char *shown = text_printable(name);
                _cleanup_free_ char *desc =
                        xasprintf("%s needs the role %s, and this connection's is %s", shown,
                                  control_role_name(command.role), control_role_name(client->peer.role));

                send_error(client, id, "NotPermitted", desc);
        } else if (command.kind == CONTROL_OWN) {
                run_own(client, &command, arguments, id, fds, n_fds);
        } else {
                forward(client, &command, message, id, fds, n_fds);
        }
}

static void say_and_close(int fd_consume, const char *class, const char *desc)
{
        json_auto_t *reply = error_message(class, desc, NULL);
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

struct client *control_add_client(struct control *control, int fd_consume, const struct control_peer *peer)
{
        const struct json_stream_options options = {
                .max_message = peer->role == ROLE_ADMIN ? CONTROL_MAX_ADMIN : CONTROL_MAX_MESSAGE,
                .message_ms = CONTROL_MESSAGE_MS,
                .max_queue = CONTROL_MAX_QUEUE,
                .max_fds = peer->role == ROLE_ADMIN ? CONTROL_MAX_FDS : 0,
        };
        static const struct json_stream_handlers handlers = { .on_message = on_message,
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
        send_message(control_add_client(control, fd_consume, peer), control->greeting);
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
