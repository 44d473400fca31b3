/* Which threads an affinity step is about, by what QEMU says; its answers may be anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "launcher/run/affinity.h"

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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(vcpus_and_iothreads_are_found_by_number),
                cmocka_unit_test(what_qemu_does_not_say_is_an_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
