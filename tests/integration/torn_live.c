/* A QEMU that lives is found, with what it owes, whatever journal and record have lost. */
#include "tests/integration/torn_fixture.h"

static bool has_lock(const json_t *locks, const char *name)
{
        json_t *lock;
        size_t i;

        json_array_foreach ((json_t *)locks, i, lock)
                if (strcmp(json_string_value(json_object_get(lock, "name")), name) == 0)
                        return true;
        return false;
}

/* QEMU is found with all that it owes, and once that is written down again the journal alone knows it. */
static void is_adopted(struct fixture *f, const char *where)
{
        _cleanup_adoption_ struct adoption adoption = ADOPTION_INIT;
        _cleanup_journal_run_ struct journal_run run = { 0 };
        _cleanup_free_ char *generation = NULL;
        struct vm_dir *vm = open_vm(f);
        struct error *err = NULL;
        pid_t pid = 0;

        if (vm_qemu_lives(&f->site, vm, 0, &pid, &generation, &err) < 0 ||
            adoption_read(&f->site, vm, &adoption, &err) < 0 || adoption_repair(vm, &adoption, &err) < 0 ||
            journal_run_read(vm->fd, &run, &err) < 0)
                fail_msg("%s: %s", where, error_text(err));
        if (pid != f->qemu || adoption.pid != f->qemu)
                fail_msg("%s: process %d and %d, not %d", where, (int)pid, (int)adoption.pid, (int)f->qemu);
        assert_string_equal(generation, f->generation);
        assert_string_equal(adoption.generation, f->generation);
        assert_string_equal(adoption.plan->cgroup, f->group);
        assert_int_equal(adoption.plan->confine.uid, VM_UID);
        assert_string_equal(run.generation, f->generation);
        assert_int_equal(json_integer_value(json_object_get(run.spawned, "pid")), f->qemu);
        if (!has_lock(run.locks, f->image_lock))
                fail_msg("%s: the image's lock is forgotten", where);
        vm_dir_release(vm, true);
}

static void live_qemu_is_found_whatever_its_journal_and_record_have_lost(void **state)
{
        struct fixture *f = *state;
        unsigned every = step_of_tests(), n = 0;

        for (size_t cut = 0; cut <= f->journal_size; cut += every, n++) {
                _cleanup_free_ char *where = xasprintf("journal of %zu bytes", cut);
                _cleanup_free_ char *tail = with_tail(f, cut, n % 2);

                put_files(f, f->journal, cut, f->record, f->record_size);
                is_adopted(f, where);
                if (n % 16)
                        continue;
                put_files(f, f->journal, cut, "", 0);
                is_adopted(f, where);
                put_files(f, tail, cut + ZEROS, f->record, f->record_size);
                is_adopted(f, where);
        }
        for (size_t cut = 0; cut <= f->record_size; cut += every, n++) {
                _cleanup_free_ char *where = xasprintf("record of %zu bytes", cut);
                bool with_journal = n % 2;

                put_files(f, f->journal, with_journal ? f->journal_size : 0, f->record, cut);
                is_adopted(f, where);
        }
        print_message("%u of %zu and %zu bytes\n", n, f->journal_size, f->record_size);
        assert_int_equal(kill(f->qemu, 0), 0);
}

static void live_qemu_without_journal_and_record_is_destroyed_when_asked(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        const char *left;

        put_files(f, "", 0, "", 0);
        assert_true(orphan_exists(&f->site, f->vm_name));
        if (orphan_destroy(&f->site, &f->cgroup, f->vm_name, add_line, f, &err) < 0)
                fail_msg("%s", error_text(err));
        assert_int_equal(waitpid(f->qemu, NULL, 0), f->qemu);
        f->qemu = 0;
        left = left_behind(f);
        if (left)
                fail_msg("left behind: %s\n%s", left, text_str(&f->lines));
        assert_false(tap_is_left());
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(live_qemu_is_found_whatever_its_journal_and_record_have_lost),
                TEST(live_qemu_without_journal_and_record_is_destroyed_when_asked),
        };

        return run_as_root(tests, ARRAY_SIZE(tests));
}
