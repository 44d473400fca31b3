/* Leases in sequences that a seed draws: SEED, printed. */
#include "tests/unit/lease_fixture.h"

#include <stdlib.h>

#define SEQUENCES 10000
#define AT_ONCE   100
#define SETTLE_MS 8000

static void finish_up(struct sim *sim)
{
        if (!sim->finishing) {
                sim->finishing = true;
                sim->calm = true;
                for (unsigned long long c = 1; c <= sim->clients; c++)
                        leases_client_gone(sim->leases, c);
                set_open(sim, true);
                work(sim);
        }
        if (is_at_rest(sim)) {
                /* Nothing on the way could freeze it again. */
                assert_int_equal(sim->kept, 0);
                sim->done = true;
        } else {
                sim->countdown = 1;
        }
}

static void step(struct sim *sim)
{
        if (sim->steps == 0) {
                finish_up(sim);
                return;
        }
        sim->steps--;
        switch (roll(sim, 10)) {
        case 0:
        case 1:
        case 2:
        case 3:
                begin_freeze(sim, ++sim->clients, 2 + roll(sim, 30));
                break;
        case 4:
        case 5:
                leases_client_gone(sim->leases, sim->clients);
                break;
        case 6:
                sim->asked++;
                leases_end(sim->leases, LEASE_FREEZE, "asked", answered, sim);
                break;
        case 7:
                /* The agent dies; what it was sent waits for the next one, what is frozen stays so. */
                set_open(sim, false);
                set_open(sim, roll(sim, 4) != 0);
                break;
        case 8:
                /* The guest is reset: its kernel begins anew. What the agent has not read stays in its channel. */
                set_open(sim, false);
                sim->frozen = false;
                leases_guest_reset(sim->leases);
                set_open(sim, roll(sim, 4) != 0);
                break;
        default:
                sim->mood = roll(sim, 2) ? OBEDIENT : (enum mood)roll(sim, STUCK + 1);
                set_open(sim, true);
                work(sim);
                break;
        }
        sim->countdown = roll(sim, 30);
}

static void no_sequence_leaves_a_frozen_guest(void **state)
{
        static const struct lease_times times = { .undo = 8, .prove = 8, .retry = 1, .retry_max = 8 };
        const char *given = getenv("SEED");
        unsigned long long seed = given ? strtoull(given, NULL, 10) : (unsigned long long)fd_now_ms();
        struct sim *sims = xcalloc(AT_ONCE, sizeof(*sims));
        unsigned long long random = seed;
        unsigned froze = 0, refused = 0;

        (void)state;
        print_message("seed %llu\n", seed);

        for (unsigned n = 0; n < SEQUENCES; n += AT_ONCE) {
                struct loop *loop = loop_new();
                long long deadline = fd_now_ms() + SETTLE_MS;
                bool all = false;

                for (unsigned i = 0; i < AT_ONCE; i++) {
                        sim_begin(&sims[i], loop, &times, &random);
                        sims[i].steps = 3 + roll(&sims[i], 8);
                        sims[i].countdown = roll(&sims[i], 10);
                }
                while (!all && fd_now_ms() < deadline) {
                        loop_step(loop, 1);
                        all = true;
                        for (unsigned i = 0; i < AT_ONCE; i++) {
                                if (!sims[i].done && sims[i].countdown-- == 0)
                                        step(&sims[i]);
                                all = all && sims[i].done;
                        }
                }
                for (unsigned i = 0; i < AT_ONCE; i++) {
                        struct sim *sim = &sims[i];

                        if (!sim->done)
                                print_message(
                                        "sequence %u: frozen %d, believed %d, lease %d, asked %u, answered "
                                        "%u, last '%s'\n",
                                        n + i, sim->frozen, leases_frozen(sim->leases),
                                        leases_has(sim->leases, LEASE_FREEZE), sim->asked, sim->answered,
                                        sim->last_story);
                        assert_true(sim->done);
                        froze += sim->froze;
                        refused += sim->refused;
                        sim_end(sim);
                }
                loop_free(loop);
        }
        print_message("%u sequences, %u freezes, %u refusals\n", SEQUENCES, froze, refused);
        /* The sequences were about something. */
        assert_true(froze > SEQUENCES / 4);
        free(sims);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_sequence_leaves_a_frozen_guest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
