#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "launcher/state/crash_point.h"
#include "tests/unit/scratch.h"

static void arm(const struct fixture *f, const char *line, mode_t mode)
{
        struct error *err = NULL;

        assert_int_equal(fd_write_file_at(f->fd, "crash-at", line, strlen(line), mode, 0, &err), 0);
}

static bool is_armed(const struct fixture *f)
{
        return faccessat(f->fd, "crash-at", F_OK, 0) == 0;
}

static int reached_pid(const struct fixture *f)
{
        _cleanup_free_ char *text = NULL;
        struct error *err = NULL;

        assert_int_equal(fd_read_file_at(f->fd, "crash-reached", 64, &text, NULL, &err), 0);
        return atoi(text);
}

/* How a process ends that reaches two moments, the second one twice. */
static int fate(const struct fixture *f)
{
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                crash_points_init(f->fd);
                crash_point(CRASH_RECORD_WRITE);
                crash_point_effect("net", CRASH_DO);
                crash_point_effect("net", CRASH_DO);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static void without_the_file_every_moment_passes(void **state)
{
        assert_int_equal(fate(*state), 0);
}

static void the_process_dies_at_its_moment_and_the_file_is_gone(void **state)
{
        struct fixture *f = *state;
        int status;

        arm(f, "record-write 1 kill\n", 0600);
        status = fate(f);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
        assert_false(is_armed(f));
        assert_true(reached_pid(f) > 0);
        assert_int_equal(fate(f), 0);
}

static void a_moment_is_counted_down(void **state)
{
        struct fixture *f = *state;

        arm(f, "net:do 3 kill\n", 0600);
        assert_int_equal(fate(f), 0);
        assert_true(is_armed(f));
        assert_true(WIFSIGNALED(fate(f)));
        assert_false(is_armed(f));
}

static void a_file_that_others_may_write_is_ignored(void **state)
{
        struct fixture *f = *state;

        arm(f, "record-write 1 kill\n", 0622);
        assert_int_equal(fate(f), 0);
        assert_true(is_armed(f));
}

static void a_trace_has_every_moment_in_its_order(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *text = NULL, *expected = NULL;
        struct error *err = NULL;
        int pid;

        arm(f, "* 0 trace\n", 0600);
        assert_int_equal(fate(f), 0);
        assert_true(is_armed(f));
        assert_int_equal(fd_read_file_at(f->fd, "crash-trace", 256, &text, NULL, &err), 0);
        pid = atoi(strchr(text, ' ') + 1);
        expected = xasprintf("record-write %d\nnet:do %d\nnet:do %d\n", pid, pid, pid);
        assert_string_equal(text, expected);
}

static void no_two_moments_have_one_name(void **state)
{
        (void)state;
        for (enum crash_point a = 0; a < CRASH_POINTS_N; a++)
                for (enum crash_point b = 0; b < a; b++)
                        assert_string_not_equal(crash_point_name(a), crash_point_name(b));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(without_the_file_every_moment_passes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_process_dies_at_its_moment_and_the_file_is_gone, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(a_moment_is_counted_down, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_file_that_others_may_write_is_ignored, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_trace_has_every_moment_in_its_order, set_up, tear_down),
                cmocka_unit_test(no_two_moments_have_one_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
