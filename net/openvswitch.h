/*
 * openvswitch - taps as ports of a bridge of Open vSwitch: OVSDB's JSON-RPC (RFC 7047) over its local socket.
 *
 * A change is one transaction, so that there is all of a port or nothing. A port carries its owner ("vmlaunch:NAME:GENERATION")
 * in external_ids:vmlaunch; one with another owner is left alone. Each call connects, asks and waits at most 3 s for an answer,
 * and 5 s for the switch to take a port; replies are bounded. socket: OVS_SOCKET, or a test's. A host without Open vSwitch, or
 * where it does not run, has no ports to find and none to remove. Errors: ERROR_HOST for a bridge that is not there or a switch
 * that does not take the tap, ERROR_BUSY for somebody else's port of that name, ERROR_DEADLINE, ERROR_OS; ERROR_FAILED for an
 * answer that is none, or a no.
 */
#pragma once

#include <jansson.h>
#include <net/if.h>

#include "base/error.h"
#include "net/net_plan.h"

#define OVS_SOCKET "/run/openvswitch/db.sock"

/*
 * op->join: the bridge and what the port is to be. A port of ours that the tap has already, or an earlier run's tap of that
 * name left, goes in the same transaction. Waits until the switch has taken the tap; otherwise nothing is left of it.
 */
int ovs_port_add(const char *socket, const struct net_op *op, const char *owner, struct error **err);
int ovs_port_remove(const char *socket, const char *ifname, const char *owner, struct error **err);
/* The bridge of that port, "" when there is none. */
int ovs_bridge_of(const char *socket, const char *ifname, const char *owner, char ret[IFNAMSIZ],
                  struct error **err);
/* Ports whose owner begins with prefix: {"web-0": "vmlaunch:web:..."}; new reference, NULL: *err. */
json_t *ovs_find(const char *socket, const char *prefix, struct error **err);
