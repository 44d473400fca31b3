/* Leases against an agent played in the same loop: one that is slow, silent, dies, babbles, or is reset. */
#include "launcher/run/lease.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "tests/unit/peer.h"

#define SEQUENCES 10000
#define AT_ONCE   100
#define SETTLE_MS 8000

/* What the agent does with the next command. */
enum mood { OBEDIENT, SILENT, REFUSING, NOISY, STUCK };

struct sim {
        struct loop *loop;
        struct leases *leases;
        struct qga_client *qga;
        struct loop_source *source;
        unsigned countdown; /* rounds of the loop to the next step */
        int peer;
        /* the agent */
        bool open, frozen, calm;
        enum mood mood;
        char input[65536];
        size_t n_input;
        /* the file of leases */
        size_t kept;
        bool full;
        /* what clients did and heard */
        unsigned long long clients;
        unsigned steps, asked, answered, refused;
        bool finishing, done;
        unsigned froze;
        long long value;
        enum error_code code;
        char last_story[256];
};

static unsigned long long random_state;

static unsigned roll(unsigned n)
{
        random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
        return (unsigned)(random_state >> 33) % n;
}

/* The agent. */

static void say(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct sim *sim, const char *format, ...)
{
        char line[256];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        send(sim->peer, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void set_frozen(struct sim *sim, bool frozen)
{
        /* Written down before it began. */
        if (frozen)
                assert_true(sim->kept > 0);
        sim->froze += frozen && !sim->frozen;
        sim->frozen = frozen;
}

static void obey(struct sim *sim, const char *command, json_int_t number)
{
        enum mood mood = sim->calm ? OBEDIENT : sim->mood;
        bool sync = strncmp(command, "guest-sync", 10) == 0;

        if (!sim->calm)
                sim->mood = roll(4) ? OBEDIENT : (enum mood)roll(STUCK + 1);
        if (mood == REFUSING && !sync) {
                say(sim, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}\n");
                return;
        }
        if (mood == NOISY)
                say(sim, "{\"a\":\xff\x01{]\n");
        if (strcmp(command, "guest-sync-delimited") == 0) {
                if (mood != SILENT)
                        say(sim,
                            "{\"error\":{\"class\":\"GenericError\",\"desc\":\"stray\"}}\n\xff{\"return\":%lld}\n",
                            (long long)number);
        } else if (strcmp(command, "guest-fsfreeze-freeze") == 0) {
                if (sim->frozen) {
                        say(sim,
                            "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"in frozen state\"}}\n");
                        return;
                }
                set_frozen(sim, true);
                if (mood != SILENT)
                        say(sim, "{\"return\":2}\n");
        } else if (strcmp(command, "guest-fsfreeze-thaw") == 0) {
                int n = sim->frozen ? 2 : 0;

                set_frozen(sim, false);
                if (mood != SILENT)
                        say(sim, "{\"return\":%d}\n", n);
        } else if (strcmp(command, "guest-fsfreeze-status") == 0) {
                if (mood != SILENT)
                        say(sim, "{\"return\":\"%s\"}\n", sim->frozen ? "frozen" : "thawed");
        } else if (mood != SILENT) {
                say(sim, "{\"return\":{}}\n");
        }
}

static void work(struct sim *sim)
{
        char *end;

        while (sim->open && (sim->calm || sim->mood != STUCK) &&
               (end = memchr(sim->input, '\n', sim->n_input))) {
                size_t n = (size_t)(end - sim->input) + 1;
                char line[4096];
                const char *begin = line;
                json_t *message;

                assert_true(n < sizeof(line));
                memcpy(line, sim->input, n);
                line[n - 1] = '\0';
                memmove(sim->input, sim->input + n, sim->n_input - n);
                sim->n_input -= n;
                /* 0xFF throws away the half command before it. */
                for (const char *c = line; *c; c++)
                        if ((unsigned char)*c == 0xFF)
                                begin = c + 1;
                message = json_loads(begin, 0, NULL);
                if (message)
                        obey(sim, json_string_value(json_object_get(message, "execute")),
                             json_integer_value(
                                     json_object_get(json_object_get(message, "arguments"), "id")));
                json_decref(message);
        }
}

static void on_input(struct loop_source *source, uint32_t events, void *data)
{
        struct sim *sim = data;
        ssize_t n;

        (void)source;
        (void)events;
        while ((n = recv(sim->peer, sim->input + sim->n_input, sizeof(sim->input) - sim->n_input,
                         MSG_DONTWAIT)) > 0)
                sim->n_input += (size_t)n;
        work(sim);
}

static void set_open(struct sim *sim, bool open)
{
        if (sim->open == open)
                return;
        sim->open = open;
        qga_client_set_open(sim->qga, open);
        if (open) {
                leases_try_again(sim->leases);
                work(sim);
        }
}

/* What leases need. */

static struct qga_client *agent(void *data)
{
        struct sim *sim = data;

        return sim->open ? sim->qga : NULL;
}

static struct qmp_client *qemu(void *data)
{
        (void)data;
        return NULL;
}

static int keep(const json_t *leases, void *data, struct error **err)
{
        struct sim *sim = data;

        if (sim->full)
                return error_set(err, ERROR_FAILED, "no space left");
        sim->kept = json_array_size(leases);
        return 0;
}

static void story(const char *text, void *data)
{
        struct sim *sim = data;

        snprintf(sim->last_story, sizeof(sim->last_story), "%s", text);
}

static void changed(enum lease_kind kind, const char *state, const char *reason, void *data)
{
        (void)kind;
        (void)state;
        (void)reason;
        (void)data;
}

static void answered(json_t *value, const struct error *error, void *data)
{
        struct sim *sim = data;

        assert_true(!value == !!error);
        sim->answered++;
        sim->refused += error != NULL;
        if (error)
                sim->code = error->code;
        else
                sim->value = json_integer_value(json_object_get(value, "filesystems"));
        json_decref(value);
}

static void sim_begin(struct sim *sim, struct loop *loop, const struct lease_times *times)
{
        static const struct lease_host host = { agent, qemu, keep, story, changed };
        int ours;

        *sim = (struct sim){ .loop = loop, .open = true };
        peer_pair(&ours, &sim->peer);
        sim->qga = qga_client_new(loop, ours, NULL, NULL);
        sim->leases = leases_new(loop, &host, times, sim);
        sim->source = loop_add_fd(loop, sim->peer, EPOLLIN, on_input, sim);
}

static void sim_end(struct sim *sim)
{
        loop_remove(sim->loop, sim->source);
        qga_client_free(sim->qga);
        leases_free(sim->leases);
        close(sim->peer);
}

static int begin_freeze(struct sim *sim, unsigned long long client, unsigned timeout_ms)
{
        struct lease_request request = {
                .kind = LEASE_FREEZE, .client = client, .who = "a test", .timeout_ms = timeout_ms
        };
        struct error *err = NULL;
        int result = leases_begin(sim->leases, &request, answered, sim, &err);

        if (result < 0) {
                sim->code = err->code;
                error_free(err);
        } else {
                sim->asked++;
        }
        return result;
}

/* 10 000 sequences. */

static bool is_at_rest(const struct sim *sim)
{
        return !leases_has(sim->leases, LEASE_FREEZE) && leases_frozen(sim->leases) == FROZEN_NO &&
               sim->n_input == 0 && !sim->frozen && sim->answered == sim->asked;
}

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
        switch (roll(10)) {
        case 0:
        case 1:
        case 2:
        case 3:
                begin_freeze(sim, ++sim->clients, 2 + roll(30));
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
                set_open(sim, roll(4) != 0);
                break;
        case 8:
                /* The guest is reset: its kernel begins anew. What the agent has not read stays in its channel. */
                set_open(sim, false);
                sim->frozen = false;
                leases_guest_reset(sim->leases);
                set_open(sim, roll(4) != 0);
                break;
        default:
                sim->mood = roll(2) ? OBEDIENT : (enum mood)roll(STUCK + 1);
                set_open(sim, true);
                work(sim);
                break;
        }
        sim->countdown = roll(30);
}

static void no_sequence_leaves_a_frozen_guest(void **state)
{
        static const struct lease_times times = { .undo = 8, .prove = 8, .retry = 1, .retry_max = 8 };
        const char *given = getenv("SEED");
        unsigned long long seed = given ? strtoull(given, NULL, 10) : (unsigned long long)fd_now_ms();
        struct sim *sims = xcalloc(AT_ONCE, sizeof(*sims));
        unsigned froze = 0, refused = 0;

        (void)state;
        random_state = seed;
        print_message("seed %llu\n", seed);

        for (unsigned n = 0; n < SEQUENCES; n += AT_ONCE) {
                struct loop *loop = loop_new();
                long long deadline = fd_now_ms() + SETTLE_MS;
                bool all = false;

                for (unsigned i = 0; i < AT_ONCE; i++) {
                        sim_begin(&sims[i], loop, &times);
                        sims[i].steps = 3 + roll(8);
                        sims[i].countdown = roll(10);
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

/* Single cases. */

static struct sim *one(void)
{
        static const struct lease_times times = { .undo = 60, .prove = 60, .retry = 5, .retry_max = 20 };
        struct sim *sim = xmalloc(sizeof(*sim));

        sim_begin(sim, loop_new(), &times);
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
                cmocka_unit_test(no_sequence_leaves_a_frozen_guest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
