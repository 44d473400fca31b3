/*
 * execution_fixture - the lock and directories of a VM below a directory of the test's own, and a plan for it.
 */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/run/effects.h"
#include "launcher/run/execute.h"

#define GENERATION "0123456789abcdef"

struct fixture {
        char *root;
        struct paths paths;
        struct vm_dir *vm;
        struct launch_plan plan;
        struct cgroup_host cgroup;
        struct text undone;
};

static inline int set_up_below(void **state, const char *below)
{
        struct fixture *f = xcalloc(1, sizeof(*f));
        char root[] = "/tmp/vmlaunch-unit.XXXXXX";
        struct error *err = NULL;

        if (!mkdtemp(root))
                return -1;
        f->root = xstrdup(root);
        f->paths.run = xasprintf("%s%s/run", root, below);
        f->paths.state = xasprintf("%s/state", root);
        if (vm_dir_lock(&f->paths, "web", &f->vm, &err) < 0)
                return -1;
        *state = f;
        return 0;
}

static inline int set_up(void **state)
{
        return set_up_below(state, "");
}

static inline void drop_steps(struct launch_plan *plan)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                json_decref(plan->steps[i].args);
        free(plan->steps);
        plan->steps = NULL;
        plan->n_steps = 0;
}

static inline int tear_down(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        vm_dir_release(f->vm, false);
        assert_int_equal(fd_remove_tree(AT_FDCWD, f->root, &err), 0);
        drop_steps(&f->plan);
        text_done(&f->undone);
        free(f->paths.run);
        free(f->paths.state);
        free(f->root);
        free(f);
        return 0;
}
