/*
 * expander - PCI Express roots beside the machine's own (pxb-pcie), for devices of the host; private to this folder but
 * for expander_is_part().
 *
 * "node0" with the ports "node0p1" to "node0p8" is that of a NUMA node of the guest (Q35_NUMA_PCIE), "root0" with
 * "root0p1" that of one device alone (PCI/ROOT dedicated). Their bus numbers are OpenNebula's, their slots on pcie.0 are
 * counted down from the last one that a root port can have, each its own, so that they stay whatever else is there.
 */
#pragma once

#include "launcher/plan/builder.h"

/* Are they to be had, and are the places that are asked for there, each for one device? */
int expander_check(struct build *build, struct error **err);
/* Once it is known how many root ports there are. */
int expander_check_place(struct build *build, struct error **err);
/* With the IOMMUs that are behind them. */
void expander_args(struct build *build);
/* A place behind one of them, "node0p1:0x0". */
bool expander_has(const char *address);
/* One of them, or a port of one, by its id. */
bool expander_is_part(const char *id);
