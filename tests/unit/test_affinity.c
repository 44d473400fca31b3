/* Which threads an affinity step is about, by what QEMU says; its answers may be anything. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/mem.h"
#include "launcher/run/affinity.h"
#include "launcher/run/thread_cpus.h"
#include "tests/unit/child.h"

/* {"TID":CPUS} of wanted by the reply, or the error's text; new string. */
static char *threads_of(const char *wanted, const char *reply, bool iothreads)
{
        json_auto_t *w = json_loads(wanted, 0, NULL), *r = json_loads(reply, JSON_DECODE_ANY, NULL),
                    *threads = json_object();
        _cleanup_error_ struct error *err = NULL;

        assert_non_null(w);
        assert_non_null(r);
        return affinity_add_threads(w, r, iothreads, threads, &err) < 0
                       ? error_text(err)
                       : json_dumps(threads, JSON_COMPACT | JSON_SORT_KEYS);
}

static void vcpus_and_iothreads_are_found_by_number(void **state)
{
        static const struct {
                const char *wanted, *reply;
                bool iothreads;
                const char *result;
        } rows[] = {
                { "{\"0\":\"1\",\"2\":\"any\"}",
                  "[{\"cpu-index\":0,\"thread-id\":7},{\"cpu-index\":1,\"thread-id\":8},{\"cpu-index\":2,\"thread-id\":9}]",
                  false, "{\"7\":\"1\",\"9\":\"any\"}" },
                { "{}", "[{\"cpu-index\":0,\"thread-id\":7}]", false, "{}" },
                { "{\"2\":\"0-1\"}",
                  "[{\"id\":\"iothread1\",\"thread-id\":3},{\"id\":\"mon\",\"thread-id\":4},{\"id\":\"iothread2\",\"thread-id\":5}]",
                  true, "{\"5\":\"0-1\"}" },
                /* thread=single */
                { "{\"0\":\"1\",\"1\":\"1\"}",
                  "[{\"cpu-index\":0,\"thread-id\":7},{\"cpu-index\":1,\"thread-id\":7}]", false,
                  "{\"7\":\"1\"}" },
                { "{\"0\":\"1\",\"1\":\"2\"}",
                  "[{\"cpu-index\":0,\"thread-id\":7},{\"cpu-index\":1,\"thread-id\":7}]", false,
                  "vCPU 1 shares its thread with another one, which has other CPUs" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *result = threads_of(rows[i].wanted, rows[i].reply, rows[i].iothreads);

                assert_string_equal(result, rows[i].result);
        }
}

static void what_qemu_does_not_say_is_an_error(void **state)
{
        static const char *const replies[] = {
                "[]",
                "{}",
                "3",
                "[3]",
                "[{}]",
                "[{\"cpu-index\":\"0\",\"thread-id\":7}]",
                "[{\"cpu-index\":1,\"thread-id\":7}]",
        };
        static const char *const tids[] = { "0", "-7", "4294967297", "\"7\"", "null", "7.0" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
                _cleanup_free_ char *result = threads_of("{\"0\":\"1\"}", replies[i], false);

                assert_string_equal(result, "QEMU has 0 of the 1 vCPUs that are to be pinned");
        }
        for (size_t i = 0; i < ARRAY_SIZE(tids); i++) {
                _cleanup_free_ char *reply = xasprintf("[{\"id\":\"iothread1\",\"thread-id\":%s}]", tids[i]);
                _cleanup_free_ char *result = threads_of("{\"1\":\"1\"}", reply, true);

                assert_string_equal(result, "QEMU does not say which thread I/O thread 1 is");
        }
}

/* Those of a process, by whatever number it has now; new string. */
static char *cpus_of(pid_t pid)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/task", (int)pid);
        _cleanup_close_ int fd = open(path, O_DIRECTORY | O_CLOEXEC);

        return thread_cpus_read(fd, pid);
}

static void open_child(pid_t *ret_pid, int *ret_threads)
{
        _cleanup_close_ int pidfd = -1;

        *ret_pid = child_of_pid(0);
        assert_true(*ret_pid > 0);
        pidfd = fd_pidfd_open(*ret_pid);
        assert_true(pidfd >= 0);
        assert_int_equal(thread_cpus_open(*ret_pid, pidfd, ret_threads), 0);
}

/* The last CPU of this process alone, which is less than all on most machines; new string. */
static char *last_cpu(void)
{
        _cleanup_free_ char *all = cpus_of(getpid());
        const char *last = all + strlen(all);

        while (last > all && last[-1] != ',' && last[-1] != '-')
                last--;
        return xstrdup(last);
}

static void a_thread_of_another_process_is_not_pinned(void **state)
{
        _cleanup_free_ char *cpu = last_cpu(), *before = NULL, *after = NULL, *pinned = NULL;
        _cleanup_close_ int threads = -1;
        pid_t child, other = child_of_pid(0);

        (void)state;
        assert_true(other > 0);
        open_child(&child, &threads);
        before = cpus_of(other);
        assert_int_equal(thread_cpus_set(threads, other, cpu), -1);
        assert_int_equal(errno, ESRCH);
        assert_null(thread_cpus_read(threads, other));
        after = cpus_of(other);
        assert_string_equal(after, before);
        assert_int_equal(thread_cpus_set(threads, child, cpu), 0);
        pinned = cpus_of(child);
        assert_string_equal(pinned, cpu);
        child_end(child);
        child_end(other);
}

static void a_process_that_got_the_number_of_one_that_has_ended_is_not_pinned(void **state)
{
        _cleanup_free_ char *cpu = last_cpu(), *before = NULL, *after = NULL;
        _cleanup_close_ int threads = -1, pidfd = -1, late = -1;
        pid_t child, again;

        (void)state;
        open_child(&child, &threads);
        pidfd = fd_pidfd_open(child);
        child_end(child);
        again = child_of_pid(child);
        if (again < 0)
                skip();
        assert_int_equal(again, child);
        before = cpus_of(again);
        assert_int_equal(thread_cpus_set(threads, child, cpu), -1);
        assert_int_equal(errno, ESRCH);
        assert_int_equal(thread_cpus_open(child, pidfd, &late), -1);
        assert_int_equal(errno, ESRCH);
        after = cpus_of(again);
        assert_string_equal(after, before);
        child_end(again);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(vcpus_and_iothreads_are_found_by_number),
                cmocka_unit_test(what_qemu_does_not_say_is_an_error),
                cmocka_unit_test(a_thread_of_another_process_is_not_pinned),
                cmocka_unit_test(a_process_that_got_the_number_of_one_that_has_ended_is_not_pinned),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
