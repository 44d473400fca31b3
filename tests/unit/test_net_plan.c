#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "net/net_plan.h"
#include "net/netlink.h"

static const struct net_nic web = {
        .ifname = "web-0",
        .bridge = "br0",
        .queues = 2,
        .vnet_hdr = true,
        .group = 1900000017,
        .alias = "vmlaunch:web:@GENERATION@",
        .mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 },
};

static char *plan_text(const struct net_nic *nic)
{
        struct net_op ops[NET_OPS_PER_NIC];
        struct error *err = NULL;
        struct text out = TEXT_INIT;
        size_t n;

        assert_int_equal(net_plan_nic(nic, ops, &n, &err), 0);
        for (size_t i = 0; i < n; i++) {
                net_op_text(&ops[i], &out);
                text_add(&out, "\n");
        }
        return text_take(&out);
}

static void nic_on_a_bridge_is_marked_before_it_joins(void **state)
{
        _cleanup_free_ char *text = plan_text(&web);

        (void)state;
        assert_string_equal(text, "tap create    web-0  queues 2  vnet_hdr\n"
                                  "link set      web-0  group 1900000017  mac fe:54:00:12:34:56"
                                  "  alias vmlaunch:web:@GENERATION@\n"
                                  "bridge join   web-0 -> br0\n"
                                  "link up       web-0\n");
}

static void nic_without_bridge_joins_nothing(void **state)
{
        struct net_nic nic = web;
        _cleanup_free_ char *text = NULL;

        (void)state;
        nic.bridge = NULL;
        nic.vnet_hdr = false;
        nic.queues = 1;
        text = plan_text(&nic);
        assert_null(strstr(text, "bridge"));
        assert_non_null(strstr(text, "tap create    web-0  queues 1\n"));
}

static void a_tap_with_an_mtu_keeps_it_on_the_bridge(void **state)
{
        struct net_op ops[NET_OPS_PER_NIC], again;
        struct net_nic nic = web;
        _cleanup_free_ char *text = NULL;
        struct error *err = NULL;
        json_t *json;
        size_t n;

        (void)state;
        nic.mtu = 9000;
        text = plan_text(&nic);
        assert_non_null(strstr(text, "mac fe:54:00:12:34:56  mtu 9000  alias "));
        assert_non_null(strstr(text, "bridge join   web-0 -> br0  keep mtu\n"));
        assert_int_equal(net_plan_nic(&nic, ops, &n, &err), 0);
        json = net_op_to_json(&ops[1]);
        assert_int_equal(net_op_from_json(json, &again, &err), 0);
        assert_int_equal(again.link.mtu, 9000);
        json_object_set_new(json, "mtu", json_integer(65522));
        assert_int_equal(net_op_from_json(json, &again, &err), -1);
        error_free(TAKE_PTR(err));
        json_decref(json);
        json = net_op_to_json(&ops[2]);
        assert_int_equal(net_op_from_json(json, &again, &err), 0);
        assert_true(again.join.keep_mtu);
        json_decref(json);
        nic.mtu = 67;
        assert_int_equal(net_plan_nic(&nic, ops, &n, &err), -1);
        assert_string_equal(err->message, "tap 'web-0': MTU 67, 68 to 65521 are possible");
        error_free(err);
}

static void a_port_of_open_vswitch_has_its_vlans_checked(void **state)
{
        const struct net_ovs ovs = { .tag = 4094,
                                     .trunks = "1,20-29,4094",
                                     .mac = "52:54:00:12:34:56",
                                     .vm_id = "01234567-89ab-8cde-8123-456789abcdef" };
        static const struct {
                const char *member, *value;
        } bad_ids[] = { { "mac", "" }, { "mac", "52:54:00:12:34" }, { "vm", "" }, { "vm", "web" } };
        static const char *const bad_trunks[] = { "0", "4095", "1-5000", "", "a", "9-1" };
        struct net_op ops[NET_OPS_PER_NIC], again;
        struct net_nic nic = web;
        struct error *err = NULL;
        json_auto_t *json = NULL;
        _cleanup_free_ char *text = NULL;
        size_t n;

        (void)state;
        nic.ovs = &ovs;
        text = plan_text(&nic);
        assert_non_null(
                strstr(text, "bridge join   web-0 -> br0  Open vSwitch  vlan 4094  trunks 1,20-29,4094\n"));
        assert_int_equal(net_plan_nic(&nic, ops, &n, &err), 0);
        ops[2].kind = NET_BRIDGE_MOVE;
        ops[2].join.was_ovs = (struct net_ovs){ .mac = ovs.mac, .vm_id = ovs.vm_id };
        json = net_op_to_json(&ops[2]);
        assert_int_equal(net_op_from_json(json, &again, &err), 0);
        assert_true(again.join.in_ovs);
        assert_int_equal(again.join.ovs.tag, 4094);
        assert_string_equal(again.join.ovs.trunks, ovs.trunks);
        assert_string_equal(again.join.ovs.mac, ovs.mac);
        assert_string_equal(again.join.was_ovs.vm_id, ovs.vm_id);
        assert_null(again.join.was_ovs.trunks);
        for (size_t i = 0; i < ARRAY_SIZE(bad_trunks); i++) {
                json_object_set_new(json_object_get(json, i % 2 ? "ovs" : "was-ovs"), "trunks",
                                    json_string(bad_trunks[i]));
                assert_int_equal(net_op_from_json(json, &again, &err), -1);
                assert_string_equal(err->message, "tap 'web-0': VLANs are 1 to 4094");
                error_free(TAKE_PTR(err));
                json_object_del(json_object_get(json, i % 2 ? "ovs" : "was-ovs"), "trunks");
        }
        for (json_int_t tag = -1; tag < 4096; tag += 4096) {
                json_object_set_new(json_object_get(json, "ovs"), "tag", json_integer(tag));
                assert_int_equal(net_op_from_json(json, &again, &err), -1);
                error_free(TAKE_PTR(err));
        }
        json_object_del(json_object_get(json, "ovs"), "tag");
        for (size_t i = 0; i < ARRAY_SIZE(bad_ids); i++) {
                json_t *object = json_object_get(json, i % 2 ? "ovs" : "was-ovs");
                json_t *good = json_incref(json_object_get(object, bad_ids[i].member));

                json_object_set_new(object, bad_ids[i].member, json_string(bad_ids[i].value));
                assert_int_equal(net_op_from_json(json, &again, &err), -1);
                error_free(TAKE_PTR(err));
                json_object_set_new(object, bad_ids[i].member, good);
                assert_int_equal(net_op_from_json(json, &again, &err), 0);
        }
        json_object_set_new(json, "ovs", json_integer(7));
        assert_int_equal(net_op_from_json(json, &again, &err), -1);
        assert_int_equal(err->code, ERROR_INVALID);
        error_free(err);
}

static void operations_survive_the_way_through_json(void **state)
{
        struct net_op ops[NET_OPS_PER_NIC];
        struct error *err = NULL;
        size_t n;

        (void)state;
        assert_int_equal(net_plan_nic(&web, ops, &n, &err), 0);
        assert_int_equal(n, 4);
        for (size_t i = 0; i < n; i++) {
                json_auto_t *json = net_op_to_json(&ops[i]);
                _cleanup_free_ char *line = json_dumps(json, JSON_COMPACT);
                json_auto_t *again = json_loads(line, 0, NULL);
                _cleanup_text_ struct text before = TEXT_INIT, after = TEXT_INIT;
                struct net_op op;

                assert_non_null(again);
                assert_int_equal(net_op_from_json(again, &op, &err), 0);
                assert_int_equal(op.kind, ops[i].kind);
                net_op_text(&ops[i], &before);
                net_op_text(&op, &after);
                assert_string_equal(text_str(&before), text_str(&after));
        }
}

static void json_has_the_documented_members(void **state)
{
        struct net_op ops[NET_OPS_PER_NIC];
        struct error *err = NULL;
        size_t n;

        (void)state;
        assert_int_equal(net_plan_nic(&web, ops, &n, &err), 0);
        {
                json_auto_t *json = net_op_to_json(&ops[0]);
                _cleanup_free_ char *line = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);

                assert_string_equal(line, "{\"ifname\":\"web-0\",\"op\":\"tap-create\",\"queues\":2,"
                                          "\"vnet-hdr\":true}");
        }
        {
                json_auto_t *json = net_op_to_json(&ops[2]);
                _cleanup_free_ char *line = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);

                assert_string_equal(line, "{\"bridge\":\"br0\",\"ifname\":\"web-0\",\"op\":\"bridge-join\"}");
        }
}

static void json_that_is_no_operation_is_refused(void **state)
{
        static const char *const texts[] = {
                "[]",
                "{}",
                "{\"op\":\"tap-create\"}",
                "{\"op\":\"tap-delete\",\"ifname\":\"web-0\"}",
                "{\"op\":\"tap-create\",\"ifname\":\"web-0\"}",
                "{\"op\":\"tap-create\",\"ifname\":\"web-0\",\"queues\":0,\"vnet-hdr\":true}",
                "{\"op\":\"tap-create\",\"ifname\":\"web-0\",\"queues\":-1,\"vnet-hdr\":true}",
                "{\"op\":\"tap-create\",\"ifname\":\"web-0\",\"queues\":4294967297,\"vnet-hdr\":true}",
                "{\"op\":\"tap-create\",\"ifname\":\"../web\",\"queues\":1,\"vnet-hdr\":true}",
                "{\"op\":\"link-up\",\"ifname\":7}",
                "{\"op\":\"bridge-join\",\"ifname\":\"web-0\",\"bridge\":\"a b\"}",
                "{\"op\":\"link-set\",\"ifname\":\"web-0\",\"group\":4294967296,\"alias\":\"a\","
                "\"mac\":\"fe:00:00:00:00:01\"}",
                "{\"op\":\"link-set\",\"ifname\":\"web-0\",\"group\":1,\"alias\":\"\","
                "\"mac\":\"fe:00:00:00:00:01\"}",
                "{\"op\":\"link-set\",\"ifname\":\"web-0\",\"group\":1,\"alias\":\"a\\nb\","
                "\"mac\":\"fe:00:00:00:00:01\"}",
                "{\"op\":\"link-set\",\"ifname\":\"web-0\",\"group\":1,\"alias\":\"a\",\"mac\":\"fe:0\"}",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                json_auto_t *json = json_loads(texts[i], 0, NULL);
                struct error *err = NULL;
                struct net_op op;

                assert_non_null(json);
                assert_int_equal(net_op_from_json(json, &op, &err), -1);
                assert_int_equal(err->code, ERROR_INVALID);
                error_free(err);
        }
}

static void names_the_kernel_would_refuse_or_expand_are_refused(void **state)
{
        static const char *const bad[] = {
                "",      ".",    "..",   "a/b",   "a b",        "a:b",
                "tap%d", "a\tb", "a\nb", "a\177", "t\303\266p", "sixteen-bytes-16"
        };
        static const char *const good[] = { "a", "...", "web-0", "one-1234-0", "fifteen-bytes15", "br@0" };
        struct error *err = NULL;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_int_equal(net_ifname_check("interface", bad[i], &err), -1);
                assert_int_equal(err->code, ERROR_INVALID);
                error_free(err);
                err = NULL;
        }
        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                assert_int_equal(net_ifname_check("interface", good[i], &err), 0);
}

static void a_plan_with_impossible_numbers_or_texts_is_refused(void **state)
{
        struct net_nic nics[5] = { web, web, web, web, web };
        struct net_op ops[NET_OPS_PER_NIC];
        char long_alias[300];
        size_t n;

        (void)state;
        memset(long_alias, 'a', sizeof(long_alias) - 1);
        long_alias[sizeof(long_alias) - 1] = '\0';
        nics[0].queues = 0;
        nics[1].queues = NET_QUEUES_MAX + 1;
        nics[2].alias = long_alias;
        nics[3].alias = "bad \377 byte";
        nics[4].bridge = "..";
        for (size_t i = 0; i < ARRAY_SIZE(nics); i++) {
                struct error *err = NULL;

                assert_int_equal(net_plan_nic(&nics[i], ops, &n, &err), -1);
                assert_int_equal(err->code, ERROR_INVALID);
                error_free(err);
        }
}

/* A message of interface number index without attributes. */
static struct nlmsghdr *link_message_start(char *buffer, int index)
{
        struct nlmsghdr *header = (void *)buffer;
        struct ifinfomsg *info = NLMSG_DATA(header);

        header->nlmsg_type = RTM_NEWLINK;
        header->nlmsg_len = NLMSG_LENGTH(sizeof(*info));
        info->ifi_index = index;
        info->ifi_flags = IFF_UP;
        return header;
}

static struct rtattr *put(struct nlmsghdr *header, unsigned short type, const void *value, size_t n)
{
        struct rtattr *attr = (void *)((char *)header + header->nlmsg_len);

        attr->rta_type = type;
        attr->rta_len = (unsigned short)RTA_LENGTH(n);
        memcpy(RTA_DATA(attr), value, n);
        header->nlmsg_len += (uint32_t)RTA_SPACE(n);
        return attr;
}

static struct nlmsghdr *link_message(char *buffer)
{
        struct nlmsghdr *header = link_message_start(buffer, 7);
        struct rtattr *nested;

        put(header, IFLA_IFNAME, "web-0", sizeof("web-0"));
        put(header, IFLA_IFALIAS, "vmlaunch:web:1", sizeof("vmlaunch:web:1"));
        put(header, IFLA_GROUP, &(uint32_t){ 42 }, sizeof(uint32_t));
        put(header, IFLA_MASTER, &(uint32_t){ 3 }, sizeof(uint32_t));
        put(header, IFLA_OPERSTATE, &(uint8_t){ 6 }, sizeof(uint8_t));
        put(header, IFLA_ADDRESS, web.mac, sizeof(web.mac));
        nested = put(header, IFLA_LINKINFO | NLA_F_NESTED, "", 0);
        put(header, IFLA_INFO_KIND, "tun", sizeof("tun"));
        nested->rta_len = (unsigned short)((char *)header + header->nlmsg_len - (char *)nested);
        return header;
}

static void a_link_message_is_read_whole(void **state)
{
        char buffer[512] = { 0 };
        struct nlmsghdr *header = link_message(buffer);
        struct net_link link;

        (void)state;
        assert_true(netlink_parse_link(header, header->nlmsg_len, &link));
        assert_int_equal(link.index, 7);
        assert_string_equal(link.name, "web-0");
        assert_string_equal(link.alias, "vmlaunch:web:1");
        assert_string_equal(link.kind, "tun");
        assert_int_equal(link.group, 42);
        assert_int_equal(link.master, 3);
        assert_int_equal(link.flags, IFF_UP);
        assert_int_equal(link.operstate, 6);
        assert_true(link.has_mac);
        assert_memory_equal(link.mac, web.mac, 6);
}

static void a_link_message_cut_anywhere_is_not_read_beyond_its_end(void **state)
{
        char buffer[512] = { 0 };
        struct nlmsghdr *header = link_message(buffer);
        uint32_t whole = header->nlmsg_len;

        (void)state;
        for (uint32_t n = 0; n < whole; n++) {
                /* A copy of exactly n bytes, so that asan sees a read beyond them. */
                _cleanup_free_ char *cut = xmalloc(n);
                struct net_link link;

                memcpy(cut, buffer, n);
                assert_false(netlink_parse_link(cut, n, &link));
                if (n < sizeof(*header))
                        continue;
                ((struct nlmsghdr *)cut)->nlmsg_len = n;
                netlink_parse_link(cut, n, &link);
        }
}

static void a_length_with_the_top_bit_set_is_no_message(void **state)
{
        char buffer[512] = { 0 };
        struct nlmsghdr *header = link_message(buffer);
        uint32_t n = header->nlmsg_len;
        struct net_link link;

        (void)state;
        header->nlmsg_len = UINT32_MAX;
        assert_false(netlink_parse_link(header, n, &link));
        header->nlmsg_len = 0x80000000u | n;
        assert_false(netlink_parse_link(header, n, &link));
}

static void overlong_strings_in_a_link_message_are_cut(void **state)
{
        char buffer[1024] = { 0 }, name[64];
        struct nlmsghdr *header = link_message_start(buffer, 1);
        struct net_link link;

        (void)state;
        memset(name, 'x', sizeof(name));
        put(header, IFLA_IFNAME, name, sizeof(name));
        put(header, IFLA_GROUP, name, 2);
        assert_true(netlink_parse_link(header, header->nlmsg_len, &link));
        assert_string_equal(link.name, "xxxxxxxxxxxxxxx");
        assert_int_equal(link.group, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nic_on_a_bridge_is_marked_before_it_joins),
                cmocka_unit_test(nic_without_bridge_joins_nothing),
                cmocka_unit_test(a_tap_with_an_mtu_keeps_it_on_the_bridge),
                cmocka_unit_test(a_port_of_open_vswitch_has_its_vlans_checked),
                cmocka_unit_test(operations_survive_the_way_through_json),
                cmocka_unit_test(json_has_the_documented_members),
                cmocka_unit_test(json_that_is_no_operation_is_refused),
                cmocka_unit_test(names_the_kernel_would_refuse_or_expand_are_refused),
                cmocka_unit_test(a_plan_with_impossible_numbers_or_texts_is_refused),
                cmocka_unit_test(a_link_message_is_read_whole),
                cmocka_unit_test(a_link_message_cut_anywhere_is_not_read_beyond_its_end),
                cmocka_unit_test(a_length_with_the_top_bit_set_is_no_message),
                cmocka_unit_test(overlong_strings_in_a_link_message_are_cut),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
