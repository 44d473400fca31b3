#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launcher/run/shutdown.h"

static const struct shutdown_facts answering = { .has_acpi = true, .agent = AGENT_ANSWERING };
static const struct shutdown_facts absent = { .has_acpi = true, .agent = AGENT_ABSENT };
static const struct shutdown_facts opened = { .has_acpi = true, .agent = AGENT_OPENED };
static const struct shutdown_facts silent = { .has_acpi = true, .agent = AGENT_SILENT };
static const struct shutdown_facts deaf = { .has_acpi = false, .agent = AGENT_ABSENT };

static const struct shutdown_request gently = { .mode = SHUTDOWN_AUTO, .timeout_s = 10 };

static void an_answering_agent_is_asked_first_and_the_button_at_half_time(void **state)
{
        struct shutdown s;

        (void)state;
        assert_int_equal(shutdown_begin(&s, &gently, &answering), SHUTDOWN_ASK_AGENT);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_AGENT_TOOK, &answering), SHUTDOWN_WAIT);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_HALF_TIME, &answering), SHUTDOWN_PRESS);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_DEADLINE, &answering), SHUTDOWN_GIVE_UP);
}

static void an_agent_that_fails_is_followed_by_the_button_at_once(void **state)
{
        struct shutdown s;

        (void)state;
        assert_int_equal(shutdown_begin(&s, &gently, &answering), SHUTDOWN_ASK_AGENT);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_AGENT_FAILED, &silent), SHUTDOWN_PRESS);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_HALF_TIME, &absent), SHUTDOWN_PRESS);
}

static void without_an_agent_the_button_is_pressed_twice(void **state)
{
        struct shutdown s;

        (void)state;
        assert_int_equal(shutdown_begin(&s, &gently, &absent), SHUTDOWN_PRESS);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_HALF_TIME, &absent), SHUTDOWN_PRESS);
}

static void a_silent_agent_comes_after_the_button(void **state)
{
        struct shutdown s;

        (void)state;
        assert_int_equal(shutdown_begin(&s, &gently, &silent), SHUTDOWN_PRESS);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_HALF_TIME, &silent), SHUTDOWN_ASK_AGENT);
        /* Half time has passed: the button is the last that can be tried. */
        assert_int_equal(shutdown_next(&s, SHUTDOWN_AGENT_FAILED, &silent), SHUTDOWN_PRESS);
}

static void the_button_is_pressed_when_the_first_answer_of_the_agent_is_awaited(void **state)
{
        struct shutdown s;

        (void)state;
        assert_int_equal(shutdown_begin(&s, &gently, &opened), SHUTDOWN_PRESS);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_AGENT_CAME, &answering), SHUTDOWN_ASK_AGENT);
}

static void an_agent_that_comes_up_late_is_asked_once(void **state)
{
        struct shutdown s;

        (void)state;
        assert_int_equal(shutdown_begin(&s, &gently, &absent), SHUTDOWN_PRESS);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_AGENT_CAME, &answering), SHUTDOWN_ASK_AGENT);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_AGENT_CAME, &answering), SHUTDOWN_WAIT);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_HALF_TIME, &answering), SHUTDOWN_PRESS);
}

static void the_mode_limits_the_means(void **state)
{
        const struct shutdown_request agent = { .mode = SHUTDOWN_AGENT }, acpi = { .mode = SHUTDOWN_ACPI };
        struct shutdown s;

        (void)state;
        assert_int_equal(shutdown_begin(&s, &agent, &absent), SHUTDOWN_NO_MEANS);
        assert_int_equal(shutdown_begin(&s, &agent, &opened), SHUTDOWN_ASK_AGENT);
        assert_int_equal(shutdown_begin(&s, &agent, &answering), SHUTDOWN_ASK_AGENT);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_AGENT_FAILED, &silent), SHUTDOWN_WAIT);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_HALF_TIME, &silent), SHUTDOWN_ASK_AGENT);
        assert_int_equal(shutdown_begin(&s, &acpi, &answering), SHUTDOWN_PRESS);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_AGENT_CAME, &answering), SHUTDOWN_WAIT);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_HALF_TIME, &answering), SHUTDOWN_PRESS);
        assert_int_equal(shutdown_begin(&s, &acpi, &deaf), SHUTDOWN_NO_MEANS);
}

static void a_frozen_guest_is_thawed_before_it_is_asked(void **state)
{
        struct shutdown_facts frozen = answering;
        struct shutdown s;

        (void)state;
        frozen.frozen = frozen.paused = true;
        assert_int_equal(shutdown_begin(&s, &gently, &frozen), SHUTDOWN_RESUME);
        frozen.paused = false;
        assert_int_equal(shutdown_next(&s, SHUTDOWN_RESUMED, &frozen), SHUTDOWN_THAW);
        /* Not in the middle of it. */
        assert_int_equal(shutdown_next(&s, SHUTDOWN_AGENT_CAME, &frozen), SHUTDOWN_WAIT);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_THAWED, &answering), SHUTDOWN_ASK_AGENT);
        /* It is asked also when the thaw has failed, and thawed again at half time. */
        assert_int_equal(shutdown_begin(&s, &gently, &frozen), SHUTDOWN_THAW);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_THAWED, &frozen), SHUTDOWN_ASK_AGENT);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_AGENT_FAILED, &frozen), SHUTDOWN_PRESS);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_HALF_TIME, &frozen), SHUTDOWN_THAW);
}

static void a_paused_guest_is_resumed_first(void **state)
{
        struct shutdown_facts paused = answering;
        struct shutdown s;

        (void)state;
        paused.paused = true;
        assert_int_equal(shutdown_begin(&s, &gently, &paused), SHUTDOWN_RESUME);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_RESUMED, &answering), SHUTDOWN_ASK_AGENT);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_AGENT_TOOK, &answering), SHUTDOWN_WAIT);
        /* Paused again meanwhile. */
        assert_int_equal(shutdown_next(&s, SHUTDOWN_HALF_TIME, &paused), SHUTDOWN_RESUME);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_RESUMED, &answering), SHUTDOWN_PRESS);
}

static void without_acpi_it_is_destroyed_at_once_or_refused(void **state)
{
        struct shutdown_facts facts = deaf;
        const struct shutdown_request reboot = { .reboot = true, .timeout_s = 10 };
        const struct shutdown_request hard = { .force = true, .timeout_s = 10 };
        struct shutdown s;

        (void)state;
        assert_int_equal(shutdown_begin(&s, &gently, &facts), SHUTDOWN_NO_MEANS);
        assert_int_equal(shutdown_begin(&s, &hard, &facts), SHUTDOWN_KILL);
        facts.cancel_no_acpi = true;
        assert_int_equal(shutdown_begin(&s, &gently, &facts), SHUTDOWN_KILL);
        assert_int_equal(shutdown_begin(&s, &reboot, &facts), SHUTDOWN_NO_MEANS);
        facts.agent = AGENT_ANSWERING;
        assert_int_equal(shutdown_begin(&s, &gently, &facts), SHUTDOWN_ASK_AGENT);
        facts.has_acpi = true;
        facts.agent = AGENT_NONE;
        assert_int_equal(shutdown_begin(&s, &gently, &facts), SHUTDOWN_PRESS);
}

static void the_deadline_destroys_only_with_force_and_resets_for_a_reboot(void **state)
{
        struct shutdown_request request = gently;
        struct shutdown s;

        (void)state;
        request.force = true;
        shutdown_begin(&s, &request, &absent);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_DEADLINE, &absent), SHUTDOWN_KILL);
        request.reboot = true;
        shutdown_begin(&s, &request, &absent);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_DEADLINE, &absent), SHUTDOWN_RESET);
        request.force = false;
        shutdown_begin(&s, &request, &absent);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_DEADLINE, &absent), SHUTDOWN_GIVE_UP);
}

static void an_agent_still_being_asked_is_not_asked_twice(void **state)
{
        const struct shutdown_request agent = { .mode = SHUTDOWN_AGENT };
        struct shutdown s;

        (void)state;
        assert_int_equal(shutdown_begin(&s, &agent, &answering), SHUTDOWN_ASK_AGENT);
        assert_int_equal(shutdown_next(&s, SHUTDOWN_HALF_TIME, &answering), SHUTDOWN_WAIT);
}

static void qemu_is_asked_then_killed_then_reported_stuck(void **state)
{
        (void)state;
        assert_int_equal(kill_wait_ms(KILL_QUIT), 5000);
        assert_int_equal(kill_wait_ms(KILL_NOW), 5000);
        assert_int_equal(kill_wait_ms(KILL_STUCK), 0);
}

static void modes_have_names_both_ways(void **state)
{
        enum shutdown_mode mode;

        (void)state;
        for (int i = SHUTDOWN_AUTO; i <= SHUTDOWN_DESTROY; i++) {
                assert_true(shutdown_mode_from_name(shutdown_mode_name((enum shutdown_mode)i), &mode));
                assert_int_equal(mode, i);
        }
        assert_false(shutdown_mode_from_name("AUTO", &mode));
        assert_string_equal(agent_state_name(AGENT_SILENT), "silent");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_answering_agent_is_asked_first_and_the_button_at_half_time),
                cmocka_unit_test(an_agent_that_fails_is_followed_by_the_button_at_once),
                cmocka_unit_test(without_an_agent_the_button_is_pressed_twice),
                cmocka_unit_test(a_silent_agent_comes_after_the_button),
                cmocka_unit_test(the_button_is_pressed_when_the_first_answer_of_the_agent_is_awaited),
                cmocka_unit_test(an_agent_that_comes_up_late_is_asked_once),
                cmocka_unit_test(the_mode_limits_the_means),
                cmocka_unit_test(a_paused_guest_is_resumed_first),
                cmocka_unit_test(a_frozen_guest_is_thawed_before_it_is_asked),
                cmocka_unit_test(without_acpi_it_is_destroyed_at_once_or_refused),
                cmocka_unit_test(the_deadline_destroys_only_with_force_and_resets_for_a_reboot),
                cmocka_unit_test(an_agent_still_being_asked_is_not_asked_twice),
                cmocka_unit_test(qemu_is_asked_then_killed_then_reported_stuck),
                cmocka_unit_test(modes_have_names_both_ways),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
