/*
 * handover - what a supervisor leaves to the program that takes its place in the same process.
 *
 * One JSON document in a sealed memfd, and fds that stay open across exec, each named in the document by its number.
 * The document has a format number; members that a reader does not know are ignored. docs/control-socket.md,
 * vmlaunch-reexec, has how the two programs agree before anything is given away.
 *
 * The writer loses nothing until exec has worked. The reader trusts the document no more than a file: whatever has the
 * wrong type, range or fd is ERROR_FAILED, and handover_done() closes the fds that nobody has taken.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Of the document and of the arguments of `vmlaunch __reexec`. A program reads these formats: */
#define HANDOVER_FORMAT 1
#define HANDOVER_OLDEST 1
/* Of the document; what clients have not read is the most of it, and control_state() bounds that. */
#define HANDOVER_MAX (64u << 20)

struct handed_fd {
        int fd;
        bool taken;
};

struct handover {
        json_t *document; /* an object */
        struct handed_fd *fds;
        size_t n_fds;
};

/* The writer. */
void handover_init(struct handover *handover);
/* fd, borrowed, stays open across exec: its number for the document, a new reference. */
json_t *handover_give_fd(struct handover *handover, int fd);
json_t *handover_bytes(const void *bytes, size_t n);
/* The document in a sealed memfd, which is one of the fds too; owned by the caller. */
int handover_write(struct handover *handover, int *ret_fd, struct error **err);
/* Whether the fds survive an exec. */
void handover_keep_fds(const struct handover *handover, bool keep);

/* The reader: first of all every fd is close-on-exec again. */
int handover_read(int fd, struct handover *ret, struct error **err);
/* The same from text; what it calls fds have to be open ones. */
int handover_parse(const char *text, size_t n, struct handover *ret, struct error **err);
/* Members of an object of the document; a missing or wrong one is an error that names it. */
int handover_take_fd(struct handover *handover, const json_t *object, const char *member, int *ret_fd,
                     struct error **err);
/* null: -1. */
int handover_take_fd_if(struct handover *handover, const json_t *object, const char *member, int *ret_fd,
                        struct error **err);
/* *ret is owned by the caller. */
int handover_take_bytes(const json_t *object, const char *member, size_t max, char **ret, size_t *ret_n,
                        struct error **err);
int handover_integer(const json_t *object, const char *member, json_int_t min, json_int_t max,
                     json_int_t *ret, struct error **err);
int handover_bool(const json_t *object, const char *member, bool *ret, struct error **err);
/* Lent. */
int handover_string(const json_t *object, const char *member, const char **ret, struct error **err);

/* Frees; closes what a reader has not taken. */
void handover_done(struct handover *handover);
#define _cleanup_handover_ _cleanup_(handover_done)

/*
 * The word of `vmlaunch __reexec` without arguments, one line of JSON: {"vmlaunch": version, "handover": {"oldest",
 * "newest"}}. New string.
 */
char *handover_word(void);
/* Is that the word of a program that reads our format? *ret_version (new string) is its version. */
int handover_hear_word(const char *word, char **ret_version, struct error **err);
