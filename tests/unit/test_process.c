#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/peer.h"

#define SH(script) ((const char *const[]){ "sh", "-c", script, NULL })

static void output_status_and_stderr_are_given_back(void **state)
{
        const struct process_options options = { .argv = SH("echo out; echo err >&2; exit 3"),
                                                 .deadline_ms = 10000,
                                                 .output_max = 100 };
        struct process_result result = { 0 };
        struct error *error = NULL;

        (void)state;
        assert_int_equal(process_run(&options, &result, &error), 0);
        assert_int_equal(WEXITSTATUS(result.status), 3);
        assert_string_equal(result.output, "out\n");
        assert_string_equal(result.stderr_text, "err");
        process_result_done(&result);
        assert_int_equal(process_check(&options, NULL, &error), -1);
        assert_non_null(strstr(error->message, "status 3: err"));
        error_free(error);
}

static void the_environment_is_ours_and_input_arrives(void **state)
{
        const struct process_options options = { .argv = SH(
                                                         "cat; env | sort | grep -v ^PWD= | grep -v ^SHLVL="
                                                         " | grep -v ^_=; trap | wc -l"),
                                                 .deadline_ms = 10000,
                                                 .input = "given\n",
                                                 .output_max = 1000 };
        struct process_result result = { 0 };
        struct error *error = NULL;

        (void)state;
        setenv("SECRET", "leak", 1);
        assert_int_equal(process_check(&options, &result, &error), 0);
        assert_string_equal(result.output, "given\nLC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n0\n");
        process_result_done(&result);
}

static void a_helper_that_does_not_read_its_input_harms_nobody(void **state)
{
        _cleanup_free_ char *input = xmalloc(300001);
        struct process_options options = { .argv = SH("exit 0"), .deadline_ms = 10000 };
        struct error *error = NULL;

        (void)state;
        memset(input, 'i', 300000);
        input[300000] = '\0';
        options.input = input;
        assert_int_equal(process_check(&options, NULL, &error), 0);
}

static void only_the_listed_fds_are_inherited(void **state)
{
        struct process_options options = { .argv = SH("for i in 3 4 5 6 7 8 9 50 51; do"
                                                      " [ -e /proc/self/fd/$i ] && echo $i; done; true"),
                                           .deadline_ms = 10000,
                                           .output_max = 100 };
        struct process_result result = { 0 };
        struct error *error = NULL;
        const int kept = 50;

        (void)state;
        /* Both as a careless parent leaves them. */
        assert_int_equal(dup2(2, 50), 50);
        assert_int_equal(dup2(2, 51), 51);
        options.fds = &kept;
        options.n_fds = 1;
        assert_int_equal(process_check(&options, &result, &error), 0);
        assert_string_equal(result.output, "50\n");
        process_result_done(&result);
        close(50);
        close(51);
}

static void closed_standard_streams_of_ours_do_no_harm(void **state)
{
        const struct process_options options = { .argv = SH("cat; echo out; echo err >&2"),
                                                 .deadline_ms = 10000,
                                                 .input = "in\n",
                                                 .output_max = 100 };
        struct process_result result = { 0 };
        struct error *error = NULL;
        int saved[3], result_code;

        (void)state;
        for (int i = 0; i < 3; i++) {
                saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
                close(i);
        }
        result_code = process_run(&options, &result, &error);
        for (int i = 0; i < 3; i++) {
                if (saved[i] >= 0) {
                        dup2(saved[i], i);
                        close(saved[i]);
                }
        }
        assert_int_equal(result_code, 0);
        assert_string_equal(result.output, "in\nout\n");
        assert_string_equal(result.stderr_text, "err");
        process_result_done(&result);
}

static void what_cannot_be_run_is_an_error_of_the_system(void **state)
{
        const char *const missing[] = { "/nonexistent/helper", NULL };
        const struct process_options options = { .argv = missing, .deadline_ms = 10000, .output_max = 10 };
        struct process_result result = { 0 };
        struct error *error = NULL;

        (void)state;
        assert_int_equal(process_run(&options, &result, &error), -1);
        assert_int_equal(error->code, ERROR_OS);
        assert_int_equal(error->os_errno, ENOENT);
        error_free(error);
}

static void past_its_deadline_it_is_killed(void **state)
{
        const struct process_options options = { .argv = (const char *const[]){ "sleep", "30", NULL },
                                                 .deadline_ms = 50,
                                                 .output_max = 10 };
        struct process_result result = { 0 };
        struct error *error = NULL;
        long long start = fd_now_ms();

        (void)state;
        assert_int_equal(process_run(&options, &result, &error), -1);
        assert_int_equal(error->code, ERROR_DEADLINE);
        assert_true(fd_now_ms() - start < 10000);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        error_free(error);
}

static void a_grandchild_with_the_pipe_does_not_hold_us(void **state)
{
        const struct process_options options = { .argv = SH("sleep 8 & echo done"),
                                                 .deadline_ms = 10000,
                                                 .output_max = 100 };
        struct process_result result = { 0 };
        struct error *error = NULL;
        long long start = fd_now_ms();

        (void)state;
        assert_int_equal(process_check(&options, &result, &error), 0);
        assert_string_equal(result.output, "done\n");
        assert_true(fd_now_ms() - start < 7500);
        process_result_done(&result);
}

static void too_much_output_is_an_error_and_too_much_stderr_is_cut(void **state)
{
        struct process_options options = { .argv = SH("head -c 100000 /dev/zero | tr '\\0' x"),
                                           .deadline_ms = 10000,
                                           .output_max = 1000 };
        struct process_result result = { 0 };
        struct error *error = NULL;

        (void)state;
        assert_int_equal(process_run(&options, &result, &error), -1);
        assert_int_equal(error->code, ERROR_FAILED);
        error_free(error);
        error = NULL;
        options.argv = SH("head -c 100000 /dev/zero | tr '\\0' x >&2");
        assert_int_equal(process_run(&options, &result, &error), 0);
        assert_int_equal(strlen(result.stderr_text), 8192);
        process_result_done(&result);
}

static void a_signal_is_named_in_the_error(void **state)
{
        const struct process_options options = { .argv = SH("kill -9 $$"), .deadline_ms = 10000 };
        struct error *error = NULL;

        (void)state;
        assert_int_equal(process_check(&options, NULL, &error), -1);
        assert_non_null(strstr(error->message, "signal 9"));
        error_free(error);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(output_status_and_stderr_are_given_back),
                cmocka_unit_test(the_environment_is_ours_and_input_arrives),
                cmocka_unit_test(a_helper_that_does_not_read_its_input_harms_nobody),
                cmocka_unit_test(only_the_listed_fds_are_inherited),
                cmocka_unit_test(closed_standard_streams_of_ours_do_no_harm),
                cmocka_unit_test(what_cannot_be_run_is_an_error_of_the_system),
                cmocka_unit_test(past_its_deadline_it_is_killed),
                cmocka_unit_test(a_grandchild_with_the_pipe_does_not_hold_us),
                cmocka_unit_test(too_much_output_is_an_error_and_too_much_stderr_is_cut),
                cmocka_unit_test(a_signal_is_named_in_the_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
