/*
 * wait_goal - what `wait --for` knows: states that the supervisor tells, and things that have to be asked for.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "launcher/live/control_client.h"

enum wait_kind {
        WAIT_STARTED,
        WAIT_AGENT,
        WAIT_PAUSED,
        WAIT_STOPPED,
        WAIT_IP,
        WAIT_PORT,
        WAIT_UNPLUGGED,
        WAIT_JOB,
        WAIT_KINDS
};

struct wait_goal {
        enum wait_kind kind;
        const char *argument; /* of port, unplugged and job; borrowed from the word */
        uint16_t port;
        char *now;   /* the state, or the agent's, as last seen */
        char *found; /* the address that was found */
        bool reached, ended;
};

/* "port:22". *err says what there is. */
int wait_goal_read(const char *word, struct wait_goal *ret, struct error **err);
void wait_goal_done(struct wait_goal *goal);
/* "started, agent, ..., job:ID" */
char *wait_goals_text(void);
/* "to be paused", "until port 22 answers"; new string. */
char *wait_goal_text(const struct wait_goal *goal);
/* May it be waited for before anybody starts the VM? */
bool wait_goal_is_early(const struct wait_goal *goal);

/* Is a VM in this state, with its agent in that one, what is waited for; false for what has to be asked. Either may be
 * NULL. */
bool wait_goal_is_state(enum wait_kind kind, const char *state, const char *agent);
/*
 * Of those that have to be asked for: asks, by deadline_ms. 0: goal->reached says; -1: it will never be reached, or the
 * supervisor does not answer. status: vmlaunch-status' reply.
 */
int wait_goal_ask(struct wait_goal *goal, struct control_client *client, const json_t *status,
                  long long deadline_ms, struct error **err);
/* An event came: it may be the answer itself (goal->reached), or -1: it never will be. */
int wait_goal_event(struct wait_goal *goal, const char *event, const json_t *data, struct error **err);
/* How long until it is asked again without an event, in milliseconds; 0: never. */
unsigned wait_goal_again_ms(const struct wait_goal *goal);
