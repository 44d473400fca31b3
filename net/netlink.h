/*
 * netlink - the few rtnetlink requests about links that vmlaunch needs.
 *
 * Building and parsing messages is pure and bounded (netlink_parse_*, fuzzed); a struct netlink is one
 * request socket, one request at a time, each waits for the kernel's answer or acknowledgement. Changes of
 * several attributes go in one request. Errors: ERROR_OS with the kernel's errno.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

#define NET_LINK_ALIAS_SIZE 256 /* IFALIASZ of linux/if.h, which does not go with net/if.h */

struct netlink;

struct net_link {
        int index;
        char name[IFNAMSIZ];
        char alias[NET_LINK_ALIAS_SIZE]; /* "" when none */
        char kind[IFNAMSIZ];             /* "tun", "bridge", "veth", ...; "" for hardware */
        uint32_t group;
        int master; /* index, 0: none */
        unsigned mtu;
        unsigned flags;    /* IFF_UP, IFF_RUNNING, ... */
        uint8_t operstate; /* IF_OPER_* of linux/if.h */
        bool has_mac;
        uint8_t mac[6];
};

/* What to change; the others stay as they are. */
struct net_link_change {
        bool set_group, set_mac, set_master, set_up;
        uint32_t group;
        const char *alias; /* NULL: as it is */
        uint8_t mac[6];
        int master;   /* index of the bridge, 0: leave it */
        unsigned mtu; /* 0: as it is */
        bool up;
};

struct netlink *netlink_open(struct error **err);
void netlink_close(struct netlink *nl);
DEFINE_FREEP(struct netlink, netlink_close)
#define _cleanup_netlink_ _cleanup_(netlink_closep)

/* 1 found, 0 no such interface, -1 error. */
int netlink_link_get(struct netlink *nl, const char *name, struct net_link *ret, struct error **err);
int netlink_link_get_index(struct netlink *nl, int index, struct net_link *ret, struct error **err);
int netlink_link_set(struct netlink *nl, int index, const struct net_link_change *change, struct error **err);
/* A link that is not there any more is fine. */
int netlink_link_delete(struct netlink *nl, int index, struct error **err);
/* All links. *ret_links is owned by the caller: free(). */
int netlink_link_dump(struct netlink *nl, struct net_link **ret_links, size_t *ret_n, struct error **err);

/* One RTM_NEWLINK message of n bytes (header included). False when it is not one or is malformed. */
bool netlink_parse_link(const void *message, size_t n, struct net_link *ret);
