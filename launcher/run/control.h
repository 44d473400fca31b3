/*
 * control - the control socket: many clients on one QMP (docs/control-socket.md).
 *
 * On the loop; never blocks. Deny by default: who has no role (control_role.h) is cut off, and each command needs a
 * least role (command_table.h). Everything is bounded: clients, commands in flight of each, bytes and fds of a message,
 * bytes waiting to be sent; a client that does not read is dropped.
 * ids are the client's own; what goes to QEMU gets an id of qmp_client's, and names of fds a prefix of the client
 * (fd_names.h). Events go to each client that has negotiated. What depends on a command whose outcome is unknown is
 * refused (unsettled.h).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"
#include "launcher/run/command_table.h"
#include "launcher/run/control_role.h"
#include "qmp/qmp_client.h"

#define CONTROL_CLIENTS 64
/* Of those who are no admins: they cannot keep root out. */
#define CONTROL_OTHERS     48
#define CONTROL_IN_FLIGHT  64
#define CONTROL_MAX_QUEUE  (1024u * 1024)
#define CONTROL_MESSAGE_MS 5000u
/* Of one message; an admin's may be a whole fragment. QEMU takes 16 fds at once. */
#define CONTROL_MAX_MESSAGE (64u * 1024)
#define CONTROL_MAX_ADMIN   (1024u * 1024)
#define CONTROL_MAX_FDS     16

/* Of all who are no admins: what QEMU has not answered yet. qmp_client.c takes twice that from everybody. */
#define CONTROL_OTHERS_IN_FLIGHT 128

/* Who sent a command. */
struct control_peer {
        uid_t uid;
        pid_t pid;
        enum control_role role;
        unsigned long long client; /* number of the connection: never the same twice */
};

struct control_handlers {
        /* A command of our own: the value of "return", a new reference, or NULL and *err, or NULL alone after
         * control_answer_later(). arguments may be NULL; those of fds that are kept are set to -1. */
        json_t *(*on_own)(const struct control_command *command, json_t *arguments, int *fds, size_t n_fds,
                          const struct control_peer *peer, void *data, struct error **err);
        /* Is somebody else at work on what a forwarded command would change? -1 and *err. May be NULL. */
        int (*on_keys)(const json_t *keys, void *data, struct error **err);
        /* Where to forward a command, or NULL and *err. */
        struct qmp_client *(*on_forward)(const struct control_command *command,
                                         const struct control_peer *peer, void *data, struct error **err);
        /* Whether QEMU answered a forwarded command in its time. May be NULL. */
        void (*on_answer)(bool in_time, void *data);
        /* QEMU's connection, for what a client leaves behind; NULL: down. May be NULL. */
        struct qmp_client *(*on_clean_up)(void *data);
        /* A client was cut off and why, or somebody was refused, for the log. May be NULL. */
        void (*on_cut_off)(const struct control_peer *peer, const char *why, void *data);
        /* What a client says, and what it is told by us and not by QEMU; for the recorder. May be NULL. */
        void (*on_wire)(const struct control_peer *peer, bool sent, const json_t *message, void *data);
        /* A connection has ended, by whom ever; from the loop, once. What the client held is to be let go. May be
         * NULL. */
        void (*on_gone)(const struct control_peer *peer, void *data);
};

struct control;
struct handover;

/* A bound, listening socket at name below dirfd, mode 0666; an old one there is replaced. */
int control_listen(int dirfd, const char *name, int *ret_fd, struct error **err);

/* vm, generation: for the greeting; copied, as roles. */
struct control *control_new(struct loop *loop, int listen_fd_consume, const char *vm, const char *generation,
                            const struct control_roles *roles, const struct control_handlers *handlers,
                            void *data);
/* Closes everything at once. Commands that QEMU has not answered are forgotten. */
void control_free(struct control *control);
DEFINE_FREEP(struct control, control_free)

/*
 * Inside on_own only: the command being handled is answered later, by exactly one control_answer() with a value or
 * an error. That may come when the client, or all of control, is gone already: then it only frees.
 */
struct control_call;
struct control_call *control_answer_later(struct control *control);
void control_answer(struct control_call *call, json_t *value_consume, const struct error *error);

/* QEMU's greeting, the whole {"QMP": ...}: later clients see its version, which was zero before. */
void control_set_greeting(struct control *control, const json_t *qemu_greeting);
/*
 * The answer to a command whose deadline had passed: what it settles, and an event VMLAUNCH_LATE. Whether it belongs to
 * a command of a client's.
 */
bool control_late(struct control *control, const char *command, json_int_t id, const json_t *reply);
/* QEMU's connection is gone: nothing comes late any more. */
void control_disconnected(struct control *control);
/* Somebody else has looked, on a new connection: that is known again. */
void control_shown(struct control *control, enum command_shows shows);
/* Who else is to be refused: the command that has to be settled first (lent), NULL: none. */
const char *control_unsettled(const struct control *control, const json_t *keys);
/* Sends a whole event object to every client that has negotiated. */
void control_broadcast(struct control *control, const json_t *event);
/* The same for an event of our own, which gets a timestamp as QEMU's have. data is stolen. */
void control_event(struct control *control, const char *name, json_t *data_consume);
/* Takes no new clients and commands any more; bytes that wait are still sent. */
void control_finish(struct control *control);
/* Does something wait to be sent? */
bool control_is_flushed(const struct control *control);

/*
 * For a process that takes this one's place (handover.h), and while QEMU is not there yet. While held no client is read, nor
 * accepted; whatever they sent waits in their sockets.
 */
void control_hold(struct control *control, bool hold);
/* Whether an own command but this one is still to be answered. */
bool control_has_own_calls(const struct control *control, const struct control_call *but);
/*
 * Everything about the clients, and fds given to handover; new reference. but: the call that is to be answered by the
 * other process. ERROR_BUSY while another command waits for its answer, a client is being cut off, or too much has not
 * been read by clients.
 */
json_t *control_state(const struct control *control, const struct control_call *but,
                      struct handover *handover, struct error **err);
/* control_new() for that process. *ret_call is what `but` was. NULL and ERROR_FAILED when that is no such state. */
struct control *control_resume(struct loop *loop, const json_t *state, struct handover *handover,
                               const char *vm, const char *generation, const struct control_roles *roles,
                               const struct control_handlers *handlers, void *data,
                               struct control_call **ret_call, struct error **err);
