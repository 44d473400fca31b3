/*
 * execute_fixture - the executor on a real host: taps in a network namespace of the test's own, control groups, files
 * below a directory of its own, and a program that takes QEMU's place. Root only.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/run/confine.h"
#include "launcher/run/effects.h"
#include "launcher/run/execute.h"
#include "launcher/run/host_helper.h"
#include "launcher/run/reconcile.h"
#include "launcher/state/lock_file.h"
#include "net/net_apply.h"
#include "tests/integration/host_fixture.h"

#define VM_UID     1900000017
#define GENERATION "0123456789abcdef"
#define STDERR_MAX 65536

struct fixture {
        char *root, *stand_in, *group;
        struct site site; /* no more than paths and uids */
        struct cgroup_host cgroup;
        struct vm_dir *vm;
        struct launch_plan plan;
        struct execution *execution;
        struct text undone;
        void (*forked)(void);
};

static inline char *below(struct fixture *f, const char *path)
{
        return xasprintf("%s/%s", f->root, path);
}

static inline void write_file(struct fixture *f, const char *path, const char *text)
{
        _cleanup_free_ char *whole = below(f, path);
        struct error *err = NULL;

        assert_int_equal(fd_write_file_at(AT_FDCWD, whole, text, strlen(text), 0600, 0, &err), 0);
}

static inline void add_nic(struct launch_plan *plan)
{
        const struct net_nic nic = { .ifname = "exec-0",
                                     .bridge = "exbr0",
                                     .queues = 2,
                                     .vnet_hdr = true,
                                     .group = VM_UID,
                                     .alias = "vmlaunch:web:@GENERATION@",
                                     .mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 } };

        add_nic_steps(plan, &nic);
}

/* One step of every effect. */
static inline void make_plan(struct fixture *f)
{
        struct launch_plan *plan = &f->plan;
        _cleanup_free_ char *uid_path = xasprintf("%s/uids/%d", f->site.paths.run, VM_UID);
        _cleanup_free_ char *disk = below(f, "disk.raw"), *base = below(f, "base.raw");
        _cleanup_free_ char *kernel = below(f, "kernel");
        _cleanup_free_ char *private_dir = xasprintf("%s/private", f->vm->path);
        _cleanup_free_ char *qmp = xasprintf("%s/private/qmp.sock", f->vm->path);
        _cleanup_free_ char *guests = xasprintf("%s/guests", f->vm->path);
        _cleanup_free_ char *guests_sock = xasprintf("%s/guests/a.sock", f->vm->path);
        _cleanup_free_ char *lock = xasprintf("%s/web/machine.lock", f->site.paths.state);
        _cleanup_free_ char *live = xasprintf("%s/live.tmpl", f->vm->path);
        bool v1 = cgroup_host_version(&f->cgroup) == 1;

        plan->name = xstrdup("web");
        plan->emulator = xstrdup(f->stand_in);
        plan->cgroup = xstrdup(f->group);
        plan->qemu_group = xstrdup(f->group);
        plan->confine =
                (struct plan_confinement){ .uid = VM_UID, .gid = VM_UID, .groups = { 109 }, .n_groups = 1 };
        add_step(plan, EFFECT_UID_CLAIM, json_pack("{s:i, s:s}", "uid", VM_UID, "path", uid_path));
        add_step(plan, EFFECT_IMAGE_OPEN,
                 json_pack("{s:s, s:s, s:s, s:s, s:b}", "path", disk, "access", "rw", "lock", "exclusive",
                           "fd", "image:disk0:0", "direct", 0));
        add_step(plan, EFFECT_IMAGE_OPEN,
                 json_pack("{s:s, s:s, s:s, s:s, s:b}", "path", base, "access", "ro", "lock", "shared", "fd",
                           "image:disk0:1", "direct", 0));
        add_step(plan, EFFECT_FILE_OPEN,
                 json_pack("{s:s, s:s, s:b, s:i}", "path", kernel, "fd", "kernel", "copy", 1, "uid", VM_UID));
        add_step(plan, EFFECT_DIRECTORY,
                 json_pack("{s:s, s:i, s:i, s:i}", "path", private_dir, "mode", 0700, "uid", 0, "gid", 0));
        add_step(plan, EFFECT_LISTEN,
                 json_pack("{s:s, s:i, s:i, s:i, s:s}", "path", qmp, "mode", 0600, "uid", 0, "gid", 0, "fd",
                           "qmp"));
        add_step(plan, EFFECT_DIRECTORY,
                 json_pack("{s:s, s:i, s:i, s:i}", "path", guests, "mode", 0710, "uid", VM_UID, "gid",
                           VM_UID));
        add_step(plan, EFFECT_LISTEN,
                 json_pack("{s:s, s:i, s:i, s:s}", "path", guests_sock, "mode", 0660, "gid", VM_UID, "fd",
                           "guests"));
        add_step(plan, EFFECT_STDERR, json_pack("{s:s, s:i}", "fd", "stderr", "max", STDERR_MAX));
        add_step(plan, EFFECT_MACHINE_LOCK, json_pack("{s:s, s:s}", "path", lock, "text", "LAYOUT = 1\n"));
        add_nic(plan);
        add_step(plan, EFFECT_CGROUP_CREATE, json_pack("{s:s}", "path", f->group));
        if (cgroup_host_has(&f->cgroup, "cpu"))
                add_step(plan, EFFECT_CGROUP_WRITE,
                         json_pack("{s:s, s:s?, s:s, s:s}", "path", f->group, "controller", v1 ? "cpu" : NULL,
                                   "file", v1 ? "cpu.shares" : "cpu.weight", "value", "512"));
        add_step(plan, EFFECT_LIVE_TEMPLATE, json_pack("{s:s, s:s}", "path", live, "text", "NAME = web\n"));
        add_step(plan, EFFECT_SPAWN, json_object());
        add_step(plan, EFFECT_QMP, json_pack("{s:s}", "execute", "cont"));
        add_arg(plan, f->stand_in);
        add_arg(plan, "-name");
        add_arg(plan, "guest=web,process=web-@GENERATION@");
        /* Numbers that the executor itself is likely to have in use, in another order. */
        add_fd(plan, 2, "stderr");
        add_fd(plan, 12, "qmp");
        add_fd(plan, 3, "image:disk0:1");
        add_fd(plan, 4, "image:disk0:0");
        add_fd(plan, 5, "kernel");
        add_fd(plan, 10, "tap:exec-0:1");
        add_fd(plan, 11, "tap:exec-0:0");
        plan->env = xcalloc(2, sizeof(*plan->env));
        plan->env[0] = xstrdup("MARK=@GENERATION@");
}

static inline void lock_vm(struct fixture *f)
{
        struct error *err = NULL;

        assert_int_equal(vm_dir_lock(&f->site.paths, "web", &f->vm, &err), 0);
}

static inline int set_up(void **state)
{
        struct fixture *f = xcalloc(1, sizeof(*f));
        char root[] = "/tmp/vmlaunch-execute.XXXXXX";
        struct error *err = NULL;

        if (unshare(CLONE_NEWNET) < 0 || !mkdtemp(root))
                return -1;
        /* QEMU's uid has to reach the program, not what is below. */
        f->root = xstrdup(root);
        f->stand_in = beside_us("stand_in");
        f->group = xasprintf("machine.slice/vmlaunch-exectest-%d", (int)getpid());
        f->site = (struct site){
                .paths = { .root = f->root, .run = below(f, "run"), .state = below(f, "state") },
                .uid_first = VM_UID,
                .uid_last = VM_UID
        };
        write_file(f, "disk.raw", "disk");
        write_file(f, "base.raw", "base");
        write_file(f, "kernel", "kernel");
        make_bridge("exbr0");
        if (cgroup_host_read("", &f->cgroup, &err) < 0)
                return -1;
        lock_vm(f);
        make_plan(f);
        *state = f;
        return 0;
}

static inline int tear_down(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        if (f->vm && !journal_is_empty(f->vm->fd) &&
            undo_journal(f->vm->fd, &f->cgroup, NULL, NULL, &err) < 0)
                error_free(err);
        execution_free(f->execution);
        /* The stand-ins. */
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        vm_dir_release(f->vm, false);
        err = NULL;
        fd_remove_tree(AT_FDCWD, f->root, &err);
        free_plan(&f->plan);
        cgroup_host_done(&f->cgroup);
        text_done(&f->undone);
        free(f->site.paths.run);
        free(f->site.paths.state);
        free(f->root);
        free(f->stand_in);
        free(f->group);
        free(f);
        return 0;
}

static inline void note_undone(const char *line, void *data)
{
        text_addf(data, "%s\n", line);
}

static inline int run_reconcile(struct fixture *f, const char *name, bool dry_run, struct text *lines,
                                struct error **err)
{
        const struct reconcile_request request = { .site = &f->site,
                                                   .cgroup = &f->cgroup,
                                                   .name = name,
                                                   .dry_run = dry_run,
                                                   .line = note_undone,
                                                   .data = lines };

        return reconcile(&request, err);
}

static inline int run_plan(struct fixture *f, int fail_step, struct error **err)
{
        const struct execution_options options = { .vm = f->vm,
                                                   .generation = GENERATION,
                                                   .cgroup = &f->cgroup,
                                                   .fail_step = fail_step,
                                                   .forked = f->forked,
                                                   .undone = note_undone,
                                                   .undone_data = &f->undone };

        execution_free(f->execution);
        f->execution = execution_new(&f->plan, &options);
        text_done(&f->undone);
        return execution_run(f->execution, err);
}

static inline void run_fine(struct fixture *f)
{
        struct error *err = NULL;

        if (run_plan(f, -1, &err) < 0)
                fail_msg("%s", error_text(err));
}

static inline bool file_exists(struct fixture *f, const char *path)
{
        _cleanup_free_ char *whole = below(f, path);
        struct stat st;

        return lstat(whole, &st) == 0;
}

static inline bool link_exists(const char *ifname)
{
        struct error *err = NULL;
        struct net_link link;
        _cleanup_netlink_ struct netlink *nl = netlink_open(&err);
        int found = netlink_link_get(nl, ifname, &link, &err);

        assert_true(found >= 0);
        return found;
}

static inline bool group_exists(struct fixture *f)
{
        for (size_t i = 0; i < f->cgroup.n_v1; i++) {
                _cleanup_free_ char *path = xasprintf("%s/%s", f->cgroup.v1[i].mount, f->group);

                if (access(path, F_OK) == 0)
                        return true;
        }
        if (f->cgroup.v2_mount) {
                _cleanup_free_ char *path = xasprintf("%s/%s", f->cgroup.v2_mount, f->group);

                return access(path, F_OK) == 0;
        }
        return false;
}

static inline bool image_is_free(struct fixture *f, const char *path)
{
        _cleanup_free_ char *whole = below(f, path), *name = NULL;
        _cleanup_close_ int fd = open(whole, O_RDONLY | O_CLOEXEC), run = -1;
        struct lock_request request = { .what = "image", .holder = "other" };
        struct error *err = NULL;
        int lock = -1;

        assert_int_equal(lock_file_image_name(fd, &name, &err), 0);
        assert_int_equal(run_dir_open(&f->site.paths, &run, &err), 0);
        request.name = name;
        if (lock_file_take(run, &request, &lock, &err) < 0) {
                error_free(err);
                return false;
        }
        lock_file_release(run, name, lock);
        return true;
}

static inline bool directory_is_empty(struct fixture *f, const char *path)
{
        _cleanup_free_ char *whole = below(f, path);

        /* rmdir() says it, and an empty directory of locks is made again when one is needed. */
        return rmdir(whole) == 0 || access(whole, F_OK) < 0;
}

/* As it was before the start. */
static inline void assert_host_clean(struct fixture *f)
{
        assert_true(journal_is_empty(f->vm->fd));
        assert_false(file_exists(f, "run/web/private"));
        assert_false(file_exists(f, "run/web/live.tmpl"));
        assert_false(file_exists(f, "state/web"));
        assert_false(link_exists("exec-0"));
        assert_false(group_exists(f));
        assert_true(image_is_free(f, "disk.raw"));
        assert_true(image_is_free(f, "base.raw"));
        assert_true(directory_is_empty(f, "run/uids"));
        assert_true(directory_is_empty(f, "run/images"));
}

static inline void undo_all(struct fixture *f)
{
        struct error *err = NULL;

        if (undo_journal(f->vm->fd, &f->cgroup, NULL, NULL, &err) < 0)
                fail_msg("%s", error_text(err));
}

/* What the stand-in has said, when it has said all. */
static inline char *read_stderr(struct fixture *f)
{
        char *text = xcalloc(1, STDERR_MAX + 1);

        for (unsigned i = 0; i < 3000; i++) {
                assert_true(pread(execution_stderr_fd(f->execution), text, STDERR_MAX, 0) >= 0);
                if (text_ends_with(text, "end\n"))
                        return text;
                poll(NULL, 0, 10);
        }
        fail_msg("the stand-in says only: %s", text);
        return NULL;
}

static inline unsigned count_lines(const char *text, const char *start)
{
        unsigned n = 0;

        for (const char *line = text; line && *line;
             line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                n += strncmp(line, start, strlen(start)) == 0;
        return n;
}

static inline long long now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* What main() of each of these programs does; __host is the host helper, which is started from /proc/self/exe. */
static inline int run_as_root(const struct CMUnitTest *tests, size_t n, int argc, char **argv,
                              int (*helper)(void))
{
        if (argc == 2 && strcmp(argv[1], "__host") == 0)
                return helper();
        return has_taps() ? _cmocka_run_group_tests("tests", tests, n, NULL, NULL) : 77;
}
