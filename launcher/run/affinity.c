#include "launcher/run/affinity.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_member.h"
#include "base/mem.h"
#include "base/text.h"
#include "qmp/ops_machine.h"

/* launcher/plan/disk_device.c, iothread_id() */
#define IOTHREAD "iothread"

struct question {
        struct qmp_client *qmp;
        json_t *args;
        affinity_fn *fn;
        void *data;
};

/* The number that a plan knows it by; false: it is none of a plan. */
static bool number_of(const json_t *thread, bool is_iothread, json_int_t *ret)
{
        const char *id = json_member_string(thread, "id");
        uint32_t number;

        if (is_iothread) {
                if (!id || !text_starts_with(id, IOTHREAD) || !text_parse_u32(id + strlen(IOTHREAD), &number))
                        return false;
                *ret = number;
                return true;
        }
        *ret = json_member_integer(thread, "cpu-index");
        return json_is_integer(json_object_get(thread, "cpu-index"));
}

int affinity_add_threads(const json_t *wanted, const json_t *reply, bool iothreads, json_t *threads,
                         struct error **err)
{
        const char *what = iothreads ? "I/O thread" : "vCPU", *key;
        size_t found = 0, i;
        const json_t *each;
        json_t *cpus;

        json_array_foreach ((json_t *)reply, i, each) {
                const json_t *tid = json_object_get(each, "thread-id"), *other;
                _cleanup_free_ char *number = NULL, *name = NULL;
                json_int_t n;

                if (!number_of(each, iothreads, &n))
                        continue;
                number = xasprintf("%lld", (long long)n);
                cpus = json_object_get(wanted, number);
                if (!cpus)
                        continue;
                if (!json_is_integer(tid) || json_integer_value(tid) < 1 ||
                    json_integer_value(tid) > INT32_MAX)
                        return error_set(err, ERROR_FAILED, "QEMU does not say which thread %s %s is", what,
                                         number);
                name = xasprintf("%lld", (long long)json_integer_value(tid));
                other = json_object_get(threads, name);
                /* thread=single of TCG: all vCPUs are one. */
                if (other && !json_equal(other, cpus))
                        return error_set(err, ERROR_FAILED,
                                         "%s %s shares its thread with another one, which has other CPUs",
                                         what, number);
                json_object_set(threads, name, cpus);
                found++;
        }
        if (found < json_object_size(wanted))
                json_object_foreach ((json_t *)wanted, key, cpus)
                        return error_set(err, ERROR_FAILED,
                                         "QEMU has %zu of the %zu %ss that are to be pinned", found,
                                         json_object_size(wanted), what);
        return 0;
}

static void answer(struct question *question, const struct error *error)
{
        question->fn(question->args, error, question->data);
        json_decref(question->args);
        free(question);
}

/* true: it was answered. */
static bool take(struct question *question, bool iothreads, const json_t *reply, const struct error *error)
{
        _cleanup_error_ struct error *wrong = NULL;

        if (reply)
                affinity_add_threads(json_object_get(question->args, iothreads ? "iothreads" : "vcpus"),
                                     reply, iothreads, json_object_get(question->args, "threads"), &wrong);
        if (reply && !wrong)
                return false;
        answer(question, wrong ? wrong : error);
        return true;
}

static void on_iothreads(json_t *reply, const struct error *error, void *data)
{
        if (!take(data, true, reply, error))
                answer(data, NULL);
}

static void on_cpus(json_t *reply, const struct error *error, void *data)
{
        struct question *question = data;

        if (take(question, false, reply, error))
                return;
        if (json_object_size(json_object_get(question->args, "iothreads")))
                ops_query_iothreads(question->qmp, on_iothreads, question);
        else
                answer(question, NULL);
}

void affinity_ask(struct qmp_client *qmp, const json_t *args, affinity_fn *fn, void *data)
{
        struct question *question = xcalloc(1, sizeof(*question));

        *question = (struct question){ qmp, json_copy((json_t *)args), fn, data };
        json_object_set_new(question->args, "threads", json_object());
        ops_query_cpus(qmp, on_cpus, question);
}
