/*
 * Journals and records that end anywhere, or in garbage: reconcile leaves nothing behind and gives the right verdict,
 * and a QEMU that lives is found, with what it owes, whatever the files have lost. Root only.
 *
 * A real run is carried out once and its executor killed; what it left is laid out anew for every byte. TORN_STEP=N
 * tries every Nth byte only, TORN_STEP=1 all.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
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

#define VM_UID 1900000018
/* Deleting a tap waits for the kernel's grace periods: not for each byte. */
#define TAP_EVERY 97
#define ZEROS     4096

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

static unsigned step_of_tests(void)
{
        const char *text = getenv("TORN_STEP");
        uint32_t step = 0;

        return text && text_parse_u32(text, &step) && step ? step : 5;
}

static char *in_vm(struct fixture *f, const char *name)
{
        return xasprintf("%s/%s/%s", f->site.paths.run, f->vm_name, name);
}

static void put(const char *path, const char *bytes, size_t n)
{
        int fd;

        unlink(path);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, n), n);
        close(fd);
}

static bool exists(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0;
}

static void step(struct launch_plan *plan, enum plan_effect effect, json_t *args)
{
        assert_non_null(args);
        ARRAY_GROW(plan->steps, plan->n_steps);
        plan->steps[plan->n_steps++] = (struct plan_step){ .effect = effect, .args = args };
}

static void arg(struct launch_plan *plan, char *text_consume)
{
        ARRAY_GROW(plan->args, plan->n_args);
        plan->args[plan->n_args++] = (struct plan_arg){ .text = text_consume };
}

static void fd_of(struct launch_plan *plan, int child_fd, const char *source)
{
        ARRAY_GROW(plan->fds, plan->n_fds);
        plan->fds[plan->n_fds++] = (struct plan_fd){ .child_fd = child_fd, .source = xstrdup(source) };
}

static void add_nic(struct fixture *f)
{
        _cleanup_free_ char *alias = generation_mark(f->vm_name, GENERATION_PLACEHOLDER);
        const struct net_nic nic = { .ifname = "torn-0",
                                     .queues = 1,
                                     .group = VM_UID,
                                     .alias = alias,
                                     .mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x57 } };
        struct net_op ops[NET_OPS_PER_NIC];
        struct error *err = NULL;
        size_t n;

        assert_int_equal(net_plan_nic(&nic, ops, &n, &err), 0);
        for (size_t i = 0; i < n; i++)
                step(&f->plan, EFFECT_NET, net_op_to_json(&ops[i]));
}

static char *beside_us(const char *name)
{
        char self[4096] = "";

        assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
        *strrchr(self, '/') = '\0';
        return xasprintf("%s/%s", self, name);
}

static void make_plan(struct fixture *f)
{
        struct launch_plan *plan = &f->plan;
        _cleanup_free_ char *disk = xasprintf("%s/disk.raw", f->root), *private_dir = in_vm(f, "private");
        _cleanup_free_ char *qmp = in_vm(f, "private/qmp.sock"), *live = in_vm(f, "live.tmpl");
        _cleanup_free_ char *lock = xasprintf("%s/%s/machine.lock", f->site.paths.state, f->vm_name);

        plan->name = xstrdup(f->vm_name);
        plan->emulator = beside_us("stand_in");
        plan->cgroup = xstrdup(f->group);
        plan->qemu_group = xstrdup(f->group);
        plan->confine = (struct plan_confinement){ .uid = VM_UID, .gid = VM_UID };
        put(disk, "disk", 4);
        step(plan, EFFECT_UID_CLAIM, json_pack("{s:i}", "uid", VM_UID));
        step(plan, EFFECT_IMAGE_OPEN,
             json_pack("{s:s, s:s, s:s, s:s}", "path", disk, "access", "rw", "lock", "exclusive", "fd",
                       "image"));
        step(plan, EFFECT_DIRECTORY,
             json_pack("{s:s, s:i, s:i, s:i}", "path", private_dir, "mode", 0700, "uid", 0, "gid", 0));
        step(plan, EFFECT_LISTEN,
             json_pack("{s:s, s:i, s:i, s:i, s:s}", "path", qmp, "mode", 0600, "uid", 0, "gid", 0, "fd",
                       "qmp"));
        step(plan, EFFECT_STDERR, json_pack("{s:s, s:i}", "fd", "stderr", "max", 65536));
        step(plan, EFFECT_MACHINE_LOCK, json_pack("{s:s, s:s}", "path", lock, "text", "LAYOUT = 1\n"));
        add_nic(f);
        step(plan, EFFECT_CGROUP_CREATE, json_pack("{s:s}", "path", f->group));
        step(plan, EFFECT_LIVE_TEMPLATE, json_pack("{s:s, s:s}", "path", live, "text", "NAME = torn\n"));
        step(plan, EFFECT_SPAWN, json_object());
        arg(plan, xstrdup(plan->emulator));
        arg(plan, xstrdup("-name"));
        arg(plan, xasprintf("guest=%s,process=%s-" GENERATION_PLACEHOLDER, f->vm_name, f->vm_name));
        fd_of(plan, 2, "stderr");
        fd_of(plan, 3, "qmp");
        fd_of(plan, 4, "image");
        fd_of(plan, 5, "tap:torn-0:0");
}

/* What a supervisor would have written: the guest runs. */
static json_t *running_record(struct fixture *f, pid_t pid)
{
        return json_pack("{s:i, s:s, s:s, s:s, s:n, s:i, s:I, s:i, s:i, s:s, s:[], s:[]}", "schema", 1,
                         "name", f->vm_name, "generation", f->generation, "state", "running", "verdict",
                         "pid", (int)pid, "pid_start", (json_int_t)process_start_time(pid), "supervisor_pid",
                         1, "uid", VM_UID, "cgroup", f->group, "story", "devices");
}

/* The supervisor: carries the plan out and dies. */
static void __attribute__((noreturn)) live_and_die(struct fixture *f)
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

static struct vm_dir *open_vm(struct fixture *f)
{
        struct vm_dir *vm = NULL;
        struct error *err = NULL;

        assert_int_equal(vm_dir_open(&f->site.paths, f->vm_name, &vm, &err), 0);
        return vm;
}

static void read_whole(struct fixture *f, const char *name, char **ret, size_t *ret_n)
{
        _cleanup_free_ char *path = in_vm(f, name);
        struct error *err = NULL;

        assert_int_equal(fd_read_file_at(AT_FDCWD, path, 1 << 20, ret, ret_n, &err), 0);
}

static void find_image_lock(struct fixture *f)
{
        _cleanup_free_ char *disk = xasprintf("%s/disk.raw", f->root);
        int fd = open(disk, O_RDONLY | O_CLOEXEC);
        struct error *err = NULL;

        assert_int_equal(lock_file_image_name(fd, &f->image_lock, &err), 0);
        close(fd);
}

static int set_up(void **state)
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

static void kill_qemu(struct fixture *f)
{
        if (!f->qemu)
                return;
        kill(f->qemu, SIGKILL);
        waitpid(f->qemu, NULL, 0);
        f->qemu = 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        kill_qemu(f);
        cgroup_remove(&f->cgroup, f->group, 5000, &err);
        fd_remove_tree(AT_FDCWD, f->root, &err);
        error_free(err);
        for (size_t i = 0; i < f->plan.n_steps; i++)
                json_decref(f->plan.steps[i].args);
        for (size_t i = 0; i < f->plan.n_args; i++)
                free(f->plan.args[i].text);
        for (size_t i = 0; i < f->plan.n_fds; i++)
                free(f->plan.fds[i].source);
        free(f->plan.steps);
        free(f->plan.args);
        free(f->plan.fds);
        free(f->plan.name);
        free(f->plan.emulator);
        free(f->plan.cgroup);
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

/* What such a run leaves when nobody undoes it, but for its journal and record. */
static void lay_out(struct fixture *f, bool with_tap)
{
        static const char *const files[] = { "lock",         "live.tmpl", "private/qmp.sock",
                                             "control.sock", "leases",    "record.json.new.17" };
        _cleanup_free_ char *private_dir = in_vm(f, "private");
        _cleanup_free_ char *state_dir = xasprintf("%s/%s", f->site.paths.state, f->vm_name);
        _cleanup_free_ char *lock = xasprintf("%s/machine.lock", state_dir);
        _cleanup_free_ char *half = xasprintf("%s/machine.lock.new.17", state_dir);
        _cleanup_free_ char *uid = xasprintf("%s/uids/%d", f->site.paths.run, VM_UID);
        _cleanup_free_ char *image = xasprintf("%s/%s", f->site.paths.run, f->image_lock);
        struct error *err = NULL;

        assert_int_equal(fd_mkdir_p(AT_FDCWD, private_dir, 0700, &err), 0);
        assert_int_equal(fd_mkdir_p(AT_FDCWD, state_dir, 0755, &err), 0);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *path = in_vm(f, files[i]);

                put(path, "", 0);
        }
        put(lock, "LAYOUT = 1\n", 11);
        put(half, "LAY", 3);
        put(uid, "", 0);
        put(image, "", 0);
        assert_int_equal(cgroup_create(&f->cgroup, f->group, NULL, &err), 0);
        cgroup_mark(&f->cgroup, f->group, f->mark);
        if (with_tap) {
                const struct net_op mark = { .kind = NET_LINK_SET,
                                             .ifname = "torn-0",
                                             .link = { .group = VM_UID,
                                                       .alias = f->mark,
                                                       .mac = { 0xfe, 0x54, 0x00, 0x12, 0x34, 0x57 } } };
                const struct net_op create = { .kind = NET_TAP_CREATE,
                                               .ifname = "torn-0",
                                               .tap = { .queues = 1 } };
                struct netlink *nl = netlink_open(&err);
                int fd = -1;

                assert_int_equal(net_op_do(nl, &create, f->mark, &fd, &err), 0);
                assert_int_equal(net_op_do(nl, &mark, f->mark, NULL, &err), 0);
                /* As if a process that nobody knows had it. */
                assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
                close(fd);
                netlink_close(nl);
        }
}

static void put_files(struct fixture *f, const char *journal, size_t journal_size, const char *record,
                      size_t record_size)
{
        _cleanup_free_ char *journal_path = in_vm(f, "journal"), *record_path = in_vm(f, "record.json");

        put(journal_path, journal, journal_size);
        put(record_path, record, record_size);
}

static void add_line(const char *line, void *data)
{
        struct fixture *f = data;

        text_addf(&f->lines, "%s\n", line);
}

static bool directory_has_files(struct fixture *f, const char *name)
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
static const char *left_behind(struct fixture *f)
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

static bool tap_is_left(void)
{
        _cleanup_netlink_ struct netlink *nl = NULL;
        struct error *err = NULL;
        struct net_link link;

        nl = netlink_open(&err);
        return netlink_link_get(nl, "torn-0", &link, &err) != 0;
}

static void assert_lost(struct fixture *f, const char *where)
{
        json_auto_t *record = NULL;
        struct vm_dir *vm = open_vm(f);
        struct error *err = NULL;

        if (record_read(vm->fd, &record, &err) < 0)
                fail_msg("%s: %s", where, err->message);
        vm_dir_release(vm, true);
        assert_string_equal(json_string_value(json_object_get(record, "verdict")), "lost");
        assert_string_equal(json_string_value(json_object_get(record, "state")), "stopped");
        assert_string_equal(json_string_value(json_object_get(record, "name")), f->vm_name);
}

static void reconcile_leaves_nothing(struct fixture *f, const char *where, bool with_tap)
{
        const struct reconcile_request request = {
                .site = &f->site, .cgroup = &f->cgroup, .line = add_line, .data = f
        };
        struct error *err = NULL;
        const char *left;

        text_done(&f->lines);
        if (reconcile(&request, &err) < 0)
                fail_msg("%s: %s", where, error_text(err));
        left = left_behind(f);
        if (!left && with_tap && tap_is_left())
                left = "the tap";
        if (left)
                fail_msg("%s: left behind: %s\n%s", where, left, text_str(&f->lines));
        assert_lost(f, where);
}

static void journal_cut_anywhere_leaves_nothing(void **state)
{
        struct fixture *f = *state;
        unsigned every = step_of_tests(), n = 0;

        kill_qemu(f);
        for (size_t cut = 0; cut <= f->journal_size; cut += every, n++) {
                _cleanup_free_ char *where = xasprintf("journal of %zu bytes", cut);
                bool with_tap = n % TAP_EVERY == 0;

                lay_out(f, with_tap);
                put_files(f, f->journal, cut, f->record, f->record_size);
                reconcile_leaves_nothing(f, where, with_tap);
        }
        print_message("%u of %zu bytes\n", n, f->journal_size);
}

static void record_cut_anywhere_is_lost_and_leaves_nothing(void **state)
{
        struct fixture *f = *state;
        unsigned every = step_of_tests(), n = 0;

        kill_qemu(f);
        for (size_t cut = 0; cut <= f->record_size; cut += every, n++) {
                _cleanup_free_ char *where = xasprintf("record of %zu bytes", cut);
                /* Every other time the journal is no help. */
                size_t journal = n % 2 ? f->journal_size : 0;

                lay_out(f, false);
                put_files(f, f->journal, journal, f->record, cut);
                reconcile_leaves_nothing(f, where, false);
        }
        print_message("%u of %zu bytes\n", n, f->record_size);
}

/* The first cut bytes, then what a disk that lost power shows: zeros, or anything. */
static char *with_tail(struct fixture *f, size_t cut, bool zeros)
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

static void garbage_and_zeros_at_the_end_leave_nothing(void **state)
{
        struct fixture *f = *state;
        unsigned every = 16 * step_of_tests() + 1, n = 0;

        kill_qemu(f);
        for (size_t cut = 0; cut <= f->journal_size; cut += every, n++) {
                _cleanup_free_ char *where =
                        xasprintf("journal of %zu bytes and %s", cut, n % 2 ? "zeros" : "garbage");
                _cleanup_free_ char *bytes = with_tail(f, cut, n % 2);

                lay_out(f, false);
                put_files(f, bytes, cut + ZEROS, f->record, f->record_size);
                reconcile_leaves_nothing(f, where, false);
        }
        print_message("%u of them\n", n);
}

static bool has_lock(const json_t *locks, const char *name)
{
        json_t *lock;
        size_t i;

        json_array_foreach ((json_t *)locks, i, lock)
                if (strcmp(json_string_value(json_object_get(lock, "name")), name) == 0)
                        return true;
        return false;
}

/* QEMU is found with all that it owes, and once that is written down again the journal alone knows it. */
static void is_adopted(struct fixture *f, const char *where)
{
        _cleanup_adoption_ struct adoption adoption = ADOPTION_INIT;
        _cleanup_journal_run_ struct journal_run run = { 0 };
        _cleanup_free_ char *generation = NULL;
        struct vm_dir *vm = open_vm(f);
        struct error *err = NULL;
        pid_t pid = 0;

        if (vm_qemu_lives(&f->site, vm, 0, &pid, &generation, &err) < 0 ||
            adoption_read(&f->site, vm, &adoption, &err) < 0 || adoption_repair(vm, &adoption, &err) < 0 ||
            journal_run_read(vm->fd, &run, &err) < 0)
                fail_msg("%s: %s", where, error_text(err));
        if (pid != f->qemu || adoption.pid != f->qemu)
                fail_msg("%s: process %d and %d, not %d", where, (int)pid, (int)adoption.pid, (int)f->qemu);
        assert_string_equal(generation, f->generation);
        assert_string_equal(adoption.generation, f->generation);
        assert_string_equal(adoption.plan->cgroup, f->group);
        assert_int_equal(adoption.plan->confine.uid, VM_UID);
        assert_string_equal(run.generation, f->generation);
        assert_int_equal(json_integer_value(json_object_get(run.spawned, "pid")), f->qemu);
        if (!has_lock(run.locks, f->image_lock))
                fail_msg("%s: the image's lock is forgotten", where);
        vm_dir_release(vm, true);
}

static void live_qemu_is_found_whatever_its_journal_and_record_have_lost(void **state)
{
        struct fixture *f = *state;
        unsigned every = step_of_tests(), n = 0;

        for (size_t cut = 0; cut <= f->journal_size; cut += every, n++) {
                _cleanup_free_ char *where = xasprintf("journal of %zu bytes", cut);
                _cleanup_free_ char *tail = with_tail(f, cut, n % 2);

                put_files(f, f->journal, cut, f->record, f->record_size);
                is_adopted(f, where);
                if (n % 16)
                        continue;
                put_files(f, f->journal, cut, "", 0);
                is_adopted(f, where);
                put_files(f, tail, cut + ZEROS, f->record, f->record_size);
                is_adopted(f, where);
        }
        for (size_t cut = 0; cut <= f->record_size; cut += every, n++) {
                _cleanup_free_ char *where = xasprintf("record of %zu bytes", cut);
                bool with_journal = n % 2;

                put_files(f, f->journal, with_journal ? f->journal_size : 0, f->record, cut);
                is_adopted(f, where);
        }
        print_message("%u of %zu and %zu bytes\n", n, f->journal_size, f->record_size);
        assert_int_equal(kill(f->qemu, 0), 0);
}

static void live_qemu_without_journal_and_record_is_destroyed_when_asked(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        const char *left;

        put_files(f, "", 0, "", 0);
        assert_true(orphan_exists(&f->site, f->vm_name));
        if (orphan_destroy(&f->site, &f->cgroup, f->vm_name, add_line, f, &err) < 0)
                fail_msg("%s", error_text(err));
        assert_int_equal(waitpid(f->qemu, NULL, 0), f->qemu);
        f->qemu = 0;
        left = left_behind(f);
        if (left)
                fail_msg("left behind: %s\n%s", left, text_str(&f->lines));
        assert_false(tap_is_left());
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(journal_cut_anywhere_leaves_nothing),
                TEST(record_cut_anywhere_is_lost_and_leaves_nothing),
                TEST(garbage_and_zeros_at_the_end_leave_nothing),
                TEST(live_qemu_is_found_whatever_its_journal_and_record_have_lost),
                TEST(live_qemu_without_journal_and_record_is_destroyed_when_asked),
        };

        if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || access("/dev/net/tun", R_OK | W_OK) < 0) {
                puts("skipped: needs root, network namespaces and /dev/net/tun");
                return 77;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
