/*
 * confine - what a process may do: QEMU's ids and capabilities, the supervisor's lowered ones.
 *
 * Bare system calls: between fork and exec a child may have been made by clone3(), which runs no atfork handlers.
 */
#pragma once

#include "base/error.h"
#include "launcher/plan/launch_plan.h"

/*
 * In the child, before exec: groups, gid and uid of the plan, bounding and ambient set empty, every
 * capability set empty, no_new_privs. Not root and already of the planned uid: ids stay, and the bounding set
 * as far as one may. Async-signal-safe. 0, or -1 with errno and in *ret_what the words for the call that
 * failed.
 */
int confine_child(const struct plan_confinement *confine, const char **ret_what);

/* Keeps what is permitted, makes nothing effective: uid 0 gets it back at its next exec (capabilities(7)). */
int confine_lower_capabilities(struct error **err);
/* Keeps only these capabilities (CAP_KILL, ...), effective and permitted; the others are gone for good. */
int confine_keep_capabilities(const int *capabilities, size_t n, struct error **err);
/*
 * pidfd_send_signal() with CAP_KILL made effective around the one call: QEMU has another uid than its
 * supervisor. A process that has ended already is fine.
 */
int confine_send_signal(int pidfd, int sig, struct error **err);
