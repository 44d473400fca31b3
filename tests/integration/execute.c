/* What the executor does, and that a failed step leaves nothing. */
#include "tests/integration/execute_fixture.h"

/* By the system call: glibc leaves two signals to nobody else. */
static void set_signal(int sig, void (*handler)(int))
{
        const struct {
                void (*handler)(int);
                unsigned long flags, restorer, mask;
        } action = { .handler = handler };

        assert_int_equal(syscall(SYS_rt_sigaction, sig, &action, NULL, sizeof(action.mask)), 0);
}

static void qemu_gets_exactly_what_the_plan_says(void **state)
{
        /* The last two: one of glibc's own, as posix_spawn() leaves it, and a real-time signal. */
        static const int ignored[] = { SIGHUP, SIGPIPE, SIGUSR2, 33, 40 };
        struct fixture *f = *state;
        _cleanup_free_ char *said = NULL, *disk = below(f, "disk.raw"), *base = below(f, "base.raw");
        _cleanup_free_ char *fd3 = xasprintf("fd 3 -> %s\n", base), *fd4 = xasprintf("fd 4 -> %s\n", disk);
        /* An inheritable fd, signals ignored and one blocked must not get through. */
        _cleanup_close_ int stray = fcntl(2, F_DUPFD, 40);
        sigset_t blocked;

        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR1);
        sigprocmask(SIG_BLOCK, &blocked, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
                set_signal(ignored[i], SIG_IGN);
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
        assert_non_null(strstr(said, "SigBlk:\t0000000000000000\n"));
        assert_non_null(strstr(said, "SigIgn:\t0000000000000000\n"));
        assert_non_null(strstr(said, "Uid:\t1900000017\t1900000017\t1900000017\t1900000017\n"));
        assert_non_null(strstr(said, "Gid:\t1900000017\t1900000017\t1900000017\t1900000017\n"));
        assert_non_null(strstr(said, "Groups:\t109 \n"));
        assert_int_equal(count_lines(said, "CapInh:\t0000000000000000"), 1);
        assert_int_equal(count_lines(said, "CapPrm:\t0000000000000000"), 1);
        assert_int_equal(count_lines(said, "CapEff:\t0000000000000000"), 1);
        assert_int_equal(count_lines(said, "CapBnd:\t0000000000000000"), 1);
        assert_int_equal(count_lines(said, "CapAmb:\t0000000000000000"), 1);
        assert_non_null(strstr(said, "NoNewPrivs:\t1\n"));
        for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
                set_signal(ignored[i], SIG_DFL);
        sigprocmask(SIG_UNBLOCK, &blocked, NULL);
}

static void running_plan_has_its_files_tap_group_and_locks(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *value = NULL, *private_dir = below(f, "run/web/private");
        _cleanup_free_ char *sock = below(f, "run/web/private/qmp.sock"),
                            *guests = below(f, "run/web/guests");
        _cleanup_free_ char *guests_sock = below(f, "run/web/guests/a.sock");
        struct error *err = NULL;
        struct stat st;

        run_fine(f);
        execution_close_passed(f->execution, true);
        assert_int_equal(stat(private_dir, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(stat(sock, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_true(S_ISSOCK(st.st_mode));
        assert_int_equal(st.st_uid, 0);
        assert_int_equal(stat(guests, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0710);
        assert_int_equal(st.st_uid, VM_UID);
        assert_int_equal(st.st_gid, VM_UID);
        assert_int_equal(stat(guests_sock, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0660);
        assert_int_equal(st.st_uid, 0);
        assert_int_equal(st.st_gid, VM_UID);
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
                TEST(real_qemu_answers_on_its_listener_sandboxed),
                TEST(executor_killed_right_after_its_fork_leaves_no_lock_behind),
                TEST(start_costs_a_few_milliseconds),
        };

        return run_as_root(tests, ARRAY_SIZE(tests), argc, argv, host_helper_main);
}
