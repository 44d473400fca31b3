/*
 * apart - a piece of work on files, in a process of its own with a deadline, because it may never return.
 *
 * Storage that does not answer (a dead NFS server, a FUSE file system whose daemon hangs) keeps whoever touches it in
 * the kernel, often beyond SIGKILL. What looks at images is therefore done by a forked child; one that is held is left
 * behind, with the fds it has, and ends when the kernel lets it go.
 *
 * What is not covered: the file systems that vmlaunch itself lives on (its own directories, the template, the program).
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "base/text.h"

struct apart;

/*
 * Runs in the child, a copy of the caller: nothing it changes in memory is seen outside. Returns a new reference, or NULL
 * and *err. Must not touch the caller's files and sockets.
 */
typedef json_t *apart_fn(struct apart *apart, void *data, struct error **err);

/* In the child: the file that it looks at now, for the error at the deadline. */
void apart_at(struct apart *apart, const char *path);
/*
 * In the child: this open file is handed over. It is never in the caller's fd table, because closing it might hang too:
 * it waits in the socket that apart_run() gives, in order of handing over, until somebody receives it there (one byte
 * and one fd per message), and is dropped without a word to its storage when the socket is closed.
 */
int apart_hand_over(struct apart *apart, int fd, struct error **err);
/*
 * In the child: so many bytes more of a text besides the answer, which apart_end() gives as it is: for much that JSON would
 * take time for.
 */
void apart_say(struct apart *apart, const char *bytes, size_t n);

/* For errors that are part of a value: codes, words and hint; places in a template and lists are left out. */
json_t *apart_error_to_json(const struct error *error);
void apart_error_from_json(const json_t *json, struct error **err);

/* Storage that answers does so at once; disks that have to spin up first, within it. */
#define APART_STORAGE_MS 5000u

/*
 * In two steps, for a caller who has something else to do meanwhile: the child begins at once; data must live, and what
 * it points to stay as it is, until the end or drop, one of which takes the child. The deadline counts from apart_end().
 */
struct apart *apart_begin(apart_fn *fn, void *data, struct error **err);
/* ret_said: what the child said besides, NULL when it says nothing; NUL-terminated. */
int apart_end(struct apart *apart_consume, unsigned deadline_ms, json_t **ret, struct text *ret_said,
              int *ret_sock, struct error **err);
/* Its answer is no longer wanted; NULL is nothing. */
void apart_drop(struct apart *apart_consume);
DEFINE_FREEP(struct apart, apart_drop)

/*
 * Both at once. 0 and *ret (new reference), the child's error, or ERROR_DEADLINE that names the file. ret_sock may be NULL when
 * nothing is handed over.
 */
int apart_run(apart_fn *fn, void *data, unsigned deadline_ms, json_t **ret, int *ret_sock,
              struct error **err);
