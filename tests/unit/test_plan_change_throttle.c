/* Limits of a disk that come, change and go while it runs. */
#include "tests/unit/plan_change_fixture.h"

static void limits_of_a_throttle_group_are_set_and_lifted(void **state)
{
        static const char *const was[] = {
                "-object",
                "{\"qom-type\":\"throttle-group\",\"id\":\"tg0\",\"limits\":{\"bps-read\":9,\"bps-read-max-length\":3}}",
                NULL
        };
        static const char *const wanted[] = {
                "-object", "{\"qom-type\":\"throttle-group\",\"id\":\"tg0\",\"limits\":{\"iops-total\":5}}",
                NULL
        };
        const struct plan_change_options options = { .what = "update" };
        struct plan_change change = { 0 };
        struct launch_plan *a = plan_of(was, LIVE_ONE), *b = plan_of(wanted, LIVE_ONE);
        struct error *err = NULL;

        (void)state;
        assert_int_equal(plan_change_build(a, b, &options, &change, &err), 0);
        assert_null(change.next_start);
        step_is(&change, 0, "qom-set",
                "{\"path\":\"/objects/tg0\",\"property\":\"limits\",\"value\":"
                "{\"bps-read\":0,\"bps-read-max-length\":1,\"iops-total\":5}}");
        plan_change_done(&change);
        launch_plan_free(a);
        launch_plan_free(b);
}

#define LIMITED(more)                                                                                                                     \
        "-object",                                                                                                                        \
                "{\"id\":\"disk0-limits\",\"limits\":{\"iops-total\":5},\"qom-type\":\"throttle-group\"}",                                \
                "-blockdev", NODE(0, 1), "-blockdev",                                                                                     \
                "{\"driver\":\"throttle\",\"file\":\"disk0-file\",\"node-name\":\"disk0-throttle\",\"throttle-group\":\"disk0-limits\"}", \
                "-device",                                                                                                                \
                "{\"driver\":\"virtio-blk-pci\",\"id\":\"disk0\",\"drive\":\"disk0-throttle\"" more "}",                                  \
                NULL
#define UNLIMITED(more) "-blockdev", NODE(0, 1), "-device", DEVICE(0, more), NULL

/* The throttle that a start would have made, below a device that stays; out again when it is certain. */
static void limits_come_to_a_disk_without_any_and_go(void **state)
{
        static const char *const plain[] = { UNLIMITED("") }, *const limited[] = { LIMITED("") };
        const struct plan_change_options options = { .what = "update" };
        struct launch_plan *a = plan_of(plain, LIVE_ONE), *b = plan_of(limited, LIVE_ONE);
        struct plan_change change = { 0 };
        struct error *err = NULL;
        json_t *then;

        (void)state;
        assert_int_equal(plan_change_build(a, b, &options, &change, &err), 0);
        assert_null(change.next_start);
        step_is(&change, 0, "object-add", limited[1]);
        step_is(&change, 1, "blockdev-add", limited[5]);
        step_is(&change, 2, "qom-set",
                "{\"path\":\"/machine/peripheral/disk0\",\"property\":\"drive\",\"value\":\"disk0-throttle\"}");
        assert_int_equal(json_array_size(json_object_get(change.fragment, "steps")), 3);
        assert_null(json_object_get(change.fragment, "forward"));
        plan_change_done(&change);

        assert_int_equal(plan_change_build(b, a, &options, &change, &err), 0);
        assert_null(change.next_start);
        step_is(&change, 0, "qom-set",
                "{\"path\":\"/machine/peripheral/disk0\",\"property\":\"drive\",\"value\":\"disk0-file\"}");
        assert_int_equal(json_array_size(json_object_get(change.fragment, "steps")), 1);
        assert_null(json_object_get(change.fragment, "forward"));
        then = json_object_get(change.fragment, "then");
        assert_true(json_is_true(json_object_get(then, "forward")));
        then = json_object_get(then, "steps");
        assert_int_equal(json_array_size(then), 2);
        assert_string_equal(json_string_value(json_object_get(
                                    json_object_get(json_array_get(then, 0), "args"), "execute")),
                            "blockdev-del");
        assert_string_equal(json_string_value(json_object_get(
                                    json_object_get(json_array_get(then, 1), "args"), "execute")),
                            "object-del");
        plan_change_done(&change);
        launch_plan_free(a);
        launch_plan_free(b);
}

/* qemu-lab 7: QEMU 7.2 dies of blockdev-add over a node of an iothread's; out of there the filter goes. */
static void no_throttle_comes_to_a_disk_with_an_iothread(void **state)
{
#define THREAD     ",\"iothread\":\"iothread1\""
#define BUS        ",\"bus\":\"scsi0.0\""
#define CONTROLLER "-device", "{\"driver\":\"virtio-scsi-pci\",\"id\":\"scsi0\"" THREAD "}"
        static const char *const plain[][8] = { { UNLIMITED(THREAD) }, { CONTROLLER, UNLIMITED(BUS) } },
                                 *const limited[][12] = { { LIMITED(THREAD) }, { CONTROLLER, LIMITED(BUS) } };
        const struct plan_change_options options = { .what = "update" };

        (void)state;
        for (size_t i = 0; i < 2; i++) {
                struct launch_plan *a = plan_of(plain[i], LIVE_ONE), *b = plan_of(limited[i], LIVE_ONE);
                struct plan_change change = { 0 };
                struct error *err = NULL;

                assert_int_equal(plan_change_build(a, b, &options, &change, &err), 0);
                assert_int_equal(error_count(change.next_start), 1);
                assert_non_null(strstr(change.next_start->message, "it has an iothread"));
                plan_change_done(&change);
                assert_int_equal(plan_change_build(b, a, &options, &change, &err), 0);
                assert_null(change.next_start);
                plan_change_done(&change);
                launch_plan_free(a);
                launch_plan_free(b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(limits_of_a_throttle_group_are_set_and_lifted),
                cmocka_unit_test(limits_come_to_a_disk_without_any_and_go),
                cmocka_unit_test(no_throttle_comes_to_a_disk_with_an_iothread),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
