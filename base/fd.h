/*
 * fd - file descriptors that close themselves, and whole files below a directory fd.
 *
 * A parameter named fd is borrowed; fd_consume is owned by the callee even when it fails. Every fd made
 * here is close-on-exec. dirfd may be AT_FDCWD.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

CLEANUP_FUNCTION void fd_closep(int *fd)
{
        if (*fd >= 0)
                close(*fd);
}
#define _cleanup_close_ _cleanup_(fd_closep)

#define TAKE_FD(fd)               \
        ({                        \
                int take_ = (fd); \
                (fd) = -1;        \
                take_;            \
        })

/* Closes *fd when it is open, and sets it to -1. errno is kept. */
void fd_close(int *fd);

/*
 * The whole file as a NUL-terminated string, at most max bytes (more: ERROR_FAILED that says so). O_NOFOLLOW
 * is not set: pass a directory fd one trusts. Not found: ERROR_OS with ENOENT. ret_length may be NULL.
 */
int fd_read_file_at(int dirfd, const char *path, size_t max, char **ret_text, size_t *ret_length,
                    struct error **err);
/* Reads fd to its end from the current offset, bounded in the same way. what is for messages. */
int fd_read_all(int fd, const char *what, size_t max, char **ret_text, size_t *ret_length,
                struct error **err);

enum fd_write_flags {
        FD_WRITE_SYNC = 1 << 0, /* fsync the file and its directory */
};
/* Writes a new file beside path and renames it over: readers see the old or the new text, never half. */
int fd_write_file_at(int dirfd, const char *path, const char *bytes, size_t n, mode_t mode, unsigned flags,
                     struct error **err);
/* Writes all bytes to fd; EINTR is not an end. */
int fd_write_all(int fd, const char *what, const void *bytes, size_t n, struct error **err);
/* One write() to an existing file (cgroup and sysfs files: a short write is an error). */
int fd_write_existing_at(int dirfd, const char *path, const char *value, struct error **err);

/* mkdir -p below dirfd; existing directories are fine. */
int fd_mkdir_p(int dirfd, const char *path, mode_t mode, struct error **err);
/* Removes the tree at path; a missing one is fine. Never follows symbolic links. */
int fd_remove_tree(int dirfd, const char *path, struct error **err);

/* Sends bytes and n_fds fds in one message on a Unix socket; all or an error. n_fds <= FD_MAX_PASSED. */
#define FD_MAX_PASSED 64
int fd_send(int sock, const void *bytes, size_t n, const int *fds, size_t n_fds, struct error **err);

/* Closes every fd from first on: for a child that does not exec. */
void fd_close_from(int first);

/* A pidfd for pid (pidfd_open), -1 and errno on failure. */
int fd_pidfd_open(pid_t pid);
/* 0 or -1 and errno. */
int fd_pidfd_send_signal(int pidfd, int sig);
/* 0: its process has not ended, so its number is nobody else's; -1: errno, ESRCH when it has. */
int fd_pidfd_check(int pidfd);
/* What a symbolic link says, a new string; NULL: there is none, or it is longer than a path may be. */
char *fd_read_link(int dirfd, const char *path);
/* Milliseconds of CLOCK_MONOTONIC. */
long long fd_now_ms(void);
/* poll() one fd for events until deadline_ms (fd_now_ms() clock): 1 ready, 0 deadline passed, -1 errno. */
int fd_wait(int fd, short events, long long deadline_ms);
