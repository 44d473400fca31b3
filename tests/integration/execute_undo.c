/* What undoes a run: its own supervisor, the journal, reconcile. */
#include "tests/integration/execute_fixture.h"

static void undo_kills_qemu_and_may_be_repeated(void **state)
{
        struct fixture *f = *state;
        json_auto_t *journal = NULL;
        struct error *err = NULL;
        size_t i;
        json_t *entry;
        pid_t pid = 0;

        run_fine(f);
        assert_int_equal(journal_read(f->vm->fd, &journal, &err), 0);
        assert_int_equal(journal_qemu_lives(f->vm->fd, &pid, &err), 1);
        assert_int_equal(pid, execution_qemu_pid(f->execution));
        undo_all(f);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), pid);
        execution_free(f->execution);
        f->execution = NULL;
        assert_host_clean(f);
        json_array_foreach (journal, i, entry)
                assert_int_equal(journal_append(f->vm->fd, entry, &err), 0);
        assert_int_equal(journal_qemu_lives(f->vm->fd, &pid, &err), 0);
        undo_all(f);
        assert_host_clean(f);
}

static void guest_that_ran_keeps_its_machine_lock(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        run_fine(f);
        assert_int_equal(execution_mark_started(f->execution, &err), 0);
        undo_all(f);
        waitpid(-1, NULL, 0);
        assert_true(file_exists(f, "state/web/machine.lock"));
}

static void failed_start_puts_the_old_machine_lock_back(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *path = below(f, "state/web/machine.lock"), *dir = below(f, "state/web");
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ struct error *failed = NULL;
        struct error *err = NULL;

        assert_int_equal(fd_mkdir_p(AT_FDCWD, dir, 0755, &err), 0);
        write_file(f, "state/web/machine.lock", "LAYOUT = 0\n");
        assert_int_equal(run_plan(f, (int)f->plan.n_steps - 2, &failed), -1);
        assert_int_equal(fd_read_file_at(AT_FDCWD, path, 1000, &text, NULL, &err), 0);
        assert_string_equal(text, "LAYOUT = 0\n");
}

static void process_of_another_start_time_is_left_alone(void **state)
{
        json_auto_t *wrong = NULL, *foreign = NULL;
        struct error *err = NULL;
        pid_t pid = fork();

        (void)state;
        if (pid == 0)
                for (;;)
                        pause();
        wrong = json_pack("{s:i, s:I, s:i}", "pid", (int)pid, "start",
                          (json_int_t)process_start_time(pid) + 1, "uid", VM_UID);
        foreign = json_pack("{s:i, s:I, s:i}", "pid", (int)pid, "start", (json_int_t)process_start_time(pid),
                            "uid", VM_UID);
        assert_int_equal(qemu_prove(wrong, GENERATION, NULL, &err), 0);
        assert_int_equal(qemu_prove(foreign, GENERATION, NULL, &err), 0);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

static void tap_of_another_run_is_left_alone(void **state)
{
        struct fixture *f = *state;
        json_auto_t *journal = NULL;
        struct error *err = NULL;
        json_t *entry;
        size_t i;

        run_fine(f);
        assert_int_equal(journal_read(f->vm->fd, &journal, &err), 0);
        assert_int_equal(journal_clear(f->vm->fd, &err), 0);
        json_array_foreach (journal, i, entry) {
                json_t *run = json_object_get(entry, "run");
                const char *effect = json_string_value(json_object_get(entry, "effect"));

                if (run)
                        json_object_set_new(run, "generation", json_string("fedcba9876543210"));
                if (run || (effect && strcmp(effect, "net") == 0))
                        assert_int_equal(journal_append(f->vm->fd, entry, &err), 0);
        }
        undo_all(f);
        assert_true(link_exists("exec-0"));
        kill(execution_qemu_pid(f->execution), SIGKILL);
        waitpid(execution_qemu_pid(f->execution), NULL, 0);
        json_object_set_new(json_object_get(json_array_get(journal, 0), "run"), "generation",
                            json_string(GENERATION));
        json_array_foreach (journal, i, entry)
                assert_int_equal(journal_append(f->vm->fd, entry, &err), 0);
        execution_free(f->execution);
        f->execution = NULL;
        undo_all(f);
        assert_host_clean(f);
}

static void second_start_over_an_unfinished_run_is_busy(void **state)
{
        struct fixture *f = *state;
        _cleanup_error_ struct error *err = NULL;
        const struct execution_options options = {
                .vm = f->vm, .generation = GENERATION, .cgroup = &f->cgroup, .fail_step = -1
        };
        struct execution *second;

        run_fine(f);
        second = execution_new(&f->plan, &options);
        assert_int_equal(execution_run(second, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        execution_free(second);
        assert_int_equal(kill(execution_qemu_pid(f->execution), 0), 0);
}

/* An executor killed at any moment: what it had begun is undone by somebody else. */
static void journal_of_a_killed_executor_undoes_all(void **state)
{
        struct fixture *f = *state;
        unsigned unfinished = 0;

        for (unsigned i = 0; i < 40; i++) {
                long long until;
                pid_t pid = fork();
                struct error *err = NULL;

                if (pid == 0) {
                        if (run_plan(f, -1, &err) < 0)
                                _exit(1);
                        for (;;)
                                pause();
                }
                until = now_us() + i * 400;
                while (now_us() < until)
                        ;
                unfinished += waitpid(pid, NULL, WNOHANG) == 0;
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
                if (!journal_is_empty(f->vm->fd))
                        undo_all(f);
                assert_host_clean(f);
        }
        assert_int_equal(unfinished, 40);
}

/* A journal whose last entry says that the group is about to be made. */
static void write_begun_group(struct fixture *f)
{
        _cleanup_error_ struct error *err = NULL;
        json_auto_t *run = json_pack("{s:{s:s, s:s, s:s, s:i}}", "run", "name", "web", "generation",
                                     GENERATION, "run_dir", f->vm->path, "executor", 1);
        json_auto_t *step =
                json_pack("{s:i, s:s, s:{s:s}}", "n", 0, "effect", "cgroup-create", "args", "path", f->group);

        assert_int_equal(journal_append(f->vm->fd, run, &err), 0);
        assert_int_equal(journal_append(f->vm->fd, step, &err), 0);
}

static void group_that_another_instance_has_made_is_not_emptied(void **state)
{
        struct fixture *f = *state;
        _cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
        struct error *err = NULL;
        pid_t pid;
        int status;

        assert_int_equal(cgroup_create(&f->cgroup, f->group, NULL, &err), 0);
        assert_int_equal(cgroup_entry_open(&f->cgroup, f->group, &entry, &err), 0);
        pid = cgroup_entry_fork(&entry, NULL);
        assert_true(pid >= 0);
        if (pid == 0) {
                if (cgroup_entry_enter(&entry) < 0)
                        _exit(1);
                for (;;)
                        raise(SIGSTOP);
        }
        /* It is inside when it stops. */
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
        assert_true(WIFSTOPPED(status));
        write_begun_group(f);
        undo_all(f);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        assert_true(group_exists(f));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        assert_int_equal(cgroup_remove(&f->cgroup, f->group, 5000, &err), 0);
}

static void group_made_by_an_executor_that_died_at_once_is_removed(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        assert_int_equal(cgroup_create(&f->cgroup, f->group, NULL, &err), 0);
        write_begun_group(f);
        undo_all(f);
        assert_false(group_exists(f));
}

static void lines_of_the_journal_that_are_no_steps_are_reported(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        _cleanup_text_ struct text lines = TEXT_INIT;
        _cleanup_close_ int fd = -1;

        write_begun_group(f);
        fd = openat(f->vm->fd, "journal", O_WRONLY | O_APPEND | O_CLOEXEC);
        assert_int_equal(write(fd, "{\"n\":1,\"eff\n", 12), 12);
        vm_dir_release(f->vm, true);
        f->vm = NULL;
        assert_int_equal(run_reconcile(f, "web", true, &lines, &err), 0);
        assert_non_null(strstr(text_str(&lines), "web: line 3 of the journal is no step"));
        text_done(&lines);
        assert_int_equal(run_reconcile(f, "web", false, &lines, &err), 0);
        assert_non_null(strstr(text_str(&lines), "web: line 3 of the journal is no step"));
        lock_vm(f);
        assert_true(journal_is_empty(f->vm->fd));
}

/* A supervisor that runs the plan and dies before the guest runs; its QEMU's pid. */
static pid_t leave_orphan(struct fixture *f)
{
        struct error *err = NULL;
        pid_t pid, qemu = 0;

        vm_dir_release(f->vm, true);
        f->vm = NULL;
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        pid = fork();
        if (pid == 0) {
                json_auto_t *record = json_pack("{s:i, s:s, s:n, s:s}", "schema", 1, "name", "web", "verdict",
                                                "state", "starting");

                lock_vm(f);
                if (run_plan(f, -1, &err) < 0 || record_write(f->vm->fd, record, &err) < 0)
                        _exit(1);
                /* Not the last word of execution_free(): it just dies. */
                _exit(0);
        }
        waitpid(pid, NULL, 0);
        assert_int_equal(vm_dir_open(&f->site.paths, "web", &f->vm, &err), 0);
        assert_non_null(f->vm);
        assert_int_equal(journal_qemu_lives(f->vm->fd, &qemu, &err), 1);
        return qemu;
}

static void assert_verdict(struct fixture *f, const char *verdict)
{
        json_auto_t *record = NULL;
        struct error *err = NULL;

        assert_int_equal(record_read(f->vm->fd, &record, &err), 0);
        assert_string_equal(json_string_value(json_object_get(record, "verdict")), verdict);
        assert_string_equal(json_string_value(json_object_get(record, "state")), "stopped");
        assert_int_equal(json_array_size(json_object_get(record, "story")), 1);
}

static void live_qemu_without_supervisor_is_reported_and_destroyed_when_asked(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        _cleanup_text_ struct text lines = TEXT_INIT;
        pid_t qemu = leave_orphan(f);

        assert_true(orphan_exists(&f->site, "web"));
        assert_int_equal(run_reconcile(f, NULL, false, &lines, &err), 0);
        assert_non_null(strstr(text_str(&lines), "web: QEMU (process "));
        assert_int_equal(kill(qemu, 0), 0);
        assert_int_equal(orphan_destroy(&f->site, &f->cgroup, "web", note_undone, &lines, &err), 0);
        assert_false(orphan_exists(&f->site, "web"));
        assert_verdict(f, "asked");
        assert_host_clean(f);
        assert_int_equal(orphan_destroy(&f->site, &f->cgroup, "web", note_undone, &lines, &err), -1);
        assert_int_equal(err->code, ERROR_NOT_RUNNING);
        error_free(err);
}

static void start_that_ended_unseen_is_cleaned_up_and_never_started(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        _cleanup_text_ struct text would = TEXT_INIT, did = TEXT_INIT, nothing = TEXT_INIT;
        pid_t qemu = leave_orphan(f);

        kill(qemu, SIGKILL);
        assert_int_equal(waitpid(qemu, NULL, 0), qemu);
        assert_int_equal(run_reconcile(f, "web", true, &would, &err), 0);
        assert_non_null(strstr(text_str(&would), "web: would undo: "));
        assert_non_null(strstr(text_str(&would), "web: would get the verdict never-started\n"));
        assert_true(file_exists(f, "run/web/private"));
        assert_int_equal(run_reconcile(f, NULL, false, &did, &err), 0);
        assert_non_null(strstr(text_str(&did), "web: verdict never-started\n"));
        assert_verdict(f, "never-started");
        assert_host_clean(f);
        assert_int_equal(run_reconcile(f, NULL, false, &nothing, &err), 0);
        assert_string_equal(text_str(&nothing), "");
        assert_int_equal(run_reconcile(f, "nobody", false, &nothing, &err), -1);
        assert_int_equal(err->code, ERROR_NO_SUCH_VM);
        error_free(err);
}

static void vm_with_a_living_supervisor_is_left_alone(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        _cleanup_text_ struct text lines = TEXT_INIT;

        run_fine(f);
        assert_int_equal(run_reconcile(f, NULL, false, &lines, &err), 0);
        assert_string_equal(text_str(&lines), "");
        assert_false(orphan_exists(&f->site, "web"));
        assert_int_equal(orphan_destroy(&f->site, &f->cgroup, "web", note_undone, &lines, &err), -1);
        assert_int_equal(err->code, ERROR_BUSY);
        error_free(err);
        assert_int_equal(kill(execution_qemu_pid(f->execution), 0), 0);
}

int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(undo_kills_qemu_and_may_be_repeated),
                TEST(guest_that_ran_keeps_its_machine_lock),
                TEST(failed_start_puts_the_old_machine_lock_back),
                TEST(process_of_another_start_time_is_left_alone),
                TEST(tap_of_another_run_is_left_alone),
                TEST(second_start_over_an_unfinished_run_is_busy),
                TEST(journal_of_a_killed_executor_undoes_all),
                TEST(group_that_another_instance_has_made_is_not_emptied),
                TEST(group_made_by_an_executor_that_died_at_once_is_removed),
                TEST(lines_of_the_journal_that_are_no_steps_are_reported),
                TEST(live_qemu_without_supervisor_is_reported_and_destroyed_when_asked),
                TEST(start_that_ended_unseen_is_cleaned_up_and_never_started),
                TEST(vm_with_a_living_supervisor_is_left_alone),
        };

        return run_as_root(tests, ARRAY_SIZE(tests), argc, argv, host_helper_main);
}
