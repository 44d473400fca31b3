/*
 * net_apply - does and undoes what net_plan planned.
 *
 * Undo is idempotent (an interface that is gone is fine) and safe: an interface is touched only when its
 * alias is the given owner, "vmlaunch:NAME:GENERATION"; somebody else's interface of the same name stays as
 * it is. A tap that was not marked yet (its NET_LINK_SET has not been done) goes when its fds are closed,
 * and only so. Blocks for the kernel's rtnl lock: the executor's and the host helper's business, never
 * the running supervisor's. Errors: ERROR_BUSY for a name that is taken, ERROR_HOST for a bridge that is not
 * there or is none, ERROR_OS with EPERM without CAP_NET_ADMIN.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"
#include "net/net_plan.h"
#include "net/netlink.h"

/* owner: the alias with the real generation. ret_fds: op->tap.queues fds for NET_TAP_CREATE, else not looked at. */
int net_op_do(struct netlink *nl, const struct net_op *op, const char *owner, int *ret_fds,
              struct error **err);
/* *switch_is_mute, false at first, for all of one end: who undoes many waits once for an Open vSwitch that does not answer. */
int net_op_undo(struct netlink *nl, const struct net_op *op, const char *owner, bool *switch_is_mute,
                struct error **err);
/* For NET_BRIDGE_MOVE: which bridge a tap is in before (ERROR_BUSY: its alias is not owner), "" none; and back there. */
int net_bridge_of(struct netlink *nl, const char *ifname, const char *owner, char ret[IFNAMSIZ],
                  bool *ret_in_ovs, struct error **err);
int net_bridge_back(struct netlink *nl, const struct net_op *op, const char *owner, const char *previous,
                    bool in_ovs, struct error **err);
/* Deletes the tap of that number if its alias is owner. 1: done, 0: it is not (any more), -1: *err. */
int net_remove_tap(struct netlink *nl, int index, const char *owner, struct error **err);

struct net_found {
        int index;
        char ifname[IFNAMSIZ];
        char kind[IFNAMSIZ]; /* "tun", "bridge", ... */
        char alias[NET_LINK_ALIAS_SIZE];
        uint32_t group;
        char master[IFNAMSIZ]; /* its bridge, "" when none */
};
/* Interfaces whose alias begins with prefix ("vmlaunch:", "vmlaunch:web:"); *ret: free(). */
int net_find_by_alias(struct netlink *nl, const char *prefix, struct net_found **ret, size_t *ret_n,
                      struct error **err);
/* ERROR_HOST with the host's bridges by name when there is no such bridge or it is something else. */
int net_bridge_check(struct netlink *nl, const char *bridge, struct error **err);
