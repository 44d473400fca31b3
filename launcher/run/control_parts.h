/*
 * control_parts - what the control socket's two files share; for no one else.
 *
 * control.c serves the clients; control_handover.c has their state for a process that takes this one's place.
 */
#pragma once

#include "launcher/run/control.h"
#include "launcher/run/fd_names.h"
#include "launcher/run/story.h"
#include "launcher/run/unsettled.h"
#include "qmp/json_stream.h"

struct client {
        struct control *control;
        struct json_stream *stream;
        struct control_peer peer;
        bool negotiated;
        struct fd_names fd_names;
        bool dead; /* freed by reap(), so that nobody's callback loses its client under its feet */
        unsigned in_flight;
        struct client *next;
};

/* A command on its way to QEMU, or one of our own that is answered later. */
struct control_call {
        struct control *control; /* NULL: freed meanwhile */
        struct client *client;   /* NULL: gone meanwhile */
        json_t *id;
        json_int_t qemu_id;
        struct control_command command;
        char *name; /* the command's */
        enum control_role role;
        bool lists_commands;
        json_t *keys;    /* of one that changes something */
        json_int_t mark; /* what the answer of a query settles */
        struct control_call *next;
};

struct control {
        struct loop *loop;
        int listen_fd;
        struct loop_source *listener, *pause, *reaper;
        json_t *greeting;
        struct control_handlers handlers;
        void *data;
        struct control_roles roles;
        struct unsettled unsettled;
        struct client *clients;
        unsigned n_clients;
        unsigned long long last_client; /* the number of the newest one */
        struct control_call *calls;
        /* The command of our own that is being handled, for control_answer_later(). */
        struct client *asking;
        const json_t *asking_id;
        bool finished;
        struct story_pace cut_offs;
};

/* Its number is peer's. */
struct client *control_add_client(struct control *control, int fd_consume, const struct control_peer *peer);
struct control_call *control_add_call(struct client *client, const json_t *id);
