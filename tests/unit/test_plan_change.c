#include "tests/unit/plan_change_fixture.h"

#include "launcher/plan/plan_parts.h"

static void give_fd(struct launch_plan *plan, int number, const char *source)
{
        ARRAY_GROW(plan->fds, plan->n_fds);
        plan->fds[plan->n_fds++] =
                (struct plan_fd){ .child_fd = number, .source = xstrdup(source), .text = xstrdup(source) };
}

static void give_image(struct launch_plan *plan, const char *fd, const char *path)
{
        ARRAY_GROW(plan->steps, plan->n_steps);
        plan->steps[plan->n_steps++] =
                (struct plan_step){ .effect = EFFECT_IMAGE_OPEN,
                                    .args = json_pack("{s:s, s:s, s:s, s:s, s:b}", "path", path, "access",
                                                      "rw", "lock", "exclusive", "fd", fd, "direct", 1),
                                    .because = xstrdup("DISK[1]/SOURCE") };
}

static const char *const one_disk[] = {
        "-add-fd", "fd=10,set=1,opaque=disk0-file", "-blockdev", NODE(0, 1),
        "-device", DEVICE(0, ",\"bootindex\":1"),   NULL,
};
/* Another fd, another set, no place in the boot order: the same disk. */
static const char *const two_disks[] = {
        "-add-fd", "fd=11,set=7,opaque=disk0-file", "-blockdev", NODE(0, 7), "-device", DEVICE(0, ""),
        "-add-fd", "fd=10,set=8,opaque=disk1-file", "-blockdev", NODE(1, 8), "-device", DEVICE(1, ""),
        NULL,
};

struct pair {
        struct launch_plan *was, *wanted;
        struct plan_change change;
};

static void pair_init(struct pair *pair)
{
        *pair = (struct pair){ .was = plan_of(one_disk, LIVE_ONE), .wanted = plan_of(two_disks, LIVE_TWO) };
        give_fd(pair->was, 10, "image:disk0-file");
        give_fd(pair->wanted, 11, "image:disk0-file");
        give_fd(pair->wanted, 10, "image:disk1-file");
        give_image(pair->was, "image:disk0-file", "/a.img");
        give_image(pair->wanted, "image:disk0-file", "/a.img");
        give_image(pair->wanted, "image:disk1-file", "/b.img");
}

static void pair_done(struct pair *pair)
{
        plan_change_done(&pair->change);
        launch_plan_free(pair->was);
        launch_plan_free(pair->wanted);
}

static void what_is_new_is_added_as_argv_has_it(void **state)
{
        const struct plan_change_options options = { .what = "attach disk" };
        struct error *err = NULL;
        struct pair pair;
        const char *filename;

        (void)state;
        pair_init(&pair);
        assert_int_equal(plan_change_build(pair.was, pair.wanted, &options, &pair.change, &err), 0);
        assert_null(pair.change.next_start);
        assert_int_equal(json_array_size(json_object_get(pair.change.fragment, "steps")), 4);
        assert_int_equal(pair.change.n_files, 1);
        assert_string_equal(pair.change.files[0].path, "/b.img");
        assert_string_equal(pair.change.files[0].name, "image:disk1-file");
        assert_true(pair.change.files[0].rw && pair.change.files[0].direct);
        assert_string_equal(json_string_value(json_object_get(step(&pair.change, 0), "effect")),
                            "image-open");
        assert_string_equal(json_string_value(json_object_get(step(&pair.change, 1), "fd")),
                            "image:disk1-file");
        /* The same set in the node as in add-fd, above what a command line counts to. */
        filename = json_string_value(json_object_get(
                json_object_get(json_object_get(step(&pair.change, 2), "args"), "arguments"), "filename"));
        assert_int_equal(strtoll(filename + strlen("/dev/fdset/"), NULL, 10),
                         json_integer_value(json_object_get(
                                 json_object_get(json_object_get(step(&pair.change, 1), "args"), "arguments"),
                                 "fdset-id")));
        step_is(&pair.change, 3, "device_add",
                "{\"drive\":\"disk1-file\",\"driver\":\"virtio-blk-pci\",\"id\":\"disk1\"}");
        assert_null(json_object_get(pair.change.fragment, "forward"));
        pair_done(&pair);
}

static void what_is_gone_goes_in_reverse_and_only_forward(void **state)
{
        json_auto_t *sets = json_pack("{s:i, s:i}", "disk1-file", 42, "disk0-file", 1);
        const struct plan_change_options options = { .what = "detach", .fdsets = sets, .unplug_s = 9 };
        struct error *err = NULL;
        struct pair pair;

        (void)state;
        pair_init(&pair);
        assert_int_equal(plan_change_build(pair.wanted, pair.was, &options, &pair.change, &err), 0);
        assert_null(pair.change.next_start);
        assert_int_equal(json_array_size(json_object_get(pair.change.fragment, "steps")), 4);
        step_is(&pair.change, 0, "device_del", "{\"id\":\"disk1\"}");
        assert_int_equal(json_integer_value(
                                 json_object_get(json_object_get(step(&pair.change, 0), "await"), "timeout")),
                         9);
        step_is(&pair.change, 1, "blockdev-del", "{\"node-name\":\"disk1-file\"}");
        step_is(&pair.change, 2, "remove-fd", "{\"fdset-id\":42}");
        assert_string_equal(json_string_value(json_object_get(step(&pair.change, 3), "effect")), "take-back");
        assert_true(json_is_true(json_object_get(pair.change.fragment, "forward")));
        assert_int_equal(pair.change.n_files, 0);
        pair_done(&pair);
}

static void no_difference_is_no_step(void **state)
{
        const struct plan_change_options options = { .what = "nothing" };
        struct error *err = NULL;
        struct pair pair;

        (void)state;
        pair_init(&pair);
        assert_int_equal(plan_change_build(pair.was, pair.was, &options, &pair.change, &err), 0);
        assert_true(plan_change_is_empty(&pair.change));
        assert_null(pair.change.next_start);
        pair_done(&pair);
}

#define SECRET(fd) "{\"qom-type\":\"secret\",\"id\":\"s\",\"file\":\"/proc/self/fd/" #fd "\"}"

/* A disk that comes or goes moves the numbers of what follows it. */
static void a_secret_under_another_number_is_the_same(void **state)
{
        static const char *const was[] = { "-object", SECRET(10), NULL };
        static const char *const wanted[] = { "-object", SECRET(12), NULL };
        const struct plan_change_options options = { .what = "attach disk" };
        struct plan_change change = { 0 };
        struct launch_plan *a = plan_of(was, LIVE_ONE), *b = plan_of(wanted, LIVE_ONE);
        struct error *err = NULL;

        (void)state;
        give_fd(a, 10, "secret:s");
        give_fd(b, 12, "secret:s");
        assert_int_equal(plan_change_build(a, b, &options, &change, &err), 0);
        assert_true(plan_change_is_empty(&change));
        assert_null(change.next_start);
        plan_change_done(&change);
        launch_plan_free(a);
        launch_plan_free(b);
}

/* A disk that started without a limit has no node for one. */
static void a_node_that_comes_between_is_named_by_who_wants_it(void **state)
{
        static const char *const was[] = { "-blockdev", NODE(0, 1), "-device", DEVICE(0, ""), NULL };
        static const char *const wanted[] = {
                "-blockdev", NODE(0, 1),
                "-blockdev", "{\"driver\":\"throttle\",\"node-name\":\"disk0-throttle\"}",
                "-device",   "{\"driver\":\"virtio-blk-pci\",\"id\":\"disk0\",\"drive\":\"disk0-throttle\"}",
                NULL,
        };
        const struct plan_change_options options = { .what = "update" };
        struct launch_plan *a = plan_of(was, LIVE_ONE), *b = plan_of(wanted, LIVE_ONE);
        struct error *err = NULL;

        (void)state;
        free(b->args[2].because);
        b->args[2].because = xstrdup("DISK[0]/TOTAL_IOPS_SEC");
        free(b->args[3].because);
        b->args[3].because = xstrdup("DISK[0]/TOTAL_IOPS_SEC");
        for (int i = 0; i < 2; i++) {
                struct plan_change change = { 0 };

                assert_int_equal(plan_change_build(i ? b : a, i ? a : b, &options, &change, &err), 0);
                assert_int_equal(error_count(change.next_start), 1);
                assert_string_equal(change.next_start->message,
                                    "DISK[0]/TOTAL_IOPS_SEC: drive of 'disk0' changes at the next start");
                plan_change_done(&change);
        }
        launch_plan_free(a);
        launch_plan_free(b);
}

static void what_cannot_change_now_is_told(void **state)
{
        static const char *const was[] = { "-smp", "1", "-device", DEVICE(0, ""), NULL };
        static const char *const wanted[] = { "-smp", "2", "-device", DEVICE(0, ",\"serial\":\"x\""), NULL };
        const struct plan_change_options options = { .what = "update" };
        struct plan_change change = { 0 };
        struct launch_plan *a = plan_of(was, LIVE_ONE), *b = plan_of(wanted, LIVE_ONE);
        struct error *err = NULL;

        (void)state;
        b->env = xcalloc(2, sizeof(char *));
        b->env[0] = xstrdup("LANG=C");
        assert_int_equal(plan_change_build(a, b, &options, &change, &err), 0);
        assert_true(plan_change_is_empty(&change));
        assert_int_equal(error_count(change.next_start), 3);
        assert_string_equal(change.next_start->next->next->message,
                            "RAW/ENV: QEMU's environment changes at the next start");
        assert_non_null(strstr(change.next_start->message, "serial of 'disk0' changes at the next start"));
        assert_non_null(strstr(change.next_start->next->message, "-smp 2 comes with the next start"));
        plan_change_done(&change);
        launch_plan_free(a);
        launch_plan_free(b);
}

/* And a device that has one of its own goes with the next start, too. */
static void roots_of_pci_express_come_and_go_with_a_start(void **state)
{
        static const char *const none[] = { NULL };
        static const char *const root[] = {
                "-device", "{\"driver\":\"pxb-pcie\",\"id\":\"root0\",\"bus\":\"pcie.0\"}",
                "-device", "{\"driver\":\"arm-smmuv3\",\"id\":\"iommu0\",\"primary-bus\":\"root0\"}",
                "-device", "{\"driver\":\"pcie-root-port\",\"id\":\"root0p1\",\"bus\":\"root0\"}",
                "-device", "{\"driver\":\"vfio-pci\",\"id\":\"hostdev0\",\"bus\":\"root0p1\"}",
                NULL,
        };
        const struct plan_change_options options = { .what = "update" };

        (void)state;
        for (int comes = 0; comes < 2; comes++) {
                struct plan_change change = { 0 };
                struct launch_plan *a = plan_of(comes ? none : root, LIVE_ONE),
                                   *b = plan_of(comes ? root : none, LIVE_ONE);
                struct error *err = NULL;

                assert_int_equal(plan_change_build(a, b, &options, &change, &err), 0);
                assert_int_equal(error_count(change.next_start), 3);
                for (const struct error *told = change.next_start; told; told = told->next) {
                        assert_non_null(strstr(told->message, comes ? "can come with a start only"
                                                                    : "can go with the next start only"));
                        assert_non_null(strstr(told->message, "a PCI Express root has no hotplug"));
                }
                plan_change_done(&change);
                launch_plan_free(a);
                launch_plan_free(b);
        }
}

static void another_vm_is_no_change(void **state)
{
        const struct plan_change_options options = { .what = "update" };
        struct plan_change change = { 0 };
        struct launch_plan *a = plan_of(one_disk, LIVE_ONE), *b = plan_of(one_disk, LIVE_ONE);
        struct error *err = NULL;

        (void)state;
        free(b->name);
        b->name = xstrdup("db");
        assert_int_equal(plan_change_build(a, b, &options, &change, &err), -1);
        assert_int_equal(err->code, ERROR_INVALID);
        error_free(err);
        launch_plan_free(a);
        launch_plan_free(b);
}

static void several_fds_of_a_netdev_are_named(void **state)
{
        static const char *const words[] = { "-netdev",
                                             "{\"type\":\"tap\",\"id\":\"net0\",\"fds\":\"12:13\"}",
                                             "-chardev", "socket,id=serial0,fd=14,server=on,wait=off", NULL };
        _cleanup_plan_parts_ struct plan_parts parts = { 0 };
        struct launch_plan *plan = plan_of(words, LIVE_ONE);
        _cleanup_free_ char *net = NULL, *serial = NULL;

        (void)state;
        give_fd(plan, 12, "tap:web-0:0");
        give_fd(plan, 13, "tap:web-0:1");
        give_fd(plan, 14, "listen:console");
        plan_parts_read(plan, NULL, &parts);
        net = json_dumps(plan_parts_find(&parts, PART_NETDEV, "net0")->json, JSON_COMPACT | JSON_SORT_KEYS);
        serial = json_dumps(plan_parts_find(&parts, PART_CHARDEV, "serial0")->json,
                            JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(
                net, "{\"fds\":[\"@fd:tap:web-0:0\",\"@fd:tap:web-0:1\"],\"id\":\"net0\",\"type\":\"tap\"}");
        assert_non_null(strstr(serial, "{\"data\":{\"str\":\"@fd:listen:console\"},\"type\":\"fd\"}"));
        launch_plan_free(plan);
}

static void the_same_word_is_read_once_but_for_fds(void **state)
{
        static const char *const words[] = { "-netdev", "{\"type\":\"tap\",\"id\":\"net0\",\"fd\":\"12\"}",
                                             "-device", "{\"driver\":\"virtio-net-pci\",\"id\":\"nic0\"}",
                                             NULL };
        _cleanup_plan_parts_ struct plan_parts a = { 0 }, b = { 0 };
        struct launch_plan *one = plan_of(words, LIVE_ONE), *other = plan_of(words, LIVE_ONE);

        (void)state;
        give_fd(one, 12, "tap:web-0:0");
        give_fd(other, 12, "tap:web-1:0");
        plan_parts_read(one, NULL, &a);
        plan_parts_read(other, &a, &b);
        assert_ptr_equal(plan_parts_find(&a, PART_DEVICE, "nic0")->json,
                         plan_parts_find(&b, PART_DEVICE, "nic0")->json);
        assert_string_equal(
                json_string_value(json_object_get(plan_parts_find(&a, PART_NETDEV, "net0")->json, "fd")),
                "@fd:tap:web-0:0");
        assert_string_equal(
                json_string_value(json_object_get(plan_parts_find(&b, PART_NETDEV, "net0")->json, "fd")),
                "@fd:tap:web-1:0");
        launch_plan_free(one);
        launch_plan_free(other);
}

static void give_step(struct launch_plan *plan, enum plan_effect effect, const char *args)
{
        ARRAY_GROW(plan->steps, plan->n_steps);
        plan->steps[plan->n_steps++] = (struct plan_step){ .effect = effect,
                                                           .args = json_loads(args, 0, NULL),
                                                           .because = xstrdup("GRAPHICS/PORT") };
}

#define GETFD  "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"vnc\"},\"fd\":\"listen:vnc\"}"
#define UPDATE "{\"execute\":\"display-update\",\"arguments\":{\"type\":\"vnc\"}}"

static void a_screen_comes_with_a_start(void **state)
{
        static const char *const words[] = { NULL };
        const struct plan_change_options options = { .what = "update" };
        struct plan_change change = { 0 };
        struct launch_plan *a = plan_of(words, LIVE_ONE), *b = plan_of(words, LIVE_ONE);
        struct error *err = NULL;

        (void)state;
        give_step(b, EFFECT_PORT, "{\"port\":5900,\"fd\":\"listen:vnc\"}");
        give_step(b, EFFECT_QMP, GETFD);
        give_step(b, EFFECT_QMP, UPDATE);
        assert_int_equal(plan_change_build(a, b, &options, &change, &err), 0);
        assert_true(plan_change_is_empty(&change));
        assert_int_equal(error_count(change.next_start), 1);
        assert_string_equal(change.next_start->message, "GRAPHICS/PORT: port comes with the next start");
        plan_change_done(&change);
        launch_plan_free(a);
        launch_plan_free(b);
}

#define NIC_NET(op, more) "{\"op\":\"" op "\",\"ifname\":\"web-0\"" more "}"
#define NIC_DOWN(id)      "{\"execute\":\"set_link\",\"arguments\":{\"name\":\"" id "\",\"up\":false}}"

static void a_card_gets_another_bridge_and_its_link(void **state)
{
        static const char *const words[] = { "-device", "{\"driver\":\"e1000\",\"id\":\"nic0\"}", "-device",
                                             "{\"driver\":\"e1000\",\"id\":\"nic1\"}", NULL };
        static const struct {
                const char *was_bridge, *bridge, *moved; /* NULL: none */
                const char *was_down, *down, *up;
        } rows[] = {
                { "br0", "br1", "br1", NULL, "nic0", "false" }, { "br0", NULL, "", "nic0", NULL, "true" },
                { NULL, "br1", "br1", "nic0", "nic0", NULL },   { "br0", "br0", NULL, NULL, NULL, NULL },
                { NULL, NULL, NULL, NULL, "nic0", "false" },
        };
        const struct plan_change_options options = { .what = "update nic" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct launch_plan *plans[2] = { plan_of(words, LIVE_ONE), plan_of(words, LIVE_ONE) };
                struct plan_change change = { 0 };
                struct error *err = NULL;
                size_t n = 0;

                for (size_t k = 0; k < 2; k++) {
                        const char *bridge = k ? rows[i].bridge : rows[i].was_bridge,
                                   *down = k ? rows[i].down : rows[i].was_down;
                        _cleanup_free_ char *join =
                                xasprintf(NIC_NET("bridge-join", ",\"bridge\":\"%s\""), bridge ? bridge : "");

                        give_step(plans[k], EFFECT_NET, NIC_NET("tap-create", ",\"queues\":1"));
                        if (bridge)
                                give_step(plans[k], EFFECT_NET, join);
                        give_step(plans[k], EFFECT_QMP, NIC_DOWN("nic1"));
                        if (down)
                                give_step(plans[k], EFFECT_QMP, NIC_DOWN("nic0"));
                }
                assert_int_equal(plan_change_build(plans[0], plans[1], &options, &change, &err), 0);
                assert_null(change.next_start);
                assert_null(json_object_get(change.fragment, "forward"));
                if (rows[i].moved) {
                        const json_t *args = json_object_get(step(&change, n++), "args");

                        assert_string_equal(json_string_value(json_object_get(args, "op")), "bridge-move");
                        assert_string_equal(json_string_value(json_object_get(args, "bridge")),
                                            rows[i].moved);
                }
                if (rows[i].up) {
                        _cleanup_free_ char *to = xasprintf("{\"name\":\"nic0\",\"up\":%s}", rows[i].up);
                        const json_t *undo = json_array_get(json_object_get(step(&change, n), "undo"), 0);

                        step_is(&change, n++, "set_link", to);
                        assert_true(json_is_true(json_object_get(json_object_get(undo, "arguments"), "up")) ==
                                    !strcmp(rows[i].up, "false"));
                }
                assert_int_equal(json_array_size(json_object_get(change.fragment, "steps")), n);
                plan_change_done(&change);
                launch_plan_free(plans[0]);
                launch_plan_free(plans[1]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_new_is_added_as_argv_has_it),
                cmocka_unit_test(what_is_gone_goes_in_reverse_and_only_forward),
                cmocka_unit_test(no_difference_is_no_step),
                cmocka_unit_test(a_secret_under_another_number_is_the_same),
                cmocka_unit_test(a_node_that_comes_between_is_named_by_who_wants_it),
                cmocka_unit_test(what_cannot_change_now_is_told),
                cmocka_unit_test(roots_of_pci_express_come_and_go_with_a_start),
                cmocka_unit_test(another_vm_is_no_change),
                cmocka_unit_test(several_fds_of_a_netdev_are_named),
                cmocka_unit_test(the_same_word_is_read_once_but_for_fds),
                cmocka_unit_test(a_screen_comes_with_a_start),
                cmocka_unit_test(a_card_gets_another_bridge_and_its_link),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
