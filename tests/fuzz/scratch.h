/*
 * scratch - the one directory of a fuzz target, gone when the program ends.
 */
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"

static int scratch_fd;

static inline void scratch_remove(void)
{
        struct error *err = NULL;
        _cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", scratch_fd);
        char real[256] = "";

        if (readlink(path, real, sizeof(real) - 1) > 0)
                fd_remove_tree(AT_FDCWD, real, &err);
        error_free(err);
}

static inline int scratch_directory(void)
{
        static char path[] = "/tmp/vmlaunch-fuzz-XXXXXX";

        if (scratch_fd)
                return scratch_fd;
        if (!mkdtemp(path))
                abort();
        scratch_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        atexit(scratch_remove);
        return scratch_fd;
}
