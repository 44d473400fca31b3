/*
 * qmp_client_parts - what the files of qmp_client.h share; for no one else.
 *
 * qmp_client.c has the connection and its calls, qmp_client_wait.c those that run the loop until their answer,
 * qmp_client_handover.c the state for a process that takes this one's place.
 */
#pragma once

#include "qmp/qmp_client.h"

/* Calls given up whose late answers are still expected. */
#define LATE_MAX 64

struct call {
        struct call *next;
        struct qmp_client *client;
        json_int_t id;
        char *command;
        qmp_reply_fn *fn;
        void *data;
        bool whole;          /* the callback gets the whole reply object */
        bool late;           /* the callback has had its ERROR_DEADLINE */
        struct error *error; /* never sent: for the callback, from the loop */
        unsigned wait_ms;
        struct loop_source *deadline;
};

enum client_state { GREETING, NEGOTIATING, READY, GONE };

struct qmp_client {
        struct loop *loop;
        struct json_stream *stream;
        struct qmp_client_handlers handlers;
        void *data;
        enum client_state state;
        unsigned greeting_ms;
        struct loop_source *greeting_deadline;
        json_t *greeting;
        struct error *gone;              /* why, once GONE */
        struct call *calls, **calls_end; /* oldest first */
        unsigned n_waiting, n_late;
        json_int_t last_id;
        unsigned long long changes;
        unsigned events_burst, events_per_second;
        long long events_left, events_ms; /* of the burst, as of that time */
        struct loop_source *pause;        /* until reading goes on */
        bool freed;                       /* memory goes when the callback that did it has returned */
        unsigned busy;                    /* callbacks of ours on the stack */
};

/* On the socket, and no greeting is awaited. */
struct qmp_client *qmp_client_make(struct loop *loop, int fd_consume,
                                   const struct qmp_client_handlers *handlers, void *data);
/* The newest call, with an id; nothing is sent. */
struct call *qmp_client_add_call(struct qmp_client *client, const char *command, qmp_reply_fn *fn,
                                 void *data);
/* As qmp_client_call(), with a time of its own. */
void qmp_client_send(struct qmp_client *client, const char *command, json_t *arguments, unsigned wait_ms,
                     const int *fds, size_t n_fds, qmp_reply_fn *fn, void *data);
