/*
 * plan_parts - what of a plan's argv has a name in QEMU, as QMP takes it.
 *
 * The other delivery of the same device (DESIGN section 1, idea 3): argv gives each object, node, netdev, chardev and
 * device as JSON or option text; here it is read back as the arguments of object-add, blockdev-add, ... . Numbers that
 * only one start has are replaced by names, so that the parts of two plans compare: an inherited fd is "@fd:SOURCE", a
 * path in an fd set "@fdset:OPAQUE", the path of an inherited fd (a secret's: only a start has these)
 * "/proc/self/fd/@SOURCE". Pure.
 */
#pragma once

#include <jansson.h>

#include "launcher/plan/launch_plan.h"

enum plan_part_kind {
        PART_OBJECT,
        PART_FDSET,
        PART_CHARDEV,
        PART_NODE,
        PART_NETDEV,
        PART_DEVICE,
        PART_OPTION, /* of the command line only: "-smp" */
        PLAN_PART_KINDS
};

struct plan_part {
        enum plan_part_kind kind;
        char *id;         /* "disk1-file"; of an option its word; owned */
        json_t *json;     /* the command's arguments; of an option a string; owned */
        char *because;    /* as plan_arg's; owned */
        const char *text; /* the word that json was read from, lent by the plan; NULL: not JSON */
};

struct plan_parts {
        struct plan_part *items; /* in argv's order */
        size_t n;
};

/* like: of another plan, for what is the same word in both and need not be read again; NULL: none. */
void plan_parts_read(const struct launch_plan *plan, const struct plan_parts *like, struct plan_parts *ret);
void plan_parts_done(struct plan_parts *parts);
#define _cleanup_plan_parts_ _cleanup_(plan_parts_done)

/* NULL: there is none. */
const struct plan_part *plan_parts_find(const struct plan_parts *parts, enum plan_part_kind kind,
                                        const char *id);

#define PLAN_PART_FD    "@fd:"
#define PLAN_PART_FDSET "@fdset:"
/* Calls fn for each string of value, at any depth, that begins with prefix; what it returns (a new string, not NULL)
 * takes the string's place. */
void plan_part_replace(json_t *value, const char *prefix, char *(*fn)(const char *name, void *data),
                       void *data);
