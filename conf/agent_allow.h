/*
 * agent_allow - which guest agent commands a client may ask for: a list of our own, and AGENT_ALLOW's on top. Pure.
 *
 * Ours has what looks at the guest or does no more to it than power verbs do. Everything else, also a command that a
 * later agent brings, is refused unless the template names it: programs run in the guest, its files, passwords and
 * keys.
 */
#pragma once

#include <stdbool.h>

/* What is allowed without being named; patterns, NULL-terminated. */
extern const char *const agent_always_allowed[];

/* NULL when every word of the list (separated by blanks or commas) is the name of a command or a beginning of one
 * with a '*' behind; else the first word that is not, a new string. */
char *agent_allow_bad_word(const char *list);

enum agent_verdict {
        AGENT_MAY,
        AGENT_NOT_LISTED, /* AGENT_ALLOW could name it */
        AGENT_NEVER,      /* the supervisor does it itself, by a command of its own */
};
/* list: AGENT_ALLOW, may be NULL. ret_instead (for AGENT_NEVER): what to use instead, static text. */
enum agent_verdict agent_allow_judge(const char *list, const char *command, const char **ret_instead);
