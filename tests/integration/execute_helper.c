/* The host helper, which undoes what a supervisor without privileges may not. */
#include "tests/integration/execute_fixture.h"

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
        /* Before it would be killed, which is a second later. */
        assert_in_range(ms, 150, 1190);
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
        assert_in_range(ms, 1000, 10000);
        free(end.text);
}

static int live_with_a_stuck_helper(struct fixture *f)
{
        struct helper_end end;
        struct error *err = NULL;
        long long ms;

        if (confine_keep_capabilities(NULL, 0, &err) < 0)
                return 1;
        /* Time enough for it to become one that cannot be killed. */
        end = let_help(f, 1500, &ms);
        if (end.code != ERROR_DEADLINE || !strstr(end.text, "a kernel call holds it"))
                return 2;
        return ms > 20000 ? 3 : 0;
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

int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(helper_undoes_what_a_lowered_supervisor_may_not),
                TEST(helper_ends_itself_at_its_deadline),
                TEST(helper_that_hears_no_alarm_is_killed),
                TEST(helper_that_cannot_be_killed_is_not_waited_for),
        };

        return run_as_root(tests, ARRAY_SIZE(tests), argc, argv, play_helper);
}
