/*
 * host_helper - `vmlaunch __host`: host steps for a supervisor that has lowered its capabilities.
 *
 * uid 0 gets its capabilities back at exec; the helper keeps the few that its steps need, does one request
 * with a deadline and ends. It is started from /proc/self/exe, so a replaced program file does not matter. It
 * has as stdin the request, {"schema":1,"action":A,"deadline_ms":N,"cgroup":{...}} and more by action, as fd 3 the VM's
 * directory with its journal, and as fd 4 the VM's lock: a supervisor that dies meanwhile leaves the VM locked until
 * the helper has ended. Its answer is one line: {"undone":["tap ..."],"fds":[],"errors":[{"code","os_errno","text"}]}.
 *
 *   undo        the whole journal, of a run that has ended
 *   do          {"name","run_dir","generation","steps":[{"n","effect","args","apply","text"}],"parent"}: journals each step
 *               and does it, up to the first that fails; what they opened goes to the socket that is its fd 5
 *   undo-steps  {"first","last","parent"}: those steps of a run that goes on
 *   memory-cleanup  memory_cleanup.h: nobody reads its answer; fd 3 is RUN, fd 4 the VM's log
 *
 * The last two end with the supervisor ("parent"), and hold the journal (journal_hold()) while they work: a successor
 * finds it at rest.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"
#include "cgroups/cgroup_host.h"
#include "launcher/run/effects.h"
#include "launcher/state/state_dir.h"

struct host_helper;

/*
 * The undo has ended: error NULL when all is undone (the journal is empty then), else a list; lent. undone:
 * an array of lines, lent. The helper is freed when the callback returns.
 */
typedef void host_helper_fn(const struct error *error, const json_t *undone, void *data);

/* Undoes vm's journal. NULL and *err when the helper cannot be started; fn is not called then. */
struct host_helper *host_helper_undo(struct loop *loop, const struct vm_dir *vm,
                                     const struct cgroup_host *cgroup, unsigned deadline_ms,
                                     host_helper_fn *fn, void *data, struct error **err);
struct host_helper *host_helper_undo_steps(struct loop *loop, const struct vm_dir *vm,
                                           const struct cgroup_host *cgroup, json_int_t first,
                                           json_int_t last, unsigned deadline_ms, host_helper_fn *fn,
                                           void *data, struct error **err);

/* The steps are done, or *error says which was not: those before it are to be undone. A callee that keeps an fd puts -1
 * in its place; the rest are closed. */
typedef void host_steps_fn(const struct error *error, struct named_fd *fds, size_t n_fds, void *data);

struct host_helper *host_helper_do(struct loop *loop, const struct vm_dir *vm,
                                   const struct cgroup_host *cgroup, const char *generation,
                                   const json_t *steps, unsigned deadline_ms, host_steps_fn *fn, void *data,
                                   struct error **err);
/*
 * One with the caller's rights at exec that is no host helper but a hidden verb of ours (argv, lent): it has the request as
 * stdin, the same form of answer as stdout (host_helper_serve_verb()), and no other fd.
 */
struct host_helper *host_helper_verb(struct loop *loop, const struct vm_dir *vm,
                                     const struct cgroup_host *cgroup, char *const *argv,
                                     json_t *request_consume, unsigned deadline_ms, host_helper_fn *fn,
                                     void *data, struct error **err);
/*
 * A helper that nobody hears: its pidfd, -1 and *err when it cannot be started. run_dirfd becomes its fd 3, log_fd
 * (-1: none) its fd 4; request_consume has no deadline.
 */
int host_helper_leave(int run_dirfd, int log_fd, json_t *request_consume, struct error **err);
/* Before the callback: forgets the helper, which goes on by itself until its deadline. Accepts NULL. */
void host_helper_forget(struct host_helper *helper);

/*
 * In such a verb: reads the request, ends with the supervisor or at the deadline, keeps only what reading and opening images
 * of whatever owner needs; does it, and answers. Returns the exit status.
 */
int host_helper_serve_verb(int (*fn)(const json_t *request, void *data, struct error **err), void *data);

/* `vmlaunch __host`: returns the exit status. */
int host_helper_main(void);
