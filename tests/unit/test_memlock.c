/* Whose limit of locked memory is read and set. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fd.h"
#include "launcher/run/confine.h"
#include "launcher/run/effects.h"
#include "launcher/run/memlock.h"
#include "tests/unit/child.h"
#include "tests/unit/scratch.h"

/* Any user may lower a limit so far. */
static const struct rlimit low = { 4096, 4096 };
static pid_t ends_by_call;

/* The C library's, but for a process that ends while it is called. */
int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *new, struct rlimit *old)
{
        int result = (int)syscall(SYS_prlimit64, pid, resource, new, old);

        if (pid == ends_by_call)
                child_end(pid);
        return result;
}

static struct rlimit limit_of(pid_t pid)
{
        struct rlimit limit;

        assert_int_equal(syscall(SYS_prlimit64, pid, RLIMIT_MEMLOCK, NULL, &limit), 0);
        return limit;
}

static void assert_same(struct rlimit a, struct rlimit b)
{
        assert_int_equal(a.rlim_cur, b.rlim_cur);
        assert_int_equal(a.rlim_max, b.rlim_max);
}

static pid_t open_child(int *ret_pidfd)
{
        pid_t child = child_of_pid(0);

        assert_true(child > 0);
        *ret_pidfd = fd_pidfd_open(child);
        assert_true(*ret_pidfd >= 0);
        return child;
}

static void limit_of_the_process_is_read_and_set(void **state)
{
        _cleanup_close_ int pidfd = -1;
        pid_t child = open_child(&pidfd);
        struct rlimit before = limit_of(child), old, now;

        (void)state;
        assert_int_equal(memlock_limit(child, pidfd, &low, &old), 0);
        assert_same(old, before);
        assert_same(limit_of(child), low);
        assert_int_equal(memlock_limit(child, pidfd, NULL, &now), 0);
        assert_same(now, low);
        child_end(child);
}

static void process_that_got_the_number_of_one_that_has_ended_keeps_its_limit(void **state)
{
        _cleanup_close_ int pidfd = -1;
        pid_t child = open_child(&pidfd), again;
        struct rlimit before;

        (void)state;
        child_end(child);
        again = child_of_pid(child);
        if (again < 0)
                skip();
        assert_int_equal(again, child);
        before = limit_of(again);
        assert_int_equal(memlock_limit(child, pidfd, &low, NULL), -1);
        assert_int_equal(errno, ESRCH);
        assert_same(limit_of(again), before);
        child_end(again);
}

static void whose_limit_it_was_is_not_known_once_the_process_has_ended(void **state)
{
        _cleanup_close_ int pidfd = -1;
        struct rlimit limit;

        (void)state;
        ends_by_call = open_child(&pidfd);
        assert_int_equal(memlock_limit(ends_by_call, pidfd, NULL, &limit), -1);
        assert_int_equal(errno, ESRCH);
        ends_by_call = 0;
}

static void add(struct fixture *f, json_t *entry_consume)
{
        json_auto_t *entry = entry_consume;
        struct error *err = NULL;

        assert_non_null(entry);
        assert_int_equal(journal_append(f->fd, entry, &err), 0);
}

static void undo_for_a_qemu_that_ends_just_then_has_nothing_to_put_back(void **state)
{
        /* In the command line of a child, as QEMU has its generation. */
        static const char generation[] = "test_memlock";
        struct fixture *f = *state;
        struct effect_undo undo = { .vm_dirfd = f->fd, .generation = generation };
        json_auto_t *was =
                json_pack("{s:I, s:I}", "soft", (json_int_t)low.rlim_cur, "hard", (json_int_t)low.rlim_max);
        pid_t child = child_of_pid(0);
        struct error *err = NULL;

        assert_true(child > 0);
        add(f, json_pack("{s:{s:s, s:s, s:s, s:i}}", "run", "name", "web", "generation", generation,
                         "run_dir", "/r", "executor", 1));
        add(f, json_pack("{s:i, s:s, s:{}}", "n", 0, "effect", "spawn", "args"));
        add(f, json_pack("{s:i, s:{s:i, s:I, s:i}}", "n", 0, "learned", "pid", (int)child, "start",
                         (json_int_t)process_start_time(child), "uid", 0));
        assert_int_equal(memory_lock_undo(&undo, NULL, was, &err), 1);
        assert_same(limit_of(child), low);
        ends_by_call = child;
        assert_int_equal(memory_lock_undo(&undo, NULL, was, &err), 0);
        ends_by_call = 0;
        /* And again: it is gone. */
        assert_int_equal(memory_lock_undo(&undo, NULL, was, &err), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(limit_of_the_process_is_read_and_set),
                cmocka_unit_test(process_that_got_the_number_of_one_that_has_ended_keeps_its_limit),
                cmocka_unit_test(whose_limit_it_was_is_not_known_once_the_process_has_ended),
                cmocka_unit_test_setup_teardown(undo_for_a_qemu_that_ends_just_then_has_nothing_to_put_back,
                                                set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
