/*
 * fragment - a change of a running VM as plain data: what vmlaunch-apply carries (docs/control-socket.md).
 *
 * Pure. The steps are those of a launch plan (launcher/plan/launch_plan.h), of the effects and QMP commands that a
 * fragment may have; each of them has a least role, what is in no table nobody has. A fragment is read and checked
 * whole before anything of it is done: errors name the step, ERROR_NOT_PERMITTED the role. One with "forward" has only
 * commands that take away, and take-back steps; "then" is such a one for what is left over when the other is committed.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/run/control_role.h"

#define FRAGMENT_STEPS       64
#define FRAGMENT_UNDOS       8   /* of one step */
#define FRAGMENT_LIVE        64  /* vectors and attributes that change */
#define FRAGMENT_OPENED      64  /* fds that its host steps open */
#define FRAGMENT_AWAIT_MAX_S 600 /* for one event */

/* What a QMP command makes or takes away. */
enum fragment_object {
        OBJECT_NONE,
        OBJECT_FD,
        OBJECT_FDSET,
        OBJECT_QOM,
        OBJECT_CHARDEV,
        OBJECT_NETDEV,
        OBJECT_NODE,
        OBJECT_DEVICE,
        FRAGMENT_OBJECTS
};

enum fragment_action { ACTION_CREATE, ACTION_REMOVE, ACTION_SET };

struct fragment_command {
        const char *name;
        enum control_role role; /* the least */
        enum fragment_action action;
        enum fragment_object object;
        const char *id;   /* the argument that names it */
        const char *undo; /* the command that takes away what this one creates */
        bool takes_fd;
};

/* NULL: no fragment has it. */
const struct fragment_command *fragment_command_find(const char *name);
/* Row n, NULL behind the last. */
const struct fragment_command *fragment_command_at(size_t n);

struct fragment_step {
        enum plan_effect effect;
        json_t *args; /* placeholders are filled in; owned, as all below */
        /* Of QMP steps: */
        const struct fragment_command *command;
        json_t *undo;      /* array of {"execute","arguments"}, in the order of sending */
        char *fd;          /* that goes with it; NULL: none */
        char *await_event; /* that has to come; NULL: none */
        char *await_member, *await_value;
        unsigned await_ms;
};

struct fragment {
        char *what; /* for the story; NULL: not said */
        char **fds; /* names of the fds that came with it, in their order */
        size_t n_fds;
        struct fragment_step *steps;
        size_t n_steps;
        json_t *keys;    /* what its QMP steps hang on, as control_command_keys() */
        json_t *live;    /* {"set":[...],"remove":[...]}, checked in its shape; NULL: live.tmpl stays */
        json_t *devices; /* {"set":[...],"remove":[...]} of the record's devices; NULL: they stay */
        json_t *places; /* {"disk1":"rp4:0x0"}: what machine.lock gets, of a new image by its path; NULL: nothing */
        bool forward;   /* it only takes away: what was begun is finished, never undone (apply_forward.c) */
        json_t *source; /* of such a one: itself, for the journal */
        struct fragment *then; /* one with forward, begun with this one's commit; NULL: none */
};

/* The VM it is for. */
struct fragment_vm {
        const char *name, *generation;
        uint32_t link_group; /* of its taps */
        const char *cgroup;  /* NULL: none */
        const char *unit;    /* of systemd, whose group that is; NULL: none */
};

int fragment_read(const json_t *json, const struct fragment_vm *vm, enum control_role role, size_t n_fds,
                  struct fragment **ret, struct error **err);
void fragment_free(struct fragment *fragment);
DEFINE_FREEP(struct fragment, fragment_free)

/* "step 3 (qmp device_add)"; new string. */
char *fragment_step_text(const struct fragment *fragment, size_t i);
/* The record's devices with a fragment's changes; new reference. */
json_t *fragment_devices(const json_t *devices, const json_t *changes);
