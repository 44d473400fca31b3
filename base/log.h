/*
 * log - one line on stderr per event.
 *
 * "vmlaunch: message", or "<4>message" when stderr is the journal (JOURNAL_STREAM names its device and
 * inode, systemd.exec(5)), so that systemd takes the priority from the line. Only verbs and the supervisor
 * log. A copy of each line goes to the log file when one is set.
 */
#pragma once

#include <stdbool.h>

enum log_level {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7
};

/* Lines above this level are dropped from stderr; LOG_LEVEL_NOTICE at first. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* fd of a log file, borrowed, -1: none. Lines are written with date and level, whatever the level set. */
void log_set_file(int fd);
int log_get_file(void);
/* Does the journal read stderr? */
bool log_stderr_is_journal(void);
/* false: nothing goes to stderr any more (it belongs to somebody who is gone). */
void log_set_stderr(int on);

/*
 * Lines up to LOG_LEVEL_INFO go to the journal by its own protocol, with the fields VMLAUNCH_VM and
 * VMLAUNCH_GENERATION, instead of to stderr when that is the journal too.
 */
void log_set_journal(const char *vm, const char *generation);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
