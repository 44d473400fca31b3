/*
 * affinity - which CPUs of the host QEMU's threads run on, and which memory nodes its memory comes from.
 *
 * The emulator's CPUs are part of the confinement, before its exec: all threads begin there. vCPUs and I/O threads get
 * theirs before the guest runs, by a step (launch_plan.h).
 */
#pragma once

#include "launcher/plan/builder.h"

/* ERROR_HOST for what this host has not. */
int affinity_check(struct build *build, struct error **err);
void affinity_confine(struct build *build);
/* The emulator runs. */
void affinity_spawn_step(struct build *build);
void affinity_steps(struct build *build);
/* The policy of a memory object of this node of the guest, into it. */
void affinity_add_policy(const struct build *build, unsigned node, json_t *object, struct text *because);
