/*
 * torn_fixture - what a run has left: it is carried out once for each test, with a program that takes QEMU's place, and its
 * executor killed; journal and record are then laid out anew as each test likes. Root only.
 *
 * TORN_STEP=N tries every Nth byte only, TORN_STEP=1 all.
 */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "cgroups/cgroup_plan.h"
#include "launcher/run/adopt.h"
#include "launcher/run/execute.h"
#include "launcher/run/generation.h"
#include "launcher/run/reconcile.h"
#include "launcher/state/instance.h"
#include "launcher/state/lock_file.h"
#include "net/net_apply.h"
#include "tests/integration/host_fixture.h"

#define VM_UID 1900000018
#define ZEROS  4096

struct fixture {
        char *root, *vm_name, *group, *generation, *mark;
        struct site site;
        struct cgroup_host cgroup;
        struct launch_plan plan;
        pid_t qemu;
        char *journal, *record; /* as the run left them */
        size_t journal_size, record_size;
        char *image_lock;
        struct text lines;
};

static inline unsigned step_of_tests(void)
{
        const char *text = getenv("TORN_STEP");
        uint32_t step = 0;

        return text && text_parse_u32(text, &step) && step ? step : 5;
}

static inline char *in_vm(struct fixture *f, const char *name)
{
        return xasprintf("%s/%s/%s", f->site.paths.run, f->vm_name, name);
}

static inline void put(const char *path, const char *bytes, size_t n)
{
        int fd;

        unlink(path);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, n), n);
        close(fd);
}

static inline bool exists(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0;
}

static inline void add_nic(struct fixture *f)
{
        _cleanup_free_ char *alias = generation_mark(f->vm_name, GENERATION_PLACEHOLDER);
        const struct net_nic nic = { .ifname = "torn-0",
                                     .queues = 1,
                                     .group = VM_UID,
                                     .alias = alias,
                                     .mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x57 } };

        add_nic_steps(&f->plan, &nic);
}

static inline void make_plan(struct fixture *f)
{
        struct launch_plan *plan = &f->plan;
        _cleanup_free_ char *disk = xasprintf("%s/disk.raw", f->root), *private_dir = in_vm(f, "private");
        _cleanup_free_ char *qmp = in_vm(f, "private/qmp.sock"), *live = in_vm(f, "live.tmpl");
        _cleanup_free_ char *lock = xasprintf("%s/%s/machine.lock", f->site.paths.state, f->vm_name);
        _cleanup_free_ char *names =
                xasprintf("guest=%s,process=%s-" GENERATION_PLACEHOLDER, f->vm_name, f->vm_name);

        plan->name = xstrdup(f->vm_name);
        plan->emulator = beside_us("stand_in");
        plan->cgroup = xstrdup(f->group);
        plan->qemu_group = xstrdup(f->group);
        plan->confine = (struct plan_confinement){ .uid = VM_UID, .gid = VM_UID };
        put(disk, "disk", 4);
        add_step(plan, EFFECT_UID_CLAIM, json_pack("{s:i}", "uid", VM_UID));
        add_step(plan, EFFECT_IMAGE_OPEN,
                 json_pack("{s:s, s:s, s:s, s:s}", "path", disk, "access", "rw", "lock", "exclusive", "fd",
                           "image"));
        add_step(plan, EFFECT_DIRECTORY,
                 json_pack("{s:s, s:i, s:i, s:i}", "path", private_dir, "mode", 0700, "uid", 0, "gid", 0));
        add_step(plan, EFFECT_LISTEN,
                 json_pack("{s:s, s:i, s:i, s:i, s:s}", "path", qmp, "mode", 0600, "uid", 0, "gid", 0, "fd",
                           "qmp"));
        add_step(plan, EFFECT_STDERR, json_pack("{s:s, s:i}", "fd", "stderr", "max", 65536));
        add_step(plan, EFFECT_MACHINE_LOCK, json_pack("{s:s, s:s}", "path", lock, "text", "LAYOUT = 1\n"));
        add_nic(f);
        add_step(plan, EFFECT_CGROUP_CREATE, json_pack("{s:s}", "path", f->group));
        add_step(plan, EFFECT_LIVE_TEMPLATE, json_pack("{s:s, s:s}", "path", live, "text", "NAME = torn\n"));
        add_step(plan, EFFECT_SPAWN, json_object());
        add_arg(plan, plan->emulator);
        add_arg(plan, "-name");
        add_arg(plan, names);
        add_fd(plan, 2, "stderr");
        add_fd(plan, 3, "qmp");
        add_fd(plan, 4, "image");
        add_fd(plan, 5, "tap:torn-0:0");
}

/* What a supervisor would have written: the guest runs. */
static inline json_t *running_record(struct fixture *f, pid_t pid)
{
        return json_pack("{s:i, s:s, s:s, s:s, s:n, s:i, s:I, s:i, s:i, s:s, s:[], s:[]}", "schema", 1,
                         "name", f->vm_name, "generation", f->generation, "state", "running", "verdict",
                         "pid", (int)pid, "pid_start", (json_int_t)process_start_time(pid), "supervisor_pid",
                         1, "uid", VM_UID, "cgroup", f->group, "story", "devices");
}

/* The supervisor: carries the plan out and dies. */
static inline void __attribute__((noreturn)) live_and_die(struct fixture *f)
{
        struct execution_options options = { .generation = f->generation,
                                             .cgroup = &f->cgroup,
                                             .fail_step = -1 };
        struct execution *execution;
        json_t *record;
        struct error *err = NULL;

        if (vm_dir_lock(&f->site.paths, f->vm_name, &options.vm, &err) < 0)
                _exit(1);
        execution = execution_new(&f->plan, &options);
        if (execution_run(execution, &err) < 0) {
                fprintf(stderr, "%s\n", error_text(err));
                _exit(1);
        }
        record = running_record(f, execution_qemu_pid(execution));
        _exit(execution_mark_started(execution, &err) < 0 || record_write(options.vm->fd, record, &err) < 0);
}

static inline struct vm_dir *open_vm(struct fixture *f)
{
        struct vm_dir *vm = NULL;
        struct error *err = NULL;

        assert_int_equal(vm_dir_open(&f->site.paths, f->vm_name, &vm, &err), 0);
        return vm;
}

static inline void read_whole(struct fixture *f, const char *name, char **ret, size_t *ret_n)
{
        _cleanup_free_ char *path = in_vm(f, name);
        struct error *err = NULL;

        assert_int_equal(fd_read_file_at(AT_FDCWD, path, 1 << 20, ret, ret_n, &err), 0);
}

static inline void find_image_lock(struct fixture *f)
{
        _cleanup_free_ char *disk = xasprintf("%s/disk.raw", f->root);
        int fd = open(disk, O_RDONLY | O_CLOEXEC);
        struct error *err = NULL;

        assert_int_equal(lock_file_image_name(fd, &f->image_lock, &err), 0);
        close(fd);
}

static inline int set_up(void **state)
{
        struct fixture *f = xcalloc(1, sizeof(*f));
        _cleanup_free_ char *instance = NULL;
        char root[] = "/tmp/vmlaunch-torn.XXXXXX";
        struct error *err = NULL;
        struct vm_dir *vm;
        int status;
        pid_t pid;

        if (unshare(CLONE_NEWNET) < 0 || !mkdtemp(root) || chmod(root, 0755) < 0)
                return -1;
        f->root = xstrdup(root);
        f->vm_name = xasprintf("torn-%d", (int)getpid());
        f->group = cgroup_vm_path(f->vm_name);
        paths_init(&f->site.paths, root, NULL);
        f->site.uid_first = f->site.uid_last = VM_UID;
        assert_int_equal(cgroup_host_read("", &f->cgroup, &err), 0);
        assert_int_equal(instance_id(&f->site.paths, true, &instance, &err), 0);
        f->generation = generation_new(instance);
        f->mark = generation_mark(f->vm_name, f->generation);
        make_plan(f);
        find_image_lock(f);
        /* So that it can be waited for. */
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        pid = fork();
        if (pid == 0)
                live_and_die(f);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        vm = open_vm(f);
        assert_int_equal(journal_qemu_lives(vm->fd, &f->qemu, &err), 1);
        vm_dir_release(vm, true);
        read_whole(f, "journal", &f->journal, &f->journal_size);
        read_whole(f, "record.json", &f->record, &f->record_size);
        *state = f;
        return 0;
}

static inline void kill_qemu(struct fixture *f)
{
        if (!f->qemu)
                return;
        kill(f->qemu, SIGKILL);
        waitpid(f->qemu, NULL, 0);
        f->qemu = 0;
}

static inline int tear_down(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        kill_qemu(f);
        cgroup_remove(&f->cgroup, f->group, 5000, &err);
        fd_remove_tree(AT_FDCWD, f->root, &err);
        error_free(err);
        free_plan(&f->plan);
        paths_done(&f->site.paths);
        cgroup_host_done(&f->cgroup);
        text_done(&f->lines);
        free(f->root);
        free(f->vm_name);
        free(f->group);
        free(f->generation);
        free(f->mark);
        free(f->journal);
        free(f->record);
        free(f->image_lock);
        free(f);
        return 0;
}

static inline void put_files(struct fixture *f, const char *journal, size_t journal_size, const char *record,
                             size_t record_size)
{
        _cleanup_free_ char *journal_path = in_vm(f, "journal"), *record_path = in_vm(f, "record.json");

        put(journal_path, journal, journal_size);
        put(record_path, record, record_size);
}

static inline void add_line(const char *line, void *data)
{
        struct fixture *f = data;

        text_addf(&f->lines, "%s\n", line);
}

static inline bool directory_has_files(struct fixture *f, const char *name)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", f->site.paths.run, name);
        DIR *dir = opendir(path);
        bool has = false;

        for (struct dirent *entry; dir && (entry = readdir(dir));)
                has = has || entry->d_name[0] != '.';
        if (dir)
                closedir(dir);
        return has;
}

/* NULL: nothing is left; else what. */
static inline const char *left_behind(struct fixture *f)
{
        static const char *const files[] = { "lock",         "journal", "live.tmpl",         "private",
                                             "control.sock", "leases",  "record.json.new.17" };
        _cleanup_(cgroup_found_done) struct cgroup_found group = { 0 };
        _cleanup_free_ char *half = xasprintf("%s/%s/machine.lock.new.17", f->site.paths.state, f->vm_name);
        _cleanup_free_ char *lock = xasprintf("%s/%s/machine.lock", f->site.paths.state, f->vm_name);
        struct error *err = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *path = in_vm(f, files[i]);

                if (exists(path))
                        return files[i];
        }
        if (directory_has_files(f, "images"))
                return "an image's lock";
        if (directory_has_files(f, "uids"))
                return "a uid's lock";
        if (exists(half))
                return "machine.lock.new.17";
        if (!exists(lock))
                return "no machine.lock, which should be";
        if (cgroup_look(&f->cgroup, f->group, &group, &err) != 0)
                return "the control group";
        return NULL;
}

static inline bool tap_is_left(void)
{
        _cleanup_netlink_ struct netlink *nl = NULL;
        struct error *err = NULL;
        struct net_link link;

        nl = netlink_open(&err);
        return netlink_link_get(nl, "torn-0", &link, &err) != 0;
}

/* The first cut bytes, then what a disk that lost power shows: zeros, or anything. */
static inline char *with_tail(struct fixture *f, size_t cut, bool zeros)
{
        char *bytes = xcalloc(1, cut + ZEROS);
        uint32_t random = (uint32_t)cut * 2654435761u + 1;

        memcpy(bytes, f->journal, cut);
        for (size_t i = 0; !zeros && i < ZEROS; i++) {
                random = random * 1664525u + 1013904223u;
                bytes[cut + i] = (char)(random >> 24);
        }
        return bytes;
}

/* What main() of each of these programs does. */
static inline int run_as_root(const struct CMUnitTest *tests, size_t n)
{
        return has_taps() ? _cmocka_run_group_tests("tests", tests, n, NULL, NULL) : 77;
}
