/*
 * control_parts - what the control socket's files share; for no one else.
 *
 * control.c has the connections, control_command.c what clients say, control_answer.c what they are sent,
 * control_handover.c their state for a process that takes this one's place.
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
/* why: for the log; NULL: nothing that is worth a line. */
void control_cut_off(struct client *client, const char *why);

/* control_command.c: json_stream's callback; data is the client. */
void control_on_message(json_t *message, int *fds, size_t n_fds, void *data);

/* control_answer.c */
struct control_call *control_add_call(struct client *client, const json_t *id);
void control_forget_call(struct control_call *call);
bool control_send(struct client *client, const json_t *message);
/* The recorder is told. */
void control_tell_wire(const struct client *client, bool sent, const json_t *message);
void control_send_answer(struct client *client, const json_t *id, const json_t *reply);
void control_send_return(struct client *client, const json_t *id, json_t *value_consume, bool told);
void control_send_error(struct client *client, const json_t *id, const char *class, const char *desc);
void control_send_our_error(struct client *client, const json_t *id, const struct error *error);
const char *control_error_class(const struct error *error);
/* New reference. */
json_t *control_error_message(const char *class, const char *desc, const json_t *id);
