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

/* The list of verbs, or one verb's usage and options; new strings. */
char *command_line_help(void);
char *command_line_verb_help(const struct verb *verb);
