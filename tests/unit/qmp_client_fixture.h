/*
 * qmp_client_fixture - a QMP connection whose other end the test plays, and what came of its calls.
 */
#pragma once

#include "qmp/qmp_client.h"

#include "tests/unit/outcome.h"

#define GREETING \
        "{\"QMP\":{\"version\":{\"qemu\":{\"major\":7,\"minor\":2,\"micro\":22}},\"capabilities\":[\"oob\"]}}\r\n"

struct fixture {
        struct loop *loop;
        struct qmp_client *client;
        int peer;
        unsigned ready, events, late, disconnected;
        char last_event[64], last_late[64];
        size_t event_bytes;
        enum error_code why;
        unsigned errors_before_disconnect;
        struct outcome *outcomes[8];
};

static inline void on_ready(json_t *greeting, void *data)
{
        struct fixture *f = data;

        assert_non_null(json_object_get(greeting, "QMP"));
        f->ready++;
}

static inline void on_event(const char *name, json_t *event_data, json_t *event, void *data)
{
        struct fixture *f = data;
        const char *filler = json_string_value(json_object_get(event_data, "filler"));

        assert_non_null(event);
        f->events++;
        f->event_bytes = filler ? strlen(filler) : 0;
        snprintf(f->last_event, sizeof(f->last_event), "%s", name);
}

static inline void on_late(const char *command, json_int_t id, json_t *reply, void *data)
{
        struct fixture *f = data;

        assert_int_not_equal(id, 0);
        assert_null(json_object_get(reply, "id"));
        assert_non_null(json_object_get(reply, "return"));
        f->late++;
        snprintf(f->last_late, sizeof(f->last_late), "%s", command);
}

static inline void on_disconnect(const struct error *error, void *data)
{
        struct fixture *f = data;

        f->disconnected++;
        f->why = error->code;
        for (size_t i = 0; i < ARRAY_SIZE(f->outcomes); i++)
                if (f->outcomes[i])
                        f->errors_before_disconnect += f->outcomes[i]->calls;
}

static inline void answered(json_t *reply, const struct error *error, void *data)
{
        struct outcome *o = data;

        outcome_take(o, reply, error);
        if (o->free_client) {
                qmp_client_free(o->fixture->client);
                o->fixture->client = NULL;
        }
        if (o->ask_again) {
                o->ask_again = false;
                qmp_client_call(o->fixture->client, "query-status", NULL, QMP_QUERY, NULL, 0, answered, o);
        }
}

static const struct qmp_client_handlers handlers = {
        .on_ready = on_ready, .on_event = on_event, .on_late = on_late, .on_disconnect = on_disconnect
};

static inline struct fixture *begin_silent(unsigned greeting_ms)
{
        struct fixture *f = xcalloc(1, sizeof(*f));
        int ours;

        f->loop = loop_new();
        peer_pair(&ours, &f->peer);
        f->client = qmp_client_new(f->loop, ours, greeting_ms, &handlers, f);
        return f;
}

static inline struct fixture *begin(void)
{
        struct fixture *f = begin_silent(5000);
        json_t *command;

        peer_write(f->peer, GREETING);
        loop_step(f->loop, 1000);
        command = peer_read_json(f->peer);
        assert_string_equal(json_string_value(json_object_get(command, "execute")), "qmp_capabilities");
        assert_false(qmp_client_is_ready(f->client));
        json_decref(command);
        peer_write(f->peer, "{\"return\": {}, \"id\": 1}\r\n");
        peer_spin_until(f->loop, &f->ready, 1);
        assert_true(qmp_client_is_ready(f->client));
        return f;
}

static inline void finish(struct fixture *f)
{
        qmp_client_free(f->client);
        loop_free(f->loop);
        fd_close(&f->peer);
        free(f);
}

/* The id of the next command at the peer, which must be this one. */
static inline json_int_t expect_command(struct fixture *f, const char *name)
{
        json_t *command = peer_read_json(f->peer);
        json_int_t id = json_integer_value(json_object_get(command, "id"));

        assert_string_equal(json_string_value(json_object_get(command, "execute")), name);
        json_decref(command);
        return id;
}

static inline void answer(struct fixture *f, json_int_t id, const char *what)
{
        _cleanup_free_ char *line = xasprintf("{%s, \"id\": %lld}\r\n", what, (long long)id);

        peer_write(f->peer, line);
}
