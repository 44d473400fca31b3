#include "launcher/verb/wait_goal.h"

#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "launcher/live/guest_address.h"

/* A guest's addresses and ports are told by nobody. */
#define AGAIN_MS 500u
/* Of the agent, which may be busy. */
#define AGENT_MS 8000

static const struct goal_row {
        const char *name;
        const char *argument; /* what stands behind the colon, NULL: nothing */
        bool early;
} rows[WAIT_KINDS] = {
        [WAIT_STARTED] = { "started", NULL, true },
        [WAIT_AGENT] = { "agent", NULL, true },
        [WAIT_PAUSED] = { "paused", NULL, false },
        [WAIT_STOPPED] = { "stopped", NULL, false },
        [WAIT_IP] = { "ip", NULL, true },
        [WAIT_PORT] = { "port", "N", true },
        [WAIT_UNPLUGGED] = { "unplugged", "ID", false },
        [WAIT_JOB] = { "job", "ID", false },
};

char *wait_goals_text(void)
{
        struct text out = TEXT_INIT;

        for (size_t i = 0; i < WAIT_KINDS; i++)
                text_addf(&out, "%s%s%s%s",
                          i == 0                ? ""
                          : i + 1 == WAIT_KINDS ? " or "
                                                : ", ",
                          rows[i].name, rows[i].argument ? ":" : "",
                          rows[i].argument ? rows[i].argument : "");
        return text_take(&out);
}

static int read_port(struct wait_goal *goal, struct error **err)
{
        uint32_t port;

        if (!text_parse_u32(goal->argument, &port) || port == 0 || port > UINT16_MAX)
                return error_set(err, ERROR_USAGE, "wait: '%s' is not a port (1 to 65535)", goal->argument);
        goal->port = (uint16_t)port;
        return 0;
}

int wait_goal_read(const char *word, struct wait_goal *ret, struct error **err)
{
        size_t length = strcspn(word, ":");
        _cleanup_free_ char *names = wait_goals_text();

        for (size_t i = 0; i < WAIT_KINDS; i++) {
                if (strlen(rows[i].name) != length || strncmp(rows[i].name, word, length) != 0 ||
                    !rows[i].argument != (word[length] == '\0') || (rows[i].argument && !word[length + 1]))
                        continue;
                *ret = (struct wait_goal){ .kind = (enum wait_kind)i,
                                           .argument = rows[i].argument ? word + length + 1 : NULL };
                return ret->kind == WAIT_PORT ? read_port(ret, err) : 0;
        }
        return error_set(err, ERROR_USAGE, "wait: --for takes %s, not '%s'", names, word);
}

void wait_goal_done(struct wait_goal *goal)
{
        free(goal->now);
        free(goal->found);
        goal->now = goal->found = NULL;
}

char *wait_goal_text(const struct wait_goal *goal)
{
        switch (goal->kind) {
        case WAIT_AGENT:
                return xstrdup("to be answered by its agent");
        case WAIT_IP:
                return xstrdup("to have an address");
        case WAIT_PORT:
                return xasprintf("to answer at port %u", (unsigned)goal->port);
        case WAIT_UNPLUGGED:
                return xasprintf("to be without '%s'", goal->argument);
        case WAIT_JOB:
                return xasprintf("to be done with job '%s'", goal->argument);
        default:
                return xasprintf("to be %s", rows[goal->kind].name);
        }
}

bool wait_goal_is_early(const struct wait_goal *goal)
{
        return rows[goal->kind].early;
}

bool wait_goal_is_state(enum wait_kind kind, const char *state, const char *agent)
{
        switch (kind) {
        case WAIT_STARTED:
                return state && (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0);
        case WAIT_AGENT:
                return agent && strcmp(agent, "answering") == 0;
        case WAIT_PAUSED:
        case WAIT_STOPPED:
                return state && strcmp(state, rows[kind].name) == 0;
        default:
                return false;
        }
}

unsigned wait_goal_again_ms(const struct wait_goal *goal)
{
        return goal->kind == WAIT_IP || goal->kind == WAIT_PORT ? AGAIN_MS : 0;
}

static unsigned left_ms(long long deadline_ms, long long most)
{
        long long left = deadline_ms - fd_now_ms();

        return left < 1 ? 1 : left < most ? (unsigned)left : (unsigned)most;
}

/* What the agent says, NULL: it is not there, or has not answered; new reference. */
static json_t *ask_agent(struct control_client *client, long long deadline_ms, struct error **err)
{
        unsigned wait_ms = left_ms(deadline_ms, AGENT_MS);
        _cleanup_error_ struct error *error = NULL;
        json_auto_t *interfaces = NULL;

        if (control_client_call_within(client, "vmlaunch-agent",
                                       json_pack("{s:s, s:f}", "command", "guest-network-get-interfaces",
                                                 "timeout", wait_ms / 1000.0),
                                       wait_ms, &interfaces, &error) == 0)
                return guest_addresses_read(interfaces);
        if (error->code != ERROR_GUEST && error->code != ERROR_BUSY && error->code != ERROR_DEADLINE)
                *err = TAKE_PTR(error);
        return NULL;
}

static void find_address(struct wait_goal *goal, const json_t *addresses, long long deadline_ms)
{
        const char *found = json_string_value(json_array_get(addresses, 0));

        if (goal->kind == WAIT_PORT && !guest_port_answers(addresses, goal->port, deadline_ms, &found))
                return;
        if (!found)
                return;
        goal->reached = true;
        goal->found = xstrdup(found);
}

/* A port at the addresses of the template first: they are the operator's word. */
static int ask_addresses(struct wait_goal *goal, struct control_client *client, const json_t *status,
                         long long deadline_ms, struct error **err)
{
        json_auto_t *planned = guest_addresses_planned(json_object_get(status, "devices")), *told = NULL;
        const char *agent = json_member_string(status, "agent");
        bool has_agent = agent && strcmp(agent, "none") != 0;

        if (goal->kind == WAIT_PORT && json_array_size(planned)) {
                find_address(goal, planned, deadline_ms);
                return 0;
        }
        if (!has_agent)
                return error_set(err, ERROR_GUEST,
                                 "the VM has no guest agent that could be asked for addresses");
        told = ask_agent(client, deadline_ms, err);
        if (told)
                find_address(goal, told, deadline_ms);
        return *err ? -1 : 0;
}

static const json_t *find_by_id(const json_t *list, const char *id)
{
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *one = json_array_get(list, i);
                const char *its = json_member_string(one, "id");

                if (its && strcmp(its, id) == 0)
                        return one;
        }
        return NULL;
}

/* A job that is not there has ended and was dismissed, or never was. */
static int ask_job(struct wait_goal *goal, struct control_client *client, long long deadline_ms,
                   struct error **err)
{
        json_auto_t *jobs = NULL;
        const char *status, *error;
        const json_t *job;

        if (control_client_call_within(client, "query-jobs", NULL, left_ms(deadline_ms, 5000), &jobs, err) <
            0)
                return -1;
        job = find_by_id(jobs, goal->argument);
        status = json_member_string(job, "status");
        error = json_member_string(job, "error");
        goal->reached = !job || (status && strcmp(status, "concluded") == 0);
        if (goal->reached && error) {
                _cleanup_free_ char *shown = text_printable(error);

                return error_set(err, ERROR_FAILED, "the job has failed: %s", shown);
        }
        return 0;
}

int wait_goal_ask(struct wait_goal *goal, struct control_client *client, const json_t *status,
                  long long deadline_ms, struct error **err)
{
        switch (goal->kind) {
        case WAIT_IP:
        case WAIT_PORT:
                return ask_addresses(goal, client, status, deadline_ms, err);
        case WAIT_UNPLUGGED:
                goal->reached = !find_by_id(json_object_get(status, "devices"), goal->argument);
                return 0;
        case WAIT_JOB:
                return ask_job(goal, client, deadline_ms, err);
        default:
                return 0;
        }
}

int wait_goal_event(struct wait_goal *goal, const char *event, const json_t *data, struct error **err)
{
        const char *device = json_member_string(data, "device");
        bool is_ours = device && goal->argument && strcmp(device, goal->argument) == 0;

        if (goal->kind != WAIT_UNPLUGGED || !is_ours)
                return 0;
        if (strcmp(event, "DEVICE_DELETED") == 0)
                goal->reached = true;
        else if (strcmp(event, "DEVICE_UNPLUG_GUEST_ERROR") == 0)
                return error_set(err, ERROR_GUEST, "the guest keeps it");
        return 0;
}
