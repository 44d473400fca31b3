/*
 * adopt_process - what QEMU's own process says of a run whose journal and record have lost it. Reads /proc.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "base/error.h"
#include "conf/site.h"

/*
 * The process that says on its command line that it is this VM's; generation: which run it has to be of, NULL: any.
 * *ret_spawned: what the journal would have, {"pid","start","uid"}; *ret_generation is replaced. 1: found; 0: there is
 * none; -1: *err, also for more than one.
 */
int process_find(const struct site *site, const char *vm, const char *generation, json_t **ret_spawned,
                 char **ret_generation, struct error **err);
/*
 * Adds the locks of what it has open to locks, as in struct journal_run, each with a member "found", its path. That is
 * images, for good, and kernel and initrd, which are read-only.
 */
void process_add_locks(pid_t pid, json_t *locks);
/* Its control group if that has the VM's name; new string or NULL. */
char *process_group(const char *vm, pid_t pid);
/* What QEMU or a helper has as its stderr, to read: only the memory file that the executor gave it. -1: it is none. */
int process_open_stderr(pid_t pid);
