#include "launcher/live/apply_client.h"

#include "base/fd.h"
#include "base/json_member.h"

/* Deadlines are the supervisor's, one for each step: this is for one that does not answer at all. */
#define GRACE_MS 30000u
/* A step without an event of its own: the longest class. */
#define STEP_MS 30000u

struct apply_client {
        struct control_client *control;
        json_t *fragment;
        json_t *names;
        int *fds;
        size_t n_fds;
        json_int_t id;
};

struct apply_client *apply_client_new(struct control_client *control, json_t *fragment)
{
        struct apply_client *client = xcalloc(1, sizeof(*client));

        client->control = control;
        client->fragment = fragment;
        client->names = json_array();
        return client;
}

void apply_client_free(struct apply_client *client)
{
        if (!client)
                return;
        for (size_t i = 0; i < client->n_fds; i++)
                close(client->fds[i]);
        free(client->fds);
        json_decref(client->names);
        json_decref(client->fragment);
        free(client);
}

void apply_client_add_fd(struct apply_client *client, const char *name, int fd_consume)
{
        ARRAY_GROW(client->fds, client->n_fds);
        client->fds[client->n_fds++] = fd_consume;
        json_array_append_new(client->names, json_string(name));
}

/* The way there, and the way back again. */
static unsigned longest_ms(const json_t *fragment)
{
        const json_t *step;
        double ms = GRACE_MS;
        size_t i;

        json_array_foreach (json_object_get(fragment, "steps"), i, step)
                ms += 2 * STEP_MS +
                      1000 * json_number_value(json_object_get(json_object_get(step, "await"), "timeout"));
        return ms < 86400000 ? (unsigned)ms : 86400000;
}

static int call(struct apply_client *client, json_t *arguments_consume, bool with_fds, json_t **ret_reply,
                struct error **err)
{
        return control_client_call_fds(client->control, "vmlaunch-apply", arguments_consume, client->fds,
                                       with_fds ? client->n_fds : 0, longest_ms(client->fragment), ret_reply,
                                       err);
}

static int send_fragment(struct apply_client *client, json_t *arguments_consume, struct error **err)
{
        json_auto_t *reply = NULL;

        if (client->n_fds)
                json_object_set(client->fragment, "fds", client->names);
        json_object_set(arguments_consume, "fragment", client->fragment);
        if (call(client, arguments_consume, true, &reply, err) < 0)
                return -1;
        client->id = json_member_integer(reply, "id");
        return 0;
}

int apply_client_send(struct apply_client *client, struct error **err)
{
        return send_fragment(client, json_object(), err);
}

int apply_client_begin(struct apply_client *client, unsigned commit_s, struct error **err)
{
        return send_fragment(client, json_pack("{s:b, s:i}", "commit", 0, "timeout", (int)commit_s), err);
}

int apply_client_commit(struct apply_client *client, struct error **err)
{
        return call(client, json_pack("{s:I}", "commit", client->id), false, NULL, err);
}

int apply_client_abort(struct apply_client *client, struct error **err)
{
        return call(client, json_pack("{s:I}", "abort", client->id), false, NULL, err);
}
