/*
 * fragment_parts - what fragment.c and fragment_host.c, which read a fragment, share. Nobody else's.
 */
#pragma once

#include "launcher/run/fragment.h"

#define NAME_MAX_ 64
#define ID_MAX    127
#define VALUE_MAX 4096

struct reading {
        const struct fragment_vm *vm;
        enum control_role role;
        struct fragment *fragment;
        json_t *created; /* {"OBJECT/ID": true}: what its steps make */
        json_t *taps;    /* {"IFNAME": bool}: made here, and whether they are marked as ours */
        json_t *fd_uses; /* {"NAME": times}: fds there are so far */
        json_t *helpers; /* {"ID": 1 with its socket, 2 with its messages, 3 made} */
};

/* Only these members; list is NULL-terminated. */
int fragment_check_members(const json_t *object, const char *const *list, struct error **err);
/* A letter, then letters, digits and others: QEMU's id_wellformed(), and no name begins with a digit there. */
bool fragment_is_id(const char *s, const char *others, size_t max);
/* Printable text of one line. */
bool fragment_is_line(const char *s, size_t max);
/* ERROR_NOT_PERMITTED when the fragment's sender has less; what is the thing that needs it. */
int fragment_need_role(const struct reading *reading, enum control_role role, const char *what,
                       struct error **err);
/* Whether it is a name of what host steps open, and so no client's. */
bool fragment_fd_is_ours(const char *fd);
/* A step json whose args are in step, by its effect: roles, members, values; notes what it opens or makes. */
int fragment_read_host(struct reading *reading, const json_t *json, struct fragment_step *step,
                       struct error **err);
