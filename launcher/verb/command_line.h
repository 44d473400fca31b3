/*
 * command_line - argv -> verb_context. Pure.
 *
 * Global options may stand before or after the verb, options anywhere among the arguments; "--" ends them.
 */
#pragma once

#include "launcher/verb/verbs.h"

enum command_line_result { COMMAND_LINE_RUN, COMMAND_LINE_HELP, COMMAND_LINE_VERSION, COMMAND_LINE_ERROR };

/* args borrow from argv. verb may be NULL with HELP. ERROR: *err is ERROR_USAGE. root_env: VMLAUNCH_ROOT or NULL. */
enum command_line_result command_line_parse(int argc, char **argv, const char *root_env,
                                            struct verb_context *ret, struct error **err);
void command_line_done(struct verb_context *context);

/* Those that every verb takes; the last has no name, and there are fewer than COMMAND_LINE_MAX_OPTIONS. */
#define COMMAND_LINE_MAX_OPTIONS 16
const struct verb_option *command_line_options(void);
#define COMMAND_LINE_EXIT_STATUS                                                                            \
        "Exit status: 0 done, 1 failed, 2 usage, 3 not running, 4 no such VM, 5 not permitted,\n"           \
        "6 template invalid, 7 deadline passed, 8 guest refused or agent absent, 9 busy, 10 host cannot.\n" \
        "run: 0 guest-off or asked, 1 never started, 11 killed, 12 crashed, 13 oom-killed, 14 panicked, 15 lost.\n"

/* The list of verbs, or one verb's usage and options; new strings. */
char *command_line_help(void);
char *command_line_verb_help(const struct verb *verb);
/* How long it takes when nobody answers, a sentence; new string, NULL: it waits for nobody. */
char *command_line_bound(const struct verb *verb);
