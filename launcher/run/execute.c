#include "launcher/run/execute.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "launcher/run/effects.h"
#include "launcher/run/generation.h"
#include "launcher/state/lock_file.h"

#define FILES_OF_OURS 64
#define FILES_OF_QEMU 1024

/* The name of an adopted QEMU's stderr: its plan is gone. */
#define ADOPTED_STDERR "stderr"

struct execution {
        struct effect_run run;
        struct journal journal; /* open while the steps of the start are done */
        int fail_step;
        undo_line_fn *undone;
        void *undone_data;
};

struct execution *execution_new(const struct launch_plan *plan, const struct execution_options *options)
{
        struct execution *execution = xcalloc(1, sizeof(*execution));

        assert(*options->generation);
        execution->run = (struct effect_run){ .plan = plan,
                                              .vm = options->vm,
                                              .generation = options->generation,
                                              .cgroup = options->cgroup,
                                              .run_dirfd = -1,
                                              .opened = { .sock = -1 },
                                              .qemu_pidfd = -1 };
        execution->journal.fd = -1;
        execution->run.forked = options->forked;
        execution->run.keeper = options->keeper;
        execution->fail_step = options->fail_step;
        execution->undone = options->undone;
        execution->undone_data = options->undone_data;
        return execution;
}

struct execution *execution_adopt(const struct launch_plan *plan, const struct execution_options *options,
                                  pid_t pid, int pidfd_consume, int stderr_fd_consume, const json_t *locks,
                                  struct error **ret_lost)
{
        struct execution *execution = execution_new(plan, options);
        struct effect_run *run = &execution->run;
        json_t *lock;
        size_t i;

        run->qemu_pid = pid;
        run->qemu_pidfd = pidfd_consume;
        if (stderr_fd_consume >= 0)
                effect_keep_fd(run, ADOPTED_STDERR, stderr_fd_consume);
        json_array_foreach ((json_t *)locks, i, lock) {
                struct error *one = NULL;

                if (effect_take_lock(run, json_member_string(lock, "name"), json_member_string(lock, "what"),
                                     json_member_is_true(lock, "shared"), &one) < 0)
                        error_append(ret_lost, one);
        }
        return execution;
}

bool execution_lock_at(const struct execution *execution, size_t n, const char **ret_name, int *ret_fd)
{
        const struct effect_run *run = &execution->run;

        if (n >= run->n_locks)
                return false;
        *ret_name = run->locks[n].name;
        *ret_fd = run->locks[n].fd;
        return true;
}

int execution_take_lock(struct execution *execution, const char *name, const char *what, bool shared,
                        struct error **err)
{
        return effect_take_lock(&execution->run, name, what, shared, err);
}

void execution_drop_lock(struct execution *execution, const char *name)
{
        struct effect_run *run = &execution->run;

        for (size_t i = run->n_locks; i-- > 0;) {
                if (strcmp(run->locks[i].name, name) != 0)
                        continue;
                lock_file_release(effect_run_dir(run), run->locks[i].name, run->locks[i].fd);
                free(run->locks[i].name);
                memmove(&run->locks[i], &run->locks[i + 1], (--run->n_locks - i) * sizeof(*run->locks));
                return;
        }
}

void execution_keep_lock(struct execution *execution, const char *name, int fd_consume)
{
        struct effect_run *run = &execution->run;

        ARRAY_GROW(run->locks, run->n_locks);
        run->locks[run->n_locks++] = (struct held_lock){ .name = xstrdup(name), .fd = fd_consume };
}

/* Does a command of the plan take this fd along? */
static bool is_for_qmp(const struct launch_plan *plan, const char *name)
{
        for (size_t i = 0; i < plan->n_steps; i++) {
                const char *fd = plan->steps[i].effect == EFFECT_QMP
                                         ? json_member_string(plan->steps[i].args, "fd")
                                         : NULL;

                if (fd && strcmp(fd, name) == 0)
                        return true;
        }
        return false;
}

static void close_fds(struct effect_run *run, const char *but, bool but_for_qmp)
{
        for (size_t i = 0; i < run->n_fds; i++)
                if ((!but || strcmp(run->fds[i].name, but) != 0) &&
                    !(but_for_qmp && is_for_qmp(run->plan, run->fds[i].name)))
                        fd_close(&run->fds[i].fd);
        fd_close(&run->opened.sock);
}

void execution_free(struct execution *execution)
{
        struct effect_run *run;

        if (!execution)
                return;
        run = &execution->run;
        effect_run_done(run);
        fd_close(&execution->journal.fd);
        fd_close(&run->qemu_pidfd);
        free(execution);
}

static int begin_journal(struct execution *execution, struct error **err)
{
        struct effect_run *run = &execution->run;
        json_auto_t *entry = NULL;

        if (journal_open(&execution->journal, run->vm->fd, err) < 0)
                return -1;
        if (execution->journal.size > 0) {
                error_set(err, ERROR_BUSY, "an earlier run of '%s' has not been cleaned up", run->vm->name);
                return error_hint(err, "vmlaunch reconcile %s", run->vm->name);
        }
        entry = json_pack("{s:{s:s, s:s, s:s, s:i}}", "run", "name", run->vm->name, "generation",
                          run->generation, "run_dir", run->vm->path, "executor", (int)getpid());
        run->journal = &execution->journal;
        return effect_journal(run, entry, err);
}

/* "DISK[0]" of "DISK[0]/SOURCE DISK[0]/TYPE": of several references what the first one is of. */
static size_t length_of_one(const char *because)
{
        size_t first = strcspn(because, " "), device = strcspn(because, "/");

        return because[first] && device < first ? device : first;
}

static int do_step(struct execution *execution, unsigned n, json_t *args, struct error **err)
{
        struct effect_run *run = &execution->run;
        const struct plan_step *step = &run->plan->steps[n];

        if (effect_do(run, n, step->effect, args, NULL, (int)n == execution->fail_step, err) == 0)
                return 0;
        /* A template line says more than a step's name; rules have only that, and a program that does not run its own words. */
        if (step->effect != EFFECT_SPAWN && step->because && strncmp(step->because, "rule:", 5) != 0)
                error_wrap(err, "%.*s", (int)length_of_one(step->because), step->because);
        return -1;
}

static int carry_out_step(struct execution *execution, unsigned n, struct error **err)
{
        const struct effect_run *run = &execution->run;
        json_auto_t *args = generation_fill_json(run->plan->steps[n].args, run->generation);

        return do_step(execution, n, args, err);
}

int execution_do_late(struct execution *execution, size_t n, json_t *args, struct error **err)
{
        return do_step(execution, (unsigned)n, args, err);
}

/* Everything back, this process's share too. */
static void take_back(struct execution *execution, struct error **err)
{
        struct effect_run *run = &execution->run;
        struct error *more = NULL;

        /* A tap goes with its last fd; locks that are ours would keep their files. QEMU goes first. */
        if (run->qemu_pidfd < 0) {
                close_fds(run, NULL, false);
                effect_release_locks(run);
        }
        if (undo_journal(run->vm->fd, run->cgroup, execution->undone, execution->undone_data, &more) < 0)
                error_append(err, more);
        if (run->qemu_pidfd >= 0) {
                waitid(P_PIDFD, (id_t)run->qemu_pidfd, &(siginfo_t){ 0 }, WEXITED | WNOHANG);
                fd_close(&run->qemu_pidfd);
                run->qemu_pid = 0;
                close_fds(run, NULL, false);
                effect_release_locks(run);
        }
}

/*
 * Ours and QEMU's, which inherits it and may not change it itself (-sandbox resourcecontrol=deny). Between fork and exec the
 * plan's fds are there twice (spawn.c); QEMU adds to them eventfds of the devices, and what is plugged in later.
 */
static int allow_files(const struct launch_plan *plan, struct error **err)
{
        struct rlimit limit;
        rlim_t least = 2 * plan->n_fds + FILES_OF_OURS, good = 4 * plan->n_fds + FILES_OF_QEMU;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return error_os(err, errno, "read the limit of open files");
        if (limit.rlim_max < least) {
                error_set(err, ERROR_HOST,
                          "the plan has %zu fds for QEMU, which takes %llu open files, and the limit is %llu",
                          plan->n_fds, (unsigned long long)least, (unsigned long long)limit.rlim_max);
                return error_hint(
                        err, "raise the hard limit of open files (ulimit -Hn, LimitNOFILE=), or take fewer "
                             "VIRTIO_QUEUES");
        }
        if (limit.rlim_cur >= good)
                return 0;
        limit.rlim_cur = good < limit.rlim_max ? good : limit.rlim_max;
        return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? error_os(err, errno, "raise the limit of open files")
                                                    : 0;
}

int execution_run(struct execution *execution, struct error **err)
{
        struct effect_run *run = &execution->run;

        /* Before there is anything to take back. */
        if (allow_files(run->plan, err) < 0 || effect_open_files(run, err) < 0 ||
            begin_journal(execution, err) < 0)
                return -1;
        for (unsigned n = 0; n < run->plan->n_steps; n++) {
                enum plan_effect effect = run->plan->steps[n].effect;

                /* QEMU has still to name its threads, or to run its guest. */
                if (!effects[effect].carry_out || effect == EFFECT_AFFINITY || effect == EFFECT_MACHINED)
                        continue;
                if (carry_out_step(execution, n, err) < 0) {
                        take_back(execution, err);
                        return -1;
                }
        }
        return 0;
}

int execution_mark_started(struct execution *execution, struct error **err)
{
        json_auto_t *entry = json_pack("{s:b}", "started", 1);

        return effect_journal(&execution->run, entry, err);
}

void execution_close_journal(struct execution *execution)
{
        execution->run.journal = NULL;
        fd_close(&execution->journal.fd);
}

pid_t execution_qemu_pid(const struct execution *execution)
{
        return execution->run.qemu_pid;
}

unsigned long long execution_qemu_start(const struct execution *execution)
{
        return execution->run.qemu_start;
}

int execution_qemu_pidfd(const struct execution *execution)
{
        return execution->run.qemu_pidfd;
}

/* The name that the plan's stderr step gave its fd. */
static const char *stderr_name(const struct launch_plan *plan)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_STDERR)
                        return json_member_string(plan->steps[i].args, "fd");
        return ADOPTED_STDERR;
}

int execution_stderr_fd(const struct execution *execution)
{
        return effect_find_fd(&execution->run, stderr_name(execution->run.plan));
}

int execution_fd(const struct execution *execution, const char *name)
{
        return effect_find_fd(&execution->run, name);
}

void execution_close_passed(struct execution *execution, bool qmp_done)
{
        close_fds(&execution->run, stderr_name(execution->run.plan), !qmp_done);
        netlink_close(execution->run.nl);
        execution->run.nl = NULL;
}
