/* Helper processes of the VM: swtpm, virtiofsd, passt. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "launcher/run/confine.h"
#include "launcher/run/effects.h"
#include "launcher/run/generation.h"
#include "launcher/run/spawn.h"
#include "launcher/run/stuck.h"

/*
 * QEMU is gone when a helper's undo comes, or has closed its end: nothing more can be asked of a helper, and SIGTERM is to
 * virtiofsd what the end of its socket is. swtpm --terminate ends by itself only once QEMU has initialised the TPM, so one of
 * a start that failed before would wait for ever.
 */
#define TERM_DEADLINE_MS 2000
#define KILL_DEADLINE_MS 5000
/* All helpers of an end have these times together, and each so much at least: one that a guest has taken over does as it
 * likes, and an end has 30 s. */
#define EACH_MS     200
#define FDS_MAX     8
#define CMDLINE_MAX 65536

struct helper_args {
        const char *id, *stderr_name, *directory;
        json_t *argv, *fds;
        json_int_t uid, gid, ids;
        int directory_fd, readonly;
};

static int unpack(const json_t *args, struct helper_args *ret, struct error **err)
{
        json_error_t why;

        *ret = (struct helper_args){ .uid = -1, .gid = -1 };
        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:o, s:o, s:s, s:I, s:I, s?I, s?s, s?i, s?b}",
                           "id", &ret->id, "argv", &ret->argv, "fds", &ret->fds, "stderr", &ret->stderr_name,
                           "uid", &ret->uid, "gid", &ret->gid, "ids", &ret->ids, "directory", &ret->directory,
                           "directory_fd", &ret->directory_fd, "readonly", &ret->readonly) < 0)
                return error_set(err, ERROR_FAILED, "step helper: %s", why.text);
        if (ret->directory && ret->directory_fd <= STDERR_FILENO)
                return error_set(err, ERROR_FAILED, "step helper: directory_fd");
        if (!json_string_value(json_array_get(ret->argv, 0)))
                return error_set(err, ERROR_FAILED, "step helper: no program");
        return 0;
}

static int collect_fds(const struct effect_run *run, const struct helper_args *args, struct spawn_fd *fds,
                       size_t *ret_n, struct error **err)
{
        json_t *entry;
        size_t i;

        json_array_foreach (args->fds, i, entry) {
                const char *source = json_member_string(entry, "source");
                int fd = source ? effect_find_fd(run, source) : -1;

                if (fd < 0 || i >= FDS_MAX)
                        return error_set(err, ERROR_FAILED, "no step opens '%s' for helper %s",
                                         source ? source : "", args->id);
                fds[i] = (struct spawn_fd){ .child_fd = (int)json_member_integer(entry, "fd"),
                                            .fd = fd,
                                            .received = -1 };
        }
        *ret_n = json_array_size(args->fds);
        return 0;
}

struct born {
        struct effect_run *run;
        json_int_t uid;
};

static int write_down(pid_t pid, void *data, struct error **err)
{
        const struct born *born = data;

        return effect_learn(born->run,
                            json_pack("{s:i, s:I, s:I}", "pid", (int)pid, "start",
                                      (json_int_t)process_start_time(pid), "uid", born->uid),
                            err);
}

int helper_carry_out(struct effect_run *run, const json_t *json, struct error **err)
{
        static char *const no_env[] = { NULL };
        _cleanup_cgroup_entry_ struct cgroup_entry cgroup = CGROUP_ENTRY_INIT;
        _cleanup_argv_ struct argv argv = ARGV_INIT;
        _cleanup_close_ int spawning = -1, pidfd = -1;
        struct plan_confinement confine;
        struct spawn_namespaces namespaces;
        struct spawn_fd fds[FDS_MAX];
        struct spawn_request request;
        struct helper_args args;
        struct born born;
        json_t *word;
        pid_t pid;
        size_t i;

        if (unpack(json, &args, err) < 0)
                return -1;
        json_array_foreach (args.argv, i, word) {
                argv_add_take(&argv, generation_fill(json_string_value(word), run->generation));
        }
        if (!argv.n)
                return error_set(err, ERROR_FAILED, "helper %s has no program", args.id);
        confine = (struct plan_confinement){ .uid = (uid_t)args.uid, .gid = (gid_t)args.gid };
        namespaces = (struct spawn_namespaces){ .uid = (uid_t)args.uid,
                                                .gid = (gid_t)args.gid,
                                                .ids = (unsigned)args.ids };
        request = (struct spawn_request){ .program = argv.items[0],
                                          .argv = argv.items,
                                          .env = no_env,
                                          .fds = fds,
                                          .stderr_fd = effect_find_fd(run, args.stderr_name),
                                          .directory = args.directory,
                                          .directory_fd = args.directory_fd,
                                          .readonly = args.readonly,
                                          .confine = &confine,
                                          .namespaces = args.ids ? &namespaces : NULL,
                                          .cgroup = &cgroup };
        born = (struct born){ run, args.uid };
        if (collect_fds(run, &args, fds, &request.n_fds, err) < 0)
                return -1;
        if (run->plan->qemu_group && cgroup_entry_open(run->cgroup, run->plan->qemu_group, &cgroup, err) < 0)
                return -1;
        if (!run->holds_journal && journal_hold(run->vm->fd, &spawning, err) < 0)
                return -1;
        request.hold_fd = spawning;
        if (spawn(&request, write_down, &born, &pid, &pidfd, err) < 0)
                return error_wrap(err, "helper %s", args.id);
        return 0;
}

/* The words that the process was started with, in the journal and in /proc. */
static bool has_argv(pid_t pid, const json_t *argv)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/cmdline", (int)pid), *text = NULL;
        struct error *ignored = NULL;
        const char *rest;
        json_t *word;
        size_t n = 0, i;

        if (fd_read_file_at(AT_FDCWD, path, CMDLINE_MAX, &text, &n, &ignored) < 0) {
                error_free(ignored);
                return false;
        }
        rest = text;
        json_array_foreach ((json_t *)argv, i, word) {
                const char *expected = json_string_value(word);
                size_t left = (size_t)(text + n - rest);

                if (!expected || strnlen(rest, left) == left || strcmp(rest, expected) != 0)
                        return false;
                rest += strlen(rest) + 1;
        }
        return true;
}

int helper_prove(const json_t *args, const json_t *learned, int *ret_pidfd, struct error **err)
{
        json_int_t pid = 0, start = 0, uid = -1;
        _cleanup_close_ int pidfd = -1;

        if (json_unpack((json_t *)learned, "{s:I, s:I, s:I}", "pid", &pid, "start", &start, "uid", &uid) <
                    0 ||
            pid <= 0 || start <= 0)
                return 0;
        pidfd = fd_pidfd_open((pid_t)pid);
        if (pidfd < 0)
                return errno == ESRCH ? 0 : error_os(err, errno, "look at process %d", (int)pid);
        /* The pidfd was opened first: what it names cannot become another process below. */
        if (process_start_time((pid_t)pid) != (unsigned long long)start ||
            fd_wait(pidfd, POLLIN, fd_now_ms()) > 0)
                return 0;
        /* uid 0 says nothing: many have it. */
        if (!(uid > 0 && process_has_uid((pid_t)pid, (uid_t)uid)) &&
            !has_argv((pid_t)pid, json_object_get(args, "argv")))
                return 0;
        *ret_pidfd = TAKE_FD(pidfd);
        return 1;
}

int helper_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        static const struct {
                int sig;
                int wait_ms;
        } steps[] = { { SIGTERM, TERM_DEADLINE_MS }, { SIGKILL, KILL_DEADLINE_MS } };
        int pid = (int)json_member_integer(learned, "pid");
        _cleanup_free_ char *where = NULL;
        _cleanup_close_ int pidfd = -1;
        int alive;

        if (!undo->holds_journal && spawn_wait_settled(undo->vm_dirfd, err) < 0)
                return -1;
        alive = helper_prove(args, learned, &pidfd, err);
        if (alive <= 0)
                return alive;
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                long long *until = &undo->helpers_until[i], now = fd_now_ms();

                if (confine_send_signal(pidfd, steps[i].sig, err) < 0)
                        return -1;
                if (!*until)
                        *until = now + steps[i].wait_ms;
                if (fd_wait(pidfd, POLLIN, *until > now + EACH_MS ? *until : now + EACH_MS) > 0)
                        return 1;
        }
        where = stuck_where(pid);
        return error_set(err, ERROR_DEADLINE,
                         "stuck-in-kernel: helper process %d does not end after SIGKILL: %s", pid,
                         where ? where : "a kernel call holds it");
}
