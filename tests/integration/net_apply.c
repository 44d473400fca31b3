/*
 * Real taps and bridges, in a network namespace of the test's own. Root only.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "net/tap.h"
#include "tests/integration/host_fixture.h"

#define GROUP 1900000017
#define OWNER "vmlaunch:web:0123456789abcdef"

static const struct net_nic web = {
        .ifname = "web-0",
        .bridge = "vlbr0",
        .queues = 2,
        .vnet_hdr = true,
        .group = GROUP,
        .alias = OWNER,
        .mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 },
};

struct fixture {
        struct netlink *nl;
        struct net_op ops[NET_OPS_PER_NIC];
        size_t n;
        int fds[2];
};

static int set_up(void **state)
{
        struct fixture *f = xcalloc(1, sizeof(*f));
        struct error *err = NULL;

        if (unshare(CLONE_NEWNET) < 0)
                return -1;
        f->nl = netlink_open(&err);
        assert_non_null(f->nl);
        assert_int_equal(net_plan_nic(&web, f->ops, &f->n, &err), 0);
        f->fds[0] = f->fds[1] = -1;
        make_bridge("vlbr0");
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        fd_close(&f->fds[0]);
        fd_close(&f->fds[1]);
        netlink_close(f->nl);
        free(f);
        return 0;
}

static void do_all(struct fixture *f)
{
        struct error *err = NULL;

        for (size_t i = 0; i < f->n; i++)
                assert_int_equal(net_op_do(f->nl, &f->ops[i], OWNER, f->fds, &err), 0);
}

static void undo_all(struct fixture *f, const char *owner)
{
        struct error *err = NULL;

        for (size_t i = f->n; i-- > 0;)
                assert_int_equal(net_op_undo(f->nl, &f->ops[i], owner, &(bool){ false }, &err), 0);
}

static bool exists(struct fixture *f, const char *ifname)
{
        struct error *err = NULL;
        struct net_link link;
        int found = netlink_link_get(f->nl, ifname, &link, &err);

        assert_true(found >= 0);
        return found;
}

static void tap_with_two_queues_is_in_the_bridge_with_its_mark(void **state)
{
        static const uint8_t mac[6] = { 0xfe, 0x54, 0x00, 0x12, 0x34, 0x56 };
        struct fixture *f = *state;
        struct net_link link, bridge;
        struct net_found *found = NULL;
        struct error *err = NULL;
        size_t n;

        do_all(f);
        assert_int_equal(netlink_link_get(f->nl, "web-0", &link, &err), 1);
        assert_int_equal(netlink_link_get(f->nl, "vlbr0", &bridge, &err), 1);
        assert_string_equal(link.kind, "tun");
        assert_string_equal(link.alias, OWNER);
        assert_int_equal(link.group, GROUP);
        assert_memory_equal(link.mac, mac, 6);
        assert_int_equal(link.master, bridge.index);
        assert_true(link.flags & IFF_UP);
        for (size_t i = 0; i < 2; i++) {
                assert_true(fcntl(f->fds[i], F_GETFD) & FD_CLOEXEC);
                assert_true(fcntl(f->fds[i], F_GETFL) & O_NONBLOCK);
        }

        assert_int_equal(net_find_by_alias(f->nl, "vmlaunch:web:", &found, &n, &err), 0);
        assert_int_equal(n, 1);
        assert_string_equal(found[0].ifname, "web-0");
        assert_string_equal(found[0].alias, OWNER);
        assert_string_equal(found[0].master, "vlbr0");
        assert_int_equal(found[0].group, GROUP);
        free(found);
        found = NULL;
        assert_int_equal(net_find_by_alias(f->nl, "vmlaunch:other:", &found, &n, &err), 0);
        assert_int_equal(n, 0);
        free(found);
}

static void undo_leaves_nothing_and_may_be_repeated(void **state)
{
        struct fixture *f = *state;

        do_all(f);
        undo_all(f, OWNER);
        assert_false(exists(f, "web-0"));
        assert_true(exists(f, "vlbr0"));
        undo_all(f, OWNER);
}

static void each_step_undone_alone_takes_back_just_that(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        struct net_link link;

        do_all(f);
        assert_int_equal(net_op_undo(f->nl, &f->ops[3], OWNER, &(bool){ false }, &err), 0);
        assert_int_equal(netlink_link_get(f->nl, "web-0", &link, &err), 1);
        assert_false(link.flags & IFF_UP);
        assert_true(link.master);
        assert_int_equal(net_op_undo(f->nl, &f->ops[2], OWNER, &(bool){ false }, &err), 0);
        assert_int_equal(netlink_link_get(f->nl, "web-0", &link, &err), 1);
        assert_int_equal(link.master, 0);
        assert_string_equal(link.alias, OWNER);
}

static void undo_does_not_touch_a_foreign_interface(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        struct net_link link;

        do_all(f);
        /* Another generation of the same VM, another VM, and a name that is a prefix. */
        undo_all(f, "vmlaunch:web:fedcba9876543210");
        undo_all(f, "vmlaunch:other:0123456789abcdef");
        undo_all(f, "vmlaunch:web:");
        assert_int_equal(netlink_link_get(f->nl, "web-0", &link, &err), 1);
        assert_true(link.master);
        assert_true(link.flags & IFF_UP);
}

static void undo_does_not_touch_an_interface_without_alias(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        assert_int_equal(net_op_do(f->nl, &f->ops[0], OWNER, f->fds, &err), 0);
        undo_all(f, OWNER);
        assert_true(exists(f, "web-0"));
}

static void marking_somebody_elses_interface_is_refused(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        struct net_op op = f->ops[1];

        do_all(f);
        op.link.alias = "vmlaunch:thief:1";
        assert_int_equal(net_op_do(f->nl, &op, OWNER, NULL, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        error_free(err);
        err = NULL;
        op = f->ops[1];
        op.ifname = "vlbr0";
        assert_int_equal(net_op_do(f->nl, &op, OWNER, NULL, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        error_free(err);
}

static void a_taken_name_is_busy_and_its_vm_is_named(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        _cleanup_free_ char *text = NULL;
        int fds[2];

        do_all(f);
        assert_int_equal(net_op_do(f->nl, &f->ops[0], OWNER, fds, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        text = error_text(err);
        assert_string_equal(text, "interface 'web-0' exists already, VM 'web' has it");
        error_free(err);
}

static void the_name_of_a_bridge_is_busy_too(void **state)
{
        struct error *err = NULL;
        int fd;

        (void)state;
        assert_int_equal(tap_open("vlbr0", 1, true, &fd, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        assert_string_equal(err->message, "interface 'vlbr0' exists already and is none of vmlaunch's");
        error_free(err);
}

static void a_missing_bridge_is_an_error_that_lists_the_bridges(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        make_bridge("vlbr1");
        assert_int_equal(net_bridge_check(f->nl, "vlbr9", &err), -1);
        assert_int_equal(err->code, ERROR_HOST);
        assert_string_equal(err->message, "no bridge 'vlbr9' on this host (bridges: vlbr0, vlbr1)");
        error_free(err);
        err = NULL;
        assert_int_equal(net_bridge_check(f->nl, "lo", &err), -1);
        assert_int_equal(err->code, ERROR_HOST);
        assert_string_equal(err->message, "interface 'lo' is not a bridge but the loopback interface");
        error_free(err);
        err = NULL;
        do_all(f);
        assert_int_equal(net_bridge_check(f->nl, "web-0", &err), -1);
        assert_string_equal(
                err->message,
                "interface 'web-0' is not a bridge but of kind 'tun' (for one of Open vSwitch: BRIDGE_TYPE = \"openvswitch\")");
        error_free(err);
        err = NULL;
        assert_int_equal(net_bridge_check(f->nl, "vlbr0", &err), 0);
}

static void the_kernel_destroys_the_tap_with_its_last_fd(void **state)
{
        struct fixture *f = *state;

        do_all(f);
        fd_close(&f->fds[0]);
        assert_true(exists(f, "web-0"));
        fd_close(&f->fds[1]);
        assert_false(exists(f, "web-0"));
        undo_all(f, OWNER);
}

/* Of a move that a client wrote by himself. */
static void a_way_back_that_is_not_known_leaves_the_tap_in_no_bridge(void **state)
{
        struct fixture *f = *state;
        const struct net_op move = { .kind = NET_BRIDGE_MOVE, .ifname = "web-0", .join.bridge = "vlbr0" };
        char bridge[IFNAMSIZ];
        bool in_ovs;
        struct error *err = NULL;

        do_all(f);
        assert_int_equal(net_bridge_back(f->nl, &move, OWNER, "ovs0", true, &err), 0);
        assert_int_equal(net_bridge_of(f->nl, "web-0", OWNER, bridge, &in_ovs, &err), 0);
        assert_string_equal(bridge, "");
        undo_all(f, OWNER);
}

static void many_links_are_dumped_whole(void **state)
{
        struct fixture *f = *state;
        struct net_found *found = NULL;
        struct error *err = NULL;
        int fds[60];
        size_t n;

        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                _cleanup_free_ char *name = xasprintf("m%zu", i);
                struct net_nic nic = web;
                struct net_op ops[NET_OPS_PER_NIC];

                nic.ifname = name;
                nic.queues = 1;
                nic.bridge = NULL;
                assert_int_equal(net_plan_nic(&nic, ops, &n, &err), 0);
                assert_int_equal(net_op_do(f->nl, &ops[0], OWNER, &fds[i], &err), 0);
                assert_int_equal(net_op_do(f->nl, &ops[1], OWNER, NULL, &err), 0);
        }
        assert_int_equal(net_find_by_alias(f->nl, "vmlaunch:", &found, &n, &err), 0);
        assert_int_equal(n, ARRAY_SIZE(fds));
        free(found);
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
                close(fds[i]);
}

static void without_the_capability_it_is_not_permitted(void **state)
{
        struct fixture *f = *state;
        pid_t child;
        int status;

        do_all(f);
        child = fork();
        if (child == 0) {
                struct error *err = NULL;
                struct netlink *nl;
                int fds[2], bad = 0;
                struct net_op op = f->ops[0];

                op.ifname = "web-9";
                if (setgid(65534) < 0 || setuid(65534) < 0)
                        _exit(100);
                nl = netlink_open(&err);
                if (!nl)
                        _exit(101);
                /* /dev/net/tun may be closed already (EACCES); making an interface is refused in any case. */
                bad |= net_op_do(nl, &op, OWNER, fds, &err) == 0 || err->code != ERROR_OS ||
                       error_exit_status(err) != 5;
                error_free(err);
                err = NULL;
                bad |= net_op_do(nl, &f->ops[3], OWNER, NULL, &err) == 0 || err->code != ERROR_OS ||
                       err->os_errno != EPERM;
                error_free(err);
                err = NULL;
                bad |= net_op_undo(nl, &f->ops[0], OWNER, &(bool){ false }, &err) == 0 ||
                       err->os_errno != EPERM;
                _exit(bad);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_true(exists(f, "web-0"));
}

/* The bar of one NIC is 5 ms; the numbers are printed, and only a gross miss fails here. */
static void a_nic_costs_a_few_milliseconds(void **state)
{
        struct fixture *f = *state;
        double cost[NET_OPS_PER_NIC] = { 0 }, undo = 0;
        struct error *err = NULL;
        enum { ROUNDS = 5 };

        for (int round = 0; round < ROUNDS; round++) {
                double start;

                for (size_t i = 0; i < f->n; i++) {
                        start = now_ms();
                        assert_int_equal(net_op_do(f->nl, &f->ops[i], OWNER, f->fds, &err), 0);
                        cost[i] += (now_ms() - start) / ROUNDS;
                }
                start = now_ms();
                fd_close(&f->fds[0]);
                fd_close(&f->fds[1]);
                undo += (now_ms() - start) / ROUNDS;
        }
        print_message("tap create %.2f ms, link set %.2f, bridge join %.2f, link up %.2f; close %.2f\n",
                      cost[0], cost[1], cost[2], cost[3], undo);
        assert_true(cost[0] + cost[1] + cost[2] + cost[3] < 50);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(tap_with_two_queues_is_in_the_bridge_with_its_mark),
                TEST(undo_leaves_nothing_and_may_be_repeated),
                TEST(each_step_undone_alone_takes_back_just_that),
                TEST(undo_does_not_touch_a_foreign_interface),
                TEST(undo_does_not_touch_an_interface_without_alias),
                TEST(marking_somebody_elses_interface_is_refused),
                TEST(a_taken_name_is_busy_and_its_vm_is_named),
                TEST(the_name_of_a_bridge_is_busy_too),
                TEST(a_missing_bridge_is_an_error_that_lists_the_bridges),
                TEST(the_kernel_destroys_the_tap_with_its_last_fd),
                TEST(a_way_back_that_is_not_known_leaves_the_tap_in_no_bridge),
                TEST(many_links_are_dumped_whole),
                TEST(without_the_capability_it_is_not_permitted),
                TEST(a_nic_costs_a_few_milliseconds),
        };

        return has_taps() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
