/*
 * process - run a helper program to its end, with a deadline, its output captured and bounded.
 *
 * No shell. The helper gets an empty environment but PATH and LC_ALL=C, /dev/null as stdin unless input is
 * given, default signal dispositions, and no fd but 0, 1, 2 and those in fds (at the same number). It dies
 * with its caller (PR_SET_PDEATHSIG). Past the deadline it is killed and the error is ERROR_DEADLINE. A program
 * that cannot be run (not found, not executable) is ERROR_OS. SIGCHLD must not be ignored.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct process_options {
        const char *const *argv; /* argv[0] is looked up in a fixed PATH when it has no slash */
        int deadline_ms;         /* > 0 */
        const char *input;       /* to its stdin; NULL: none */
        uint64_t memory_max;     /* RLIMIT_AS of the helper, bytes; 0: ours */
        size_t output_max;       /* stdout beyond this is an error; 0: stdout is /dev/null */
        const int *fds;          /* further fds the child keeps, n_fds of them */
        size_t n_fds;
};

struct process_result {
        int status;        /* wait status */
        char *output;      /* NUL-terminated; NULL when output_max is 0 */
        char *stderr_text; /* the first 8 KiB, trimmed */
};

void process_result_done(struct process_result *result);

/*
 * 0 when the program ran to its end, whatever its exit status; -1 when it could not be run, passed its
 * deadline or wrote too much.
 */
int process_run(const struct process_options *options, struct process_result *ret, struct error **err);
/* As process_run(), and anything but exit status 0 is an error that quotes stderr. ret may be NULL. */
int process_check(const struct process_options *options, struct process_result *ret, struct error **err);

/* Would process_run() find a program of this name? */
bool process_has_program(const char *name);

/* In a child, before exec: default dispositions, none blocked; -1 and errno. */
int process_signals_default(void);

/*
 * Waits for the end of a child of ours, at most wait_ms: true and its wait status (ret_status may be NULL), or false: it
 * goes on, or is no child.
 */
bool process_reap(pid_t pid, int wait_ms, int *ret_status);
