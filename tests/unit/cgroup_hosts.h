/*
 * cgroup_hosts - hosts that have every controller, and plain directories that stand for hierarchies: enough for what is
 * made and written where.
 */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "cgroups/cgroup_host.h"

__attribute__((unused)) static struct cgroup_hierarchy all_v1[] = {
        { .controllers = (char *)"blkio", .mount = (char *)"/c/blkio", .writable = true },
        { .controllers = (char *)"cpu,cpuacct", .mount = (char *)"/c/cpu", .writable = true },
        { .controllers = (char *)"memory", .mount = (char *)"/c/memory", .writable = true },
        { .controllers = (char *)"pids", .mount = (char *)"/c/pids", .writable = true },
};
__attribute__((unused)) static const struct cgroup_host v1_host = {
        .kind = CGROUP_V1,
        .v1 = all_v1,
        .n_v1 = 4,
        .files = (char *)"memory.memsw.limit_in_bytes blkio.weight",
};
__attribute__((unused)) static const struct cgroup_host v2_host = {
        .kind = CGROUP_V2,
        .v2_mount = (char *)"/c",
        .v2_controllers = (char *)"cpu io memory pids",
        .v2_writable = true,
        .files = (char *)"io.weight memory.swap.max",
};

static char cgroup_root[32];

static inline int make_cgroup_root(void **state)
{
        (void)state;
        strcpy(cgroup_root, "/tmp/vmlaunch-test-XXXXXX");
        return mkdtemp(cgroup_root) ? 0 : -1;
}

static inline int remove_cgroup_root(void **state)
{
        struct error *err = NULL;

        (void)state;
        return fd_remove_tree(AT_FDCWD, cgroup_root, &err);
}

static inline void put_cgroup_file(const char *dir, const char *file, const char *text)
{
        _cleanup_free_ char *whole = xasprintf("%s/%s", cgroup_root, dir);
        _cleanup_free_ char *path = xasprintf("%s/%s", whole, file);
        struct error *err = NULL;

        assert_int_equal(fd_mkdir_p(AT_FDCWD, whole, 0755, &err), 0);
        assert_int_equal(fd_write_file_at(AT_FDCWD, path, text, strlen(text), 0644, 0, &err), 0);
}
