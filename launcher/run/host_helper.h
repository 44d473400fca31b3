/*
 * host_helper - `vmlaunch __host`: host steps for a supervisor that has lowered its capabilities.
 *
 * uid 0 gets its capabilities back at exec; the helper keeps the few that undoing needs, does one request
 * with a deadline and ends. It is started from /proc/self/exe, so a replaced program file does not matter. It
 * has as stdin a request, {"schema":1,"action":"undo","deadline_ms":N,"cgroup":{...}}, as fd 3 the VM's
 * directory, whose journal says what is to be undone, and as fd 4 the VM's lock: a supervisor that dies
 * meanwhile leaves the VM locked until the helper has ended. Its answer is one line: {"undone":["tap
 * ..."],"errors":[{"code","os_errno","text"}]}.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"
#include "cgroups/cgroup_host.h"
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
/* Before the callback: forgets the helper, which goes on by itself until its deadline. Accepts NULL. */
void host_helper_forget(struct host_helper *helper);

/* `vmlaunch __host`: returns the exit status. */
int host_helper_main(void);
