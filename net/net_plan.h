/*
 * net_plan - what happens on the host so that a NIC of the guest has its tap: records, no effects.
 *
 * Pure. A struct net_op lends its strings: from the struct net_nic it was planned from, or from the json_t
 * it was read from; keep those as long as the operation. Operations travel as JSON in the journal and to the
 * host helper: {"op":"tap-create","ifname":"web-0","queues":2,"vnet-hdr":true}. The order is the order of
 * doing: a tap is marked (group, alias) before it joins a bridge, so whatever is found on a bridge says whose
 * it is. Errors: ERROR_INVALID for a name or number the kernel would not take or would read otherwise.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

#define NET_IFNAME_MAX 15  /* bytes; IFNAMSIZ with its NUL is 16 */
#define NET_ALIAS_MAX  255 /* bytes; the kernel's IFALIASZ is 256 */
#define NET_QUEUES_MAX 256 /* MAX_TAP_QUEUES of the kernel's tun driver */
#define NET_MAC_SIZE   6
/* ETH_MIN_MTU, and what a tap takes (MAX_MTU of the tun driver). */
#define NET_MTU_MIN 68
#define NET_MTU_MAX 65521
/* 802.1Q; 0 is no VLAN, 4095 reserved. */
#define NET_VLAN_MAX 4094

/* A port of Open vSwitch. */
struct net_ovs {
        unsigned tag;       /* 0: none */
        const char *trunks; /* "10,20-29"; NULL: none */
        const char *mac;    /* the guest's */
        const char *vm_id;  /* UUID */
};

/* The tap of one NIC. */
struct net_nic {
        const char *ifname;
        const char *bridge;        /* NULL: none */
        const struct net_ovs *ovs; /* bridge is one of Open vSwitch; NULL: a Linux bridge */
        unsigned queues;           /* 1 .. NET_QUEUES_MAX */
        bool vnet_hdr;
        unsigned mtu;      /* 0: the bridge's, or the kernel's own */
        uint32_t group;    /* link group: the VM's uid */
        const char *alias; /* "vmlaunch:NAME:GENERATION", in a printed plan "vmlaunch:web:@GENERATION@" */
        uint8_t mac[NET_MAC_SIZE]; /* the guest's; the tap gets the same with 0xfe first, see net_tap_mac() */
};

enum net_op_kind { NET_TAP_CREATE = 1, NET_LINK_SET, NET_BRIDGE_JOIN, NET_LINK_UP, NET_BRIDGE_MOVE };

struct net_op {
        enum net_op_kind kind;
        const char *ifname;
        union {
                struct {
                        unsigned queues;
                        bool vnet_hdr;
                } tap;
                struct {
                        uint32_t group;
                        const char *alias;
                        uint8_t mac[NET_MAC_SIZE]; /* the tap's own */
                        unsigned mtu;              /* 0: as it is */
                } link;
                struct {
                        const char *bridge; /* NET_BRIDGE_MOVE: "" none */
                        /* A bridge takes the least MTU of its ports for its own (br_mtu_auto_adjust()): without this
                         * the tap takes the bridge's first. */
                        bool keep_mtu;
                        bool in_ovs; /* the bridge is one of Open vSwitch, and ovs says what the port is to be */
                        struct net_ovs ovs;
                        /* NET_BRIDGE_MOVE: what it was to be in the bridge of Open vSwitch that it comes from */
                        struct net_ovs was_ovs; /* vm_id NULL: it was in none */
                } join;
        };
};

/* At most this many operations for one NIC. */
#define NET_OPS_PER_NIC 4
/* Writes *ret_n operations to ret. */
int net_plan_nic(const struct net_nic *nic, struct net_op ret[NET_OPS_PER_NIC], size_t *ret_n,
                 struct error **err);

/* New reference. */
json_t *net_op_to_json(const struct net_op *op);
/* Strings are lent by json. Everything net_plan_nic() checks is checked again. */
int net_op_from_json(const json_t *json, struct net_op *ret, struct error **err);
/* The line of the printed plan after the word "net": "bridge join   web-0 -> br0". */
void net_op_text(const struct net_op *op, struct text *out);

/*
 * A name for an interface: 1 to 15 bytes of printable ASCII without blank, '/', ':' and '%', not "." or
 * "..". The kernel refuses the first ones (dev_valid_name()) and expands '%d'. what: "interface", "bridge".
 */
int net_ifname_check(const char *what, const char *ifname, struct error **err);
/*
 * The tap's own address: the guest's with 0xfe as first byte. A bridge takes the lowest address of its ports
 * for its own; with 0xfe no tap ever is the lowest, so the bridge's address does not change as VMs come and
 * go (libvirt does the same), and the host's end differs from the guest's.
 */
void net_tap_mac(const uint8_t guest[NET_MAC_SIZE], uint8_t ret[NET_MAC_SIZE]);
