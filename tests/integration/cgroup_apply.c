/*
 * A real group in this host's hierarchies, and on a hybrid host also in its v2 one, which has no controllers
 * but all that concerns processes. Root only.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "cgroups/cgroup_apply.h"
#include "cgroups/cgroup_plan.h"
#include "tests/integration/host_fixture.h"

static struct cgroup_host host;
/* The mounted v2 hierarchy by itself: a host of v2 without controllers, for what every v2 group has. */
static struct cgroup_host unified;
static char *path;

static void rest_ms(long ms)
{
        const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

        nanosleep(&t, NULL);
}

/* A child that sleeps, and dies with the test. */
static pid_t sleeper(struct cgroup_entry *entry)
{
        int ready[2];
        char c = 0;
        pid_t pid;

        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        pid = entry ? cgroup_entry_fork(entry, NULL) : fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (entry && cgroup_entry_enter(entry) < 0)
                        _exit(99);
                if (write(ready[1], "x", 1) != 1)
                        _exit(98);
                for (;;)
                        pause();
        }
        close(ready[1]);
        assert_int_equal(read(ready[0], &c, 1), 1);
        close(ready[0]);
        return pid;
}

static void assert_killed(pid_t pid)
{
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
}

static pid_t sleeper_inside(void)
{
        _cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
        struct error *err = NULL;

        assert_int_equal(cgroup_entry_open(&host, path, &entry, &err), 0);
        return sleeper(&entry);
}

static bool in_group(const struct cgroup_host *h, const char *controller, pid_t pid)
{
        _cleanup_free_ char *procs = NULL, *framed = NULL, *wanted = xasprintf("\n%d\n", (int)pid);
        struct error *err = NULL;

        assert_int_equal(cgroup_read(h, path, controller, "cgroup.procs", &procs, &err), 0);
        framed = xasprintf("\n%s\n", procs);
        return strstr(framed, wanted);
}

static int remove_group(void **state)
{
        struct error *err = NULL;

        (void)state;
        if (cgroup_remove(&host, path, 5000, &err) < 0 ||
            (unified.kind && cgroup_remove(&unified, path, 5000, &err) < 0)) {
                print_message("%s\n", err->message);
                return -1;
        }
        return 0;
}

static void group_is_made_limited_and_removed_in_every_hierarchy(void **state)
{
        static const double cpus[] = { 0.1, 0.5, 1, 2, 200, 10000 };
        _cleanup_argv_ struct argv dirs = ARGV_INIT;
        struct error *err = NULL;
        struct stat st;

        (void)state;
        assert_int_equal(cgroup_create(&host, path, &dirs, &err), 0);
        assert_true(dirs.n >= 1);
        for (size_t i = 0; i < dirs.n; i++)
                assert_int_equal(stat(dirs.items[i], &st), 0);
        for (size_t i = 0; i < ARRAY_SIZE(cpus) && cgroup_host_has(&host, "cpu"); i++) {
                const struct cgroup_limits limits = { .cpu = cpus[i] };
                _cleanup_(cgroup_plan_freep) struct cgroup_plan *plan =
                        cgroup_plan_build(&limits, &host, path, &err);
                const struct cgroup_setting *one = &plan->settings[0];
                _cleanup_free_ char *back = NULL;

                assert_int_equal(cgroup_write(&host, path, one->controller, one->file, one->value, &err), 0);
                assert_int_equal(cgroup_read(&host, path, one->controller, one->file, &back, &err), 0);
                assert_string_equal(back, one->value);
        }
        assert_int_equal(cgroup_remove(&host, path, 1000, &err), 0);
        for (size_t i = 0; i < dirs.n; i++)
                assert_int_equal(stat(dirs.items[i], &st), -1);
        assert_int_equal(cgroup_remove(&host, path, 1000, &err), 0);
}

static void process_inside_is_killed_by_remove(void **state)
{
        _cleanup_free_ char *cpus = NULL;
        struct error *err = NULL;
        pid_t pid;

        (void)state;
        assert_int_equal(cgroup_create(&host, path, NULL, &err), 0);
        pid = sleeper_inside();
        assert_true(in_group(&host, NULL, pid));
        if (cgroup_host_v1(&host, "freezer"))
                assert_true(in_group(&host, "freezer", pid));
        if (cgroup_host_has(&host, "cpuset") && cgroup_host_version(&host) == 1) {
                assert_int_equal(cgroup_read(&host, path, "cpuset", "cpuset.cpus", &cpus, &err), 0);
                assert_true(*cpus);
        }
        /* A stopped process has to go too. */
        kill(pid, SIGSTOP);
        assert_int_equal(cgroup_remove(&host, path, 5000, &err), 0);
        assert_killed(pid);
}

static void child_that_enters_is_inside_everywhere(void **state)
{
        _cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
        struct error *err = NULL;
        pid_t pid;

        (void)state;
        assert_int_equal(cgroup_create(&host, path, NULL, &err), 0);
        assert_int_equal(cgroup_entry_open(&host, path, &entry, &err), 0);
        pid = sleeper(&entry);
        assert_true(in_group(&host, NULL, pid));
        if (cgroup_host_version(&host) == 1)
                for (size_t i = 0; i < host.n_v1; i++)
                        assert_true(in_group(&host, host.v1[i].controllers, pid));
        assert_int_equal(cgroup_remove(&host, path, 5000, &err), 0);
        assert_killed(pid);
}

static void a_fork_bomb_is_killed_to_the_last_process(void **state)
{
        _cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
        struct error *err = NULL;
        pid_t pid;

        (void)state;
        assert_int_equal(cgroup_create(&host, path, NULL, &err), 0);
        if (cgroup_host_has(&host, "pids"))
                assert_int_equal(cgroup_write(&host, path, "pids", "pids.max", "20", &err), 0);
        assert_int_equal(cgroup_entry_open(&host, path, &entry, &err), 0);
        pid = cgroup_entry_fork(&entry, NULL);
        if (pid == 0) {
                const struct timespec pause = { .tv_nsec = 2000000 };

                if (cgroup_entry_enter(&entry) < 0)
                        _exit(99);
                /* Each ends as soon as it has forked: a list of pids is old before it is read. */
                for (int i = 0; i < 2000; i++) {
                        pid_t other = fork();

                        if (other > 0)
                                _exit(0);
                        nanosleep(&pause, NULL);
                }
                _exit(0);
        }
        rest_ms(50);
        assert_int_equal(cgroup_remove(&host, path, 5000, &err), 0);
        waitpid(pid, NULL, 0);
}

static void sub_groups_go_with_the_group(void **state)
{
        _cleanup_free_ char *below = NULL, *procs = NULL;
        _cleanup_argv_ struct argv dirs = ARGV_INIT;
        struct error *err = NULL;
        char digits[16];
        pid_t pid;

        (void)state;
        assert_int_equal(cgroup_create(&host, path, &dirs, &err), 0);
        for (size_t i = 0; i < dirs.n; i++)
                if (!strstr(dirs.items[i], "cpuset")) {
                        free(below);
                        below = xasprintf("%s/vm/deep", dirs.items[i]);
                        assert_int_equal(fd_mkdir_p(AT_FDCWD, below, 0755, &err), 0);
                }
        pid = sleeper(NULL);
        procs = xasprintf("%s/cgroup.procs", below);
        snprintf(digits, sizeof(digits), "%d", (int)pid);
        assert_int_equal(fd_write_existing_at(AT_FDCWD, procs, digits, &err), 0);
        assert_int_equal(cgroup_remove(&host, path, 5000, &err), 0);
        assert_killed(pid);
}

static void an_empty_group_left_over_is_made_anew(void **state)
{
        _cleanup_free_ char *shares = NULL;
        struct error *err = NULL;

        (void)state;
        if (cgroup_host_version(&host) != 1 || !cgroup_host_has(&host, "cpu"))
                skip();
        assert_int_equal(cgroup_create(&host, path, NULL, &err), 0);
        assert_int_equal(cgroup_write(&host, path, "cpu", "cpu.shares", "77", &err), 0);
        assert_int_equal(cgroup_create(&host, path, NULL, &err), 0);
        assert_int_equal(cgroup_read(&host, path, "cpu", "cpu.shares", &shares, &err), 0);
        assert_string_equal(shares, "1024");
}

static void a_group_with_processes_is_busy_and_left_alone(void **state)
{
        _cleanup_free_ char *number = NULL;
        struct error *err = NULL;
        pid_t pid;

        (void)state;
        assert_int_equal(cgroup_create(&host, path, NULL, &err), 0);
        pid = sleeper_inside();
        assert_int_equal(cgroup_create(&host, path, NULL, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        number = xasprintf("processes: %d", (int)pid);
        assert_non_null(strstr(err->message, number));
        error_free(err);
        err = NULL;
        assert_true(in_group(&host, NULL, pid));
        assert_int_equal(cgroup_remove(&host, path, 5000, &err), 0);
        assert_killed(pid);
}

static void what_is_not_there_is_said_by_name(void **state)
{
        const struct cgroup_host none = { 0 };
        struct cgroup_entry entry;
        struct error *err = NULL;
        char *text;

        (void)state;
        assert_int_equal(cgroup_create(&none, path, NULL, &err), -1);
        assert_int_equal(err->code, ERROR_HOST);
        error_free(err);
        err = NULL;
        assert_int_equal(cgroup_remove(&none, path, 100, &err), 0);
        assert_int_equal(cgroup_create(&host, "a/../../b", NULL, &err), -1);
        assert_int_equal(err->code, ERROR_INVALID);
        error_free(err);
        err = NULL;
        assert_int_equal(cgroup_entry_open(&host, path, &entry, &err), -1);
        assert_int_equal(err->code, ERROR_FAILED);
        error_free(err);
        err = NULL;
        assert_int_equal(cgroup_read(&host, path, NULL, "../cgroup.procs", &text, &err), -1);
        assert_int_equal(err->code, ERROR_INVALID);
        error_free(err);
        err = NULL;
        if (cgroup_host_version(&host) != 1)
                return;
        assert_int_equal(cgroup_write(&host, path, "rdma", "rdma.max", "1", &err), -1);
        assert_int_equal(err->code, ERROR_HOST);
        error_free(err);
}

static void on_v2_a_child_is_born_in_the_group_and_killed_with_it(void **state)
{
        _cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
        _cleanup_free_ char *events = NULL;
        struct error *err = NULL;
        pid_t pid;

        (void)state;
        if (!unified.kind)
                skip();
        assert_int_equal(cgroup_create(&unified, path, NULL, &err), 0);
        assert_int_equal(cgroup_entry_open(&unified, path, &entry, &err), 0);
        assert_int_equal(entry.n, 0);
        pid = sleeper(&entry);
        assert_true(in_group(&unified, NULL, pid));
        assert_int_equal(cgroup_read(&unified, path, NULL, "cgroup.events", &events, &err), 0);
        assert_non_null(strstr(events, "populated 1"));
        assert_int_equal(cgroup_write(&unified, path, NULL, "cpu.weight", "100", &err), -1);
        assert_non_null(strstr(err->message, "the controller of 'cpu.weight' is not enabled"));
        error_free(err);
        err = NULL;
        assert_int_equal(cgroup_remove(&unified, path, 5000, &err), 0);
        assert_killed(pid);
}

/* For this process and its children the kernel is one from before Linux 5.3. */
static int lose_clone3(void)
{
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void on_v2_a_kernel_without_clone3_lets_the_child_move_itself(void **state)
{
        _cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
        struct error *err = NULL;
        int moved[2], status;
        pid_t parent, pid;

        (void)state;
        if (!unified.kind)
                skip();
        assert_int_equal(cgroup_create(&unified, path, NULL, &err), 0);
        assert_int_equal(cgroup_entry_open(&unified, path, &entry, &err), 0);
        assert_int_equal(pipe2(moved, O_CLOEXEC), 0);
        parent = fork();
        assert_true(parent >= 0);
        if (parent == 0) {
                if (lose_clone3() < 0)
                        _exit(97);
                pid = sleeper(&entry);
                if (write(moved[1], &pid, sizeof(pid)) != sizeof(pid) || waitpid(pid, &status, 0) != pid)
                        _exit(96);
                _exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : 95);
        }
        close(moved[1]);
        assert_int_equal(read(moved[0], &pid, sizeof(pid)), sizeof(pid));
        close(moved[0]);
        assert_true(in_group(&unified, NULL, pid));
        assert_int_equal(cgroup_remove(&unified, path, 5000, &err), 0);
        assert_int_equal(waitpid(parent, &status, 0), parent);
        assert_int_equal(status, 0);
}

static void the_costs_are_printed(void **state)
{
        double create = 0, entry_open = 0, enter = 0, empty_remove = 0, kill_remove = 0;
        enum { ROUNDS = 3 };

        (void)state;
        for (int round = 0; round < ROUNDS; round++) {
                _cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
                struct error *err = NULL;
                double start = now_ms();
                pid_t pid;

                assert_int_equal(cgroup_create(&host, path, NULL, &err), 0);
                create += (now_ms() - start) / ROUNDS;
                start = now_ms();
                assert_int_equal(cgroup_entry_open(&host, path, &entry, &err), 0);
                entry_open += (now_ms() - start) / ROUNDS;
                /* The kernel remembers a recent writer: without a rest the grace period would not show. */
                rest_ms(100);
                start = now_ms();
                pid = sleeper(&entry);
                enter += (now_ms() - start) / ROUNDS;
                kill(pid, SIGKILL);
                assert_killed(pid);
                start = now_ms();
                assert_int_equal(cgroup_remove(&host, path, 5000, &err), 0);
                empty_remove += (now_ms() - start) / ROUNDS;

                assert_int_equal(cgroup_create(&host, path, NULL, &err), 0);
                pid = sleeper_inside();
                rest_ms(100);
                start = now_ms();
                assert_int_equal(cgroup_remove(&host, path, 5000, &err), 0);
                kill_remove += (now_ms() - start) / ROUNDS;
                assert_killed(pid);
        }
        print_message("create %.2f ms, entry open %.2f, fork and enter %.2f; "
                      "remove empty %.2f, with kill %.2f\n",
                      create, entry_open, enter, empty_remove, kill_remove);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, remove_group)
        const struct CMUnitTest tests[] = {
                TEST(group_is_made_limited_and_removed_in_every_hierarchy),
                TEST(process_inside_is_killed_by_remove),
                TEST(child_that_enters_is_inside_everywhere),
                TEST(a_fork_bomb_is_killed_to_the_last_process),
                TEST(sub_groups_go_with_the_group),
                TEST(an_empty_group_left_over_is_made_anew),
                TEST(a_group_with_processes_is_busy_and_left_alone),
                TEST(what_is_not_there_is_said_by_name),
                TEST(on_v2_a_child_is_born_in_the_group_and_killed_with_it),
                TEST(on_v2_a_kernel_without_clone3_lets_the_child_move_itself),
                TEST(the_costs_are_printed),
        };
        struct error *err = NULL;
        int failed;

        if (geteuid() != 0) {
                puts("skipped: needs root");
                return 77;
        }
        if (cgroup_host_read("", &host, &err) < 0 || cgroup_host_version(&host) == 0) {
                puts("skipped: no control groups on this host");
                return 77;
        }
        if (host.v2_mount)
                unified = (struct cgroup_host){ .kind = CGROUP_V2,
                                                .v2_mount = host.v2_mount,
                                                .v2_controllers = host.v2_controllers,
                                                .v2_writable = host.v2_writable };
        path = xasprintf("machine.slice/vmlaunch-test-%d", (int)getpid());
        failed = cmocka_run_group_tests(tests, NULL, NULL);
        cgroup_host_done(&host);
        free(path);
        return failed;
}
