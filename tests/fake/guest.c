/* The guest and what it is asked: its run state, and how it ends, panics, resets. */
#include <string.h>

#include "tests/fake/command.h"
#include "tests/fake/fake.h"

#define AGENT_MS 10

static const char *const run_words[RUN_WORDS] = {
        [PRELAUNCH] = "prelaunch", [RUNNING] = "running",         [PAUSED] = "paused",
        [SHUTDOWN] = "shutdown",   [PANICKED] = "guest-panicked",
};

static void set_run(struct fake *fake, enum run_word run)
{
        bool ran = fake->run == RUNNING;

        fake->run = run;
        if (ran && run != RUNNING)
                emit(fake, "STOP", NULL);
        else if (!ran && run == RUNNING)
                emit(fake, "RESUME", NULL);
}

void agent_starts(struct fake *fake, void *data)
{
        (void)data;
        if (fake->run == RUNNING)
                agent_open(fake, true);
}

static void guest_off(struct fake *fake)
{
        if (fake->run != RUNNING)
                return;
        for (int i = fault_hit_kind(fake, SHUTDOWN_TWICE, NULL) ? 2 : 1; i > 0; i--)
                emit(fake, "SHUTDOWN", json_pack("{s:b, s:s}", "guest", true, "reason", "guest-shutdown"));
        agent_open(fake, false);
        set_run(fake, SHUTDOWN);
}

static void guest_panics(struct fake *fake)
{
        if (fake->run != RUNNING)
                return;
        emit(fake, "GUEST_PANICKED", json_pack("{s:s}", "action", "pause"));
        set_run(fake, PANICKED);
}

static void guest_resets(struct fake *fake, unsigned times)
{
        fake->guest_frozen = false;
        agent_open(fake, false);
        while (times-- > 0)
                emit(fake, "RESET", json_pack("{s:b, s:s}", "guest", true, "reason", "guest-reset"));
        later(fake, AGENT_MS, agent_starts, NULL);
}

bool guest_does(struct fake *fake, const char *what)
{
        if (strcmp(what, "power-off") == 0)
                guest_off(fake);
        else if (strcmp(what, "panic") == 0)
                guest_panics(fake);
        else if (strcmp(what, "reset") == 0)
                guest_resets(fake, 1);
        else if (strcmp(what, "agent-starts") == 0)
                agent_open(fake, true);
        else if (strcmp(what, "agent-stops") == 0)
                agent_open(fake, false);
        else
                return false;
        return true;
}

static void guest_ends(struct fake *fake, void *data)
{
        const struct fault *fault;

        (void)data;
        if (fault_hit_kind(fake, GUEST_PANICS, NULL))
                guest_panics(fake);
        else if ((fault = fault_hit_kind(fake, GUEST_RESETS, NULL)))
                guest_resets(fake, fault->count);
        else
                guest_off(fake);
}

static void guest_reboots(struct fake *fake, void *data)
{
        (void)data;
        if (fake->run == RUNNING)
                guest_resets(fake, 2);
}

void guest_asked(struct fake *fake, bool reboot)
{
        if (fake->run != RUNNING || fake->guest_frozen || fake->scenario.guest_ignores ||
            fault_hit_kind(fake, GUEST_IGNORES, NULL))
                return;
        later(fake, GUEST_MS, reboot ? guest_reboots : guest_ends, NULL);
}

json_t *cmd_status(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        (void)args;
        (void)refusal;
        return json_pack("{s:b, s:b, s:s}", "running", fake->run == RUNNING, "singlestep", false, "status",
                         run_words[fake->run]);
}

json_t *cmd_balloon(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const json_t *value = json_object_get(args, "value");

        if (!json_is_integer(value) || json_integer_value(value) <= 0)
                return refuse(refusal, "GenericError", xstrdup("Parameter 'target' expects a size"));
        fake->balloon = (uint64_t)json_integer_value(value);
        emit(fake, "BALLOON_CHANGE", json_pack("{s:I}", "actual", (json_int_t)fake->balloon));
        return json_object();
}

json_t *cmd_cont(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const struct fault *fault;

        (void)args;
        if (fake->run == SHUTDOWN || fake->run == PANICKED)
                return refuse(refusal, "GenericError", xstrdup("Resetting the Virtual Machine is required"));
        set_run(fake, RUNNING);
        if (!fake->agent_open)
                later(fake, AGENT_MS, agent_starts, NULL);
        fault = fault_hit_kind(fake, GUEST_OFF, "cont");
        if (fault)
                later(fake, fault->ms, guest_ends, NULL);
        return json_object();
}

json_t *cmd_stop(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        (void)args;
        (void)refusal;
        if (fake->run == RUNNING)
                set_run(fake, PAUSED);
        return json_object();
}

json_t *cmd_reset(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        (void)args;
        (void)refusal;
        agent_open(fake, false);
        fake->guest_frozen = false;
        emit(fake, "RESET", json_pack("{s:b, s:s}", "guest", false, "reason", "host-qmp-system-reset"));
        if (fake->run == SHUTDOWN || fake->run == PANICKED)
                fake->run = PAUSED;
        if (fake->run == RUNNING)
                later(fake, AGENT_MS, agent_starts, NULL);
        return json_object();
}

json_t *cmd_powerdown(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        (void)args;
        (void)refusal;
        emit(fake, "POWERDOWN", NULL);
        guest_asked(fake, false);
        return json_object();
}

json_t *cmd_quit(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        (void)args;
        (void)refusal;
        fake->quitting = !fault_hit_kind(fake, QUIT_IGNORED, "quit");
        return json_object();
}
