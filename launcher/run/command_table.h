/*
 * command_table - every command of the control socket: the least role, the deadline's class, what it does.
 *
 * Pure. Deny by default: a command without a row is for admins alone, and counts as one that changes the VM behind
 * vmlaunch's back, unless QEMU names it as a query.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "launcher/run/control_role.h"
#include "qmp/qmp_client.h"

/* What is known again once a query has been answered. */
enum command_shows { SHOWS_NOTHING, SHOWS_RUN_STATE, SHOWS_DEVICES };

struct control_command {
        const char *name;
        enum { CONTROL_OWN, CONTROL_FORWARD } kind;
        enum control_role role; /* the least */
        enum qmp_class class;
        bool changes;   /* does something to the VM */
        bool by_hand;   /* and vmlaunch does not follow it: the VM is then changed-by-hand */
        bool run_state; /* what it changes is whether the guest runs */
        enum command_shows shows;
};

/* The row of the table, NULL: none. */
const struct control_command *control_command_find(const char *name);
/* The row, or what a command without one counts as; its name is then the parameter, lent. False: a name that is ours
 * and means nothing. */
bool control_command_classify(const char *name, const json_t *arguments, struct control_command *ret);
/* Row n, NULL behind the last. */
const struct control_command *control_command_at(size_t n);

/*
 * What a command's effect hangs on: ids of devices, nodes and jobs among its arguments, "run state", or its own name.
 * Two commands that share one depend on each other. Array of strings, new reference.
 */
json_t *control_command_keys(const struct control_command *command, const json_t *arguments);
/* Have two of them one in common? */
bool control_keys_meet(const json_t *a, const json_t *b);
