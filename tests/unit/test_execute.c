/*
 * The executor as any user: effects that need no rights, in a directory of the test's own. What needs root is
 * in tests/integration/execute.c.
 */
#include "tests/unit/execution_fixture.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "launcher/run/generation.h"

/* RUN longer than a socket address takes. */
static int set_up_deep(void **state)
{
        char below[128] = "/";

        memset(below + 1, 'd', 120);
        return set_up_below(state, below);
}

static void add(struct fixture *f, enum plan_effect effect, json_t *args_consume)
{
        assert_non_null(args_consume);
        ARRAY_GROW(f->plan.steps, f->plan.n_steps);
        f->plan.steps[f->plan.n_steps++] = (struct plan_step){ .effect = effect, .args = args_consume };
}

static void add_directory(struct fixture *f, const char *path)
{
        add(f, EFFECT_DIRECTORY,
            json_pack("{s:o, s:i}", "path", json_sprintf("%s/%s", f->vm->path, path), "mode", 0700));
}

static void add_files(struct fixture *f)
{
        add_directory(f, "private");
        add(f, EFFECT_LISTEN,
            json_pack("{s:o, s:i, s:s}", "path", json_sprintf("%s/private/qmp.sock", f->vm->path), "mode",
                      0600, "fd", "qmp"));
        add(f, EFFECT_LIVE_TEMPLATE,
            json_pack("{s:o, s:s}", "path", json_sprintf("%s/live.tmpl", f->vm->path), "text",
                      "GENERATION = @GENERATION@\n"));
        add(f, EFFECT_MACHINE_LOCK,
            json_pack("{s:o, s:s}", "path", json_sprintf("%s/web/machine.lock", f->paths.state), "text",
                      "X = 1\n"));
}

static void note(const char *line, void *data)
{
        text_addf(data, "%.*s ", (int)strcspn(line, " "), line);
}

static struct execution *new_execution(struct fixture *f, int fail_step)
{
        const struct execution_options options = { .vm = f->vm,
                                                   .generation = GENERATION,
                                                   .cgroup = &f->cgroup,
                                                   .fail_step = fail_step,
                                                   .undone = note,
                                                   .undone_data = &f->undone };

        return execution_new(&f->plan, &options);
}

static bool exists(const char *directory, const char *path)
{
        _cleanup_free_ char *whole = xasprintf("%s/%s", directory, path);

        return access(whole, F_OK) == 0;
}

static void generation_is_filled_in_wherever_it_stands(void **state)
{
        json_auto_t *json = json_pack("{s:s, s:[s, i], s:{s:s}}", "a", "x@GENERATION@y@GENERATION@", "b",
                                      "@GENERATION@", 7, "c", "d", "@GENERATION");
        json_auto_t *want =
                json_pack("{s:s, s:[s, i], s:{s:s}}", "a", "xGyG", "b", "G", 7, "c", "d", "@GENERATION");
        json_auto_t *filled = generation_fill_json(json, "G");
        _cleanup_free_ char *one = generation_new("0a1b2c3d"), *other = generation_new("0a1b2c3d");

        (void)state;
        assert_true(json_equal(filled, want));
        assert_int_equal(strlen(one), 24);
        assert_string_not_equal(one, other);
}

static void files_have_the_mode_of_their_step_whatever_the_umask(void **state)
{
        static const mode_t umasks[] = { 0, 022, 077 };
        struct fixture *f = *state;
        struct error *err = NULL;
        struct stat st;

        add_directory(f, "a");
        add_directory(f, "b");
        json_object_set_new(f->plan.steps[1].args, "mode", json_integer(0755));
        add(f, EFFECT_LISTEN,
            json_pack("{s:o, s:i, s:s}", "path", json_sprintf("%s/a/sock", f->vm->path), "mode", 0620, "fd",
                      "qmp"));
        for (size_t i = 0; i < ARRAY_SIZE(umasks); i++) {
                _cleanup_(execution_freep) struct execution *execution = new_execution(f, -1);
                mode_t old = umask(umasks[i]);

                assert_int_equal(execution_run(execution, &err), 0);
                assert_int_equal(umask(old), umasks[i]);
                assert_int_equal(fstatat(f->vm->fd, "a", &st, 0), 0);
                assert_int_equal(st.st_mode & 07777, 0700);
                assert_int_equal(fstatat(f->vm->fd, "b", &st, 0), 0);
                assert_int_equal(st.st_mode & 07777, 0755);
                assert_int_equal(fstatat(f->vm->fd, "a/sock", &st, 0), 0);
                assert_int_equal(st.st_mode & 07777, 0620);
                assert_int_equal(undo_journal(f->vm->fd, &f->cgroup, note, &f->undone, &err), 0);
        }
}

static void step_is_in_the_journal_before_it_is_done(void **state)
{
        struct fixture *f = *state;
        _cleanup_(execution_freep) struct execution *execution = NULL;
        json_auto_t *journal = NULL;
        struct error *err = NULL;
        const json_t *entry;
        _cleanup_free_ char *text = NULL;

        add_files(f);
        execution = new_execution(f, -1);
        assert_int_equal(execution_run(execution, &err), 0);
        assert_int_equal(journal_read(f->vm->fd, &journal, &err), 0);
        assert_int_equal(json_array_size(journal), 1 + 4 + 1);
        entry = json_object_get(json_array_get(journal, 0), "run");
        assert_string_equal(json_string_value(json_object_get(entry, "generation")), GENERATION);
        entry = json_array_get(journal, 3);
        assert_int_equal(json_integer_value(json_object_get(entry, "n")), 2);
        assert_string_equal(json_string_value(json_object_get(entry, "effect")), "live-template");
        assert_string_equal(json_string_value(json_object_get(json_object_get(entry, "args"), "text")),
                            "GENERATION = " GENERATION "\n");
        assert_int_equal(fd_read_file_at(f->vm->fd, "live.tmpl", 100, &text, NULL, &err), 0);
        assert_string_equal(text, "GENERATION = " GENERATION "\n");
        assert_int_equal(undo_journal(f->vm->fd, &f->cgroup, note, &f->undone, &err), 0);
        assert_string_equal(text_str(&f->undone), "machine-lock live-template listen directory ");
        assert_true(journal_is_empty(f->vm->fd));
}

static void each_failing_step_undoes_those_before_it_and_begins_none_after(void **state)
{
        static const char *const undone[] = { "", "directory ", "listen directory ",
                                              "live-template listen directory " };
        struct fixture *f = *state;

        add_files(f);
        for (unsigned n = 0; n < ARRAY_SIZE(undone); n++) {
                _cleanup_(execution_freep) struct execution *execution = new_execution(f, (int)n);
                _cleanup_error_ struct error *err = NULL;

                text_done(&f->undone);
                assert_int_equal(execution_run(execution, &err), -1);
                assert_string_equal(text_str(&f->undone), undone[n]);
                assert_true(journal_is_empty(f->vm->fd));
                assert_false(exists(f->vm->path, "private"));
                assert_false(exists(f->vm->path, "live.tmpl"));
                assert_false(exists(f->paths.state, "web"));
        }
}

static void failed_step_says_which_attribute_or_device_it_is_for(void **state)
{
        static const char *const rows[][2] = {
                { "CPU", "CPU: " },
                { "DISK[0]/SOURCE", "DISK[0]/SOURCE: " },
                { "DISK[0]/SOURCE DISK[0]/TYPE DISK[0]/SIZE", "DISK[0]: " },
                { "MEMORY MEMORY_MAX", "MEMORY: " },
                { "MEMORY NUMA[0]/MEMORY", "MEMORY: " },
                { "rule: every VM has its group", "step 0 (directory) " },
        };
        struct fixture *f = *state;

        add_directory(f, "private");
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(execution_freep) struct execution *execution = new_execution(f, 0);
                _cleanup_error_ struct error *err = NULL;
                _cleanup_free_ char *text = NULL, *because = xstrdup(rows[i][0]);

                f->plan.steps[0].because = because;
                assert_int_equal(execution_run(execution, &err), -1);
                f->plan.steps[0].because = NULL;
                text = error_text(err);
                assert_true(text_starts_with(text, rows[i][1]));
        }
}

static void undo_goes_on_after_an_error_and_keeps_the_journal(void **state)
{
        struct fixture *f = *state;
        _cleanup_(execution_freep) struct execution *execution = NULL;
        _cleanup_error_ struct error *failed = NULL;
        json_auto_t *bad = json_pack("{s:i, s:s, s:{s:s, s:i}}", "n", 9, "effect", "directory", "args",
                                     "path", "/etc", "mode", 0700);
        struct error *err = NULL;

        add_files(f);
        execution = new_execution(f, -1);
        assert_int_equal(execution_run(execution, &err), 0);
        assert_int_equal(journal_append(f->vm->fd, bad, &err), 0);
        assert_int_equal(undo_journal(f->vm->fd, &f->cgroup, note, &f->undone, &failed), -1);
        assert_int_equal(error_count(failed), 1);
        assert_string_equal(text_str(&f->undone), "machine-lock live-template listen directory ");
        assert_false(journal_is_empty(f->vm->fd));
        assert_true(exists("/etc", "passwd"));
}

static void journal_that_is_not_understood_is_left_whole(void **state)
{
        static const char *const odd[] = { "{\"n\":1,\"effect\":\"teleport\",\"args\":{}}", "{\"lease\":1}",
                                           "{\"n\":7,\"learned\":{}}", "{\"n\":0,\"effect\":\"net\"}" };
        struct fixture *f = *state;

        add_directory(f, "private");
        for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
                _cleanup_(execution_freep) struct execution *execution = new_execution(f, -1);
                json_auto_t *entry = json_loads(odd[i], 0, NULL);
                _cleanup_error_ struct error *failed = NULL;
                struct error *err = NULL;

                assert_int_equal(execution_run(execution, &err), 0);
                assert_int_equal(journal_append(f->vm->fd, entry, &err), 0);
                assert_int_equal(undo_journal(f->vm->fd, &f->cgroup, NULL, NULL, &failed), -1);
                assert_true(exists(f->vm->path, "private"));
                assert_int_equal(journal_clear(f->vm->fd, &err), 0);
        }
}

static void socket_below_a_very_long_path_is_bound(void **state)
{
        struct fixture *f = *state;
        _cleanup_(execution_freep) struct execution *execution = NULL;
        _cleanup_close_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct error *err = NULL;
        struct stat st;

        add_files(f);
        execution = new_execution(f, -1);
        assert_int_equal(execution_run(execution, &err), 0);
        assert_int_equal(fstatat(f->vm->fd, "private/qmp.sock", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/private/qmp.sock", f->vm->fd);
        assert_int_equal(connect(sock, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(undo_journal(f->vm->fd, &f->cgroup, NULL, NULL, &err), 0);
}

static void fd_that_no_step_opens_is_an_error_before_anything_runs(void **state)
{
        struct fixture *f = *state;
        _cleanup_(execution_freep) struct execution *execution = NULL;
        _cleanup_error_ struct error *err = NULL;
        struct plan_fd fd = { .child_fd = 5, .source = (char *)"nobody opens this" };
        struct plan_arg arg = { .text = (char *)"program" };

        f->plan.emulator = (char *)"/bin/true";
        f->plan.fds = &fd;
        f->plan.n_fds = 1;
        f->plan.args = &arg;
        f->plan.n_args = 1;
        add(f, EFFECT_SPAWN, json_object());
        execution = new_execution(f, -1);
        assert_int_equal(execution_run(execution, &err), -1);
        assert_non_null(strstr(err->message, "no step opens 'nobody opens this' for fd 5"));
        assert_true(journal_is_empty(f->vm->fd));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(generation_is_filled_in_wherever_it_stands),
                TEST(files_have_the_mode_of_their_step_whatever_the_umask),
                TEST(step_is_in_the_journal_before_it_is_done),
                TEST(each_failing_step_undoes_those_before_it_and_begins_none_after),
                TEST(failed_step_says_which_attribute_or_device_it_is_for),
                TEST(undo_goes_on_after_an_error_and_keeps_the_journal),
                TEST(journal_that_is_not_understood_is_left_whole),
                cmocka_unit_test_setup_teardown(socket_below_a_very_long_path_is_bound, set_up_deep,
                                                tear_down),
                TEST(fd_that_no_step_opens_is_an_error_before_anything_runs),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
