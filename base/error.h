/*
 * error - what failed, why, and where.
 *
 * A function that can fail returns 0 or -1 (or a pointer or NULL) and fills *err, never a NULL err,
 * exactly when it fails. The one who notices says what it tried and on which object; each caller that
 * knows more adds it with error_wrap(). Branch on code, os_errno or qmp_class, never on message text.
 * The object owns its strings and its cause; free with error_free(), which accepts NULL.
 */
#pragma once

#include <stdbool.h>

#include "base/mem.h"

enum error_code {
        ERROR_FAILED = 1,    /* anything without a better word; exit 1 */
        ERROR_OS,            /* a system call failed: os_errno says how; exit 1, EPERM and EACCES: 5 */
        ERROR_USAGE,         /* command line; exit 2 */
        ERROR_NOT_RUNNING,   /* exit 3 */
        ERROR_NO_SUCH_VM,    /* exit 4 */
        ERROR_NOT_PERMITTED, /* exit 5 */
        ERROR_INVALID,       /* template or configuration; exit 6 */
        ERROR_DEADLINE,      /* exit 7 */
        ERROR_GUEST,         /* guest refused or agent absent; exit 8 */
        ERROR_BUSY,          /* busy or locked, the message names the holder; exit 9 */
        ERROR_HOST,          /* this host cannot; exit 10 */
        ERROR_QMP,           /* QEMU answered with an error: qmp_class; exit 1 */
        ERROR_DISCONNECTED,  /* the peer of a socket went away; exit 1 */
        ERROR_CANCELLED,     /* the user's Ctrl-C; exit 1 */
};

/* A place in a text. file NULL: none. Line and column count from 1, columns in bytes; 0: unknown. */
struct source_pos {
        const char *file;
        unsigned line, column;
};

struct error {
        enum error_code code;
        int os_errno;          /* when code is ERROR_OS, else 0 */
        char *qmp_class;       /* when code is ERROR_QMP */
        struct source_pos pos; /* file owned by the error */
        char *message;         /* one line, lower case start, no full stop */
        char *hint;            /* what to do; NULL when the message says it */
        char *excerpt;         /* the source line and a caret, two lines; NULL when none */
        struct error *cause;   /* what went wrong underneath; owned */
        struct error *next;    /* a further error of the same text (template errors, up to twenty); owned */
};

void error_free(struct error *error);
DEFINE_FREEP(struct error, error_free)
#define _cleanup_error_ _cleanup_(error_freep)

/* "line 3", or "line 3 of FILE" when that is another file than the one of from, where it is told; new string. */
char *source_pos_name(const struct source_pos *pos, const struct source_pos *from);

/* All return -1, so that a caller can write: return error_set(...). err must not be NULL; *err must be. */
int error_set(struct error **err, enum error_code code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* Adds ": strerror(os_errno)" when printed. */
int error_os(struct error **err, int os_errno, const char *format, ...) __attribute__((format(printf, 3, 4)));
int error_qmp(struct error **err, const char *qmp_class, const char *desc);
int error_at(struct error **err, const struct source_pos *pos, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* Puts what the caller knows in front: "format: old message". Keeps code, errno, class and place. */
int error_wrap(struct error **err, const char *format, ...) __attribute__((format(printf, 2, 3)));
int error_hint(struct error **err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Gives an error its place, unless it has one or pos has no file. */
void error_place(struct error *error, const struct source_pos *pos);

#if defined(__clang_analyzer__) && !defined(ERROR_IMPLEMENTATION)
/* The analyzer sees one source file at a time: this tells it what they return. */
#define error_set(...)  (error_set(__VA_ARGS__), -1)
#define error_os(...)   (error_os(__VA_ARGS__), -1)
#define error_qmp(...)  (error_qmp(__VA_ARGS__), -1)
#define error_at(...)   (error_at(__VA_ARGS__), -1)
#define error_wrap(...) (error_wrap(__VA_ARGS__), -1)
#define error_hint(...) (error_hint(__VA_ARGS__), -1)
#endif

/* "file:line:column: message: cause: strerror", without program name; new string, owned by the caller. */
char *error_text(const struct error *error);
/* The exit status of DESIGN section 3 for this error. */
int error_exit_status(const struct error *error);
/* The code that a process which ended so has had: ERROR_FAILED for one that says nothing else. */
enum error_code error_code_of_exit(int exit_status);
/* Lower-case word of the code for JSON output: "template-invalid", "busy", ... */
const char *error_code_name(enum error_code code);
/* Moves *more to the end of the list *err (which may be NULL). */
void error_append(struct error **err, struct error *more);
unsigned error_count(const struct error *error);
/* A deep copy, owned by the caller: a callback that keeps what it was lent. NULL gives NULL. */
struct error *error_copy(const struct error *error);
