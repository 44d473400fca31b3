/* Effects one by one, as any user. What needs root is in tests/integration/execute.c. */
#include "tests/unit/execution_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

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

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_effect_has_its_row),
                cmocka_unit_test(only_what_is_below_the_vms_directory_is_touched),
                TEST(copied_file_is_sealed_and_has_the_content),
                TEST(secret_is_a_sealed_file_of_the_vms_uid_and_not_in_the_journal),
                TEST(secret_of_a_file_is_its_content_without_the_line_end),
                TEST(random_secret_is_kept_for_the_administrators),
                TEST(port_is_one_vms_and_nobody_elses),
                TEST(fifo_for_an_image_is_refused_without_waiting),
                TEST(writable_image_is_taken_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
