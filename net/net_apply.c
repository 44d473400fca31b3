#include "net/net_apply.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "net/openvswitch.h"
#include "net/tap.h"

#define BRIDGES_NAMED_MAX 12
#define RELEASE_MS        5000
#define RELEASE_STEP_MS   10

static int no_such_bridge(struct netlink *nl, const char *bridge, struct error **err)
{
        _cleanup_free_ struct net_link *links = NULL;
        _cleanup_text_ struct text names = TEXT_INIT;
        size_t n = 0, bridges = 0;

        if (netlink_link_dump(nl, &links, &n, err) < 0)
                return error_wrap(err, "no bridge '%s'", bridge);
        for (size_t i = 0; i < n; i++)
                if (strcmp(links[i].kind, "bridge") == 0 && ++bridges <= BRIDGES_NAMED_MAX)
                        text_addf(&names, "%s%s", bridges > 1 ? ", " : "", links[i].name);
        if (bridges > BRIDGES_NAMED_MAX)
                text_add(&names, ", ...");
        return error_set(err, ERROR_HOST, "no bridge '%s' on this host (bridges: %s)", bridge,
                         bridges ? text_str(&names) : "none");
}

/* The bridge's link, or an error that says what is there instead. */
static int find_bridge(struct netlink *nl, const char *bridge, struct net_link *ret, struct error **err)
{
        int found = netlink_link_get(nl, bridge, ret, err);
        bool may_be_ovs;

        if (found < 0)
                return -1;
        if (found == 0)
                return no_such_bridge(nl, bridge, err);
        if (strcmp(ret->kind, "bridge") == 0)
                return 0;
        /* Of its datapath in the kernel; the one in user space has taps. */
        may_be_ovs = strcmp(ret->kind, "openvswitch") == 0 || strcmp(ret->kind, "tun") == 0;
        return error_set(err, ERROR_HOST, "interface '%s' is not a bridge but %s%s%s%s", bridge,
                         *ret->kind                  ? "of kind '"
                         : ret->flags & IFF_LOOPBACK ? "the loopback interface"
                                                     : "a network card",
                         ret->kind, *ret->kind ? "'" : "",
                         may_be_ovs ? " (for one of Open vSwitch: BRIDGE_TYPE = \"openvswitch\")" : "");
}

int net_bridge_check(struct netlink *nl, const char *bridge, struct error **err)
{
        struct net_link link;

        return find_bridge(nl, bridge, &link, err);
}

static int find_tap(struct netlink *nl, const char *ifname, struct net_link *ret, struct error **err)
{
        int found = netlink_link_get(nl, ifname, ret, err);

        if (found == 0)
                return error_set(err, ERROR_FAILED, "interface '%s' is gone", ifname);
        return found < 0 ? -1 : 0;
}

static int do_link_set(struct netlink *nl, const struct net_op *op, struct error **err)
{
        struct net_link_change change = { .set_group = true,
                                          .group = op->link.group,
                                          .alias = op->link.alias,
                                          .set_mac = true,
                                          .mtu = op->link.mtu };
        struct net_link link;

        memcpy(change.mac, op->link.mac, sizeof(change.mac));
        if (find_tap(nl, op->ifname, &link, err) < 0)
                return -1;
        /* Marking somebody else's interface would give the undo the right to delete it. */
        if (strcmp(link.kind, "tun") != 0 || (*link.alias && strcmp(link.alias, op->link.alias) != 0))
                return error_set(err, ERROR_BUSY, "interface '%s' belongs to somebody else", op->ifname);
        if (netlink_link_set(nl, link.index, &change, err) < 0)
                return error_wrap(err, "set group, alias, address and MTU of '%s'", op->ifname);
        return 0;
}

/* The Linux bridge that a link is in; false: none, or *err. */
static bool in_linux_bridge(struct netlink *nl, const struct net_link *link, struct net_link *ret,
                            struct error **err)
{
        /* Ports of the kernel's Open vSwitch have a master, too, "ovs-system". */
        return link->master && netlink_link_get_index(nl, link->master, ret, err) > 0 &&
               strcmp(ret->kind, "bridge") == 0;
}

static int leave_bridge(struct netlink *nl, const struct net_link *link, struct error **err)
{
        const struct net_link_change leave = { .set_master = true };
        struct net_link bridge;

        if (in_linux_bridge(nl, link, &bridge, err) && netlink_link_set(nl, link->index, &leave, err) < 0)
                error_wrap(err, "take '%s' out of its bridge", link->name);
        return *err ? -1 : 0;
}

static int do_bridge_join(struct netlink *nl, const struct net_op *op, const char *owner, struct error **err)
{
        struct net_link_change change = { .set_master = true };
        struct net_link tap, bridge = { 0 };

        /* A bridge of Open vSwitch has an interface of its name, too. */
        if ((op->join.in_ovs ? netlink_link_get(nl, op->join.bridge, &bridge, err)
                             : find_bridge(nl, op->join.bridge, &bridge, err)) < 0 ||
            find_tap(nl, op->ifname, &tap, err) < 0)
                return -1;
        if (op->join.in_ovs && strcmp(bridge.kind, "bridge") == 0)
                return error_set(err, ERROR_HOST,
                                 "'%s' is a Linux bridge (BRIDGE_TYPE = \"linux\"), not one of Open vSwitch",
                                 op->join.bridge);
        if (!op->join.keep_mtu && bridge.mtu && bridge.mtu != tap.mtu) {
                const struct net_link_change size = { .mtu = bridge.mtu };

                if (netlink_link_set(nl, tap.index, &size, err) < 0)
                        return error_wrap(err, "give '%s' the MTU of bridge '%s'", op->ifname,
                                          op->join.bridge);
        }
        change.master = bridge.index;
        if (op->join.in_ovs ? leave_bridge(nl, &tap, err) < 0 || ovs_port_add(OVS_SOCKET, op, owner, err) < 0
                            : netlink_link_set(nl, tap.index, &change, err) < 0)
                return error_wrap(err, "join '%s' to bridge '%s'", op->ifname, op->join.bridge);
        return 0;
}

static int do_link_up(struct netlink *nl, const struct net_op *op, struct error **err)
{
        const struct net_link_change change = { .set_up = true, .up = true };
        struct net_link link;

        if (find_tap(nl, op->ifname, &link, err) < 0)
                return -1;
        if (netlink_link_set(nl, link.index, &change, err) < 0)
                return error_wrap(err, "set '%s' up", op->ifname);
        return 0;
}

/* Where a tap is. */
struct place {
        char bridge[IFNAMSIZ]; /* "": nowhere */
        bool in_ovs;
};

static int find_place(struct netlink *nl, const struct net_link *link, const char *owner, struct place *ret,
                      struct error **err)
{
        struct net_link bridge;

        *ret = (struct place){ 0 };
        if (in_linux_bridge(nl, link, &bridge, err))
                memcpy(ret->bridge, bridge.name, IFNAMSIZ);
        else if (!*err && ovs_bridge_of(OVS_SOCKET, link->name, owner, ret->bridge, err) == 0)
                ret->in_ovs = *ret->bridge;
        return *err ? -1 : 0;
}

/* ovs-vswitchd sees that its port is gone, and then lets go of the tap. */
static int leave_switch(struct netlink *nl, const char *ifname, const char *owner, struct net_link *link,
                        struct error **err)
{
        long long deadline = fd_now_ms() + RELEASE_MS;
        struct net_link bridge;

        if (ovs_port_remove(OVS_SOCKET, ifname, owner, err) < 0)
                return -1;
        while (find_tap(nl, ifname, link, err) == 0) {
                if (!link->master || in_linux_bridge(nl, link, &bridge, err))
                        return 0;
                if (*err)
                        break;
                if (fd_now_ms() >= deadline)
                        return error_set(err, ERROR_DEADLINE, "Open vSwitch does not let go of '%s'", ifname);
                poll(NULL, 0, RELEASE_STEP_MS);
        }
        return -1;
}

/* From wherever it is. */
static int go(struct netlink *nl, const struct net_op *op, const char *owner, struct error **err)
{
        struct net_link link, bridge;

        if (op->join.in_ovs && !op->join.ovs.vm_id)
                return error_set(err, ERROR_HOST, "what port of Open vSwitch '%s' was is not known",
                                 op->ifname);
        if (op->join.in_ovs)
                return do_bridge_join(nl, op, owner, err);
        if ((*op->join.bridge && net_bridge_check(nl, op->join.bridge, err) < 0) ||
            find_tap(nl, op->ifname, &link, err) < 0)
                return -1;
        /* What is in a bridge of Linux is in none of the switch, which may not answer. */
        if (!in_linux_bridge(nl, &link, &bridge, err) &&
            (*err || leave_switch(nl, op->ifname, owner, &link, err) < 0))
                return -1;
        return *op->join.bridge ? do_bridge_join(nl, op, owner, err) : leave_bridge(nl, &link, err);
}

static int do_bridge_move(struct netlink *nl, const struct net_op *op, const char *owner, struct error **err)
{
        struct error *lost = NULL;
        struct net_link link;
        struct place was;

        if (find_tap(nl, op->ifname, &link, err) < 0 || find_place(nl, &link, owner, &was, err) < 0)
                return -1;
        if (go(nl, op, owner, err) == 0)
                return 0;
        /* A step that failed owes nothing. */
        if (net_bridge_back(nl, op, owner, was.bridge, was.in_ovs, &lost) < 0)
                error_append(err, lost);
        return -1;
}

int net_op_do(struct netlink *nl, const struct net_op *op, const char *owner, int *ret_fds,
              struct error **err)
{
        switch (op->kind) {
        case NET_TAP_CREATE:
                return tap_open(op->ifname, op->tap.queues, op->tap.vnet_hdr, ret_fds, err);
        case NET_LINK_SET:
                return do_link_set(nl, op, err);
        case NET_BRIDGE_JOIN:
                return do_bridge_join(nl, op, owner, err);
        case NET_BRIDGE_MOVE:
                return do_bridge_move(nl, op, owner, err);
        case NET_LINK_UP:
                return do_link_up(nl, op, err);
        }
        abort();
}

int net_op_undo(struct netlink *nl, const struct net_op *op, const char *owner, bool *switch_is_mute,
                struct error **err)
{
        const struct net_link_change leave = { .set_master = true }, down = { .set_up = true };
        struct net_link link, master;
        int found, done = 0;

        assert(*owner);
        /* Also that of a tap which is gone, and of one that has moved there since. A switch that cannot be asked, whatever is
         * wrong with it, holds up nobody's end, which may have nothing to do with it: the port is an orphan when it can. */
        if ((op->kind == NET_TAP_CREATE || (op->kind == NET_BRIDGE_JOIN && op->join.in_ovs)) &&
            !*switch_is_mute && ovs_port_remove(OVS_SOCKET, op->ifname, owner, err) < 0) {
                *switch_is_mute = true;
                error_free(TAKE_PTR(*err));
        }
        found = netlink_link_get(nl, op->ifname, &link, err);
        if (found <= 0 || strcmp(link.alias, owner) != 0)
                return found < 0 ? -1 : 0;
        switch (op->kind) {
        case NET_TAP_CREATE:
                done = netlink_link_delete(nl, link.index, err);
                break;
        case NET_LINK_SET:
                /* The mark stays until the tap goes: it is the right to remove it. */
        case NET_BRIDGE_MOVE:
                /* net_bridge_back() */
                return 0;
        case NET_BRIDGE_JOIN:
                if (link.master == 0 || op->join.in_ovs)
                        return 0;
                found = netlink_link_get_index(nl, link.master, &master, err);
                /* Moved to another bridge meanwhile: not what was done here. */
                if (found <= 0 || strcmp(master.name, op->join.bridge) != 0)
                        return found < 0 ? -1 : 0;
                done = netlink_link_set(nl, link.index, &leave, err);
                break;
        case NET_LINK_UP:
                done = netlink_link_set(nl, link.index, &down, err);
                break;
        }
        /* Gone between the look and the request: what was wanted. */
        if (done < 0 && (*err)->code == ERROR_OS && (*err)->os_errno == ENODEV) {
                error_free(*err);
                *err = NULL;
                return 0;
        }
        return done < 0 ? error_wrap(err, "clean up interface '%s'", op->ifname) : 0;
}

int net_bridge_of(struct netlink *nl, const char *ifname, const char *owner, char ret[IFNAMSIZ],
                  bool *ret_in_ovs, struct error **err)
{
        struct net_link link;
        struct place place;

        assert(*owner);
        if (find_tap(nl, ifname, &link, err) < 0)
                return -1;
        if (strcmp(link.alias, owner) != 0)
                return error_set(err, ERROR_BUSY, "interface '%s' belongs to somebody else", ifname);
        if (find_place(nl, &link, owner, &place, err) < 0)
                return -1;
        memcpy(ret, place.bridge, IFNAMSIZ);
        *ret_in_ovs = place.in_ovs;
        return 0;
}

int net_bridge_back(struct netlink *nl, const struct net_op *op, const char *owner, const char *previous,
                    bool in_ovs, struct error **err)
{
        struct net_op back = { .kind = NET_BRIDGE_MOVE, .ifname = op->ifname, .join = op->join };
        struct net_link link;
        struct place now;
        int found = netlink_link_get(nl, op->ifname, &link, err);

        assert(*owner);
        if (found <= 0 || strcmp(link.alias, owner) != 0)
                return found < 0 ? -1 : 0;
        /* Moved elsewhere meanwhile: not what was done here. Nowhere is what an end on the way leaves. */
        if (find_place(nl, &link, owner, &now, err) < 0 ||
            (*now.bridge && strcmp(now.bridge, op->join.bridge) != 0))
                return *err ? -1 : 0;
        back.join.bridge = previous;
        back.join.in_ovs = in_ovs;
        /* One by hand is as the plan has it. */
        if (op->join.was_ovs.vm_id)
                back.join.ovs = op->join.was_ovs;
        if (go(nl, &back, owner, err) == 0)
                return 0;
        /* A bridge that is gone cannot be gone back to. */
        if ((*err)->code != ERROR_HOST)
                return -1;
        error_free(TAKE_PTR(*err));
        back.join.bridge = "";
        back.join.in_ovs = false;
        return go(nl, &back, owner, err);
}

int net_remove_tap(struct netlink *nl, int index, const char *owner, struct error **err)
{
        struct net_link link;
        int found = netlink_link_get_index(nl, index, &link, err);

        assert(*owner);
        if (found <= 0 || strcmp(link.alias, owner) != 0 || strcmp(link.kind, "tun") != 0)
                return found < 0 ? -1 : 0;
        if (netlink_link_delete(nl, index, err) < 0)
                return error_wrap(err, "delete tap '%s'", link.name);
        return 1;
}

int net_find_by_alias(struct netlink *nl, const char *prefix, struct net_found **ret, size_t *ret_n,
                      struct error **err)
{
        _cleanup_free_ struct net_link *links = NULL;
        struct net_found *found = NULL;
        size_t n = 0, n_found = 0;

        if (netlink_link_dump(nl, &links, &n, err) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                struct net_found *one;

                if (!*links[i].alias || !text_starts_with(links[i].alias, prefix))
                        continue;
                ARRAY_GROW(found, n_found);
                one = &found[n_found++];
                *one = (struct net_found){ .group = links[i].group, .index = links[i].index };
                memcpy(one->kind, links[i].kind, sizeof(one->kind));
                memcpy(one->ifname, links[i].name, sizeof(one->ifname));
                memcpy(one->alias, links[i].alias, sizeof(one->alias));
                for (size_t j = 0; j < n && links[i].master; j++)
                        if (links[j].index == links[i].master)
                                memcpy(one->master, links[j].name, sizeof(one->master));
        }
        *ret = found;
        *ret_n = n_found;
        return 0;
}
