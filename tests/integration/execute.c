/*
 * The executor on a real host: taps in a network namespace of the test's own, control groups, files below a
 * directory of its own, and a program that takes QEMU's place. Root only.
 */
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

static void add_step(struct launch_plan *plan, enum plan_effect effect, json_t *args)
{
        assert_non_null(args);
        ARRAY_GROW(plan->steps, plan->n_steps);
        plan->steps[plan->n_steps++] = (struct plan_step){ .effect = effect, .args = args };
}

static void add_arg(struct launch_plan *plan, const char *text)
{
        ARRAY_GROW(plan->args, plan->n_args);
        plan->args[plan->n_args++] = (struct plan_arg){ .text = xstrdup(text) };
}

static void add_fd(struct launch_plan *plan, int child_fd, const char *source)
{
        ARRAY_GROW(plan->fds, plan->n_fds);
        plan->fds[plan->n_fds++] = (struct plan_fd){ .child_fd = child_fd, .source = xstrdup(source) };
}

static char *below(struct fixture *f, const char *path)
{
        return xasprintf("%s/%s", f->root, path);
}

static void write_file(struct fixture *f, const char *path, const char *text)
{
        _cleanup_free_ char *whole = below(f, path);
        struct error *err = NULL;

        assert_int_equal(fd_write_file_at(AT_FDCWD, whole, text, strlen(text), 0600, 0, &err), 0);
}

static void add_nic(struct launch_plan *plan)
{
        const struct net_nic nic = { .ifname = "exec-0",
                                     .bridge = "exbr0",
                                     .queues = 2,
                                     .vnet_hdr = true,
                                     .group = VM_UID,
                                     .alias = "vmlaunch:web:@GENERATION@",
                                     .mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 } };
        struct net_op ops[NET_OPS_PER_NIC];
        struct error *err = NULL;
        size_t n;

        assert_int_equal(net_plan_nic(&nic, ops, &n, &err), 0);
        for (size_t i = 0; i < n; i++)
                add_step(plan, EFFECT_NET, net_op_to_json(&ops[i]));
}

/* One step of every effect. */
static void make_plan(struct fixture *f)
{
        struct launch_plan *plan = &f->plan;
        _cleanup_free_ char *uid_path = xasprintf("%s/uids/%d", f->site.paths.run, VM_UID);
        _cleanup_free_ char *disk = below(f, "disk.raw"), *base = below(f, "base.raw");
        _cleanup_free_ char *kernel = below(f, "kernel");
        _cleanup_free_ char *private_dir = xasprintf("%s/private", f->vm->path);
        _cleanup_free_ char *qmp = xasprintf("%s/private/qmp.sock", f->vm->path);
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

static void free_plan(struct launch_plan *plan)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                json_decref(plan->steps[i].args);
        for (size_t i = 0; i < plan->n_args; i++)
                free(plan->args[i].text);
        for (size_t i = 0; i < plan->n_fds; i++)
                free(plan->fds[i].source);
        free(plan->env[0]);
        free(plan->env);
        free(plan->steps);
        free(plan->args);
        free(plan->fds);
        free(plan->name);
        free(plan->emulator);
        free(plan->cgroup);
        free(plan->qemu_group);
}

static void make_bridge(const char *name)
{
        _cleanup_close_ int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        assert_int_equal(ioctl(sock, 0x89a0, name), 0); /* SIOCBRADDBR */
}

/* build/tests/stand_in beside build/tests/it_execute. */
static char *beside_us(const char *name)
{
        char self[4096] = "";

        assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
        *strrchr(self, '/') = '\0';
        return xasprintf("%s/%s", self, name);
}

static void lock_vm(struct fixture *f)
{
        struct error *err = NULL;

        assert_int_equal(vm_dir_lock(&f->site.paths, "web", &f->vm, &err), 0);
}

static int set_up(void **state)
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

static int tear_down(void **state)
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

static void note_undone(const char *line, void *data)
{
        text_addf(data, "%s\n", line);
}

static int run_reconcile(struct fixture *f, const char *name, bool dry_run, struct text *lines,
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

static int run_plan(struct fixture *f, int fail_step, struct error **err)
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

static void run_fine(struct fixture *f)
{
        struct error *err = NULL;

        if (run_plan(f, -1, &err) < 0)
                fail_msg("%s", error_text(err));
}

static bool file_exists(struct fixture *f, const char *path)
{
        _cleanup_free_ char *whole = below(f, path);
        struct stat st;

        return lstat(whole, &st) == 0;
}

static bool link_exists(const char *ifname)
{
        struct error *err = NULL;
        struct net_link link;
        _cleanup_netlink_ struct netlink *nl = netlink_open(&err);
        int found = netlink_link_get(nl, ifname, &link, &err);

        assert_true(found >= 0);
        return found;
}

static bool group_exists(struct fixture *f)
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

static bool image_is_free(struct fixture *f, const char *path)
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

static bool directory_is_empty(struct fixture *f, const char *path)
{
        _cleanup_free_ char *whole = below(f, path);

        /* rmdir() says it, and an empty directory of locks is made again when one is needed. */
        return rmdir(whole) == 0 || access(whole, F_OK) < 0;
}

/* As it was before the start. */
static void assert_host_clean(struct fixture *f)
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

static void undo_all(struct fixture *f)
{
        struct error *err = NULL;

        if (undo_journal(f->vm->fd, &f->cgroup, NULL, NULL, &err) < 0)
                fail_msg("%s", error_text(err));
}

/* What the stand-in has said, when it has said all. */
static char *read_stderr(struct fixture *f)
{
        char *text = xcalloc(1, STDERR_MAX + 1);

        for (unsigned i = 0; i < 500; i++) {
                assert_true(pread(execution_stderr_fd(f->execution), text, STDERR_MAX, 0) >= 0);
                if (text_ends_with(text, "end\n"))
                        return text;
                poll(NULL, 0, 10);
        }
        fail_msg("the stand-in says only: %s", text);
        return NULL;
}

static unsigned count_lines(const char *text, const char *start)
{
        unsigned n = 0;

        for (const char *line = text; line && *line;
             line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                n += strncmp(line, start, strlen(start)) == 0;
        return n;
}

static void qemu_gets_exactly_what_the_plan_says(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *said = NULL, *disk = below(f, "disk.raw"), *base = below(f, "base.raw");
        _cleanup_free_ char *fd3 = xasprintf("fd 3 -> %s\n", base), *fd4 = xasprintf("fd 4 -> %s\n", disk);
        /* An inheritable fd, a signal ignored and one blocked must not get through. */
        _cleanup_close_ int stray = fcntl(2, F_DUPFD, 40);
        sigset_t blocked;

        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR1);
        sigprocmask(SIG_BLOCK, &blocked, NULL);
        signal(SIGPIPE, SIG_IGN);
        assert_true(stray >= 40);
        run_fine(f);
        said = read_stderr(f);
        assert_int_equal(count_lines(said, "fd "), 3 + 6);
        assert_non_null(strstr(said, "fd 0 -> /dev/null\n"));
        assert_non_null(strstr(said, "fd 1 -> /dev/null\n"));
        assert_non_null(strstr(said, "fd 2 -> /memfd:vmlaunch-stderr (deleted)\n"));
        assert_non_null(strstr(said, fd3));
        assert_non_null(strstr(said, fd4));
        assert_non_null(strstr(said, "fd 5 -> /memfd:vmlaunch-file (deleted)\n"));
        assert_non_null(strstr(said, "fd 10 -> /dev/net/tun\n"));
        assert_non_null(strstr(said, "fd 11 -> /dev/net/tun\n"));
        assert_non_null(strstr(said, "fd 12 -> socket:"));
        assert_non_null(strstr(said, "arg 2 guest=web,process=web-" GENERATION "\n"));
        assert_int_equal(count_lines(said, "arg "), 3);
        assert_non_null(strstr(said, "env MARK=" GENERATION "\n"));
        assert_int_equal(count_lines(said, "env "), 1);
        assert_non_null(strstr(said, "cwd /\numask 077\nsid 1\n"));
        assert_int_equal(count_lines(said, "ignored "), 0);
        assert_int_equal(count_lines(said, "blocked "), 0);
        assert_non_null(strstr(said, "Uid:\t1900000017\t1900000017\t1900000017\t1900000017\n"));
        assert_non_null(strstr(said, "Gid:\t1900000017\t1900000017\t1900000017\t1900000017\n"));
        assert_non_null(strstr(said, "Groups:\t109 \n"));
        assert_int_equal(count_lines(said, "CapInh:\t0000000000000000"), 1);
        assert_int_equal(count_lines(said, "CapPrm:\t0000000000000000"), 1);
        assert_int_equal(count_lines(said, "CapEff:\t0000000000000000"), 1);
        assert_int_equal(count_lines(said, "CapBnd:\t0000000000000000"), 1);
        assert_int_equal(count_lines(said, "CapAmb:\t0000000000000000"), 1);
        assert_non_null(strstr(said, "NoNewPrivs:\t1\n"));
        signal(SIGPIPE, SIG_DFL);
        sigprocmask(SIG_UNBLOCK, &blocked, NULL);
}

static void running_plan_has_its_files_tap_group_and_locks(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *value = NULL, *private_dir = below(f, "run/web/private");
        _cleanup_free_ char *sock = below(f, "run/web/private/qmp.sock");
        struct error *err = NULL;
        struct stat st;

        run_fine(f);
        execution_close_passed(f->execution, true);
        assert_int_equal(stat(private_dir, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(stat(sock, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_true(S_ISSOCK(st.st_mode));
        assert_true(file_exists(f, "run/web/live.tmpl"));
        assert_true(file_exists(f, "state/web/machine.lock"));
        assert_true(link_exists("exec-0"));
        assert_false(image_is_free(f, "disk.raw"));
        assert_true(execution_stderr_fd(f->execution) >= 0);
        if (cgroup_host_version(&f->cgroup) == 1 && cgroup_host_has(&f->cgroup, "cpu")) {
                _cleanup_free_ char *pid = xasprintf("%d", (int)execution_qemu_pid(f->execution));
                _cleanup_free_ char *procs = NULL;

                assert_int_equal(cgroup_read(&f->cgroup, f->group, "cpu", "cpu.shares", &value, &err), 0);
                assert_string_equal(value, "512");
                assert_int_equal(cgroup_read(&f->cgroup, f->group, "cpu", "cgroup.procs", &procs, &err), 0);
                assert_string_equal(procs, pid);
        }
}

static void messages_beyond_the_limit_are_refused_not_stored(void **state)
{
        struct fixture *f = *state;
        char page[4096];
        _cleanup_close_ int copy = -1;
        struct stat st;
        size_t written = 0;

        run_fine(f);
        free(read_stderr(f));
        copy = dup(execution_stderr_fd(f->execution));
        memset(page, 'x', sizeof(page));
        for (unsigned i = 0; i < 2 * STDERR_MAX / sizeof(page); i++) {
                ssize_t n = write(copy, page, sizeof(page));

                if (n < 0) {
                        assert_int_equal(errno, EPERM);
                        break;
                }
                written += (size_t)n;
        }
        assert_true(written < STDERR_MAX);
        assert_int_equal(fstat(copy, &st), 0);
        assert_int_equal(st.st_size, STDERR_MAX);
        assert_int_equal(ftruncate(copy, 0), -1);
}

static void each_failing_step_undoes_exactly_those_before_it(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(f->plan.steps[f->plan.n_steps - 2].effect, EFFECT_SPAWN);
        for (unsigned n = 0; n + 1 < f->plan.n_steps; n++) {
                _cleanup_text_ struct text expected = TEXT_INIT;
                _cleanup_error_ struct error *err = NULL;

                assert_int_equal(run_plan(f, (int)n, &err), -1);
                assert_null(err->next);
                for (unsigned i = n; i-- > 0;) {
                        const struct plan_step *step = &f->plan.steps[i];

                        if (step->effect != EFFECT_FILE_OPEN && step->effect != EFFECT_STDERR &&
                            step->effect != EFFECT_CGROUP_WRITE)
                                text_addf(&expected, "%s\n", plan_effect_name(step->effect));
                }
                /* Line by line the first words. */
                for (char *want = (char *)text_str(&expected), *got = (char *)text_str(&f->undone);
                     *want || *got;) {
                        size_t length = strcspn(want, "\n");

                        if (strncmp(want, got, length) != 0 || (got[length] != ' ' && got[length] != '\n'))
                                fail_msg("step %u: undone:\n%sexpected:\n%s", n, text_str(&f->undone),
                                         text_str(&expected));
                        want += length + 1;
                        got += strcspn(got, "\n") + 1;
                }
                assert_host_clean(f);
        }
}

static void program_that_cannot_run_is_an_error_and_leaves_nothing(void **state)
{
        struct fixture *f = *state;
        _cleanup_error_ struct error *err = NULL;
        _cleanup_free_ char *text = NULL;

        free(f->plan.emulator);
        f->plan.emulator = below(f, "kernel");
        assert_int_equal(run_plan(f, -1, &err), -1);
        text = error_text(err);
        assert_int_equal(err->code, ERROR_OS);
        assert_non_null(strstr(text, "run '"));
        assert_non_null(strstr(text, "as uid 1900000017: Permission denied"));
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_host_clean(f);
}

static void undo_kills_qemu_and_may_be_repeated(void **state)
{
        struct fixture *f = *state;
        json_auto_t *journal = NULL;
        struct error *err = NULL;
        size_t i;
        json_t *entry;
        pid_t pid = 0;

        run_fine(f);
        assert_int_equal(journal_read(f->vm->fd, &journal, &err), 0);
        assert_int_equal(journal_qemu_lives(f->vm->fd, &pid, &err), 1);
        assert_int_equal(pid, execution_qemu_pid(f->execution));
        undo_all(f);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), pid);
        execution_free(f->execution);
        f->execution = NULL;
        assert_host_clean(f);
        json_array_foreach (journal, i, entry)
                assert_int_equal(journal_append(f->vm->fd, entry, &err), 0);
        assert_int_equal(journal_qemu_lives(f->vm->fd, &pid, &err), 0);
        undo_all(f);
        assert_host_clean(f);
}

static void guest_that_ran_keeps_its_machine_lock(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        run_fine(f);
        assert_int_equal(execution_mark_started(f->execution, &err), 0);
        undo_all(f);
        waitpid(-1, NULL, 0);
        assert_true(file_exists(f, "state/web/machine.lock"));
}

static void failed_start_puts_the_old_machine_lock_back(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *path = below(f, "state/web/machine.lock"), *dir = below(f, "state/web");
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ struct error *failed = NULL;
        struct error *err = NULL;

        assert_int_equal(fd_mkdir_p(AT_FDCWD, dir, 0755, &err), 0);
        write_file(f, "state/web/machine.lock", "LAYOUT = 0\n");
        assert_int_equal(run_plan(f, (int)f->plan.n_steps - 2, &failed), -1);
        assert_int_equal(fd_read_file_at(AT_FDCWD, path, 1000, &text, NULL, &err), 0);
        assert_string_equal(text, "LAYOUT = 0\n");
}

static void process_of_another_start_time_is_left_alone(void **state)
{
        json_auto_t *wrong = NULL, *foreign = NULL;
        struct error *err = NULL;
        pid_t pid = fork();

        (void)state;
        if (pid == 0)
                for (;;)
                        pause();
        wrong = json_pack("{s:i, s:I, s:i}", "pid", (int)pid, "start",
                          (json_int_t)process_start_time(pid) + 1, "uid", VM_UID);
        foreign = json_pack("{s:i, s:I, s:i}", "pid", (int)pid, "start", (json_int_t)process_start_time(pid),
                            "uid", VM_UID);
        assert_int_equal(qemu_prove(wrong, GENERATION, NULL, &err), 0);
        assert_int_equal(qemu_prove(foreign, GENERATION, NULL, &err), 0);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

static void tap_of_another_run_is_left_alone(void **state)
{
        struct fixture *f = *state;
        json_auto_t *journal = NULL;
        struct error *err = NULL;
        json_t *entry;
        size_t i;

        run_fine(f);
        assert_int_equal(journal_read(f->vm->fd, &journal, &err), 0);
        assert_int_equal(journal_clear(f->vm->fd, &err), 0);
        json_array_foreach (journal, i, entry) {
                json_t *run = json_object_get(entry, "run");
                const char *effect = json_string_value(json_object_get(entry, "effect"));

                if (run)
                        json_object_set_new(run, "generation", json_string("fedcba9876543210"));
                if (run || (effect && strcmp(effect, "net") == 0))
                        assert_int_equal(journal_append(f->vm->fd, entry, &err), 0);
        }
        undo_all(f);
        assert_true(link_exists("exec-0"));
        kill(execution_qemu_pid(f->execution), SIGKILL);
        waitpid(execution_qemu_pid(f->execution), NULL, 0);
        json_object_set_new(json_object_get(json_array_get(journal, 0), "run"), "generation",
                            json_string(GENERATION));
        json_array_foreach (journal, i, entry)
                assert_int_equal(journal_append(f->vm->fd, entry, &err), 0);
        execution_free(f->execution);
        f->execution = NULL;
        undo_all(f);
        assert_host_clean(f);
}

static void second_start_over_an_unfinished_run_is_busy(void **state)
{
        struct fixture *f = *state;
        _cleanup_error_ struct error *err = NULL;
        const struct execution_options options = {
                .vm = f->vm, .generation = GENERATION, .cgroup = &f->cgroup, .fail_step = -1
        };
        struct execution *second;

        run_fine(f);
        second = execution_new(&f->plan, &options);
        assert_int_equal(execution_run(second, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        execution_free(second);
        assert_int_equal(kill(execution_qemu_pid(f->execution), 0), 0);
}

static long long now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* An executor killed at any moment: what it had begun is undone by somebody else. */
static void journal_of_a_killed_executor_undoes_all(void **state)
{
        struct fixture *f = *state;
        unsigned unfinished = 0;

        for (unsigned i = 0; i < 40; i++) {
                long long until;
                pid_t pid = fork();
                struct error *err = NULL;

                if (pid == 0) {
                        if (run_plan(f, -1, &err) < 0)
                                _exit(1);
                        for (;;)
                                pause();
                }
                until = now_us() + i * 400;
                while (now_us() < until)
                        ;
                unfinished += waitpid(pid, NULL, WNOHANG) == 0;
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
                if (!journal_is_empty(f->vm->fd))
                        undo_all(f);
                assert_host_clean(f);
        }
        assert_int_equal(unfinished, 40);
}

/* A journal whose last entry says that the group is about to be made. */
static void write_begun_group(struct fixture *f)
{
        _cleanup_error_ struct error *err = NULL;
        json_auto_t *run = json_pack("{s:{s:s, s:s, s:s, s:i}}", "run", "name", "web", "generation",
                                     GENERATION, "run_dir", f->vm->path, "executor", 1);
        json_auto_t *step =
                json_pack("{s:i, s:s, s:{s:s}}", "n", 0, "effect", "cgroup-create", "args", "path", f->group);

        assert_int_equal(journal_append(f->vm->fd, run, &err), 0);
        assert_int_equal(journal_append(f->vm->fd, step, &err), 0);
}

static void group_that_another_instance_has_made_is_not_emptied(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        pid_t pid = fork();

        if (pid == 0)
                for (;;)
                        pause();
        assert_int_equal(cgroup_create(&f->cgroup, f->group, NULL, &err), 0);
        assert_int_equal(cgroup_attach(&f->cgroup, f->group, pid, &err), 0);
        write_begun_group(f);
        undo_all(f);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        assert_true(group_exists(f));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        assert_int_equal(cgroup_remove(&f->cgroup, f->group, 5000, &err), 0);
}

static void group_made_by_an_executor_that_died_at_once_is_removed(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        assert_int_equal(cgroup_create(&f->cgroup, f->group, NULL, &err), 0);
        write_begun_group(f);
        undo_all(f);
        assert_false(group_exists(f));
}

static void lines_of_the_journal_that_are_no_steps_are_reported(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        _cleanup_text_ struct text lines = TEXT_INIT;
        _cleanup_close_ int fd = -1;

        write_begun_group(f);
        fd = openat(f->vm->fd, "journal", O_WRONLY | O_APPEND | O_CLOEXEC);
        assert_int_equal(write(fd, "{\"n\":1,\"eff\n", 12), 12);
        vm_dir_release(f->vm, true);
        f->vm = NULL;
        assert_int_equal(run_reconcile(f, "web", true, &lines, &err), 0);
        assert_non_null(strstr(text_str(&lines), "web: line 3 of the journal is no step"));
        text_done(&lines);
        assert_int_equal(run_reconcile(f, "web", false, &lines, &err), 0);
        assert_non_null(strstr(text_str(&lines), "web: line 3 of the journal is no step"));
        lock_vm(f);
        assert_true(journal_is_empty(f->vm->fd));
}

static void on_helper_end(const struct error *error, const json_t *undone, void *data)
{
        struct loop *loop = data;

        if (error)
                print_message("helper: %s\n", error_text(error));
        loop_quit(loop, error || json_array_size(undone) == 0);
}

static bool nothing_is_effective(void)
{
        _cleanup_free_ char *text = NULL;
        struct error *err = NULL;

        return fd_read_file_at(AT_FDCWD, "/proc/self/status", 16384, &text, NULL, &err) == 0 &&
               strstr(text, "CapEff:\t0000000000000000\n") && !strstr(text, "CapPrm:\t0000000000000000\n");
}

/* The supervisor's life in short; the step that went wrong, 0: none. */
static int live_lowered(struct fixture *f)
{
        struct loop *loop = loop_new();
        struct error *err = NULL;

        if (run_plan(f, -1, &err) < 0)
                return 1;
        execution_close_passed(f->execution, true);
        if (confine_lower_capabilities(&err) < 0 || !nothing_is_effective())
                return 2;
        if (fd_pidfd_send_signal(execution_qemu_pidfd(f->execution), SIGCONT) == 0 || errno != EPERM)
                return 3;
        if (confine_send_signal(execution_qemu_pidfd(f->execution), SIGCONT, &err) < 0)
                return 4;
        if (!nothing_is_effective())
                return 5;
        /* It lives still, so the helper has to kill it: with rights that this process has not. */
        if (!host_helper_undo(loop, f->vm, &f->cgroup, 10000, on_helper_end, loop, &err))
                return 6;
        if (loop_run(loop) != 0)
                return 7;
        if (waitpid(execution_qemu_pid(f->execution), NULL, WNOHANG) != execution_qemu_pid(f->execution))
                return 8;
        execution_free(f->execution);
        loop_free(loop);
        return 0;
}

static void helper_undoes_what_a_lowered_supervisor_may_not(void **state)
{
        struct fixture *f = *state;
        int status = -1;
        pid_t pid = fork();

        if (pid == 0)
                _exit(live_lowered(f));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_host_clean(f);
}

/* A helper that this program plays itself: the VM's directory has a file that says how. */
static int play_helper(void)
{
        sigset_t alarm_set;

        if (faccessat(3, "deaf", F_OK, 0) < 0 && faccessat(3, "stuck", F_OK, 0) < 0)
                return host_helper_main();
        sigemptyset(&alarm_set);
        sigaddset(&alarm_set, SIGALRM);
        sigprocmask(SIG_BLOCK, &alarm_set, NULL);
        /* As one that a kernel call holds: a signal of its supervisor does not end it. */
        if (faccessat(3, "stuck", F_OK, 0) == 0) {
                _cleanup_free_ char *pid = xasprintf("%d", (int)getpid());
                struct error *err = NULL;

                if (fd_write_file_at(3, "stuck", pid, strlen(pid), 0600, 0, &err) < 0 ||
                    setresuid(VM_UID, VM_UID, VM_UID) < 0)
                        return 1;
        }
        for (;;)
                pause();
}

struct helper_end {
        struct loop *loop;
        char *text;
        enum error_code code;
};

static void note_helper_end(const struct error *error, const json_t *undone, void *data)
{
        struct helper_end *end = data;

        (void)undone;
        end->code = error ? error->code : (enum error_code)0;
        end->text = error ? error_text(error) : NULL;
        loop_quit(end->loop, 0);
}

/* How a helper with so much time ends, and after how many ms. */
static struct helper_end let_help(struct fixture *f, unsigned deadline_ms, long long *ret_ms)
{
        struct helper_end end = { .loop = loop_new() };
        struct error *err = NULL;
        long long begun = fd_now_ms();

        assert_non_null(
                host_helper_undo(end.loop, f->vm, &f->cgroup, deadline_ms, note_helper_end, &end, &err));
        loop_run(end.loop);
        *ret_ms = fd_now_ms() - begun;
        loop_free(end.loop);
        return end;
}

static void helper_ends_itself_at_its_deadline(void **state)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
        struct fixture *f = *state;
        _cleanup_close_ int fd = -1;
        struct helper_end end;
        long long ms;

        run_fine(f);
        /* As if a process were between fork and exec: the undo waits for it, longer than the helper may. */
        fd = openat(f->vm->fd, "journal", O_RDWR | O_CLOEXEC);
        assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
        end = let_help(f, 200, &ms);
        assert_int_equal(end.code, ERROR_DEADLINE);
        assert_string_equal(end.text, "the host helper did not end within 200 ms");
        assert_in_range(ms, 150, 900);
        free(end.text);
        /* What is owed is owed still. */
        assert_false(journal_is_empty(f->vm->fd));
}

static void helper_that_hears_no_alarm_is_killed(void **state)
{
        struct fixture *f = *state;
        struct helper_end end;
        long long ms;

        run_fine(f);
        write_file(f, "run/web/deaf", "");
        end = let_help(f, 100, &ms);
        assert_int_equal(end.code, ERROR_DEADLINE);
        assert_string_equal(end.text, "the host helper did not end within 100 ms");
        assert_in_range(ms, 1000, 1900);
        free(end.text);
}

static int live_with_a_stuck_helper(struct fixture *f)
{
        struct helper_end end;
        struct error *err = NULL;
        long long ms;

        if (confine_keep_capabilities(NULL, 0, &err) < 0)
                return 1;
        end = let_help(f, 100, &ms);
        if (end.code != ERROR_DEADLINE || !strstr(end.text, "a kernel call holds it"))
                return 2;
        return ms > 3000 ? 3 : 0;
}

static void helper_that_cannot_be_killed_is_not_waited_for(void **state)
{
        _cleanup_free_ char *text = NULL;
        struct fixture *f = *state;
        struct error *err = NULL;
        int status = -1;
        pid_t pid;

        run_fine(f);
        write_file(f, "run/web/stuck", "");
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        pid = fork();
        if (pid == 0)
                _exit(live_with_a_stuck_helper(f));
        waitpid(pid, &status, 0);
        assert_int_equal(fd_read_file_at(f->vm->fd, "stuck", 16, &text, NULL, &err), 0);
        pid = (pid_t)atoi(text);
        assert_true(pid > 1);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* A supervisor that runs the plan and dies before the guest runs; its QEMU's pid. */
static pid_t leave_orphan(struct fixture *f)
{
        struct error *err = NULL;
        pid_t pid, qemu = 0;

        vm_dir_release(f->vm, true);
        f->vm = NULL;
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        pid = fork();
        if (pid == 0) {
                json_auto_t *record = json_pack("{s:i, s:s, s:n, s:s}", "schema", 1, "name", "web", "verdict",
                                                "state", "starting");

                lock_vm(f);
                if (run_plan(f, -1, &err) < 0 || record_write(f->vm->fd, record, &err) < 0)
                        _exit(1);
                /* Not the last word of execution_free(): it just dies. */
                _exit(0);
        }
        waitpid(pid, NULL, 0);
        assert_int_equal(vm_dir_open(&f->site.paths, "web", &f->vm, &err), 0);
        assert_non_null(f->vm);
        assert_int_equal(journal_qemu_lives(f->vm->fd, &qemu, &err), 1);
        return qemu;
}

static void assert_verdict(struct fixture *f, const char *verdict)
{
        json_auto_t *record = NULL;
        struct error *err = NULL;

        assert_int_equal(record_read(f->vm->fd, &record, &err), 0);
        assert_string_equal(json_string_value(json_object_get(record, "verdict")), verdict);
        assert_string_equal(json_string_value(json_object_get(record, "state")), "stopped");
        assert_int_equal(json_array_size(json_object_get(record, "story")), 1);
}

static void live_qemu_without_supervisor_is_reported_and_destroyed_when_asked(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        _cleanup_text_ struct text lines = TEXT_INIT;
        pid_t qemu = leave_orphan(f);

        assert_true(orphan_exists(&f->site, "web"));
        assert_int_equal(run_reconcile(f, NULL, false, &lines, &err), 0);
        assert_non_null(strstr(text_str(&lines), "web: QEMU (process "));
        assert_int_equal(kill(qemu, 0), 0);
        assert_int_equal(orphan_destroy(&f->site, &f->cgroup, "web", note_undone, &lines, &err), 0);
        assert_false(orphan_exists(&f->site, "web"));
        assert_verdict(f, "asked");
        assert_host_clean(f);
        assert_int_equal(orphan_destroy(&f->site, &f->cgroup, "web", note_undone, &lines, &err), -1);
        assert_int_equal(err->code, ERROR_NOT_RUNNING);
        error_free(err);
}

static void start_that_ended_unseen_is_cleaned_up_and_never_started(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        _cleanup_text_ struct text would = TEXT_INIT, did = TEXT_INIT, nothing = TEXT_INIT;
        pid_t qemu = leave_orphan(f);

        kill(qemu, SIGKILL);
        assert_int_equal(waitpid(qemu, NULL, 0), qemu);
        assert_int_equal(run_reconcile(f, "web", true, &would, &err), 0);
        assert_non_null(strstr(text_str(&would), "web: would undo: "));
        assert_non_null(strstr(text_str(&would), "web: would get the verdict never-started\n"));
        assert_true(file_exists(f, "run/web/private"));
        assert_int_equal(run_reconcile(f, NULL, false, &did, &err), 0);
        assert_non_null(strstr(text_str(&did), "web: verdict never-started\n"));
        assert_verdict(f, "never-started");
        assert_host_clean(f);
        assert_int_equal(run_reconcile(f, NULL, false, &nothing, &err), 0);
        assert_string_equal(text_str(&nothing), "");
        assert_int_equal(run_reconcile(f, "nobody", false, &nothing, &err), -1);
        assert_int_equal(err->code, ERROR_NO_SUCH_VM);
        error_free(err);
}

static void vm_with_a_living_supervisor_is_left_alone(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        _cleanup_text_ struct text lines = TEXT_INIT;

        run_fine(f);
        assert_int_equal(run_reconcile(f, NULL, false, &lines, &err), 0);
        assert_string_equal(text_str(&lines), "");
        assert_false(orphan_exists(&f->site, "web"));
        assert_int_equal(orphan_destroy(&f->site, &f->cgroup, "web", note_undone, &lines, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        error_free(err);
        assert_int_equal(kill(execution_qemu_pid(f->execution), 0), 0);
}

#define QEMU "/usr/bin/qemu-system-x86_64"

static void real_qemu_answers_on_its_listener_sandboxed(void **state)
{
        static const char *const args[] = {
                QEMU,
                "-name",
                "guest=web,process=web-@GENERATION@",
                "-no-user-config",
                "-nodefaults",
                "-S",
                "-machine",
                "none",
                "-display",
                "none",
                "-sandbox",
                "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
                "-chardev",
                "socket,id=qmp,fd=12,server=on,wait=off",
                "-mon",
                "chardev=qmp,mode=control"
        };
        struct fixture *f = *state;
        _cleanup_close_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_free_ char *status = NULL, *path = NULL;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct error *err = NULL;
        char greeting[512] = "";

        if (access(QEMU, X_OK) < 0)
                skip();
        for (size_t i = 0; i < f->plan.n_args; i++)
                free(f->plan.args[i].text);
        f->plan.n_args = 0;
        for (size_t i = 0; i < ARRAY_SIZE(args); i++)
                add_arg(&f->plan, args[i]);
        free(f->plan.emulator);
        f->plan.emulator = xstrdup(QEMU);
        run_fine(f);
        execution_close_passed(f->execution, true);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/private/qmp.sock", f->vm->path);
        assert_int_equal(connect(sock, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(fd_wait(sock, POLLIN, fd_now_ms() + 20000), 1);
        assert_true(read(sock, greeting, sizeof(greeting) - 1) > 0);
        assert_non_null(strstr(greeting, "\"QMP\""));
        path = xasprintf("/proc/%d/status", (int)execution_qemu_pid(f->execution));
        assert_int_equal(fd_read_file_at(AT_FDCWD, path, 16384, &status, NULL, &err), 0);
        assert_non_null(strstr(status, "Seccomp:\t2\n"));
        assert_non_null(strstr(status, "Uid:\t1900000017\t1900000017\t1900000017\t1900000017\n"));
        assert_non_null(strstr(status, "CapBnd:\t0000000000000000\n"));
        undo_all(f);
        waitpid(execution_qemu_pid(f->execution), NULL, 0);
        execution_free(f->execution);
        f->execution = NULL;
        assert_host_clean(f);
}

static void die(void)
{
        kill(getpid(), SIGKILL);
}

/* The executor's worst moment: QEMU's process is forked and in no journal. */
static void executor_killed_right_after_its_fork_leaves_no_lock_behind(void **state)
{
        struct fixture *f = *state;

        f->forked = die;
        for (unsigned i = 0; i < 30; i++) {
                struct error *err = NULL;
                pid_t pid = fork();

                if (pid == 0) {
                        run_plan(f, -1, &err);
                        _exit(1);
                }
                waitpid(pid, NULL, 0);
                undo_all(f);
                assert_host_clean(f);
        }
}

static void start_costs_a_few_milliseconds(void **state)
{
        struct fixture *f = *state;
        long long total = 0, undo = 0;

        for (unsigned i = 0; i < 10; i++) {
                long long start = now_us();

                run_fine(f);
                total += now_us() - start;
                execution_close_passed(f->execution, true);
                start = now_us();
                undo_all(f);
                undo += now_us() - start;
                waitpid(execution_qemu_pid(f->execution), NULL, 0);
                execution_free(f->execution);
                f->execution = NULL;
        }
        print_message("run %lld us, undo %lld us\n", total / 10, undo / 10);
        assert_true(total / 10 < 200000);
}

int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(qemu_gets_exactly_what_the_plan_says),
                TEST(running_plan_has_its_files_tap_group_and_locks),
                TEST(messages_beyond_the_limit_are_refused_not_stored),
                TEST(each_failing_step_undoes_exactly_those_before_it),
                TEST(program_that_cannot_run_is_an_error_and_leaves_nothing),
                TEST(undo_kills_qemu_and_may_be_repeated),
                TEST(guest_that_ran_keeps_its_machine_lock),
                TEST(failed_start_puts_the_old_machine_lock_back),
                TEST(process_of_another_start_time_is_left_alone),
                TEST(tap_of_another_run_is_left_alone),
                TEST(second_start_over_an_unfinished_run_is_busy),
                TEST(journal_of_a_killed_executor_undoes_all),
                TEST(group_that_another_instance_has_made_is_not_emptied),
                TEST(group_made_by_an_executor_that_died_at_once_is_removed),
                TEST(lines_of_the_journal_that_are_no_steps_are_reported),
                TEST(helper_undoes_what_a_lowered_supervisor_may_not),
                TEST(helper_ends_itself_at_its_deadline),
                TEST(helper_that_hears_no_alarm_is_killed),
                TEST(helper_that_cannot_be_killed_is_not_waited_for),
                TEST(live_qemu_without_supervisor_is_reported_and_destroyed_when_asked),
                TEST(start_that_ended_unseen_is_cleaned_up_and_never_started),
                TEST(vm_with_a_living_supervisor_is_left_alone),
                TEST(real_qemu_answers_on_its_listener_sandboxed),
                TEST(executor_killed_right_after_its_fork_leaves_no_lock_behind),
                TEST(start_costs_a_few_milliseconds),
        };

        /* The host helper is started from /proc/self/exe. */
        if (argc == 2 && strcmp(argv[1], "__host") == 0)
                return play_helper();
        if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || access("/dev/net/tun", R_OK | W_OK) < 0) {
                puts("skipped: needs root, network namespaces and /dev/net/tun");
                return 77;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
