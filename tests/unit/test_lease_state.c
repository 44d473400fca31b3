#include "launcher/run/lease_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void every_state_knows_every_event(void **state)
{
        (void)state;
        for (int s = 1; s < LEASE_STATES; s++)
                for (int e = 1; e < LEASE_EVENTS; e++) {
                        struct lease_move move = lease_next((enum lease_state)s, (enum lease_event)e);

                        assert_in_range(move.state, 1, LEASE_STATES - 1);
                        assert_in_range(move.action, LEASE_DO_NOTHING, LEASE_DO_FINISH);
                }
}

static void only_proof_or_the_end_of_the_guest_ends_what_may_have_been_taken(void **state)
{
        (void)state;
        for (int s = 1; s < LEASE_STATES; s++)
                for (int e = 1; e < LEASE_EVENTS; e++) {
                        struct lease_move move = lease_next((enum lease_state)s, (enum lease_event)e);

                        if (s == LEASE_NONE || move.state != LEASE_NONE)
                                continue;
                        assert_int_equal(move.action, LEASE_DO_FINISH);
                        assert_true(e == LEASE_PROVEN || e == LEASE_OVER || e == LEASE_NEVER);
                        assert_true(s != LEASE_HELD || e == LEASE_OVER);
                        assert_true(e != LEASE_PROVEN || s == LEASE_PROVING);
                }
}

static void an_end_undoes_at_once_whatever_is_not_known_yet(void **state)
{
        static const enum lease_state states[] = { LEASE_ASKED, LEASE_HELD, LEASE_WAITING };

        (void)state;
        for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
                struct lease_move move = lease_next(states[i], LEASE_END);

                assert_int_equal(move.state, LEASE_UNDOING);
                assert_int_equal(move.action, LEASE_DO_UNDO);
        }
        assert_int_equal(lease_next(LEASE_ASKED, LEASE_LOST).action, LEASE_DO_UNDO);
}

static void a_late_answer_of_the_taking_does_not_stop_the_undoing(void **state)
{
        (void)state;
        assert_int_equal(lease_next(LEASE_UNDOING, LEASE_TAKEN).state, LEASE_UNDOING);
        assert_int_equal(lease_next(LEASE_PROVING, LEASE_TAKEN).state, LEASE_PROVING);
        assert_int_equal(lease_next(LEASE_WAITING, LEASE_TAKEN).state, LEASE_WAITING);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_state_knows_every_event),
                cmocka_unit_test(only_proof_or_the_end_of_the_guest_ends_what_may_have_been_taken),
                cmocka_unit_test(an_end_undoes_at_once_whatever_is_not_known_yet),
                cmocka_unit_test(a_late_answer_of_the_taking_does_not_stop_the_undoing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
