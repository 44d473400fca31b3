#include "launcher/run/shutdown.h"

#include <string.h>

#include "base/mem.h"

static const char *const mode_names[] = {
        [SHUTDOWN_AUTO] = "auto",
        [SHUTDOWN_AGENT] = "agent",
        [SHUTDOWN_ACPI] = "acpi",
        [SHUTDOWN_DESTROY] = "destroy",
};

const char *shutdown_mode_name(enum shutdown_mode mode)
{
        return mode_names[mode];
}

bool shutdown_mode_from_name(const char *name, enum shutdown_mode *ret)
{
        for (size_t i = 0; i < ARRAY_SIZE(mode_names); i++)
                if (strcmp(name, mode_names[i]) == 0) {
                        *ret = (enum shutdown_mode)i;
                        return true;
                }
        return false;
}

const char *agent_state_name(enum agent_state state)
{
        static const char *const names[] = {
                [AGENT_NONE] = "none",           [AGENT_ABSENT] = "absent", [AGENT_OPENED] = "opened",
                [AGENT_ANSWERING] = "answering", [AGENT_SILENT] = "silent",
        };

        return names[state];
}

static bool may_agent(const struct shutdown *shutdown, const struct shutdown_facts *facts)
{
        return shutdown->request.mode != SHUTDOWN_ACPI &&
               (facts->agent == AGENT_OPENED || facts->agent == AGENT_ANSWERING ||
                facts->agent == AGENT_SILENT);
}

static bool may_press(const struct shutdown *shutdown, const struct shutdown_facts *facts)
{
        return shutdown->request.mode != SHUTDOWN_AGENT && facts->has_acpi;
}

static enum shutdown_step ask_agent(struct shutdown *shutdown)
{
        shutdown->agent_asked = true;
        shutdown->agent_busy = true;
        return SHUTDOWN_ASK_AGENT;
}

static enum shutdown_step press(struct shutdown *shutdown)
{
        shutdown->acpi_asked = true;
        return SHUTDOWN_PRESS;
}

static enum shutdown_step first_ask(struct shutdown *shutdown, const struct shutdown_facts *facts)
{
        /* An agent that is silent, or may be, costs seconds: the button first, when there is one. */
        if (may_agent(shutdown, facts) && (facts->agent == AGENT_ANSWERING || !may_press(shutdown, facts)))
                return ask_agent(shutdown);
        if (may_press(shutdown, facts))
                return press(shutdown);
        return SHUTDOWN_NO_MEANS;
}

/* The other means than the one that brought nothing; the same when there is no other. */
static enum shutdown_step ask_again(struct shutdown *shutdown, const struct shutdown_facts *facts)
{
        bool agent = may_agent(shutdown, facts) && !shutdown->agent_busy;

        if (may_press(shutdown, facts) && !(agent && shutdown->acpi_asked && !shutdown->agent_asked))
                return press(shutdown);
        return agent ? ask_agent(shutdown) : SHUTDOWN_WAIT;
}

enum shutdown_step shutdown_begin(struct shutdown *ret, const struct shutdown_request *request,
                                  const struct shutdown_facts *facts)
{
        *ret = (struct shutdown){ .request = *request };
        /* A guest without ACPI hears no button; upstream's shutdown script destroys it then
         * (opennebula-semantics section 5.2). One whose agent answers can still be asked. */
        if (!facts->has_acpi && facts->cancel_no_acpi && facts->agent != AGENT_ANSWERING &&
            request->mode != SHUTDOWN_AGENT && !request->reboot)
                return SHUTDOWN_KILL;
        if (!may_agent(ret, facts) && !may_press(ret, facts))
                return request->force && !request->reboot ? SHUTDOWN_KILL : SHUTDOWN_NO_MEANS;
        if (facts->paused)
                return SHUTDOWN_RESUME;
        /* Neither agent nor button would bring it to its end. */
        if (facts->frozen)
                return SHUTDOWN_THAW;
        return first_ask(ret, facts);
}

enum shutdown_step shutdown_next(struct shutdown *shutdown, enum shutdown_input input,
                                 const struct shutdown_facts *facts)
{
        bool asked = shutdown->agent_asked || shutdown->acpi_asked;

        switch (input) {
        case SHUTDOWN_BEGIN:
                return first_ask(shutdown, facts);
        case SHUTDOWN_RESUMED:
                if (facts->frozen)
                        return SHUTDOWN_THAW;
                return asked ? ask_again(shutdown, facts) : first_ask(shutdown, facts);
        case SHUTDOWN_THAWED:
                return asked ? ask_again(shutdown, facts) : first_ask(shutdown, facts);
        case SHUTDOWN_AGENT_TOOK:
                shutdown->agent_busy = false;
                return SHUTDOWN_WAIT;
        case SHUTDOWN_AGENT_FAILED:
                shutdown->agent_busy = false;
                if (may_press(shutdown, facts))
                        return shutdown->acpi_asked && !shutdown->half_over ? SHUTDOWN_WAIT : press(shutdown);
                /* It may come back before half time or after it. */
                return SHUTDOWN_WAIT;
        case SHUTDOWN_AGENT_CAME:
                /* The button may have been pressed before the guest listened. */
                if (may_agent(shutdown, facts) && !shutdown->agent_asked && !facts->paused && !facts->frozen)
                        return ask_agent(shutdown);
                return SHUTDOWN_WAIT;
        case SHUTDOWN_HALF_TIME:
                shutdown->half_over = true;
                if (facts->paused)
                        return SHUTDOWN_RESUME;
                if (facts->frozen)
                        return SHUTDOWN_THAW;
                return asked ? ask_again(shutdown, facts) : first_ask(shutdown, facts);
        case SHUTDOWN_DEADLINE:
                if (!shutdown->request.force)
                        return SHUTDOWN_GIVE_UP;
                return shutdown->request.reboot ? SHUTDOWN_RESET : SHUTDOWN_KILL;
        }
        return SHUTDOWN_WAIT;
}

unsigned kill_wait_ms(enum kill_step step)
{
        static const unsigned waits[KILL_STEPS] = {
                [KILL_QUIT] = KILL_AFTER_QUIT_MS,
                [KILL_NOW] = STUCK_AFTER_KILL_MS,
        };

        return waits[step];
}
