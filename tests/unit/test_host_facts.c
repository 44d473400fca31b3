#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "launcher/host/host_facts.h"
#include "tests/unit/scratch.h"

#define LOCK                                                                                          \
        "LAYOUT = \"1\"\nUUID = \"b1c2d3e4-0000-4000-8000-000000000001\"\nMACHINE = \"pc-q35-7.2\"\n" \
        "FAMILY = \"q35\"\nUID = \"%u\"\n"

static void add_lock(struct fixture *f, const char *vm, const char *text)
{
        _cleanup_free_ char *dir = xasprintf("%s/%s", f->paths.state, vm),
                            *file = xasprintf("%s/machine.lock", dir);
        struct error *err = NULL;

        assert_int_equal(fd_mkdir_p(AT_FDCWD, dir, 0755, &err), 0);
        assert_int_equal(fd_write_file_at(AT_FDCWD, file, text, strlen(text), 0644, 0, &err), 0);
}

static struct host_facts *facts(struct fixture *f)
{
        struct host_facts *host = NULL;
        struct error *err = NULL;

        if (host_facts_read(HOST_FACTS_ALL, &host, &err) < 0 || host_claims_read(&f->paths, host, &err) < 0) {
                _cleanup_free_ char *text = error_text(err);

                fail_msg("%s", text);
        }
        systemd_bus_read(&host->systemd);
        return host;
}

static void facts_survive_json(void **state)
{
        struct fixture *f = *state;
        _cleanup_(host_facts_freep) struct host_facts *host = NULL, *copy = NULL;
        _cleanup_free_ char *lock = xasprintf(LOCK, 1900000017u);
        json_auto_t *json = NULL, *again = NULL;
        struct error *err = NULL;

        add_lock(f, "web", lock);
        host = facts(f);
        assert_true(host->cpus > 0);
        json = host_facts_to_json(host);
        assert_non_null(json);
        assert_int_equal(host_facts_from_json(json, &copy, &err), 0);
        again = host_facts_to_json(copy);
        assert_true(json_equal(json, again));
}

static void uids_of_other_vms_are_sorted_by_name(void **state)
{
        struct fixture *f = *state;
        _cleanup_(host_facts_freep) struct host_facts *host = NULL;
        _cleanup_free_ char *low = xasprintf(LOCK, 1900000001u), *high = xasprintf(LOCK, 1900000009u);

        add_lock(f, "b", high);
        add_lock(f, "a", low);
        host = facts(f);
        assert_int_equal(host->n_claimed_uids, 2);
        assert_int_equal(host->claimed_uids[0].uid, 1900000001);
        assert_string_equal(host->claimed_uids[0].vm, "a");
        assert_int_equal(host->claimed_uids[1].uid, 1900000009);
        assert_null(host->warnings);
}

static void lock_that_cannot_be_read_is_a_warning(void **state)
{
        struct fixture *f = *state;
        _cleanup_(host_facts_freep) struct host_facts *host = NULL;
        _cleanup_free_ char *good = xasprintf(LOCK, 1900000001u), *text = NULL;

        add_lock(f, "broken", "LAYOUT = ");
        add_lock(f, "good", good);
        host = facts(f);
        assert_int_equal(host->n_claimed_uids, 1);
        assert_int_equal(error_count(host->warnings), 1);
        text = error_text(host->warnings);
        assert_non_null(strstr(text, "uid of VM 'broken' is not known"));
}

/* What the plan depends on must not depend on who prints it. */
static void facts_are_the_same_for_root_and_another_user(void **state)
{
        struct fixture *f = *state;
        _cleanup_(host_facts_freep) struct host_facts *host = NULL;
        _cleanup_free_ char *lock = xasprintf(LOCK, 1900000017u), *ours = NULL, *theirs = NULL;
        json_auto_t *json = NULL;
        struct error *err = NULL;
        int fds[2];
        pid_t pid;

        if (geteuid() != 0)
                skip();
        add_lock(f, "web", lock);
        host = facts(f);
        json = host_facts_to_json(host);
        ours = json_dumps(json, JSON_COMPACT);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                struct host_facts *other = NULL;
                char *text;

                if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0 ||
                    host_facts_read(HOST_FACTS_ALL, &other, &err) < 0 ||
                    host_claims_read(&f->paths, other, &err) < 0)
                        _exit(1);
                systemd_bus_read(&other->systemd);
                text = json_dumps(host_facts_to_json(other), JSON_COMPACT);
                _exit(fd_write_all(fds[1], "pipe", text, strlen(text), &err) < 0);
        }
        close(fds[1]);
        assert_int_equal(fd_read_all(fds[0], "pipe", 1 << 20, &theirs, NULL, &err), 0);
        close(fds[0]);
        child_ends_well(pid);
        assert_string_equal(ours, theirs);
}

static void permission_is_what_the_mode_says_to_a_process_without_capabilities(void **state)
{
        const struct file_facts kvm = { .exists = true, .mode = S_IFCHR | 0660, .uid = 0, .gid = 104 };
        const struct file_facts odd = { .exists = true, .mode = S_IFREG | 0046, .uid = 5, .gid = 6 };
        const struct file_facts none = { 0 };
        const gid_t no_group = (gid_t)-1;

        (void)state;
        assert_true(file_facts_allow(&kvm, 1900000017, 1900000017, 104, true, true));
        assert_true(file_facts_allow(&kvm, 1900000017, 104, no_group, true, true));
        assert_true(file_facts_allow(&kvm, 0, 0, no_group, true, true));
        assert_false(file_facts_allow(&kvm, 1900000017, 1900000017, no_group, true, true));
        assert_false(file_facts_allow(&none, 0, 0, no_group, true, false));
        /* The owner's bits count for the owner, though others may do more. */
        assert_false(file_facts_allow(&odd, 5, 6, no_group, true, false));
        assert_true(file_facts_allow(&odd, 7, 6, no_group, true, false));
        assert_false(file_facts_allow(&odd, 7, 6, no_group, true, true));
        assert_true(file_facts_allow(&odd, 7, 7, no_group, true, true));
}

static void missing_file_is_a_fact_and_no_error(void **state)
{
        struct file_facts file = { .exists = true };
        struct error *err = NULL;

        (void)state;
        assert_int_equal(file_facts_read("/nonexistent/x", &file, &err), 0);
        assert_false(file.exists);
        assert_int_equal(file_facts_read("/dev/null/x", &file, &err), 0);
        assert_false(file.exists);
        assert_int_equal(file_facts_read("/dev/null", &file, &err), 0);
        assert_true(S_ISCHR(file.mode));
}

static void strange_json_is_no_host(void **state)
{
        static const char *const bad[] = { "{}", "[]", "{\"arch\":\"x86_64\"}" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                json_auto_t *json = json_loads(bad[i], 0, NULL);
                struct host_facts *host = NULL;
                struct error *err = NULL;

                assert_int_equal(host_facts_from_json(json, &host, &err), -1);
                error_free(err);
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(facts_survive_json),
                TEST(uids_of_other_vms_are_sorted_by_name),
                TEST(lock_that_cannot_be_read_is_a_warning),
                TEST(facts_are_the_same_for_root_and_another_user),
                cmocka_unit_test(permission_is_what_the_mode_says_to_a_process_without_capabilities),
                cmocka_unit_test(missing_file_is_a_fact_and_no_error),
                cmocka_unit_test(strange_json_is_no_host),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
