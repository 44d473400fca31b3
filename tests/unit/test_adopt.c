#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/run/adopt.h"
#include "launcher/run/adopt_process.h"
#include "launcher/run/verdict.h"

static void policy_of_a_plan_is_the_same_behind_a_record(void **state)
{
        const struct plan_policy policy = {
                .has_agent = true,
                .has_panic = true,
                .shutdown_timeout_s = 77,
                .force_destroy = true,
                .cancel_no_acpi = true,
                .keep_on_panic = true,
                .sync_time = true,
                .agent_allow = (char *)"guest-exec",
                .balloon_floor = 200u << 20,
                .clock = { .path = (char *)"/s/web/clock", .adjustment = -60, .ahead = 3540 },
        };
        json_auto_t *json = plan_policy_to_json(&policy), *again = NULL;
        struct plan_policy read = adopt_policy_from_json(json);

        (void)state;
        again = plan_policy_to_json(&read);
        assert_true(json_equal(json, again));
        free(read.agent_allow);
        free(read.clock.path);
}

static void policy_of_the_wrong_types_is_the_default(void **state)
{
        json_auto_t *json = json_pack("{s:i, s:s, s:i, s:s, s:[]}", "agent", 1, "acpi", "no", "on_crash", 3,
                                      "shutdown_timeout", "soon", "agent_allow");
        struct plan_policy policy = adopt_policy_from_json(json), none = adopt_policy_from_json(NULL);

        (void)state;
        assert_false(policy.has_agent || policy.force_destroy || policy.restart_on_panic ||
                     policy.agent_allow);
        assert_true(policy.has_acpi && none.has_acpi);
        assert_int_equal(policy.shutdown_timeout_s, none.shutdown_timeout_s);
        assert_true(none.shutdown_timeout_s > 0);
}

static void shutdown_timeout_of_a_record_is_bounded(void **state)
{
        json_auto_t *json = json_pack("{s:I}", "shutdown_timeout", (json_int_t)1 << 40);

        (void)state;
        assert_in_range(adopt_policy_from_json(json).shutdown_timeout_s, 1, 86400);
}

static enum verdict_kind judge(struct run_end end)
{
        _cleanup_verdict_ struct verdict verdict = { 0 };

        verdict_judge(&end, &verdict);
        return verdict.kind;
}

static void an_end_that_nobody_saw_is_lost_unless_something_was_seen_before(void **state)
{
        (void)state;
        assert_int_equal(judge((struct run_end){ .ready = true, .status_unknown = true }), VERDICT_LOST);
        assert_int_equal(judge((struct run_end){ .ready = true, .status_unknown = true, .guest_off = true }),
                         VERDICT_GUEST_OFF);
        assert_int_equal(judge((struct run_end){ .ready = true, .status_unknown = true, .panicked = true }),
                         VERDICT_PANICKED);
        assert_int_equal(judge((struct run_end){ .ready = true, .status_unknown = true, .asked = true }),
                         VERDICT_ASKED);
        assert_int_equal(judge((struct run_end){ .status_unknown = true }), VERDICT_NEVER_STARTED);
        assert_int_equal(verdict_exit_status(VERDICT_LOST), 15);
}

static void every_verdict_is_found_by_its_name(void **state)
{
        (void)state;
        for (int i = VERDICT_ASKED; i <= VERDICT_LOST; i++) {
                enum verdict_kind kind = 0;

                assert_true(verdict_from_name(verdict_name((enum verdict_kind)i), &kind));
                assert_int_equal(kind, i);
        }
        assert_false(verdict_from_name("won", &(enum verdict_kind){ 0 }));
}

/* It exchanges what it has as fd 2 between two looks, and a pipe without a writer never opens. */
static void a_stderr_that_changes_under_our_hands_does_not_hang_us(void **state)
{
        int memory = memfd_create("stderr", MFD_CLOEXEC), ends[2], fd;
        unsigned opened = 0;
        struct stat st;
        pid_t child;

        (void)state;
        assert_int_equal(pipe(ends), 0);
        child = fork();
        if (child == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                close(ends[1]);
                for (;;)
                        if (dup2(ends[0], 2) < 0 || dup2(memory, 2) < 0)
                                _exit(1);
        }
        close(ends[0]);
        close(ends[1]);
        /* Its end is the test's: SIGALRM kills. */
        alarm(60);
        for (int i = 0; i < 20000; i++) {
                fd = process_open_stderr(child);
                if (fd < 0)
                        continue;
                assert_int_equal(fstat(fd, &st), 0);
                assert_true(S_ISREG(st.st_mode));
                opened++;
                close(fd);
        }
        alarm(0);
        assert_true(opened > 0);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        close(memory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_stderr_that_changes_under_our_hands_does_not_hang_us),
                cmocka_unit_test(policy_of_a_plan_is_the_same_behind_a_record),
                cmocka_unit_test(policy_of_the_wrong_types_is_the_default),
                cmocka_unit_test(shutdown_timeout_of_a_record_is_bounded),
                cmocka_unit_test(an_end_that_nobody_saw_is_lost_unless_something_was_seen_before),
                cmocka_unit_test(every_verdict_is_found_by_its_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
