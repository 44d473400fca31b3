#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/text.h"
#include "launcher/run/verdict.h"

#define EXITED(status) ((status) << 8)

static void check(const struct run_end *end, enum verdict_kind kind, int exit_status, const char *reason)
{
        _cleanup_verdict_ struct verdict verdict = { 0 };

        verdict_judge(end, &verdict);
        assert_string_equal(verdict_name(verdict.kind), verdict_name(kind));
        assert_int_equal(verdict.exit_status, exit_status);
        assert_string_equal(verdict.reason, reason);
}

static void a_guest_power_off_is_guest_off_whoever_asked(void **state)
{
        struct run_end end = { .ready = true, .guest_off = true, .we_quit = true, .wait_status = EXITED(0) };

        (void)state;
        check(&end, VERDICT_GUEST_OFF, 0, "the guest powered off");
        end.shutdown_reason = "host-qmp-quit";
        check(&end, VERDICT_GUEST_OFF, 0, "the guest powered off");
}

static void a_destroy_is_asked(void **state)
{
        struct run_end end = { .ready = true, .asked = true, .we_quit = true, .wait_status = EXITED(0) };

        (void)state;
        check(&end, VERDICT_ASKED, 0, "destroyed as asked");
        end.we_killed = true;
        end.wait_status = SIGKILL;
        check(&end, VERDICT_ASKED, 0, "destroyed as asked, by signal");
}

static void a_foreign_kill_is_killed(void **state)
{
        struct run_end end = { .ready = true, .wait_status = SIGKILL };

        (void)state;
        check(&end, VERDICT_KILLED, 11, "QEMU was ended by SIGKILL");
        /* Even while a quit is on its way: it was not ours. */
        end.asked = end.we_quit = true;
        check(&end, VERDICT_KILLED, 11, "QEMU was ended by SIGKILL");
}

static void a_foreign_sigterm_is_killed_though_qemu_ends_with_status_0(void **state)
{
        struct run_end end = { .ready = true,
                               .wait_status = EXITED(0),
                               .shutdown_reason = "host-signal",
                               .qemu_stderr =
                                       "qemu-system-x86_64: terminating on signal 15 from pid 7 (sh)\n" };

        (void)state;
        check(&end, VERDICT_KILLED, 11,
              "QEMU was told by a signal to end: terminating on signal 15 from pid 7 (sh)");
        end.shutdown_reason = NULL;
        end.qemu_stderr = NULL;
        check(&end, VERDICT_KILLED, 11, "QEMU was told by a signal to end");
}

static void a_kill_by_the_kernel_for_want_of_memory_says_so_with_its_numbers(void **state)
{
        struct run_end end = {
                .ready = true, .wait_status = SIGKILL, .oom = "1 process killed", .oom_at_limit = true
        };
        const char *of_limit =
                "the kernel ended QEMU because the VM reached its memory limit: 1 process killed";

        (void)state;
        check(&end, VERDICT_OOM_KILLED, 13, of_limit);
        end.oom_at_limit = false;
        check(&end, VERDICT_OOM_KILLED, 13,
              "the kernel ended QEMU because the host was out of memory: 1 process killed");
        end.oom_at_limit = true;
        /* Before its guest ran, too: the limit is what has to be changed. */
        end.ready = false;
        check(&end, VERDICT_OOM_KILLED, 13, of_limit);
        end.ready = true;
        /* Another process of the VM was killed, QEMU went on. */
        end.wait_status = EXITED(0);
        end.guest_off = true;
        check(&end, VERDICT_GUEST_OFF, 0, "the guest powered off");
        end.wait_status = SIGSEGV;
        end.guest_off = false;
        check(&end, VERDICT_CRASHED, 12, "QEMU was ended by SIGSEGV");
        /* Nobody saw how it ended. */
        end.status_unknown = true;
        check(&end, VERDICT_OOM_KILLED, 13, of_limit);
        end.asked = true;
        check(&end, VERDICT_ASKED, 0, "destroyed as asked");
        end.asked = end.status_unknown = false;
        /* Ours came first. */
        end.wait_status = SIGKILL;
        end.asked = end.we_killed = true;
        check(&end, VERDICT_ASKED, 0, "destroyed as asked, by signal");
}

static void faults_and_bad_statuses_are_crashes_that_quote_qemu(void **state)
{
        struct run_end end = { .ready = true, .wait_status = SIGSEGV };

        (void)state;
        check(&end, VERDICT_CRASHED, 12, "QEMU was ended by SIGSEGV");
        end.wait_status = SIGABRT | 0x80; /* with core */
        end.qemu_stderr = "qemu-system-x86_64: ../net/tap.c:1: assertion failed\n";
        check(&end, VERDICT_CRASHED, 12, "QEMU was ended by SIGABRT: ../net/tap.c:1: assertion failed");
        end.wait_status = EXITED(1);
        check(&end, VERDICT_CRASHED, 12, "QEMU ended with status 1: ../net/tap.c:1: assertion failed");
        end.wait_status = SIGSYS;
        end.qemu_stderr = NULL;
        check(&end, VERDICT_CRASHED, 12, "QEMU was ended by SIGSYS (a system call that its sandbox forbids)");
}

static void a_panic_is_panicked(void **state)
{
        struct run_end end = { .ready = true, .panicked = true, .we_quit = true, .wait_status = EXITED(0) };

        (void)state;
        check(&end, VERDICT_PANICKED, 14, "the guest panicked");
}

static void qemu_that_ends_before_its_guest_ran_never_started(void **state)
{
        struct run_end end = { .wait_status = EXITED(1),
                               .qemu_stderr = "qemu-system-x86_64: -m 4T: cannot allocate\n" };

        (void)state;
        check(&end, VERDICT_NEVER_STARTED, 1, "QEMU ended with status 1: -m 4T: cannot allocate");
        end.start_error = "QEMU does not answer";
        end.we_killed = true;
        end.wait_status = SIGKILL;
        check(&end, VERDICT_NEVER_STARTED, 1, "QEMU does not answer: -m 4T: cannot allocate");
}

static void a_stop_before_the_guest_ran_is_asked(void **state)
{
        struct run_end end = { .asked = true, .we_quit = true, .wait_status = EXITED(0) };

        (void)state;
        check(&end, VERDICT_ASKED, 0, "stopped as asked before its guest ran");
}

static void the_tail_of_stderr_is_three_printable_lines(void **state)
{
        _cleanup_free_ char *tail = stderr_tail("one\ntwo\n\nqemu-kvm: three \033[2J\r\nfour\n");
        struct text big = TEXT_INIT;
        _cleanup_free_ char *long_tail = NULL;

        (void)state;
        assert_string_equal(tail, "two; three \\x1b[2J; four");
        for (int i = 0; i < 1000; i++)
                text_add(&big, "0123456789");
        long_tail = stderr_tail(big.data);
        assert_int_equal(strlen(long_tail), 403);
        text_done(&big);
        assert_null(stderr_tail(""));
        assert_null(stderr_tail("\n\n\r\n"));
        assert_null(stderr_tail(NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_guest_power_off_is_guest_off_whoever_asked),
                cmocka_unit_test(a_destroy_is_asked),
                cmocka_unit_test(a_foreign_kill_is_killed),
                cmocka_unit_test(a_foreign_sigterm_is_killed_though_qemu_ends_with_status_0),
                cmocka_unit_test(a_kill_by_the_kernel_for_want_of_memory_says_so_with_its_numbers),
                cmocka_unit_test(faults_and_bad_statuses_are_crashes_that_quote_qemu),
                cmocka_unit_test(a_panic_is_panicked),
                cmocka_unit_test(qemu_that_ends_before_its_guest_ran_never_started),
                cmocka_unit_test(a_stop_before_the_guest_ran_is_asked),
                cmocka_unit_test(the_tail_of_stderr_is_three_printable_lines),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
