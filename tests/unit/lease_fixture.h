/*
 * lease_fixture - leases against an agent played in the same loop: one that is slow, silent, dies, babbles, or is reset.
 */
#pragma once

#include "launcher/run/lease.h"

#include <sys/epoll.h>

#include "tests/unit/peer.h"

/* What the agent does with the next command. */
enum mood { OBEDIENT, SILENT, REFUSING, NOISY, STUCK };

struct sim {
        struct loop *loop;
        struct leases *leases;
        struct qga_client *qga;
        struct loop_source *source;
        unsigned long long *random; /* the test's */
        unsigned countdown;         /* rounds of the loop to the next step */
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

static inline unsigned roll(struct sim *sim, unsigned n)
{
        *sim->random = *sim->random * 6364136223846793005ull + 1442695040888963407ull;
        return (unsigned)(*sim->random >> 33) % n;
}

/* The agent. */

static inline void say(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void say(struct sim *sim, const char *format, ...)
{
        char line[256];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        send(sim->peer, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static inline void set_frozen(struct sim *sim, bool frozen)
{
        /* Written down before it began. */
        if (frozen)
                assert_true(sim->kept > 0);
        sim->froze += frozen && !sim->frozen;
        sim->frozen = frozen;
}

static inline void obey(struct sim *sim, const char *command, json_int_t number)
{
        enum mood mood = sim->calm ? OBEDIENT : sim->mood;
        bool sync = strncmp(command, "guest-sync", 10) == 0;

        if (!sim->calm)
                sim->mood = roll(sim, 4) ? OBEDIENT : (enum mood)roll(sim, STUCK + 1);
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

static inline void work(struct sim *sim)
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

static inline void on_input(struct loop_source *source, uint32_t events, void *data)
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

static inline void set_open(struct sim *sim, bool open)
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

static inline struct qga_client *agent(void *data)
{
        struct sim *sim = data;

        return sim->open ? sim->qga : NULL;
}

static inline struct qmp_client *qemu(void *data)
{
        (void)data;
        return NULL;
}

static inline int keep(const json_t *leases, void *data, struct error **err)
{
        struct sim *sim = data;

        if (sim->full)
                return error_set(err, ERROR_FAILED, "no space left");
        sim->kept = json_array_size(leases);
        return 0;
}

static inline void story(const char *text, void *data)
{
        struct sim *sim = data;

        snprintf(sim->last_story, sizeof(sim->last_story), "%s", text);
}

static inline void changed(enum lease_kind kind, const char *state, const char *reason, void *data)
{
        (void)kind;
        (void)state;
        (void)reason;
        (void)data;
}

static inline void answered(json_t *value, const struct error *error, void *data)
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

static inline void sim_begin(struct sim *sim, struct loop *loop, const struct lease_times *times,
                             unsigned long long *random)
{
        static const struct lease_host host = { agent, qemu, keep, story, changed };
        int ours;

        *sim = (struct sim){ .loop = loop, .random = random, .open = true };
        peer_pair(&ours, &sim->peer);
        sim->qga = qga_client_new(loop, ours, NULL, NULL);
        sim->leases = leases_new(loop, &host, times, sim);
        sim->source = loop_add_fd(loop, sim->peer, EPOLLIN, on_input, sim);
}

static inline void sim_end(struct sim *sim)
{
        loop_remove(sim->loop, sim->source);
        qga_client_free(sim->qga);
        leases_free(sim->leases);
        close(sim->peer);
}

static inline int begin_freeze(struct sim *sim, unsigned long long client, unsigned timeout_ms)
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

static inline bool is_at_rest(const struct sim *sim)
{
        return !leases_has(sim->leases, LEASE_FREEZE) && leases_frozen(sim->leases) == FROZEN_NO &&
               sim->n_input == 0 && !sim->frozen && sim->answered == sim->asked;
}
