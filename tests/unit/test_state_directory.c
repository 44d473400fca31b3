/* A directory that belongs to the VM's uid, and may have in it what a helper gone wild has left. */
#include "tests/unit/scratch.h"

#include "base/text.h"
#include "launcher/run/effects.h"

#define FORMER_UID 1900000017
#define UID        1900000018

static int carry_out(const struct fixture *f, const char *directory, struct error **err)
{
        const struct vm_dir vm = {
                .name = (char *)"web", .path = (char *)f->path, .fd = f->fd, .lock_fd = -1
        };
        struct effect_run run = { .vm = &vm };
        json_auto_t *args = json_pack("{s:s, s:i, s:I, s:I}", "path", directory, "mode", 0700, "uid",
                                      (json_int_t)UID, "gid", (json_int_t)UID);

        return effects[EFFECT_STATE_DIRECTORY].carry_out(&run, args, err);
}

static uid_t owner_of(const char *path)
{
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        return st.st_uid;
}

/* The kernel lets everybody make them, unless fs.protected_hardlinks is set, which is off by default. */
static void a_link_to_somebody_elses_file_is_not_given_away(void **state)
{
        const struct fixture *f = *state;
        _cleanup_free_ char *directory = xasprintf("%s/tpm", f->path),
                            *file = xasprintf("%s/shadow", f->path),
                            *link_path = xasprintf("%s/tpm/x", f->path),
                            *own = xasprintf("%s/tpm/own", f->path), *copy = xasprintf("%s/copy", f->path);
        _cleanup_error_ struct error *err = NULL;

        if (geteuid() != 0)
                skip();
        assert_int_equal(mkdir(directory, 0700), 0);
        close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        close(open(own, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        assert_int_equal(chown(own, FORMER_UID, FORMER_UID), 0);
        /* A backup may be made of links: those are of the same owner. */
        assert_int_equal(link(own, copy), 0);
        assert_int_equal(chown(directory, FORMER_UID, FORMER_UID), 0);
        assert_int_equal(carry_out(f, directory, &err), 0);
        assert_int_equal(owner_of(own), UID);
        assert_int_equal(chown(directory, FORMER_UID, FORMER_UID), 0);
        assert_int_equal(link(file, link_path), 0);
        assert_int_equal(carry_out(f, directory, &err), -1);
        assert_int_equal(owner_of(file), 0);
        assert_non_null(strstr(err->message, "tpm/x"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_link_to_somebody_elses_file_is_not_given_away, set_up,
                                                tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
