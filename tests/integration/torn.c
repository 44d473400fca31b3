/*
 * Journals and records that end anywhere, or in garbage: reconcile leaves nothing behind and gives the right verdict.
 * What a QEMU that lives is found by is in torn_live.c.
 */
#include "tests/integration/torn_fixture.h"

#include <linux/if_tun.h>
#include <sys/ioctl.h>

/* Deleting a tap waits for the kernel's grace periods: not for each byte. */
#define TAP_EVERY 97

/* What such a run leaves when nobody undoes it, but for its journal and record. */
static void lay_out(struct fixture *f, bool with_tap)
{
        static const char *const files[] = { "lock",         "live.tmpl", "private/qmp.sock",
                                             "control.sock", "leases",    "record.json.new.17" };
        _cleanup_free_ char *private_dir = in_vm(f, "private");
        _cleanup_free_ char *state_dir = xasprintf("%s/%s", f->site.paths.state, f->vm_name);
        _cleanup_free_ char *lock = xasprintf("%s/machine.lock", state_dir);
        _cleanup_free_ char *half = xasprintf("%s/machine.lock.new.17", state_dir);
        _cleanup_free_ char *uid = xasprintf("%s/uids/%d", f->site.paths.run, VM_UID);
        _cleanup_free_ char *image = xasprintf("%s/%s", f->site.paths.run, f->image_lock);
        struct error *err = NULL;

        assert_int_equal(fd_mkdir_p(AT_FDCWD, private_dir, 0700, &err), 0);
        assert_int_equal(fd_mkdir_p(AT_FDCWD, state_dir, 0755, &err), 0);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *path = in_vm(f, files[i]);

                put(path, "", 0);
        }
        put(lock, "LAYOUT = 1\n", 11);
        put(half, "LAY", 3);
        put(uid, "", 0);
        put(image, "", 0);
        assert_int_equal(cgroup_create(&f->cgroup, f->group, NULL, &err), 0);
        cgroup_mark(&f->cgroup, f->group, f->mark);
        if (with_tap) {
                const struct net_op mark = { .kind = NET_LINK_SET,
                                             .ifname = "torn-0",
                                             .link = { .group = VM_UID,
                                                       .alias = f->mark,
                                                       .mac = { 0xfe, 0x54, 0x00, 0x12, 0x34, 0x57 } } };
                const struct net_op create = { .kind = NET_TAP_CREATE,
                                               .ifname = "torn-0",
                                               .tap = { .queues = 1 } };
                struct netlink *nl = netlink_open(&err);
                int fd = -1;

                assert_int_equal(net_op_do(nl, &create, f->mark, &fd, &err), 0);
                assert_int_equal(net_op_do(nl, &mark, f->mark, NULL, &err), 0);
                /* As if a process that nobody knows had it. */
                assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
                close(fd);
                netlink_close(nl);
        }
}

static void assert_lost(struct fixture *f, const char *where)
{
        json_auto_t *record = NULL;
        struct vm_dir *vm = open_vm(f);
        struct error *err = NULL;

        if (record_read(vm->fd, &record, &err) < 0)
                fail_msg("%s: %s", where, err->message);
        vm_dir_release(vm, true);
        assert_string_equal(json_string_value(json_object_get(record, "verdict")), "lost");
        assert_string_equal(json_string_value(json_object_get(record, "state")), "stopped");
        assert_string_equal(json_string_value(json_object_get(record, "name")), f->vm_name);
}

static void reconcile_leaves_nothing(struct fixture *f, const char *where, bool with_tap)
{
        const struct reconcile_request request = {
                .site = &f->site, .cgroup = &f->cgroup, .line = add_line, .data = f
        };
        struct error *err = NULL;
        const char *left;

        text_done(&f->lines);
        if (reconcile(&request, &err) < 0)
                fail_msg("%s: %s", where, error_text(err));
        left = left_behind(f);
        if (!left && with_tap && tap_is_left())
                left = "the tap";
        if (left)
                fail_msg("%s: left behind: %s\n%s", where, left, text_str(&f->lines));
        assert_lost(f, where);
}

static void journal_cut_anywhere_leaves_nothing(void **state)
{
        struct fixture *f = *state;
        unsigned every = step_of_tests(), n = 0;

        kill_qemu(f);
        for (size_t cut = 0; cut <= f->journal_size; cut += every, n++) {
                _cleanup_free_ char *where = xasprintf("journal of %zu bytes", cut);
                bool with_tap = n % TAP_EVERY == 0;

                lay_out(f, with_tap);
                put_files(f, f->journal, cut, f->record, f->record_size);
                reconcile_leaves_nothing(f, where, with_tap);
        }
        print_message("%u of %zu bytes\n", n, f->journal_size);
}

static void record_cut_anywhere_is_lost_and_leaves_nothing(void **state)
{
        struct fixture *f = *state;
        unsigned every = step_of_tests(), n = 0;

        kill_qemu(f);
        for (size_t cut = 0; cut <= f->record_size; cut += every, n++) {
                _cleanup_free_ char *where = xasprintf("record of %zu bytes", cut);
                /* Every other time the journal is no help. */
                size_t journal = n % 2 ? f->journal_size : 0;

                lay_out(f, false);
                put_files(f, f->journal, journal, f->record, cut);
                reconcile_leaves_nothing(f, where, false);
        }
        print_message("%u of %zu bytes\n", n, f->record_size);
}

static void garbage_and_zeros_at_the_end_leave_nothing(void **state)
{
        struct fixture *f = *state;
        unsigned every = 16 * step_of_tests() + 1, n = 0;

        kill_qemu(f);
        for (size_t cut = 0; cut <= f->journal_size; cut += every, n++) {
                _cleanup_free_ char *where =
                        xasprintf("journal of %zu bytes and %s", cut, n % 2 ? "zeros" : "garbage");
                _cleanup_free_ char *bytes = with_tail(f, cut, n % 2);

                lay_out(f, false);
                put_files(f, bytes, cut + ZEROS, f->record, f->record_size);
                reconcile_leaves_nothing(f, where, false);
        }
        print_message("%u of them\n", n);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(journal_cut_anywhere_leaves_nothing),
                TEST(record_cut_anywhere_is_lost_and_leaves_nothing),
                TEST(garbage_and_zeros_at_the_end_leave_nothing),
        };

        return run_as_root(tests, ARRAY_SIZE(tests));
}
