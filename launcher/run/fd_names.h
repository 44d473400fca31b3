/*
 * fd_names - the names that one client of the control socket gives to fds in QEMU.
 *
 * QEMU keeps one list of names per monitor, and all clients share that monitor: so each name gets the client's own
 * prefix on its way, where a name is given (getfd) and where it is used. A name that begins with a digit is a number of
 * an fd that QEMU has already, and stays. Pure but for the list of names it keeps.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Names that one client may have given and not used. */
#define FD_NAMES_MAX 64

struct fd_names {
        char *prefix;
        json_t *held; /* object: prefixed names QEMU has not been told to forget or use */
};

void fd_names_init(struct fd_names *names, uint64_t client);
void fd_names_done(struct fd_names *names);
/*
 * Rewrites the arguments of a command where they name fds, in a copy: *ret_arguments, a new reference, is NULL when
 * there is nothing to rewrite. ERROR_FAILED over FD_NAMES_MAX. Looks at
 *   getfd, closefd, add_client: fdname · netdev_add, device_add: fd, fds, vhostfd, vhostfds · migrate,
 *   migrate-incoming: uri "fd:NAME" · and in any command each socket address of type "fd".
 */
int fd_names_rewrite(struct fd_names *names, const char *command, const json_t *arguments,
                     json_t **ret_arguments, struct error **err);
