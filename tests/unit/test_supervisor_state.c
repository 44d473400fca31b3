#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "launcher/run/supervisor_state.h"

static void every_state_knows_every_event(void **state)
{
        (void)state;
        for (int s = 1; s < VM_STATES; s++)
                for (int e = 1; e < VM_EVENTS; e++) {
                        struct vm_move move = vm_next((enum vm_state)s, (enum vm_event)e);

                        assert_in_range(move.state, 1, VM_STATES - 1);
                        assert_in_range(move.action, DO_NOTHING, DO_END);
                }
}

static void every_state_has_a_public_name(void **state)
{
        static const char *const known[] = { "starting", "running", "paused", "stopping", "stopped" };

        (void)state;
        for (int s = 1; s < VM_STATES; s++) {
                const char *name = vm_state_name((enum vm_state)s);
                int hits = 0;

                assert_non_null(name);
                for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
                        hits += strcmp(name, known[i]) == 0;
                assert_int_equal(hits, 1);
        }
}

static void the_end_of_qemu_is_cleaned_up_once_from_every_state(void **state)
{
        (void)state;
        for (int s = 1; s < VM_STATES; s++) {
                struct vm_move move = vm_next((enum vm_state)s, EV_QEMU_EXITED);

                if (s == VM_GONE || s == VM_STOPPED) {
                        assert_int_equal(move.action, DO_NOTHING);
                        assert_int_equal(move.state, s);
                } else {
                        assert_int_equal(move.action, DO_CLEAN_UP);
                        assert_int_equal(move.state, VM_GONE);
                }
        }
}

static void a_destroy_ends_qemu_from_every_state_it_lives_in(void **state)
{
        (void)state;
        for (int s = 1; s < VM_QUITTING; s++) {
                struct vm_move move = vm_next((enum vm_state)s, EV_DESTROY_ASKED);

                assert_int_equal(move.state, VM_QUITTING);
                assert_int_equal(move.action, DO_QUIT);
        }
        assert_int_equal(vm_next(VM_QUITTING, EV_DESTROY_ASKED).action, DO_HURRY);
}

static void a_panic_ends_qemu_from_every_state_it_lives_in(void **state)
{
        (void)state;
        for (int s = 1; s < VM_QUITTING; s++)
                assert_int_equal(vm_next((enum vm_state)s, EV_GUEST_PANICKED).action, DO_QUIT);
}

static void quit_and_clean_up_lead_only_where_they_belong(void **state)
{
        (void)state;
        for (int s = 1; s < VM_STATES; s++)
                for (int e = 1; e < VM_EVENTS; e++) {
                        struct vm_move move = vm_next((enum vm_state)s, (enum vm_event)e);

                        if (move.action == DO_QUIT)
                                assert_int_equal(move.state, VM_QUITTING);
                        if (move.action == DO_CLEAN_UP)
                                assert_int_equal(move.state, VM_GONE);
                        if (move.action == DO_END)
                                assert_int_equal(move.state, VM_STOPPED);
                        if (move.action == DO_REFUSE)
                                assert_int_equal(move.state, s);
                        /* Nothing comes back from the end. */
                        if (s >= VM_QUITTING)
                                assert_true((int)move.state >= s);
                }
}

static void a_power_off_during_a_reboot_restarts_the_guest(void **state)
{
        struct vm_move move = vm_next(VM_REBOOTING, EV_GUEST_OFF);

        (void)state;
        assert_int_equal(move.state, VM_RESTARTING);
        assert_int_equal(move.action, DO_RESTART);
        /* The power-off's own STOP is not a pause. */
        assert_int_equal(vm_next(VM_RESTARTING, EV_PAUSED).state, VM_RESTARTING);
        move = vm_next(VM_RESTARTING, EV_RESUMED);
        assert_int_equal(move.state, VM_RUNNING);
        assert_int_equal(move.action, DO_REPORT_REBOOTED);
}

static void the_resets_of_one_reboot_are_reported_once(void **state)
{
        (void)state;
        assert_int_equal(vm_next(VM_REBOOTING, EV_GUEST_RESET).action, DO_REPORT_REBOOTED);
        assert_int_equal(vm_next(VM_RUNNING, EV_GUEST_RESET).action, DO_NOTE_RESET);
}

static void a_panic_restarts_the_guest_unless_it_was_to_go_off(void **state)
{
        (void)state;
        assert_int_equal(vm_next(VM_RUNNING, EV_PANIC_RESTARTS).action, DO_RESTART);
        assert_int_equal(vm_next(VM_REBOOTING, EV_PANIC_RESTARTS).action, DO_RESTART);
        assert_int_equal(vm_next(VM_RESTARTING, EV_PANIC_RESTARTS).action, DO_NOTHING);
        assert_int_equal(vm_next(VM_STOPPING, EV_PANIC_RESTARTS).action, DO_QUIT);
}

static void a_refused_shutdown_leads_back_to_running(void **state)
{
        (void)state;
        assert_int_equal(vm_next(VM_STOPPING, EV_GUEST_WILL_NOT).state, VM_RUNNING);
        assert_int_equal(vm_next(VM_STOPPING, EV_GUEST_WILL_NOT).action, DO_REPORT_REFUSED);
        assert_int_equal(vm_next(VM_REBOOTING, EV_GUEST_WILL_NOT).state, VM_RUNNING);
}

static void a_second_shutdown_joins_the_first(void **state)
{
        (void)state;
        assert_int_equal(vm_next(VM_STOPPING, EV_SHUTDOWN_ASKED).action, DO_JOIN);
        assert_int_equal(vm_next(VM_REBOOTING, EV_SHUTDOWN_ASKED).state, VM_STOPPING);
        assert_int_equal(vm_next(VM_STOPPING, EV_REBOOT_ASKED).action, DO_REFUSE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_state_knows_every_event),
                cmocka_unit_test(every_state_has_a_public_name),
                cmocka_unit_test(the_end_of_qemu_is_cleaned_up_once_from_every_state),
                cmocka_unit_test(a_destroy_ends_qemu_from_every_state_it_lives_in),
                cmocka_unit_test(a_panic_ends_qemu_from_every_state_it_lives_in),
                cmocka_unit_test(quit_and_clean_up_lead_only_where_they_belong),
                cmocka_unit_test(a_power_off_during_a_reboot_restarts_the_guest),
                cmocka_unit_test(the_resets_of_one_reboot_are_reported_once),
                cmocka_unit_test(a_panic_restarts_the_guest_unless_it_was_to_go_off),
                cmocka_unit_test(a_refused_shutdown_leads_back_to_running),
                cmocka_unit_test(a_second_shutdown_joins_the_first),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
