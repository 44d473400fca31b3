/* How much memory a QEMU that runs may lock: a device of the host that comes pins the guest's. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "launcher/run/effects.h"
#include "launcher/run/execute.h"
#include "launcher/run/memlock.h"

/* No limit, which JSON has no number for. */
#define NO_LIMIT (-1)

static json_int_t to_json(rlim_t limit)
{
        return limit == RLIM_INFINITY ? NO_LIMIT : (json_int_t)limit;
}

static rlim_t from_json(json_int_t number)
{
        return number == NO_LIMIT ? RLIM_INFINITY : (rlim_t)number;
}

int spawned_find(int vm_dirfd, const char *generation, pid_t *ret, int *ret_pidfd, struct error **err)
{
        json_auto_t *steps = NULL;
        json_t *step;
        size_t i;

        if (journal_steps_read(vm_dirfd, &steps, err) < 0)
                return -1;
        *ret = 0;
        json_array_foreach (steps, i, step) {
                const json_t *learned = json_object_get(step, "learned");
                _cleanup_close_ int pidfd = -1;
                int alive;

                if (strcmp(json_member_string(step, "effect"), plan_effect_name(EFFECT_SPAWN)) != 0)
                        continue;
                alive = qemu_prove(learned, generation, &pidfd, err);
                if (alive < 0)
                        return -1;
                if (!alive)
                        continue;
                *ret = (pid_t)json_member_integer(learned, "pid");
                if (ret_pidfd)
                        *ret_pidfd = TAKE_FD(pidfd);
                break;
        }
        return 0;
}

static int has_ended(struct error **err)
{
        return error_set(err, ERROR_NOT_RUNNING, "QEMU has ended");
}

static int may_not(struct error **err, const char *what)
{
        if (errno == ESRCH)
                return has_ended(err);
        if (errno != EPERM)
                return error_os(err, errno, "%s", what);
        return error_set(err, ERROR_HOST,
                         "%s: it needs CAP_SYS_RESOURCE, which this host does not let vmlaunch have", what);
}

int memory_lock_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        const char *bytes = json_member_string(args, "bytes");
        _cleanup_close_ int pidfd = -1;
        struct rlimit was, most;
        uint64_t wanted;
        pid_t qemu;

        if (!bytes || !text_parse_u64(bytes, &wanted))
                return error_set(err, ERROR_FAILED, "step memory-lock: bytes");
        if (spawned_find(run->vm->fd, run->generation, &qemu, &pidfd, err) < 0)
                return -1;
        if (!qemu)
                return has_ended(err);
        if (memlock_limit(qemu, pidfd, NULL, &was) < 0)
                return may_not(err, "ask for QEMU's limit of locked memory");
        if (effect_learn(
                    run,
                    json_pack("{s:I, s:I}", "soft", to_json(was.rlim_cur), "hard", to_json(was.rlim_max)),
                    err) < 0)
                return -1;
        most = was;
        if (most.rlim_cur != RLIM_INFINITY && most.rlim_cur < wanted)
                most.rlim_cur = wanted;
        if (most.rlim_max != RLIM_INFINITY && most.rlim_max < wanted)
                most.rlim_max = wanted;
        if (memlock_limit(qemu, pidfd, &most, NULL) < 0)
                return may_not(err, "raise QEMU's limit of locked memory");
        return 0;
}

int memory_lock_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        _cleanup_close_ int pidfd = -1;
        json_int_t soft, hard;
        pid_t qemu;

        (void)args;
        if (json_unpack((json_t *)learned, "{s:I, s:I}", "soft", &soft, "hard", &hard) < 0)
                return 0;
        if (spawned_find(undo->vm_dirfd, undo->generation, &qemu, &pidfd, err) < 0)
                return -1;
        if (!qemu)
                return 0;
        if (memlock_limit(qemu, pidfd, &(struct rlimit){ from_json(soft), from_json(hard) }, NULL) == 0)
                return 1;
        return errno == ESRCH ? 0 : error_os(err, errno, "put QEMU's limit of locked memory back");
}
