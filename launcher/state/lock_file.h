/*
 * lock_file - lock files below RUN: images/DEV-INO for an image, uids/UID for a uid, ports/PORT for a port.
 *
 * A lock is an OFD lock (fcntl(2)) on the first byte, shared or exclusive; it belongs to the open file and
 * ends with the last process that has it, however that one dies. Behind it the file has one line of fixed
 * length per holder, and each holder keeps its own line locked: a line that nobody locks is a dead holder's
 * and does not count. So the holder that an error names is one that really has the lock.
 *
 * Files are 0600: who may open a lock file may lock it, and so keep others out. Directories are 0755.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct lock_request {
        const char *name;   /* below RUN: "images/8:1-123", "uids/1900000017" */
        const char *what;   /* for the error: "image '/x.qcow2'", "uid 1900000017" */
        const char *holder; /* name of the VM */
        bool shared;
};

/*
 * Takes the lock without waiting; the directory of name is made when missing. *ret_fd holds the lock: pass
 * it on or close it to end the lock, lock_file_release() to remove the file as well. Conflict: ERROR_BUSY,
 * "image '/x.qcow2' is in use by VM 'web' (read-write)".
 */
int lock_file_take(int run_dirfd, const struct lock_request *request, int *ret_fd, struct error **err);
/* Ends the lock, and removes the file when nobody else has it. Other processes that have the same open file
 * (a copy of the fd) lose the lock too. */
void lock_file_release(int run_dirfd, const char *name, int fd_consume);
/* Removes the file of a lock whose holders have all gone; one that is held stays, a missing one is fine. */
void lock_file_sweep(int run_dirfd, const char *name);
/* Has it no holder? Only looks. */
bool lock_file_is_free(int run_dirfd, const char *name);
/* "images/MAJOR:MINOR-INODE" of the open file (a block device: of the device, whatever node names it); new
 * string. */
int lock_file_image_name(int image_fd, char **ret, struct error **err);
