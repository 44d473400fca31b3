#include "net/net_plan.h"

#include <string.h>

#include "base/number_list.h"

static const char *const op_names[] = {
        [NET_TAP_CREATE] = "tap-create", [NET_LINK_SET] = "link-set",       [NET_BRIDGE_JOIN] = "bridge-join",
        [NET_LINK_UP] = "link-up",       [NET_BRIDGE_MOVE] = "bridge-move",
};

int net_ifname_check(const char *what, const char *ifname, struct error **err)
{
        _cleanup_free_ char *shown = text_printable(ifname);

        if (!*ifname)
                return error_set(err, ERROR_INVALID, "empty %s name", what);
        if (strlen(ifname) > NET_IFNAME_MAX)
                return error_set(err, ERROR_INVALID, "%s name '%s' has %zu bytes, at most %d are possible",
                                 what, shown, strlen(ifname), NET_IFNAME_MAX);
        if (strcmp(ifname, ".") == 0 || strcmp(ifname, "..") == 0)
                return error_set(err, ERROR_INVALID, "'%s' is not a name for a %s", shown, what);
        for (const char *c = ifname; *c; c++)
                if (*c <= ' ' || *c > '~' || strchr("/:%", *c))
                        return error_set(err, ERROR_INVALID,
                                         "%s name '%s': blanks, '/', ':', '%%' and bytes outside ASCII "
                                         "are not possible",
                                         what, shown);
        return 0;
}

/* The alias is text of other tools' output and of our JSON: UTF-8 without control bytes. */
static int alias_check(const char *alias, struct error **err)
{
        _cleanup_free_ char *shown = text_printable(alias);
        json_auto_t *utf8 = json_string(alias);

        if (!*alias || strlen(alias) > NET_ALIAS_MAX)
                return error_set(err, ERROR_INVALID, "an alias has 1 to %d bytes, '%s' has %zu",
                                 NET_ALIAS_MAX, shown, strlen(alias));
        if (!utf8)
                return error_set(err, ERROR_INVALID, "an alias is UTF-8");
        for (const char *c = alias; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f)
                        return error_set(err, ERROR_INVALID, "control byte in alias '%s'", shown);
        return 0;
}

static int queues_check(const char *ifname, uint64_t queues, struct error **err)
{
        if (queues < 1 || queues > NET_QUEUES_MAX)
                return error_set(err, ERROR_INVALID, "tap '%s': %llu queues, 1 to %d are possible", ifname,
                                 (unsigned long long)queues, NET_QUEUES_MAX);
        return 0;
}

static int mtu_check(const char *ifname, uint64_t mtu, struct error **err)
{
        if (mtu && (mtu < NET_MTU_MIN || mtu > NET_MTU_MAX))
                return error_set(err, ERROR_INVALID, "tap '%s': MTU %llu, %d to %d are possible", ifname,
                                 (unsigned long long)mtu, NET_MTU_MIN, NET_MTU_MAX);
        return 0;
}

static int ovs_check(const char *ifname, const struct net_ovs *ovs, struct error **err)
{
        uint8_t mac[NET_MAC_SIZE], vm_id[16];
        struct number_list list;

        if (!text_parse_mac(ovs->mac, mac) || !text_parse_uuid(ovs->vm_id, vm_id))
                return error_set(err, ERROR_INVALID, "tap '%s': ovs needs a MAC and the VM's UUID", ifname);
        if (ovs->tag <= NET_VLAN_MAX &&
            (!ovs->trunks || number_list_parse_within(ovs->trunks, 1, NET_VLAN_MAX, &list)))
                return 0;
        return error_set(err, ERROR_INVALID, "tap '%s': VLANs are 1 to %d", ifname, NET_VLAN_MAX);
}

void net_tap_mac(const uint8_t guest[NET_MAC_SIZE], uint8_t ret[NET_MAC_SIZE])
{
        memmove(ret, guest, NET_MAC_SIZE);
        ret[0] = 0xfe;
}

int net_plan_nic(const struct net_nic *nic, struct net_op ret[NET_OPS_PER_NIC], size_t *ret_n,
                 struct error **err)
{
        size_t n = 0;

        if (net_ifname_check("interface", nic->ifname, err) < 0 ||
            queues_check(nic->ifname, nic->queues, err) < 0 || alias_check(nic->alias, err) < 0 ||
            mtu_check(nic->ifname, nic->mtu, err) < 0)
                return -1;
        if (nic->bridge && (net_ifname_check("bridge", nic->bridge, err) < 0 ||
                            (nic->ovs && ovs_check(nic->ifname, nic->ovs, err) < 0)))
                return -1;

        ret[n] = (struct net_op){ .kind = NET_TAP_CREATE, .ifname = nic->ifname };
        ret[n].tap.queues = nic->queues;
        ret[n++].tap.vnet_hdr = nic->vnet_hdr;

        ret[n] = (struct net_op){ .kind = NET_LINK_SET, .ifname = nic->ifname };
        ret[n].link.group = nic->group;
        ret[n].link.alias = nic->alias;
        ret[n].link.mtu = nic->mtu;
        net_tap_mac(nic->mac, ret[n++].link.mac);

        if (nic->bridge) {
                ret[n] = (struct net_op){ .kind = NET_BRIDGE_JOIN, .ifname = nic->ifname };
                ret[n].join.bridge = nic->bridge;
                ret[n].join.keep_mtu = nic->mtu != 0;
                if (nic->ovs) {
                        ret[n].join.in_ovs = true;
                        ret[n].join.ovs = *nic->ovs;
                }
                n++;
        }
        ret[n++] = (struct net_op){ .kind = NET_LINK_UP, .ifname = nic->ifname };
        *ret_n = n;
        return 0;
}

static void set_ovs(json_t *json, const char *member, const struct net_ovs *ovs)
{
        json_t *object =
                json_pack("{s:s, s:s, s:s*}", "mac", ovs->mac, "vm", ovs->vm_id, "trunks", ovs->trunks);

        if (ovs->tag)
                json_object_set_new(object, "tag", json_integer(ovs->tag));
        json_object_set_new(json, member, object);
}

json_t *net_op_to_json(const struct net_op *op)
{
        const char *name = op_names[op->kind];
        json_t *json;
        char mac[18];

        switch (op->kind) {
        case NET_TAP_CREATE:
                return json_pack("{s:s, s:s, s:I, s:b}", "op", name, "ifname", op->ifname, "queues",
                                 (json_int_t)op->tap.queues, "vnet-hdr", op->tap.vnet_hdr);
        case NET_LINK_SET:
                text_from_mac(op->link.mac, mac);
                json = json_pack("{s:s, s:s, s:I, s:s, s:s}", "op", name, "ifname", op->ifname, "group",
                                 (json_int_t)op->link.group, "alias", op->link.alias, "mac", mac);
                if (op->link.mtu)
                        json_object_set_new(json, "mtu", json_integer(op->link.mtu));
                return json;
        case NET_BRIDGE_JOIN:
        case NET_BRIDGE_MOVE:
                json = json_pack("{s:s, s:s, s:s}", "op", name, "ifname", op->ifname, "bridge",
                                 op->join.bridge);
                if (op->join.keep_mtu)
                        json_object_set_new(json, "keep-mtu", json_true());
                if (op->join.in_ovs)
                        set_ovs(json, "ovs", &op->join.ovs);
                if (op->join.was_ovs.vm_id)
                        set_ovs(json, "was-ovs", &op->join.was_ovs);
                return json;
        case NET_LINK_UP:
                return json_pack("{s:s, s:s}", "op", name, "ifname", op->ifname);
        }
        abort();
}

static int unpack_failed(const char *name, const json_error_t *why, struct error **err)
{
        return error_set(err, ERROR_INVALID, "network operation '%s': %s", name, why->text);
}

/* What is not there is left as it is. */
static int get_ovs(const json_t *json, const char *member, const char *ifname, struct net_ovs *ret,
                   struct error **err)
{
        json_t *object = json_object_get(json, member);
        json_int_t tag = 0;
        json_error_t why;

        if (!object)
                return 0;
        if (json_unpack_ex(object, &why, 0, "{s:s, s:s, s?s, s?I}", "mac", &ret->mac, "vm", &ret->vm_id,
                           "trunks", &ret->trunks, "tag", &tag) < 0)
                return unpack_failed(member, &why, err);
        ret->tag = tag < 0 || tag > NET_VLAN_MAX ? NET_VLAN_MAX + 1 : (unsigned)tag;
        return ovs_check(ifname, ret, err);
}

int net_op_from_json(const json_t *json, struct net_op *ret, struct error **err)
{
        /* jansson's unpacking takes a json_t that is not const, and changes nothing. */
        json_t *object = (json_t *)json;
        struct net_op op = { 0 };
        json_int_t number, mtu = 0;
        json_error_t why;
        const char *name, *mac;
        int vnet_hdr, keep_mtu = 0;

        if (json_unpack_ex(object, &why, 0, "{s:s, s:s}", "op", &name, "ifname", &op.ifname) < 0)
                return unpack_failed("?", &why, err);
        for (size_t i = NET_TAP_CREATE; i < ARRAY_SIZE(op_names); i++)
                if (strcmp(op_names[i], name) == 0)
                        op.kind = (enum net_op_kind)i;
        if (!op.kind)
                return error_set(err, ERROR_INVALID, "unknown network operation");
        if (net_ifname_check("interface", op.ifname, err) < 0)
                return -1;

        switch (op.kind) {
        case NET_TAP_CREATE:
                if (json_unpack_ex(object, &why, 0, "{s:I, s:b}", "queues", &number, "vnet-hdr", &vnet_hdr) <
                    0)
                        return unpack_failed(name, &why, err);
                if (queues_check(op.ifname, number < 0 ? 0 : (uint64_t)number, err) < 0)
                        return -1;
                op.tap.queues = (unsigned)number;
                op.tap.vnet_hdr = vnet_hdr;
                break;
        case NET_LINK_SET:
                if (json_unpack_ex(object, &why, 0, "{s:I, s:s, s:s, s?I}", "group", &number, "alias",
                                   &op.link.alias, "mac", &mac, "mtu", &mtu) < 0)
                        return unpack_failed(name, &why, err);
                if (number < 0 || number > UINT32_MAX)
                        return error_set(err, ERROR_INVALID, "link group of '%s' is out of range", op.ifname);
                if (alias_check(op.link.alias, err) < 0)
                        return -1;
                if (!text_parse_mac(mac, op.link.mac))
                        return error_set(err, ERROR_INVALID, "'%s' has no MAC address", op.ifname);
                if (mtu_check(op.ifname, (uint64_t)mtu, err) < 0)
                        return -1;
                op.link.group = (uint32_t)number;
                op.link.mtu = (unsigned)mtu;
                break;
        case NET_BRIDGE_JOIN:
        case NET_BRIDGE_MOVE:
                if (json_unpack_ex(object, &why, 0, "{s:s, s?b}", "bridge", &op.join.bridge, "keep-mtu",
                                   &keep_mtu) < 0)
                        return unpack_failed(name, &why, err);
                if ((op.kind == NET_BRIDGE_JOIN || *op.join.bridge) &&
                    net_ifname_check("bridge", op.join.bridge, err) < 0)
                        return -1;
                op.join.keep_mtu = keep_mtu;
                if (get_ovs(json, "ovs", op.ifname, &op.join.ovs, err) < 0 ||
                    get_ovs(json, "was-ovs", op.ifname, &op.join.was_ovs, err) < 0)
                        return -1;
                op.join.in_ovs = op.join.ovs.vm_id;
                break;
        case NET_LINK_UP:
                break;
        }
        *ret = op;
        return 0;
}

void net_op_text(const struct net_op *op, struct text *out)
{
        char mac[18];

        switch (op->kind) {
        case NET_TAP_CREATE:
                text_addf(out, "tap create    %s  queues %u%s", op->ifname, op->tap.queues,
                          op->tap.vnet_hdr ? "  vnet_hdr" : "");
                return;
        case NET_LINK_SET:
                text_from_mac(op->link.mac, mac);
                text_addf(out, "link set      %s  group %u  mac %s", op->ifname, op->link.group, mac);
                if (op->link.mtu)
                        text_addf(out, "  mtu %u", op->link.mtu);
                text_addf(out, "  alias %s", op->link.alias);
                return;
        case NET_BRIDGE_JOIN:
        case NET_BRIDGE_MOVE:
                text_addf(out, "bridge %s   %s -> %s%s", op->kind == NET_BRIDGE_JOIN ? "join" : "move",
                          op->ifname, *op->join.bridge ? op->join.bridge : "none",
                          op->join.keep_mtu ? "  keep mtu" : "");
                if (op->join.in_ovs)
                        text_add(out, "  Open vSwitch");
                if (op->join.ovs.tag)
                        text_addf(out, "  vlan %u", op->join.ovs.tag);
                if (op->join.ovs.trunks)
                        text_addf(out, "  trunks %s", op->join.ovs.trunks);
                return;
        case NET_LINK_UP:
                text_addf(out, "link up       %s", op->ifname);
                return;
        }
}
