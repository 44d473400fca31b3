/* Where QEMU and what is written down of its run do not agree: whether the guest runs, and what QEMU works at. */
#include <string.h>

#include "launcher/run/state_parts.h"

/* What record_state says, in QEMU's words. NULL: neither the one nor the other, such as the end of a migration. */
static const char *plain_state(const char *status)
{
        static const char *const paused[] = { "paused",      "io-error",  "internal-error",
                                              "watchdog",    "debug",     "guest-panicked",
                                              "prelaunch",   "preconfig", "shutdown",
                                              "postmigrate", NULL };

        if (strcmp(status, "running") == 0 || strcmp(status, "suspended") == 0)
                return "running";
        for (size_t i = 0; paused[i]; i++)
                if (strcmp(status, paused[i]) == 0)
                        return "paused";
        return NULL;
}

static void compare_run_state(struct state_comparison *c)
{
        const json_t *answer = state_fact(c, FACT_STATUS, JSON_OBJECT);
        const char *status = state_string(answer, "status"), *plain = status ? plain_state(status) : NULL;
        json_t *difference;

        if (answer && !status)
                state_not_understood(c, FACT_STATUS);
        if (!plain || !c->sides->record_state || strcmp(plain, c->sides->record_state) == 0)
                return;
        difference = state_differ(c, "state", "guest", NULL);
        if (!difference)
                return;
        state_set_side(difference, SIDE_QEMU, status);
        state_set_side(difference, SIDE_RECORD, c->sides->record_state);
}

/* What QEMU works at, and nobody follows. */
static void compare_work(struct state_comparison *c, enum machine_fact which, const char *kind)
{
        const json_t *list = state_fact(c, which, JSON_ARRAY);

        for (size_t i = 0; i < json_array_size(list) && i < STATE_LIST_MAX; i++) {
                const json_t *entry = json_array_get(list, i);
                const char *id = state_string(entry, "id"), *type = state_string(entry, "type");
                const char *status = state_string(entry, "status");
                _cleanup_free_ char *what =
                        xasprintf("%s%s%s", type ? type : "one", status ? ", " : "", status ? status : "");
                json_t *difference = state_differ(c, kind, id ? id : "-", NULL);

                if (!difference)
                        return;
                state_set_side(difference, SIDE_QEMU, what);
                state_set_side(difference, SIDE_RECORD, NULL);
        }
}

static void compare_migration(struct state_comparison *c)
{
        static const char *const over[] = { "none", "completed", "failed", "cancelled", NULL };
        const json_t *answer = state_fact(c, FACT_MIGRATION, JSON_OBJECT);
        const char *status = state_string(answer, "status");
        json_t *difference;

        for (size_t i = 0; status && over[i]; i++)
                if (strcmp(status, over[i]) == 0)
                        return;
        difference = status ? state_differ(c, "migration", "guest", NULL) : NULL;
        if (!difference)
                return;
        state_set_side(difference, SIDE_QEMU, status);
        state_set_side(difference, SIDE_RECORD, NULL);
}

void state_compare_work(struct state_comparison *c)
{
        compare_run_state(c);
        compare_work(c, FACT_JOBS, "job");
        compare_work(c, FACT_EXPORTS, "export");
        compare_migration(c);
}
