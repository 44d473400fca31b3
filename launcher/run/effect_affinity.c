/* On which CPUs of the host threads of QEMU run; what the kernel made of it is read back. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/number_list.h"
#include "base/text.h"
#include "launcher/run/effects.h"

#define STATUS_MAX 65536

/* Of a thread of this process; new string, NULL: there is none. */
static char *read_cpus(pid_t qemu, pid_t tid)
{
        static const char word[] = "\nCpus_allowed_list:";
        _cleanup_free_ char *path = xasprintf("/proc/%d/task/%d/status", (int)qemu, (int)tid), *text = NULL;
        struct error *ignored = NULL;
        const char *line;

        if (fd_read_file_at(AT_FDCWD, path, STATUS_MAX, &text, NULL, &ignored) < 0) {
                error_free(ignored);
                return NULL;
        }
        line = strstr(text, word);
        if (!line)
                return NULL;
        line += strlen(word);
        line += strspn(line, " \t");
        return xstrndup(line, strcspn(line, "\n"));
}

static int set_cpus(pid_t tid, const char *cpus)
{
        struct number_list list;

        if (strcmp(cpus, AFFINITY_ANY) == 0)
                memset(&list, 0xff, sizeof(list));
        else if (!number_list_parse(cpus, &list))
                return errno = EINVAL, -1;
        return sched_setaffinity(tid, sizeof(list), (const cpu_set_t *)&list);
}

/* {"TID": CPUS} as it is now. */
static json_t *read_all(pid_t qemu, const json_t *threads, struct error **err)
{
        json_t *before = json_object(), *cpus;
        const char *number;

        json_object_foreach ((json_t *)threads, number, cpus) {
                _cleanup_free_ char *was = NULL;
                uint32_t tid;

                if (text_parse_u32(number, &tid) && json_is_string(cpus))
                        was = read_cpus(qemu, (pid_t)tid);
                if (!was) {
                        json_decref(before);
                        error_set(err, ERROR_FAILED, "QEMU (pid %d) has no thread %s", (int)qemu, number);
                        return NULL;
                }
                json_object_set_new(before, number, json_string(was));
        }
        return before;
}

/* What threads there still are. */
static void put_back(pid_t qemu, const json_t *before)
{
        const char *number;
        json_t *cpus;

        json_object_foreach ((json_t *)before, number, cpus) {
                _cleanup_free_ char *now = NULL;
                uint32_t tid;

                if (!text_parse_u32(number, &tid) || !json_is_string(cpus))
                        continue;
                now = read_cpus(qemu, (pid_t)tid);
                /* Where it may not run any more nothing can be put back. */
                if (now)
                        set_cpus((pid_t)tid, json_string_value(cpus));
        }
}

static int pin(pid_t qemu, pid_t tid, const char *cpus, struct error **err)
{
        _cleanup_free_ char *now = NULL;

        /* EINVAL: on none of them. */
        if (set_cpus(tid, cpus) < 0 && errno != EINVAL)
                return error_os(err, errno, "let thread %d of QEMU run on CPUs %s", (int)tid, cpus);
        now = read_cpus(qemu, tid);
        if (now && (strcmp(cpus, AFFINITY_ANY) == 0 || strcmp(now, cpus) == 0))
                return 0;
        error_set(err, ERROR_HOST, "thread %d of QEMU is to run on CPUs %s, and may on %s", (int)tid, cpus,
                  now ? now : "none");
        return error_hint(err, "a cpuset of its control group keeps it from the others");
}

int affinity_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        const json_t *threads = json_object_get(args, "threads");
        json_auto_t *before = NULL;
        const char *number;
        json_t *cpus;
        pid_t qemu;

        if (spawned_find(run->vm->fd, run->generation, &qemu, err) < 0)
                return -1;
        if (!qemu)
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
        pid_t qemu;

        (void)args;
        if (!json_object_size(learned))
                return 0;
        if (spawned_find(undo->vm_dirfd, undo->generation, &qemu, err) < 0)
                return -1;
        if (!qemu)
                return 0;
        put_back(qemu, learned);
        return 1;
}
