/*
 * owner - whose instance of vmlaunch it is: the system's, which is root's, or an ordinary user's.
 *
 * A user's VMs run with the user's own uid and groups, and its directories are those of the XDG Base Directory
 * Specification. Pure: owner_read() of launcher/host fills it in. owner_done() frees what it holds; all zeros is the
 * system.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct owner {
        bool user; /* an ordinary user's; else the system's, and nothing below is set */
        uid_t uid;
        gid_t gid;
        gid_t *groups; /* supplementary ones */
        size_t n_groups;
        /* XDG_CONFIG_HOME and so on, or what the specification says in their place; absolute; owned. */
        char *config, *data, *state, *cache, *runtime;
        /* The control group (v2) of the user's own systemd, which can be asked for groups below it, and the controllers
         * that it has been given, separated by blanks; owned; NULL: there is none. */
        char *manager_group, *manager_controllers;
};

void owner_done(struct owner *owner);
void owner_copy(const struct owner *owner, struct owner *ret);
bool owner_has_group(const struct owner *owner, gid_t gid);
