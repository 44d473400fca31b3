/*
 * The executor as any user: effects that need no rights, in a directory of the test's own. What needs root is
 * in tests/integration/execute.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/run/effects.h"
#include "launcher/run/execute.h"
#include "launcher/run/generation.h"

#define GENERATION "0123456789abcdef"

struct fixture {
        char *root;
        struct paths paths;
        struct vm_dir *vm;
        struct launch_plan plan;
        struct cgroup_host cgroup;
        struct text undone;
};

static int set_up_below(void **state, const char *below)
{
        struct fixture *f = xcalloc(1, sizeof(*f));
        char root[] = "/tmp/vmlaunch-unit.XXXXXX";
        struct error *err = NULL;

        if (!mkdtemp(root))
                return -1;
        f->root = xstrdup(root);
        f->paths.run = xasprintf("%s%s/run", root, below);
        f->paths.state = xasprintf("%s/state", root);
        if (vm_dir_lock(&f->paths, "web", &f->vm, &err) < 0)
                return -1;
        *state = f;
        return 0;
}

static int set_up(void **state)
{
        return set_up_below(state, "");
}

/* RUN longer than a socket address takes. */
static int set_up_deep(void **state)
{
        char below[128] = "/";

        memset(below + 1, 'd', 120);
        return set_up_below(state, below);
}

static void drop_steps(struct launch_plan *plan)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                json_decref(plan->steps[i].args);
        free(plan->steps);
        plan->steps = NULL;
        plan->n_steps = 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        vm_dir_release(f->vm, false);
        assert_int_equal(fd_remove_tree(AT_FDCWD, f->root, &err), 0);
        drop_steps(&f->plan);
        text_done(&f->undone);
        free(f->paths.run);
        free(f->paths.state);
        free(f->root);
        free(f);
        return 0;
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

static void every_effect_has_its_row(void **state)
{
        (void)state;
        for (unsigned i = 0; i < PLAN_EFFECTS; i++) {
                assert_non_null(effects[i].undo);
                /* The supervisor's own. */
                if (i != EFFECT_QMP && i != EFFECT_TAKE_BACK)
                        assert_non_null(effects[i].carry_out);
        }
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

static void only_what_is_below_the_vms_directory_is_touched(void **state)
{
        static const char *const outside[] = { "/run/web",         "/run/web/",     "/run/webx/a",
                                               "/run/web/../db/a", "/run/web/a//b", "/run/web/./a",
                                               "/run/web/a/..",    "/etc/passwd",   "run/web/a" };

        (void)state;
        assert_string_equal(effect_path_in_run("/run/web", "/run/web/private/qmp.sock"), "private/qmp.sock");
        for (size_t i = 0; i < ARRAY_SIZE(outside); i++)
                assert_null(effect_path_in_run("/run/web", outside[i]));
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

/* A step by itself. */
static int carry_out(struct fixture *f, struct effect_run *run, enum plan_effect effect, json_t *args_consume,
                     struct error **err)
{
        json_auto_t *args = args_consume;

        *run = (struct effect_run){ .plan = &f->plan,
                                    .vm = f->vm,
                                    .generation = GENERATION,
                                    .run_dirfd = openat(f->vm->fd, "..", O_RDONLY | O_CLOEXEC) };
        return effects[effect].carry_out(run, args, err);
}

static void run_done(struct effect_run *run)
{
        for (size_t i = 0; i < run->n_fds; i++) {
                close(run->fds[i].fd);
                free(run->fds[i].name);
        }
        for (size_t i = 0; i < run->n_locks; i++) {
                close(run->locks[i].fd);
                free(run->locks[i].name);
        }
        free(run->fds);
        free(run->locks);
        close(run->run_dirfd);
}

static char *make_file(struct fixture *f, const char *name)
{
        char *path = xasprintf("%s/%s", f->root, name);
        struct error *err = NULL;

        assert_int_equal(fd_write_file_at(AT_FDCWD, path, "content", 7, 0600, 0, &err), 0);
        return path;
}

static void copied_file_is_sealed_and_has_the_content(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *path = make_file(f, "kernel");
        struct error *err = NULL;
        struct effect_run run;
        char content[16] = "";

        assert_int_equal(carry_out(f, &run, EFFECT_FILE_OPEN,
                                   json_pack("{s:s, s:s, s:b, s:I}", "path", path, "fd", "kernel", "copy", 1,
                                             "uid", (json_int_t)geteuid()),
                                   &err),
                         0);
        assert_int_equal(pread(effect_find_fd(&run, "kernel"), content, sizeof(content), 0), 7);
        assert_string_equal(content, "content");
        assert_int_equal(pwrite(effect_find_fd(&run, "kernel"), "x", 1, 0), -1);
        assert_int_equal(ftruncate(effect_find_fd(&run, "kernel"), 0), -1);
        run_done(&run);
}

/* The secret of a step {fd: "secret:a", ...}: its file's content, or the message of what went wrong; new string. */
static char *secret_of(struct fixture *f, json_t *args_consume)
{
        struct error *err = NULL;
        struct effect_run run;
        char content[64] = "";
        char *result;

        if (carry_out(f, &run, EFFECT_SECRET, args_consume, &err) < 0) {
                result = xstrdup(err->message);
                error_free(err);
        } else {
                int fd = effect_find_fd(&run, "secret:a");
                struct stat st;

                assert_int_equal(fstat(fd, &st), 0);
                assert_int_equal(st.st_mode & 07777, 0400);
                assert_int_equal(fcntl(fd, F_GET_SEALS),
                                 F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
                assert_true(pread(fd, content, sizeof(content) - 1, 0) >= 0);
                result = xstrdup(content);
        }
        run_done(&run);
        return result;
}

static void secret_is_a_sealed_file_of_the_vms_uid_and_not_in_the_journal(void **state)
{
        struct fixture *f = *state;
        struct plan_secret secrets[] = { { (char *)"secret:b", (char *)"other" },
                                         { (char *)"secret:a", (char *)"canary" } };
        _cleanup_free_ char *text = NULL, *withheld = NULL;

        f->plan.secrets = secrets;
        f->plan.n_secrets = ARRAY_SIZE(secrets);
        text = secret_of(f, json_pack("{s:s, s:I, s:s}", "fd", "secret:a", "uid", (json_int_t)geteuid(),
                                      "from", "GRAPHICS/PASSWD"));
        assert_string_equal(text, "canary");
        secrets[1].value = NULL;
        withheld = secret_of(f, json_pack("{s:s, s:I, s:s}", "fd", "secret:a", "uid", (json_int_t)geteuid(),
                                          "from", "GRAPHICS/PASSWD"));
        assert_non_null(strstr(withheld, "not in this template"));
        assert_true(journal_is_empty(f->vm->fd));
}

static void secret_of_a_file_is_its_content_without_the_line_end(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *path = xasprintf("%s/key", f->root);
        static const struct {
                const char *content, *secret;
        } cases[] = {
                { "canary", "canary" },
                { "canary\n", "canary" },
                { "canary\r\n", "canary" },
                { "canary\n\n", "canary\n\n" },
                { "\1ry\n", "\1ry\n" },
                { "\n", "empty" },
                { "", "empty" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const char *content = cases[i].content;
                struct error *err = NULL;
                _cleanup_free_ char *secret = NULL;

                assert_int_equal(fd_write_file_at(AT_FDCWD, path, content, strlen(content), 0600, 0, &err),
                                 0);
                secret = secret_of(f, json_pack("{s:s, s:I, s:s}", "fd", "secret:a", "uid",
                                                (json_int_t)geteuid(), "path", path));
                assert_non_null(strstr(secret, cases[i].secret));
                assert_true(strstr(secret, "empty") || strlen(secret) == strlen(cases[i].secret));
        }
}

static void random_secret_is_kept_for_the_administrators(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *keep = xasprintf("%s/password", f->vm->path), *first = NULL, *second = NULL;
        const char *format = "{s:s, s:I, s:i, s:s}";
        struct error *err = NULL;

        for (int i = 0; i < 2; i++) {
                _cleanup_free_ char *kept = NULL;
                char **secret = i ? &second : &first;
                struct stat st;

                *secret = secret_of(f, json_pack(format, "fd", "secret:a", "uid", (json_int_t)geteuid(),
                                                 "random", 8, "keep", keep));
                assert_int_equal(strlen(*secret), 8);
                assert_int_equal(fd_read_file_at(f->vm->fd, "password", 64, &kept, NULL, &err), 0);
                assert_int_equal(fstatat(f->vm->fd, "password", &st, 0), 0);
                assert_int_equal(st.st_mode & 07777, 0600);
                kept[strcspn(kept, "\n")] = '\0';
                assert_string_equal(kept, *secret);
        }
        assert_string_not_equal(first, second);
        free(first);
        first = secret_of(f, json_pack(format, "fd", "secret:a", "uid", (json_int_t)geteuid(), "random", 8,
                                       "keep", "/etc/vmlaunch-password"));
        assert_non_null(strstr(first, "out of bounds"));
}

static void port_is_one_vms_and_nobody_elses(void **state)
{
        struct fixture *f = *state;
        struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        _cleanup_close_ int foreign = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_error_ struct error *busy = NULL, *taken = NULL;
        const char *format = "{s:i, s:s, s:s}";
        struct effect_run first, second;
        struct error *err = NULL;
        socklen_t length = sizeof(any);
        int port, accepting = 0;

        /* One that nobody has: the kernel says which. */
        assert_int_equal(bind(foreign, (struct sockaddr *)&any, sizeof(any)), 0);
        assert_int_equal(listen(foreign, 1), 0);
        assert_int_equal(getsockname(foreign, (struct sockaddr *)&any, &length), 0);
        port = ntohs(any.sin_port);
        assert_int_equal(carry_out(f, &first, EFFECT_PORT,
                                   json_pack(format, "port", port, "address", "127.0.0.1", "fd", "vnc"),
                                   &taken),
                         -1);
        assert_int_equal(taken->code, ERROR_BUSY);
        assert_non_null(strstr(taken->message, "in use by another program"));
        run_done(&first);
        close(foreign);
        foreign = -1;

        assert_int_equal(carry_out(f, &first, EFFECT_PORT,
                                   json_pack(format, "port", port, "address", "127.0.0.1", "fd", "vnc"),
                                   &err),
                         0);
        length = sizeof(accepting);
        assert_int_equal(
                getsockopt(effect_find_fd(&first, "vnc"), SOL_SOCKET, SO_ACCEPTCONN, &accepting, &length), 0);
        assert_int_equal(accepting, 1);
        /* On another address too: the port is the VM's. */
        assert_int_equal(carry_out(f, &second, EFFECT_PORT,
                                   json_pack(format, "port", port, "address", "127.0.0.2", "fd", "vnc"),
                                   &busy),
                         -1);
        assert_int_equal(busy->code, ERROR_BUSY);
        assert_non_null(strstr(busy->message, "is in use by VM 'web'"));
        run_done(&second);
        run_done(&first);
}

static void fifo_for_an_image_is_refused_without_waiting(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *path = xasprintf("%s/fifo", f->root);
        _cleanup_error_ struct error *err = NULL;
        struct effect_run run;

        assert_int_equal(mkfifo(path, 0600), 0);
        assert_int_equal(carry_out(f, &run, EFFECT_IMAGE_OPEN,
                                   json_pack("{s:s, s:s, s:s, s:s}", "path", path, "access", "ro", "lock",
                                             "shared", "fd", "image"),
                                   &err),
                         -1);
        assert_non_null(strstr(err->message, "neither a file nor a block device"));
        run_done(&run);
}

static void writable_image_is_taken_once(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *path = make_file(f, "disk");
        _cleanup_error_ struct error *busy = NULL;
        struct error *err = NULL;
        struct effect_run first, second;
        const char *format = "{s:s, s:s, s:s, s:s}";

        assert_int_equal(
                carry_out(f, &first, EFFECT_IMAGE_OPEN,
                          json_pack(format, "path", path, "access", "rw", "lock", "exclusive", "fd", "a"),
                          &err),
                0);
        assert_int_equal(
                carry_out(f, &second, EFFECT_IMAGE_OPEN,
                          json_pack(format, "path", path, "access", "ro", "lock", "shared", "fd", "b"),
                          &busy),
                -1);
        assert_int_equal(busy->code, ERROR_BUSY);
        assert_non_null(strstr(busy->message, "'web'"));
        run_done(&first);
        run_done(&second);
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
                cmocka_unit_test(every_effect_has_its_row),
                cmocka_unit_test(generation_is_filled_in_wherever_it_stands),
                cmocka_unit_test(only_what_is_below_the_vms_directory_is_touched),
                TEST(files_have_the_mode_of_their_step_whatever_the_umask),
                TEST(step_is_in_the_journal_before_it_is_done),
                TEST(each_failing_step_undoes_those_before_it_and_begins_none_after),
                TEST(failed_step_says_which_attribute_or_device_it_is_for),
                TEST(undo_goes_on_after_an_error_and_keeps_the_journal),
                TEST(journal_that_is_not_understood_is_left_whole),
                cmocka_unit_test_setup_teardown(socket_below_a_very_long_path_is_bound, set_up_deep,
                                                tear_down),
                TEST(copied_file_is_sealed_and_has_the_content),
                TEST(secret_is_a_sealed_file_of_the_vms_uid_and_not_in_the_journal),
                TEST(secret_of_a_file_is_its_content_without_the_line_end),
                TEST(random_secret_is_kept_for_the_administrators),
                TEST(port_is_one_vms_and_nobody_elses),
                TEST(fifo_for_an_image_is_refused_without_waiting),
                TEST(writable_image_is_taken_once),
                TEST(fd_that_no_step_opens_is_an_error_before_anything_runs),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
