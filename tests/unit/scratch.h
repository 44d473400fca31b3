/*
 * scratch - a directory of its own for each test, gone afterwards.
 */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "conf/site.h"

struct fixture {
        char path[64]; /* mode 0755: QEMU's probe runs as nobody */
        int fd;
        struct paths paths; /* an instance below path */
};

static inline int set_up(void **state)
{
        struct fixture *f = xcalloc(1, sizeof(*f));

        strcpy(f->path, "/tmp/vmlaunch-test-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        assert_int_equal(chmod(f->path, 0755), 0);
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        paths_init(&f->paths, f->path, NULL);
        *state = f;
        return 0;
}

static inline int tear_down(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        close(f->fd);
        fd_remove_tree(AT_FDCWD, f->path, &err);
        assert_null(err);
        paths_done(&f->paths);
        free(f);
        return 0;
}

static inline void child_ends_well(pid_t pid)
{
        int status = -1;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}
