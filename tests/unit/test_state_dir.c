#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "launcher/state/state_dir.h"
#include "tests/unit/scratch.h"

static struct vm_dir *lock(struct fixture *f, const char *name)
{
        struct vm_dir *vm = NULL;
        struct error *err = NULL;

        if (vm_dir_lock(&f->paths, name, &vm, &err) < 0) {
                _cleanup_free_ char *text = error_text(err);

                fail_msg("%s", text);
        }
        return vm;
}

static void second_start_is_told_which_process_runs_the_vm(void **state)
{
        struct fixture *f = *state;
        struct vm_dir *vm = lock(f, "web"), *second = NULL;
        _cleanup_free_ char *words =
                xasprintf("VM 'web' is in use: process %d holds its lock", (int)getpid());
        struct error *err = NULL;

        assert_int_equal(vm_dir_lock(&f->paths, "web", &second, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        assert_string_equal(err->message, words);
        assert_non_null(strstr(err->hint, "'vmlaunch status web'"));
        error_free(TAKE_PTR(err));
        vm_dir_release(vm, true);
        vm = lock(f, "web");
        vm_dir_release(vm, false);
}

static void start_waits_for_who_holds_the_lock_only_briefly(void **state)
{
        struct fixture *f = *state;
        struct vm_dir *vm = NULL, *second = NULL;
        struct error *err = NULL;
        pid_t pid;

        assert_int_equal(vm_dir_lock_briefly(&f->paths, "web", &vm, &err), 0);
        assert_int_equal(vm_dir_lock_briefly(&f->paths, "web", &second, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        error_free(TAKE_PTR(err));
        pid = fork();
        if (pid == 0) {
                close(vm->lock_fd);
                _exit(vm_dir_lock(&f->paths, "web", &second, &err) == 0 ? 0 : 1);
        }
        /* Whether it has begun to wait by now or not. */
        vm_dir_release(vm, true);
        child_ends_well(pid);
}

static void lock_is_seen_without_taking_it(void **state)
{
        struct fixture *f = *state;
        struct vm_dir *vm = lock(f, "web"), *other = NULL;
        struct error *err = NULL;
        pid_t pid = 0;

        assert_int_equal(vm_dir_open(&f->paths, "web", &other, &err), 0);
        assert_true(vm_dir_is_locked(other, &pid));
        assert_int_equal(pid, getpid());
        vm_dir_release(vm, true);
        assert_false(vm_dir_is_locked(other, &pid));
        assert_int_equal(pid, 0);
        vm_dir_release(other, true);
}

static void lock_is_seen_by_a_user_who_may_not_open_it(void **state)
{
        struct fixture *f = *state;
        struct vm_dir *vm, *other = NULL;
        struct error *err = NULL;
        pid_t pid;

        if (geteuid() != 0)
                skip();
        vm = lock(f, "web");
        assert_int_equal(vm_dir_open(&f->paths, "web", &other, &err), 0);
        pid = fork();
        if (pid == 0) {
                if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
                        _exit(2);
                _exit(vm_dir_is_locked(other, NULL) ? 0 : 1);
        }
        child_ends_well(pid);
        vm_dir_release(vm, true);
        pid = fork();
        if (pid == 0) {
                if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
                        _exit(2);
                _exit(vm_dir_is_locked(other, NULL) ? 1 : 0);
        }
        child_ends_well(pid);
        vm_dir_release(other, true);
}

static void lock_outlives_the_process_that_passed_it_on(void **state)
{
        struct fixture *f = *state;
        struct vm_dir *second = NULL;
        struct error *err = NULL;
        int ready[2], status = -1;
        pid_t parent, heir = 0;

        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        parent = fork();
        if (parent == 0) {
                struct vm_dir *vm = lock(f, "web");

                heir = fork();
                if (heir == 0) {
                        pause();
                        _exit(0);
                }
                if (vm->lock_fd < 0 || write(ready[1], &heir, sizeof(heir)) != sizeof(heir))
                        _exit(1);
                _exit(0);
        }
        assert_int_equal(read(ready[0], &heir, sizeof(heir)), sizeof(heir));
        assert_int_equal(waitpid(parent, &status, 0), parent);
        assert_int_equal(vm_dir_lock(&f->paths, "web", &second, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        error_free(TAKE_PTR(err));
        kill(heir, SIGKILL);
        for (int i = 0; i < 500 && vm_dir_lock(&f->paths, "web", &second, &err) < 0; i++) {
                error_free(TAKE_PTR(err));
                usleep(10000);
        }
        assert_non_null(second);
        vm_dir_release(second, false);
        close(ready[0]);
        close(ready[1]);
}

static void released_directory_is_gone_and_nothing_beside_it(void **state)
{
        struct fixture *f = *state;
        struct vm_dir *vm = lock(f, "web");
        struct error *err = NULL;
        char **names = NULL;

        assert_int_equal(mkdirat(vm->fd, "private", 0700), 0);
        vm_dir_release(vm, false);
        /* Only an empty directory can be removed. */
        assert_int_equal(rmdir(f->paths.run), 0);
        assert_int_equal(vm_dir_names(&f->paths, &names, &err), 0);
        assert_null(names[0]);
        names_free(names);
}

static void directory_opened_without_lock_is_never_removed(void **state)
{
        struct fixture *f = *state;
        struct vm_dir *vm = NULL;
        struct error *err = NULL;

        vm_dir_release(lock(f, "web"), true);
        assert_int_equal(vm_dir_open(&f->paths, "web", &vm, &err), 0);
        vm_dir_release(vm, false);
        assert_int_equal(vm_dir_open(&f->paths, "web", &vm, &err), 0);
        vm_dir_release(vm, true);
}

static void names_that_are_none_are_refused(void **state)
{
        static const char *const bad[] = { "",       "..",   ".",     "a/b", "../web",     "a\nb",
                                           "images", "uids", "ports", "-x",  ".gone-web-1" };
        struct fixture *f = *state;
        struct vm_dir *vm = NULL;
        struct error *err = NULL;
        struct stat st;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_int_equal(vm_dir_lock(&f->paths, bad[i], &vm, &err), -1);
                assert_int_equal(err->code, ERROR_INVALID);
                error_free(TAKE_PTR(err));
                assert_int_equal(vm_dir_open(&f->paths, bad[i], &vm, &err), -1);
                error_free(TAKE_PTR(err));
        }
        assert_int_equal(stat(f->paths.run, &st), -1);
}

static void unknown_vm_is_said_to_be_unknown(void **state)
{
        struct fixture *f = *state;
        struct vm_dir *vm = NULL;
        struct error *err = NULL;

        assert_int_equal(vm_dir_open(&f->paths, "web", &vm, &err), -1);
        assert_int_equal(err->code, ERROR_NO_SUCH_VM);
        error_free(TAKE_PTR(err));
}

static void names_are_sorted_and_only_those_of_vms(void **state)
{
        static const char *const make[] = { "web", "db", "images", "uids", "ports", ".gone-x-1", "a b" };
        struct fixture *f = *state;
        struct error *err = NULL;
        char **names = NULL;
        int run = -1;

        assert_int_equal(run_dir_open(&f->paths, &run, &err), 0);
        for (size_t i = 0; i < ARRAY_SIZE(make); i++)
                assert_int_equal(mkdirat(run, make[i], 0755), 0);
        close(openat(run, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
        assert_int_equal(vm_dir_names(&f->paths, &names, &err), 0);
        assert_string_equal(names[0], "db");
        assert_string_equal(names[1], "web");
        assert_null(names[2]);
        names_free(names);
        close(run);
}

static void directories_and_files_have_their_modes_whatever_the_umask(void **state)
{
        struct fixture *f = *state;
        mode_t old = umask(077);
        struct vm_dir *vm = lock(f, "web");
        struct stat st;

        umask(old);
        assert_int_equal(stat(f->paths.run, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
        assert_int_equal(fstat(vm->fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
        assert_int_equal(fstat(vm->lock_fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        vm_dir_release(vm, false);
}

/* Whoever has the lock finds an empty directory of his own, however often others remove theirs. */
static void starts_and_stops_at_once_never_share_a_directory(void **state)
{
        enum { PROCESSES = 4, ROUNDS = 50 };
        struct fixture *f = *state;
        pid_t pids[PROCESSES];

        for (unsigned p = 0; p < PROCESSES; p++) {
                pids[p] = fork();
                if (pids[p] != 0)
                        continue;
                for (unsigned i = 0; i < ROUNDS;) {
                        struct vm_dir *vm = NULL;
                        struct error *err = NULL;
                        int fd;

                        if (vm_dir_lock(&f->paths, "web", &vm, &err) < 0) {
                                if (err->code != ERROR_BUSY)
                                        _exit(1);
                                error_free(err);
                                continue;
                        }
                        fd = openat(vm->fd, "mine", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                        if (fd < 0)
                                _exit(2);
                        close(fd);
                        vm_dir_release(vm, false);
                        i++;
                }
                _exit(0);
        }
        for (unsigned p = 0; p < PROCESSES; p++)
                child_ends_well(pids[p]);
}

static void start_time_tells_a_process_from_a_later_one_of_its_pid(void **state)
{
        pid_t pid = fork();

        (void)state;
        if (pid == 0)
                _exit(0);
        assert_true(process_start_time(getpid()) > 0);
        assert_int_equal(process_start_time(getpid()), process_start_time(getpid()));
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(process_start_time(pid), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(second_start_is_told_which_process_runs_the_vm),
                TEST(start_waits_for_who_holds_the_lock_only_briefly),
                TEST(lock_is_seen_without_taking_it),
                TEST(lock_is_seen_by_a_user_who_may_not_open_it),
                TEST(lock_outlives_the_process_that_passed_it_on),
                TEST(released_directory_is_gone_and_nothing_beside_it),
                TEST(directory_opened_without_lock_is_never_removed),
                TEST(names_that_are_none_are_refused),
                TEST(unknown_vm_is_said_to_be_unknown),
                TEST(names_are_sorted_and_only_those_of_vms),
                TEST(directories_and_files_have_their_modes_whatever_the_umask),
                TEST(starts_and_stops_at_once_never_share_a_directory),
                cmocka_unit_test(start_time_tells_a_process_from_a_later_one_of_its_pid),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
