/* Leases, case by case. */
#include "tests/unit/lease_fixture.h"

static struct sim *one(void)
{
        static const struct lease_times times = { .undo = 60, .prove = 60, .retry = 5, .retry_max = 20 };
        static unsigned long long random;
        struct sim *sim = xmalloc(sizeof(*sim));

        sim_begin(sim, loop_new(), &times, &random);
        sim->calm = true;
        return sim;
}

static void one_done(struct sim *sim)
{
        struct loop *loop = sim->loop;

        sim_end(sim);
        loop_free(loop);
        free(sim);
}

static void a_freeze_is_held_until_its_holder_goes(void **state)
{
        struct sim *sim = one();

        (void)state;
        assert_int_equal(begin_freeze(sim, 1, 5000), 0);
        assert_int_equal(sim->kept, 1);
        assert_int_equal(leases_frozen(sim->leases), FROZEN_UNKNOWN);
        peer_spin_until(sim->loop, &sim->answered, 1);
        assert_int_equal(sim->value, 2);
        assert_int_equal(leases_frozen(sim->leases), FROZEN_YES);
        leases_client_gone(sim->leases, 2);
        peer_settle(sim->loop, 10);
        assert_true(sim->frozen);
        leases_client_gone(sim->leases, 1);
        peer_settle(sim->loop, 20);
        assert_true(is_at_rest(sim));
        assert_int_equal(sim->kept, 0);
        one_done(sim);
}

static void a_second_freeze_is_refused_and_names_the_first(void **state)
{
        struct sim *sim = one();

        (void)state;
        begin_freeze(sim, 1, 5000);
        peer_spin_until(sim->loop, &sim->answered, 1);
        assert_int_equal(begin_freeze(sim, 2, 5000), -1);
        assert_int_equal(sim->code, ERROR_BUSY);
        one_done(sim);
}

static void what_cannot_be_written_down_is_not_begun(void **state)
{
        struct sim *sim = one();

        (void)state;
        sim->full = true;
        assert_int_equal(begin_freeze(sim, 1, 5000), -1);
        peer_settle(sim->loop, 10);
        assert_int_equal(sim->froze, 0);
        assert_false(leases_has(sim->leases, LEASE_FREEZE));
        sim->full = false;
        assert_int_equal(begin_freeze(sim, 1, 5000), 0);
        peer_spin_until(sim->loop, &sim->answered, 1);
        one_done(sim);
}

static void the_limit_ends_it_and_a_renewal_moves_the_limit(void **state)
{
        struct sim *sim = one();
        struct error *err = NULL;

        (void)state;
        begin_freeze(sim, 1, 60);
        peer_spin_until(sim->loop, &sim->answered, 1);
        assert_int_equal(leases_renew(sim->leases, LEASE_FREEZE, 2, 1000, &err), -1);
        error_free(err);
        err = NULL;
        assert_int_equal(leases_renew(sim->leases, LEASE_FREEZE, 1, 150, &err), 0);
        peer_settle(sim->loop, 100);
        assert_true(sim->frozen);
        peer_settle(sim->loop, 120);
        assert_true(is_at_rest(sim));
        one_done(sim);
}

static void a_late_freeze_is_undone_by_the_thaw_behind_it(void **state)
{
        struct sim *sim = one();

        (void)state;
        sim->calm = false;
        begin_freeze(sim, 1, 40);
        /* The sync is answered; then it is stuck in the freeze. */
        sim->mood = OBEDIENT;
        loop_step(sim->loop, 10);
        loop_step(sim->loop, 10);
        sim->mood = STUCK;
        peer_spin_until(sim->loop, &sim->answered, 1);
        assert_int_equal(sim->refused, 1);
        assert_true(leases_has(sim->leases, LEASE_FREEZE));
        assert_int_equal(leases_frozen(sim->leases), FROZEN_UNKNOWN);
        sim->calm = true;
        work(sim);
        peer_settle(sim->loop, 200);
        assert_true(is_at_rest(sim));
        one_done(sim);
}

static void a_reset_ends_a_freeze_that_was_answered(void **state)
{
        struct sim *sim = one();

        (void)state;
        begin_freeze(sim, 1, 5000);
        peer_spin_until(sim->loop, &sim->answered, 1);
        set_open(sim, false);
        sim->frozen = false;
        leases_guest_reset(sim->leases);
        assert_false(leases_has(sim->leases, LEASE_FREEZE));
        assert_int_equal(leases_frozen(sim->leases), FROZEN_NO);
        assert_int_equal(sim->kept, 0);
        one_done(sim);
}

static void what_a_dead_supervisor_left_is_ended_when_the_agent_is_there(void **state)
{
        (void)state;
        /* In the file; and a file that cannot be read. */
        for (int way = 0; way < 2; way++) {
                struct sim *sim = one();
                json_t *found = json_pack("[{s:i, s:s, s:s}, s]", "id", 7, "kind", "freeze", "holder",
                                          "uid 0", "no lease");

                sim->kept = 1;
                sim->frozen = true;
                set_open(sim, false);
                leases_end_all_found(sim->leases, way == 0 ? found : NULL);
                json_decref(found);
                assert_int_equal(leases_frozen(sim->leases), FROZEN_UNKNOWN);
                peer_settle(sim->loop, 20);
                assert_true(sim->frozen);
                set_open(sim, true);
                peer_settle(sim->loop, 30);
                assert_true(is_at_rest(sim));
                assert_int_equal(sim->kept, 0);
                one_done(sim);
        }
}

static void a_pause_that_a_dead_supervisor_left_is_tried_until_the_guest_runs(void **state)
{
        struct sim *sim = one();
        json_t *found = json_pack("[{s:i, s:s, s:s}]", "id", 7, "kind", "pause", "holder", "uid 0");

        (void)state;
        sim->kept = 1;
        leases_end_all_found(sim->leases, found);
        json_decref(found);
        peer_settle(sim->loop, 20);
        assert_true(leases_has(sim->leases, LEASE_PAUSE));
        leases_guest_resumed(sim->leases);
        assert_false(leases_has(sim->leases, LEASE_PAUSE));
        assert_int_equal(sim->kept, 0);
        one_done(sim);
}

static void a_thaw_without_a_lease_thaws_once_and_fails_once(void **state)
{
        struct sim *sim = one();

        (void)state;
        sim->kept = 1;
        sim->frozen = true;
        sim->asked = 2;
        leases_end(sim->leases, LEASE_FREEZE, "asked", answered, sim);
        peer_spin_until(sim->loop, &sim->answered, 1);
        assert_int_equal(sim->refused, 0);
        assert_false(sim->frozen);
        set_open(sim, false);
        leases_end(sim->leases, LEASE_FREEZE, "asked", answered, sim);
        peer_spin_until(sim->loop, &sim->answered, 2);
        assert_int_equal(sim->refused, 1);
        assert_int_equal(sim->code, ERROR_GUEST);
        assert_true(is_at_rest(sim));
        one_done(sim);
}

static void ignored(json_t *reply, const struct error *error, void *data)
{
        (void)reply;
        (void)error;
        (void)data;
}

static void a_freeze_that_waits_for_its_turn_does_not_come_after_its_thaw(void **state)
{
        struct sim *sim = one();

        (void)state;
        sim->calm = false;
        sim->mood = STUCK;
        qga_client_ping(sim->qga, 5000, ignored, NULL);
        peer_settle(sim->loop, 5);
        begin_freeze(sim, 1, 5000);
        leases_client_gone(sim->leases, 1);
        sim->calm = true;
        work(sim);
        peer_settle(sim->loop, 50);
        assert_true(is_at_rest(sim));
        assert_int_equal(sim->froze, 0);
        one_done(sim);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_freeze_is_held_until_its_holder_goes),
                cmocka_unit_test(a_second_freeze_is_refused_and_names_the_first),
                cmocka_unit_test(what_cannot_be_written_down_is_not_begun),
                cmocka_unit_test(the_limit_ends_it_and_a_renewal_moves_the_limit),
                cmocka_unit_test(a_late_freeze_is_undone_by_the_thaw_behind_it),
                cmocka_unit_test(a_reset_ends_a_freeze_that_was_answered),
                cmocka_unit_test(what_a_dead_supervisor_left_is_ended_when_the_agent_is_there),
                cmocka_unit_test(a_pause_that_a_dead_supervisor_left_is_tried_until_the_guest_runs),
                cmocka_unit_test(a_thaw_without_a_lease_thaws_once_and_fails_once),
                cmocka_unit_test(a_freeze_that_waits_for_its_turn_does_not_come_after_its_thaw),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
