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
#include "conf/vm_spec.h"
#include "launcher/host/host_facts.h"
#include "launcher/host/qemu_facts.h"
#include "launcher/host/qemu_probe.h"
#include "tests/unit/scratch.h"

/* An emulator that is a shell script; new string, its path. */
static char *stand_in(struct fixture *f, const char *script)
{
        char *path = xasprintf("%s/qemu", f->path);
        _cleanup_free_ char *text = xasprintf("#!/bin/sh\n%s\n", script);
        struct error *err = NULL;

        assert_int_equal(fd_write_file_at(AT_FDCWD, path, text, strlen(text), 0755, 0, &err), 0);
        return path;
}

/*
 * A QEMU of few words, in shell: answers each line it reads. Ids count from 1 in the order of the probe's commands,
 * so the answers can be written down.
 */
#define TALK(devices)                                                                                               \
        "exec <&3 >&3\n"                                                                                            \
        "echo '{\"QMP\":{\"version\":{},\"capabilities\":[]}}'\n"                                                   \
        "while read -r line; do\n"                                                                                  \
        "id=${line##*\\\"id\\\":}; id=${id##*\\\"id\\\": }; id=${id%%[,\\}]*}\n"                                    \
        "case $line in\n"                                                                                           \
        "*qmp_capabilities*) r='{}' ;;\n"                                                                           \
        "*query-version*) r='{\"qemu\":{\"major\":9,\"minor\":1,\"micro\":2},\"package\":\"test\"}' ;;\n"           \
        "*query-target*) r='{\"arch\":\"x86_64\"}' ;;\n"                                                            \
        "*query-machines*) r='[{\"name\":\"pc-q35-9.1\",\"alias\":\"q35\",\"cpu-max\":4096},"                       \
        "{\"name\":\"none\",\"cpu-max\":1}]' ;;\n"                                                                  \
        "*query-cpu-definitions*) r='[{\"name\":\"max\"},{\"name\":\"486\"}]' ;;\n"                                 \
        "*accel*) r='[{\"name\":\"tcg-accel\"}]' ;;\n"                                                              \
        "*qom-list-types*) r='" devices "' ;;\n"                                                                    \
        "*human-monitor*) r='\"name \\\"b\\\", bus System, no-user\\r\\nname \\\"a\\\", bus PCI\\r\\n\"' ;;\n"      \
        "*query-qmp-schema*) r='[{\"name\":\"device_add\",\"meta-type\":\"command\",\"features\":[\"json-cli\"]}]'" \
        " ;;\n"                                                                                                     \
        "*quit*) echo \"{\\\"return\\\":{},\\\"id\\\":$id}\"; exit 0 ;;\n"                                          \
        "esac\n"                                                                                                    \
        "printf '%s\\n' \"{\\\"return\\\":$r,\\\"id\\\":$id}\"\n"                                                   \
        "done\n"
#define DEVICES "[{\"name\":\"b\"},{\"name\":\"a\"},{\"name\":\"486-x86_64-cpu\"},{\"name\":\"c\"}]"

static struct qemu_facts *get(struct fixture *f, const char *path, bool write_cache)
{
        struct qemu_facts *facts = NULL;
        struct error *err = NULL;

        if (qemu_facts_get(path, &f->paths, write_cache, &facts, &err) < 0) {
                _cleanup_free_ char *text = error_text(err);

                fail_msg("%s", text);
        }
        return facts;
}

static void probe_keeps_what_a_plan_needs(void **state)
{
        _cleanup_free_ char *path = stand_in(*state, TALK(DEVICES));
        _cleanup_(qemu_facts_freep) struct qemu_facts *facts = get(*state, path, false);

        assert_string_equal(facts->path, path);
        assert_int_equal(facts->major, 9);
        assert_int_equal(facts->micro, 2);
        assert_string_equal(facts->target, "x86_64");
        assert_int_equal(facts->n_machines, 2);
        assert_string_equal(qemu_machine_find(facts, "q35")->name, "pc-q35-9.1");
        assert_string_equal(qemu_machine_find(facts, "pc-q35-9.1")->name, "pc-q35-9.1");
        assert_null(qemu_machine_find(facts, "pc"));
        assert_true(qemu_has_cpu_model(facts, "max"));
        assert_false(qemu_has_cpu_model(facts, "host"));
        assert_true(qemu_has_device(facts, "a"));
        assert_true(qemu_has_device(facts, "c"));
        assert_false(qemu_has_device(facts, "b"));
        assert_false(qemu_has_device(facts, "486-x86_64-cpu"));
        assert_true(facts->has_tcg);
        assert_false(facts->has_kvm);
        assert_true(facts->json_device);
        assert_false(facts->has_action);
}

static char *cache_file(struct fixture *f, const struct qemu_facts *facts)
{
        return xasprintf("%s/qemu-%s.facts", f->paths.cache, facts->identity);
}

static void facts_survive_json_and_the_cache(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *path = stand_in(f, TALK(DEVICES)), *file = NULL, *other = NULL;
        _cleanup_(qemu_facts_freep) struct qemu_facts *first = get(f, path, false), *second = NULL,
                                                      *third = NULL;
        json_auto_t *a = NULL, *b = NULL;
        struct stat st;

        file = cache_file(f, first);
        assert_int_equal(stat(file, &st), -1);
        second = get(f, path, true);
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0644);
        /* By another name of the same file: from the cache, as the file itself says so no more. */
        other = xasprintf("%s/link", f->path);
        assert_int_equal(symlink(path, other), 0);
        third = get(f, other, false);
        assert_string_equal(third->path, other);
        free(third->path);
        third->path = xstrdup(path);
        a = qemu_facts_to_json(second);
        b = qemu_facts_to_json(third);
        assert_true(json_equal(a, b));
}

static void cache_is_asked_and_a_changed_binary_asked_anew(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *path = stand_in(f, TALK(DEVICES)), *file = NULL, *again = NULL;
        _cleanup_(qemu_facts_freep) struct qemu_facts *first = get(f, path, true), *second = NULL,
                                                      *third = NULL;
        struct error *err = NULL;
        char *text = NULL, *version;
        size_t length;

        file = cache_file(f, first);
        assert_int_equal(fd_read_file_at(AT_FDCWD, file, 1 << 20, &text, &length, &err), 0);
        version = strstr(text, "version 9 1 2");
        assert_non_null(version);
        version[12] = '7';
        assert_int_equal(fd_write_file_at(AT_FDCWD, file, text, length, 0644, 0, &err), 0);
        free(text);
        second = get(f, path, false);
        assert_int_equal(second->micro, 7);
        again = stand_in(f, TALK(DEVICES) "# another");
        third = get(f, again, false);
        assert_int_equal(third->micro, 2);
}

static void spoilt_cache_is_no_cache(void **state)
{
        static const char *const bad[] = {
                "",
                "{\"schema\":2,\"qemu\":{}}",
                "vmlaunch-qemu-facts 99\n",
                "vmlaunch-qemu-facts 3\nidentity 1\npackage p\ntarget x86_64\n",
                "vmlaunch-qemu-facts 3\nidentity 1\npackage p\ntarget x86_64\nversion 9 1 3 1 1 1 1 1\n",
        };
        struct fixture *f = *state;
        _cleanup_free_ char *path = stand_in(f, TALK(DEVICES)), *file = NULL;
        _cleanup_(qemu_facts_freep) struct qemu_facts *first = get(f, path, true);
        struct error *err = NULL;

        file = cache_file(f, first);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_(qemu_facts_freep) struct qemu_facts *facts = NULL;

                assert_int_equal(fd_write_file_at(AT_FDCWD, file, bad[i], strlen(bad[i]), 0644, 0, &err), 0);
                facts = get(f, path, false);
                assert_int_equal(facts->micro, 2);
        }
}

static void assert_fails(struct fixture *f, const char *script, enum error_code code, const char *words)
{
        _cleanup_free_ char *path = stand_in(f, script), *text = NULL;
        struct qemu_facts *facts = NULL;
        struct error *err = NULL;

        assert_int_equal(qemu_probe(path, 700, &facts, &err), -1);
        text = error_text(err);
        if (err->code != code || !strstr(text, words))
                fail_msg("'%s' does not say '%s'", text, words);
        error_free(err);
}

static void what_is_no_qemu_is_said_in_its_own_words(void **state)
{
        assert_fails(*state, "echo 'no accelerator found' >&2; exit 1", ERROR_HOST,
                     "does not work as QEMU: no accelerator found");
        assert_fails(*state, "exit 0", ERROR_HOST, "does not work as QEMU");
        assert_fails(*state, "exec 1>&3; echo garbage; sleep 0.1", ERROR_HOST, "does not work as QEMU");
        assert_fails(*state, TALK("[1]"), ERROR_HOST, "answer to qom-list-types is strange");
        assert_fails(*state, TALK("[{\"name\":\"a\\nb\"}]"), ERROR_HOST,
                     "answer to qom-list-types is strange");
}

static void silent_binary_is_killed_at_the_deadline_with_its_children(void **state)
{
        struct fixture *f = *state;
        long long begin = fd_now_ms();
        _cleanup_free_ char *script =
                xasprintf("echo waiting >&2; sleep 60 & echo $! >%s/pid; wait", f->path);

        assert_int_equal(chmod(f->path, 0777), 0);
        assert_fails(f, script, ERROR_DEADLINE, "within 700 ms what it can do: waiting");
        assert_true(fd_now_ms() - begin < 10000);
        {
                _cleanup_free_ char *file = xasprintf("%s/pid", f->path), *text = NULL, *proc = NULL;
                struct error *err = NULL;
                struct stat st;
                int tries = 0;

                assert_int_equal(fd_read_file_at(AT_FDCWD, file, 100, &text, NULL, &err), 0);
                text[strcspn(text, "\n")] = '\0';
                proc = xasprintf("/proc/%s/fd/0", text);
                /* Killed, and so without files, even where nobody has waited for it yet. */
                while (stat(proc, &st) == 0 && tries++ < 500)
                        usleep(10000);
                assert_true(tries < 500);
        }
}

static void probe_runs_without_privileges_and_with_a_bare_environment(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *script =
                xasprintf("{ env | sort; grep -E '^(Uid|Groups|CapEff|NoNewPrivs):' /proc/self/status; ls "
                          "/proc/self/fd; } >%s/out; exit 1",
                          f->path);
        _cleanup_free_ char *file = xasprintf("%s/out", f->path), *text = NULL;
        struct error *err = NULL;
        int extra = open("/dev/null", O_RDONLY);

        assert_int_equal(chmod(f->path, 0777), 0);
        assert_int_equal(setenv("SECRET", "word", 1), 0);
        assert_fails(f, script, ERROR_HOST, "does not work");
        close(extra);
        assert_int_equal(fd_read_file_at(AT_FDCWD, file, 10000, &text, NULL, &err), 0);
        assert_null(strstr(text, "SECRET"));
        assert_non_null(strstr(text, "NoNewPrivs:\t1"));
        assert_non_null(strstr(text, "CapEff:\t0000000000000000"));
        assert_null(strstr(text, "Uid:\t0"));
        /* 0 to 3, and the directory that ls reads. */
        assert_non_null(strstr(text, "\n0\n1\n2\n3\n4\n"));
        assert_null(strstr(text, "\n5\n"));
}

static int find_emulator(const char *emulator, char **ret, struct error **err)
{
        const struct vm_spec spec = { .emulator = (char *)emulator, .os = { .arch = (char *)"x86_64" } };

        return qemu_find(&spec, ret, err);
}

static void emulator_is_a_path_or_a_name_in_the_fixed_directories(void **state)
{
        _cleanup_free_ char *path = stand_in(*state, "exit 1"), *found = NULL, *shell = NULL;
        struct error *err = NULL;

        assert_int_equal(find_emulator(path, &found, &err), 0);
        assert_string_equal(found, path);
        assert_int_equal(find_emulator("sh", &shell, &err), 0);
        assert_true(strcmp(shell, "/usr/bin/sh") == 0 || strcmp(shell, "/bin/sh") == 0);
}

static void host_without_qemu_says_what_to_install(void **state)
{
        /* An architecture that has no QEMU, as the machine of the test may have any other. */
        const struct vm_spec spec = { .os = { .arch = (char *)"pdp11" } };
        struct error *err = NULL;
        char *found = NULL;

        (void)state;
        assert_int_equal(qemu_find(&spec, &found, &err), -1);
        assert_int_equal(err->code, ERROR_HOST);
        assert_string_equal(err->message, "no QEMU for pdp11 on this host (looked for qemu-system-pdp11)");
        assert_string_equal(err->hint, "apt-get install qemu-system-misc");
        error_free(err);
}

static void emulator_that_cannot_run_is_an_error(void **state)
{
        _cleanup_free_ char *path = stand_in(*state, "exit 1");
        const char *const bad[] = { "/nonexistent", "/etc", "no-such-program", path };
        struct error *err = NULL;
        char *found = NULL;

        assert_int_equal(chmod(path, 0644), 0);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_int_equal(find_emulator(bad[i], &found, &err), -1);
                assert_int_equal(err->code, ERROR_HOST);
                error_free(TAKE_PTR(err));
        }
}

/* tests/unit.sh runs the tests at the top of the source tree. */
static void recorded_hosts_are_understood(void **state)
{
        static const char *const names[] = { "debian12-v1", "debian12-hybrid", "debian12-v2-kvm", "nocgroup",
                                             "qemu82" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                _cleanup_free_ char *path = xasprintf("tests/golden/hosts/%s.json", names[i]);
                _cleanup_(host_facts_freep) struct host_facts *host = NULL;
                _cleanup_(qemu_facts_freep) struct qemu_facts *qemu = NULL;
                json_auto_t *json = json_load_file(path, 0, NULL), *host_again = NULL, *qemu_again = NULL;
                struct error *err = NULL;

                assert_non_null(json);
                assert_int_equal(host_facts_from_json(json_object_get(json, "host"), &host, &err), 0);
                assert_int_equal(qemu_facts_from_json(json_object_get(json, "qemu"), &qemu, &err), 0);
                host_again = host_facts_to_json(host);
                qemu_again = qemu_facts_to_json(qemu);
                assert_true(json_equal(json_object_get(json, "host"), host_again));
                assert_true(json_equal(json_object_get(json, "qemu"), qemu_again));
                assert_non_null(qemu_machine_find(qemu, "q35"));
                assert_true(qemu_has_device(qemu, "virtio-blk-pci"));
                assert_true(qemu_has_cpu_model(qemu, "max"));
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(probe_keeps_what_a_plan_needs),
                TEST(facts_survive_json_and_the_cache),
                TEST(cache_is_asked_and_a_changed_binary_asked_anew),
                TEST(spoilt_cache_is_no_cache),
                TEST(what_is_no_qemu_is_said_in_its_own_words),
                TEST(silent_binary_is_killed_at_the_deadline_with_its_children),
                TEST(probe_runs_without_privileges_and_with_a_bare_environment),
                TEST(emulator_is_a_path_or_a_name_in_the_fixed_directories),
                TEST(host_without_qemu_says_what_to_install),
                TEST(emulator_that_cannot_run_is_an_error),
                cmocka_unit_test(recorded_hosts_are_understood),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
