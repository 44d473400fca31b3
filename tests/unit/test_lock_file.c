#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/fd.h"
#include "launcher/state/lock_file.h"
#include "tests/unit/scratch.h"

static int take(struct fixture *f, const char *holder, bool shared, struct error **err)
{
        const struct lock_request request = {
                .name = "images/8:1-123", .what = "image '/x.qcow2'", .holder = holder, .shared = shared
        };
        int fd = -1;

        return lock_file_take(f->fd, &request, &fd, err) < 0 ? -1 : fd;
}

static void assert_busy(struct error *err, const char *message)
{
        assert_non_null(err);
        assert_int_equal(err->code, ERROR_BUSY);
        assert_string_equal(err->message, message);
        error_free(err);
}

static void assert_gone(struct fixture *f)
{
        struct stat st;

        assert_int_equal(fstatat(f->fd, "images/8:1-123", &st, 0), -1);
}

static void second_writer_is_told_who_the_first_one_is(void **state)
{
        struct error *err = NULL;
        int fd = take(*state, "web", false, &err);

        assert_true(fd >= 0);
        assert_int_equal(take(*state, "db", false, &err), -1);
        assert_busy(err, "image '/x.qcow2' is in use by VM 'web' (read-write)");
        lock_file_release(((struct fixture *)*state)->fd, "images/8:1-123", fd);
        assert_gone(*state);
}

static void readers_share_and_keep_a_writer_out(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        int a = take(f, "a", true, &err), b = take(f, "b", true, &err);

        assert_true(a >= 0 && b >= 0);
        assert_int_equal(take(f, "w", false, &err), -1);
        assert_busy(err, "image '/x.qcow2' is in use by VM 'a' (read-only) and 1 more");
        err = NULL;
        lock_file_release(f->fd, "images/8:1-123", a);
        assert_int_equal(take(f, "w", false, &err), -1);
        assert_busy(err, "image '/x.qcow2' is in use by VM 'b' (read-only)");
        err = NULL;
        lock_file_release(f->fd, "images/8:1-123", b);
        assert_gone(f);
        a = take(f, "w", false, &err);
        assert_true(a >= 0);
        assert_int_equal(take(f, "r", true, &err), -1);
        assert_busy(err, "image '/x.qcow2' is in use by VM 'w' (read-write)");
        lock_file_release(f->fd, "images/8:1-123", a);
}

static void lock_ends_with_the_process_that_has_it(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        pid_t pid = fork();
        int fd;

        if (pid == 0)
                _exit(take(f, "dead", false, &err) >= 0 ? 0 : 1);
        child_ends_well(pid);
        fd = take(f, "web", true, &err);
        assert_true(fd >= 0);
        assert_int_equal(take(f, "db", false, &err), -1);
        assert_busy(err, "image '/x.qcow2' is in use by VM 'web' (read-only)");
        lock_file_release(f->fd, "images/8:1-123", fd);
}

static void sweeping_removes_only_what_nobody_holds(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        int fd = take(f, "web", true, &err);
        struct stat st;

        lock_file_sweep(f->fd, "images/8:1-123");
        assert_int_equal(fstatat(f->fd, "images/8:1-123", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        close(fd);
        lock_file_sweep(f->fd, "images/8:1-123");
        assert_gone(f);
        lock_file_sweep(f->fd, "images/8:1-123");
}

static void directories_are_for_everybody_whatever_the_umask(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        mode_t old = umask(077);
        int fd = take(f, "web", false, &err);
        struct stat st;

        umask(old);
        assert_int_equal(fstatat(f->fd, "images", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0755);
        lock_file_release(f->fd, "images/8:1-123", fd);
}

/* Four processes take and release the lock; each adds to a counter in a way that loses if two are inside. */
static void only_one_holds_it_however_often_the_file_is_removed(void **state)
{
        enum { PROCESSES = 4, ROUNDS = 100 };
        struct fixture *f = *state;
        int counter = openat(f->fd, "counter", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        uint32_t value = 0;
        pid_t pids[PROCESSES], sweeper = fork();

        /* reconcile, to which the lock of a supervisor that dies may seem free at any moment. */
        while (sweeper == 0)
                lock_file_sweep(f->fd, "images/8:1-123");
        assert_true(sweeper > 0);
        assert_int_equal(pwrite(counter, &value, sizeof(value), 0), sizeof(value));
        for (unsigned p = 0; p < PROCESSES; p++) {
                pids[p] = fork();
                if (pids[p] != 0)
                        continue;
                for (unsigned i = 0; i < ROUNDS;) {
                        struct error *err = NULL;
                        int fd = take(f, "p", false, &err);

                        if (fd < 0) {
                                bool busy = err->code == ERROR_BUSY;

                                error_free(err);
                                if (!busy)
                                        _exit(1);
                                continue;
                        }
                        if (pread(counter, &value, sizeof(value), 0) != sizeof(value))
                                _exit(1);
                        value++;
                        if (pwrite(counter, &value, sizeof(value), 0) != sizeof(value))
                                _exit(1);
                        lock_file_release(f->fd, "images/8:1-123", fd);
                        i++;
                }
                _exit(0);
        }
        for (unsigned p = 0; p < PROCESSES; p++)
                child_ends_well(pids[p]);
        kill(sweeper, SIGKILL);
        assert_int_equal(waitpid(sweeper, NULL, 0), sweeper);
        lock_file_sweep(f->fd, "images/8:1-123");
        assert_int_equal(pread(counter, &value, sizeof(value), 0), sizeof(value));
        assert_int_equal(value, PROCESSES * ROUNDS);
        close(counter);
        assert_gone(f);
}

static void image_lock_is_named_after_device_and_inode(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *name = NULL;
        struct error *err = NULL;

        assert_int_equal(lock_file_image_name(f->fd, &name, &err), 0);
        assert_non_null(strchr(name, ':'));
        assert_int_equal(strncmp(name, "images/", 7), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(second_writer_is_told_who_the_first_one_is),
                TEST(readers_share_and_keep_a_writer_out),
                TEST(lock_ends_with_the_process_that_has_it),
                TEST(sweeping_removes_only_what_nobody_holds),
                TEST(directories_are_for_everybody_whatever_the_umask),
                TEST(only_one_holds_it_however_often_the_file_is_removed),
                TEST(image_lock_is_named_after_device_and_inode),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
