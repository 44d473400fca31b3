/* On which CPUs of the host threads of QEMU run; what the kernel made of it is read back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/run/effects.h"
#include "launcher/run/thread_cpus.h"

/* {"TID": CPUS} as it is now. */
static json_t *read_all(int qemu, const json_t *threads, struct error **err)
{
        json_t *before = json_object(), *cpus;
        const char *number;

        json_object_foreach ((json_t *)threads, number, cpus) {
                _cleanup_free_ char *was = NULL;
                uint32_t tid;

                if (text_parse_u32(number, &tid) && json_is_string(cpus))
                        was = thread_cpus_read(qemu, (pid_t)tid);
                if (!was) {
                        json_decref(before);
                        error_set(err, ERROR_FAILED, "QEMU has no thread %s", number);
                        return NULL;
                }
                json_object_set_new(before, number, json_string(was));
        }
        return before;
}

/* What threads there still are, and may run where they did. */
static void put_back(int qemu, const json_t *before)
{
        const char *number;
        json_t *cpus;

        json_object_foreach ((json_t *)before, number, cpus) {
                uint32_t tid;

                if (text_parse_u32(number, &tid) && json_is_string(cpus))
                        thread_cpus_set(qemu, (pid_t)tid, json_string_value(cpus));
        }
}

static int pin(int qemu, pid_t tid, const char *cpus, struct error **err)
{
        _cleanup_free_ char *now = NULL;

        /* EINVAL: on none of them. */
        if (thread_cpus_set(qemu, tid, cpus) < 0 && errno != EINVAL)
                return error_os(err, errno, "let thread %d of QEMU run on CPUs %s", (int)tid, cpus);
        now = thread_cpus_read(qemu, tid);
        if (now && (strcmp(cpus, AFFINITY_ANY) == 0 || strcmp(now, cpus) == 0))
                return 0;
        error_set(err, ERROR_HOST, "thread %d of QEMU is to run on CPUs %s, and may on %s", (int)tid, cpus,
                  now ? now : "none");
        return error_hint(err, "a cpuset of its control group keeps it from the others");
}

/* *ret: a fd of the threads of the run's QEMU, -1: it has ended. */
static int open_qemu(int vm_dirfd, const char *generation, int *ret, struct error **err)
{
        _cleanup_close_ int pidfd = -1;
        pid_t pid;

        *ret = -1;
        if (spawned_find(vm_dirfd, generation, &pid, &pidfd, err) < 0)
                return -1;
        if (!pid || thread_cpus_open(pid, pidfd, ret) == 0 || errno == ESRCH)
                return 0;
        return error_os(err, errno, "look at the threads of QEMU (pid %d)", (int)pid);
}

int affinity_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        const json_t *threads = json_object_get(args, "threads");
        _cleanup_close_ int qemu = -1;
        json_auto_t *before = NULL;
        const char *number;
        json_t *cpus;

        if (open_qemu(run->vm->fd, run->generation, &qemu, err) < 0)
                return -1;
        if (qemu < 0)
                return error_set(err, ERROR_NOT_RUNNING, "QEMU has ended");
        before = read_all(qemu, threads, err);
        if (!before || (run->restores && effect_learn(run, json_incref(before), err) < 0))
                return -1;
        json_object_foreach ((json_t *)threads, number, cpus)
                if (pin(qemu, (pid_t)strtol(number, NULL, 10), json_string_value(cpus), err) < 0) {
                        put_back(qemu, before);
                        return -1;
                }
        return 0;
}

int affinity_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        _cleanup_close_ int qemu = -1;

        (void)args;
        if (!json_object_size(learned))
                return 0;
        if (open_qemu(undo->vm_dirfd, undo->generation, &qemu, err) < 0)
                return -1;
        if (qemu < 0)
                return 0;
        put_back(qemu, learned);
        return 1;
}
