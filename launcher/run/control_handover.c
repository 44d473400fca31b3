/* The control socket's clients, for a process that takes this one's place. */
#include <string.h>

#include "base/fd.h"
#include "launcher/run/control_parts.h"
#include "launcher/run/handover.h"

/* What all clients together may have sent in halves and not read: each byte is copied some times on its way. */
#define BYTES_MAX (16u << 20)

bool control_has_own_calls(const struct control *control, const struct control_call *but)
{
        for (const struct control_call *call = control->calls; call; call = call->next)
                if (call != but && call->client && !call->name)
                        return true;
        return false;
}

static json_t *client_state(const struct client *client, struct handover *handover, size_t *total)
{
        const int *fds;
        size_t n_half, n_unsent, n_fds = json_stream_half_fds(client->stream, &fds);
        const char *half = json_stream_half(client->stream, &n_half);
        _cleanup_free_ char *unsent = json_stream_unsent_bytes(client->stream, &n_unsent);
        json_t *half_fds = json_array();

        *total += n_half + n_unsent;
        for (size_t i = 0; i < n_fds; i++)
                json_array_append_new(half_fds, json_pack("{s:o}", "fd", handover_give_fd(handover, fds[i])));
        return json_pack("{s:I, s:o, s:I, s:I, s:s, s:b, s:O, s:o, s:o, s:o}", "number",
                         (json_int_t)client->peer.client, "fd",
                         handover_give_fd(handover, json_stream_fd(client->stream)), "uid",
                         (json_int_t)client->peer.uid, "pid", (json_int_t)client->peer.pid, "role",
                         control_role_name(client->peer.role), "negotiated", client->negotiated, "fd_names",
                         client->fd_names.held, "half", handover_bytes(half, n_half), "half_fds", half_fds,
                         "unsent", handover_bytes(unsent, n_unsent));
}

static int check_rest(const struct control *control, const struct control_call *but, struct error **err)
{
        for (const struct control_call *call = control->calls; call; call = call->next)
                if (call != but && call->client)
                        return error_set(err, ERROR_BUSY, "a client waits for an answer");
        for (const struct client *client = control->clients; client; client = client->next)
                if (client->dead || !json_stream_is_open(client->stream))
                        return error_set(err, ERROR_BUSY, "a client is being cut off");
        return 0;
}

json_t *control_state(const struct control *control, const struct control_call *but,
                      struct handover *handover, struct error **err)
{
        json_auto_t *clients = NULL, *owed = NULL;
        size_t total = 0;

        if (check_rest(control, but, err) < 0)
                return NULL;
        clients = json_array();
        for (const struct client *client = control->clients; client && total <= BYTES_MAX;
             client = client->next)
                json_array_append_new(clients, client_state(client, handover, &total));
        if (total > BYTES_MAX) {
                error_set(err, ERROR_BUSY, "clients have not read more than %u bytes", BYTES_MAX);
                return NULL;
        }
        owed = but && but->client ? json_pack("{s:I, s:O*}", "client", (json_int_t)but->client->peer.client,
                                              "id", but->id)
                                  : json_null();
        return json_pack("{s:o, s:I, s:O, s:O, s:I, s:O, s:O}", "listener",
                         handover_give_fd(handover, control->listen_fd), "last_client",
                         (json_int_t)control->last_client, "greeting",
                         json_object_get(control->greeting, "QMP"), "unsettled", control->unsettled.entries,
                         "unsettled_last", control->unsettled.last, "clients", clients, "owed", owed);
}

static int take_role(const json_t *state, enum control_role *ret, struct error **err)
{
        const char *name;

        if (handover_string(state, "role", &name, err) < 0)
                return -1;
        for (enum control_role role = ROLE_MONITOR; role <= ROLE_ADMIN; role++)
                if (strcmp(name, control_role_name(role)) == 0) {
                        *ret = role;
                        return 0;
                }
        return error_set(err, ERROR_FAILED, "role is none");
}

static int take_peer(const struct control *control, const json_t *state, struct control_peer *ret,
                     struct error **err)
{
        json_int_t number, uid, pid;

        if (handover_integer(state, "number", 1, (json_int_t)control->last_client, &number, err) < 0 ||
            handover_integer(state, "uid", 0, UINT32_MAX, &uid, err) < 0 ||
            handover_integer(state, "pid", 0, INT32_MAX, &pid, err) < 0 ||
            take_role(state, &ret->role, err) < 0)
                return -1;
        for (const struct client *client = control->clients; client; client = client->next)
                if (client->peer.client == (unsigned long long)number)
                        return error_set(err, ERROR_FAILED, "number is another client's too");
        ret->client = (unsigned long long)number;
        ret->uid = (uid_t)uid;
        ret->pid = (pid_t)pid;
        return 0;
}

static int take_half_fds(const json_t *state, struct handover *handover, int fds[CONTROL_MAX_FDS],
                         size_t *ret_n, struct error **err)
{
        const json_t *list = json_object_get(state, "half_fds"), *each;
        size_t i;

        *ret_n = 0;
        if (!json_is_array(list) || json_array_size(list) > CONTROL_MAX_FDS)
                return error_set(err, ERROR_FAILED, "half_fds is no list of at most %d", CONTROL_MAX_FDS);
        json_array_foreach ((json_t *)list, i, each) {
                if (handover_take_fd(handover, each, "fd", &fds[i], err) < 0) {
                        while (*ret_n)
                                close(fds[--*ret_n]);
                        return -1;
                }
                ++*ret_n;
        }
        return 0;
}

static int take_client(struct control *control, const json_t *state, struct handover *handover,
                       struct error **err)
{
        _cleanup_free_ char *half = NULL, *unsent = NULL;
        const json_t *held = json_object_get(state, "fd_names");
        int fd, fds[CONTROL_MAX_FDS];
        struct control_peer peer = { 0 };
        struct json_stream_rest rest = { .fds = fds };
        struct client *client;
        bool negotiated;

        if (take_peer(control, state, &peer, err) < 0 ||
            handover_bool(state, "negotiated", &negotiated, err) < 0 ||
            handover_take_bytes(state, "half", CONTROL_MAX_ADMIN, &half, &rest.n_half, err) < 0 ||
            handover_take_bytes(state, "unsent", CONTROL_MAX_QUEUE, &unsent, &rest.n_unsent, err) < 0)
                return -1;
        if (!json_is_object(held) || json_object_size(held) > FD_NAMES_MAX)
                return error_set(err, ERROR_FAILED, "fd_names is no object of at most %d", FD_NAMES_MAX);
        if (handover_take_fd(handover, state, "fd", &fd, err) < 0)
                return -1;
        client = control_add_client(control, fd, &peer);
        client->negotiated = negotiated;
        json_object_update(client->fd_names.held, (json_t *)held);
        rest.half = half;
        rest.unsent = unsent;
        if (take_half_fds(state, handover, fds, &rest.n_fds, err) < 0)
                return -1;
        return json_stream_resume(client->stream, &rest, err);
}

static int take_owed(struct control *control, const json_t *owed, struct control_call **ret,
                     struct error **err)
{
        json_int_t number = 0;

        *ret = NULL;
        if (json_is_null(owed))
                return 0;
        if (handover_integer(owed, "client", 1, INT64_MAX, &number, err) < 0)
                return -1;
        for (struct client *client = control->clients; client; client = client->next)
                if (client->peer.client == (unsigned long long)number) {
                        *ret = control_add_call(client, json_object_get(owed, "id"));
                        return 0;
                }
        return error_set(err, ERROR_FAILED, "client is nobody's number");
}

static int take_all(struct control *control, const json_t *state, struct handover *handover,
                    struct control_call **ret_call, struct error **err)
{
        const json_t *clients = json_object_get(state, "clients"),
                     *entries = json_object_get(state, "unsettled"), *each;
        json_auto_t *greeting = json_pack("{s:O?}", "QMP", json_object_get(state, "greeting"));
        json_int_t last;
        size_t i;

        if (handover_integer(state, "last_client", 0, INT64_MAX - 1, &last, err) < 0)
                return -1;
        control->last_client = (unsigned long long)last;
        if (handover_integer(state, "unsettled_last", 0, INT64_MAX - 1, &last, err) < 0)
                return -1;
        if (!json_is_array(entries) || json_array_size(entries) > UNSETTLED_MAX)
                return error_set(err, ERROR_FAILED, "unsettled is no list of at most %d", UNSETTLED_MAX);
        control->unsettled.last = last;
        json_array_extend(control->unsettled.entries, (json_t *)entries);
        control_set_greeting(control, greeting);
        if (!json_is_array(clients) || json_array_size(clients) > CONTROL_CLIENTS)
                return error_set(err, ERROR_FAILED, "clients is no list of at most %d", CONTROL_CLIENTS);
        json_array_foreach ((json_t *)clients, i, each) {
                if (take_client(control, each, handover, err) < 0)
                        return error_wrap(err, "client %zu", i);
        }
        return take_owed(control, json_object_get(state, "owed"), ret_call, err);
}

struct control *control_resume(struct loop *loop, const json_t *state, struct handover *handover,
                               const char *vm, const char *generation, const struct control_roles *roles,
                               const struct control_handlers *handlers, void *data,
                               struct control_call **ret_call, struct error **err)
{
        struct control *control;
        int fd;

        if (handover_take_fd(handover, state, "listener", &fd, err) < 0)
                return NULL;
        control = control_new(loop, fd, vm, generation, roles, handlers, data);
        if (take_all(control, state, handover, ret_call, err) == 0)
                return control;
        control_free(control);
        return NULL;
}
