/*
 * lease_parts - what the files of lease.h share; for no one else.
 *
 * lease.c has the life of a lease, from who asks for it to who waits for its end; lease_command.c what agent and QEMU are
 * asked for it, and what their answers are to the table of lease_state.h.
 */
#pragma once

#include "launcher/run/lease.h"
#include "launcher/run/lease_state.h"

#define WAITERS_MAX 16

struct answer {
        lease_answer_fn *fn;
        void *data;
};

struct lease {
        struct leases *leases;
        enum lease_kind kind;
        enum lease_state state;
        unsigned long long id, client;
        char *who;
        unsigned timeout_ms;
        unsigned turn;   /* of the newest command: answers to older ones do not count */
        bool obliged;    /* false: undone without having been taken by us; the first failure ends it */
        bool uncertain;  /* the taking command was sent and is not answered: it may yet be carried out */
        bool stay;       /* undo nothing: somebody else wants it so */
        bool told_retry; /* one line in the story for all tries */
        long long taken, undone; /* numbers of file systems */
        unsigned tries;
        struct loop_source *limit, *retry;
        struct error *error; /* the last one */
        char *why;           /* it ends; NULL: it does not */
        struct answer begin, enders[WAITERS_MAX];
        size_t n_enders;
};

struct leases {
        struct loop *loop;
        struct lease_host host;
        struct lease_times times;
        void *data;
        unsigned long long last_id;
        struct lease kinds[LEASE_KINDS];
        enum lease_frozen frozen, frozen_before; /* it was begun or undone */
};

/* Something has happened: the next state, and what the table asks for. */
void lease_feed(struct lease *lease, enum lease_event event);

/* Each asks agent or QEMU, and an event comes of it: from the loop, or at once where there is nobody to ask. */
void lease_take(struct lease *lease);
void lease_undo(struct lease *lease);
void lease_prove(struct lease *lease);
/* Why nobody can be asked; owned by the caller. */
struct error *lease_nobody(const struct lease *lease);
