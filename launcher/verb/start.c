/* run and start: a plan carried out, in the foreground or by a supervisor left behind. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/log.h"
#include "base/process.h"
#include "conf/spec_build.h"
#include "launcher/host/caller.h"
#include "launcher/run/keeper.h"
#include "launcher/run/reconcile.h"
#include "launcher/run/story.h"
#include "launcher/run/supervisor.h"
#include "launcher/verb/autostart.h"
#include "launcher/verb/instance.h"
#include "launcher/verb/interrupt.h"
#include "launcher/verb/output.h"
#include "launcher/verb/prepare.h"
#include "launcher/verb/verbs.h"

/* What a supervisor says when it is ready or has failed is one line. */
#define READY_MAX 65536
/* The keeper starts a successor at once; that one asks QEMU, which has up to 10 s to greet. */
#define SUCCESSOR_MS      15000u
#define SUCCESSOR_STEP_MS 10
/* From here to a running guest. What a start waits for has deadlines of its own: storage, QEMU's exec, its greeting. */
#define START_MS 60000
/* For taking a start back: quit, SIGKILL, and the word that not even that ends QEMU take 12 s, the undo its time. */
#define TAKE_BACK_MS 15000
/* For a keeper whose supervisor has said its last word. */
#define KEEPER_END_MS 5000

/* Its stderr is nobody's, and the supervisor that would have a log did not come to be. */
void adoption_log_failed(const struct verb_context *context, const struct error *error)
{
        _cleanup_free_ char *path = xasprintf("%s/%s.log", context->site->paths.log, context->args[0]);
        _cleanup_free_ char *text = error_text(error);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);

        log_set_file(fd);
        log_error("%s", text);
        log_set_file(-1);
}

/* vm_consume is locked. how: all but site and host. */
static int adopt(const struct verb_context *context, struct vm_dir *vm_consume,
                 const struct supervisor_options *how, struct error **err)
{
        _cleanup_adoption_ struct adoption adoption = ADOPTION_INIT;
        struct host_facts host = { 0 };
        struct supervisor_options options = *how;
        int status = -1;

        options.site = context->site;
        options.host = &host;
        options.fail_step = -1;

        /* Of the host only what an undo needs. */
        if (cgroup_host_read("", &host.cgroup, err) < 0 ||
            adoption_read(context->site, vm_consume, &adoption, err) < 0) {
                error_wrap(err, "adopt '%s'", vm_consume->name);
                vm_dir_release(vm_consume, true);
        } else {
                status = supervisor_adopt(vm_consume, &adoption, &options);
        }
        cgroup_host_done(&host.cgroup);
        return status;
}

/* run of a VM whose QEMU lives and that nobody supervises. */
static int adopt_orphan(const struct verb_context *context, const char *name, struct error **err)
{
        static const struct supervisor_options how = { .ready_fd = -1, .foreground = true, .keeper_fd = -1 };
        struct vm_dir *vm = NULL;

        if (vm_dir_lock(&context->site->paths, name, &vm, err) < 0)
                return -1;
        return adopt(context, vm, &how, err);
}

int adopt_for_leases(const struct verb_context *context, const char *name, struct error **err)
{
        static const struct supervisor_options how = {
                .ready_fd = -1, .foreground = true, .keeper_fd = -1, .leases_only = true
        };
        struct vm_dir *vm = NULL;

        if (vm_dir_lock(&context->site->paths, name, &vm, err) < 0)
                return -1;
        if (faccessat(vm->fd, "leases", F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
                vm_dir_release(vm, true);
                return 0;
        }
        return adopt(context, vm, &how, err) < 0 ? -1 : 0;
}

int verb_keeper(char **argv)
{
        return keeper_main(argv);
}

int verb_adopt(struct verb_context *context, struct error **err)
{
        static const struct supervisor_options how = { .ready_fd = -1,
                                                       .keeper_fd = KEEPER_SOCKET_FD,
                                                       .keeper_has_lock = true };
        struct vm_dir *vm = NULL;
        int status = -1;

        if (instance_need_owner(context, "starting a VM", err) < 0)
                return -1;
        if (fcntl(KEEPER_SOCKET_FD, F_SETFD, FD_CLOEXEC) < 0 ||
            fcntl(KEEPER_LOCK_FD, F_SETFD, FD_CLOEXEC) < 0)
                return error_set(err, ERROR_USAGE, "__adopt is started by a keeper, which gives it a lock");
        prctl(PR_SET_NAME, "vmlaunch");
        log_set_stderr(false);
        if (vm_dir_take_over(&context->site->paths, context->args[0], KEEPER_LOCK_FD, &vm, err) == 0)
                status = adopt(context, vm, &how, err);
        if (status >= 0)
                return status;
        adoption_log_failed(context, *err);
        error_free(TAKE_PTR(*err));
        return KEEPER_TRY_AGAIN;
}

int verb_run(struct verb_context *context, struct error **err)
{
        _cleanup_prepared_ struct prepared prepared = { 0 };
        struct supervisor_options options = {
                .site = context->site, .ready_fd = -1, .foreground = true, .fail_step = -1, .keeper_fd = -1
        };

        if (instance_need_owner(context, "starting a VM", err) < 0)
                return -1;
        /* A QEMU that lives needs no template any more. */
        if (spec_name_is_valid(context->args[0]) && orphan_exists(context->site, context->args[0]))
                return adopt_orphan(context, context->args[0], err);
        if (prepare(context, context->args[0], true, &prepared, err) < 0)
                return -1;
        /* Its file's name need not be the VM's. */
        if (strcmp(prepared.plan->name, context->args[0]) != 0 &&
            orphan_exists(context->site, prepared.plan->name))
                return adopt_orphan(context, prepared.plan->name, err);
        options.host = prepared.host;
        return supervisor_run(prepared.plan, &options);
}

/* In the child of the keeper-to-be. */
static void __attribute__((noreturn))
become_supervisor(struct verb_context *context, struct prepared *prepared, int ready_fd, int keeper_fd)
{
        struct supervisor_options options = {
                .site = context->site,
                .host = prepared->host,
                .ready_fd = ready_fd,
                .fail_step = -1,
                .keeper_fd = keeper_fd,
        };
        _exit(supervisor_run(prepared->plan, &options));
}

/* The supervisor of a QEMU that has none, for reconcile. What keeps it from being one is {"refused":{...}}. */
static void __attribute__((noreturn))
become_successor(const struct verb_context *context, const char *name, int ready_fd, int keeper_fd)
{
        const struct supervisor_options how = { .ready_fd = ready_fd, .keeper_fd = keeper_fd };
        struct error *err = NULL;
        struct vm_dir *vm = NULL;
        int status = vm_dir_lock(&context->site->paths, name, &vm, &err);

        if (status == 0)
                status = adopt(context, vm, &how, &err);
        if (status < 0) {
                _cleanup_free_ char *text = error_text(err), *json = NULL;
                json_auto_t *refused =
                        json_pack("{s:{s:s, s:o, s:o}}", "refused", "code", error_code_name(err->code),
                                  "message", story_string(text), "hint", story_string(err->hint));

                json = json_dumps(refused, JSON_COMPACT);
                /* Nobody may be left to read it. */
                if (dprintf(ready_fd, "%s\n", json) < 0)
                        _exit(1);
        }
        _exit(status < 0 ? 1 : status);
}

/* In the child of start: a process of its own, with nothing of the caller's terminal. The keeper, once the supervisor is
 * its child. prepared NULL: it takes over. */
static void __attribute__((noreturn))
become_keeper(struct verb_context *context, char *name, struct prepared *prepared, int ready_fd)
{
        char *root = context->site->paths.root;
        char *adopt_argv[] = { "vmlaunch", "--root", root, "__adopt", name, NULL };
        char *plain_argv[] = { "vmlaunch", "__adopt", name, NULL };
        char *env[CALLER_VARIABLES + 1];
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), sockets[2], status = 0;
        _cleanup_error_ struct error *ignored = NULL;
        pid_t pid;

        setsid();
        if (chdir("/") < 0 || null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 ||
            dup2(null_fd, 2) < 0 || keeper_prepare(sockets, &ignored) < 0)
                _exit(1);
        close(null_fd);
        log_set_stderr(false);
        pid = fork();
        if (pid == 0) {
                close(sockets[0]);
                if (!prepared)
                        become_successor(context, name, ready_fd, sockets[1]);
                become_supervisor(context, prepared, ready_fd, sockets[1]);
        }
        close(sockets[1]);
        close(ready_fd);
        if (pid < 0)
                _exit(1);
        caller_environment(&context->site->owner, env);
        keeper_become(pid, sockets[0], *root ? adopt_argv : plain_argv, env);
        /* The supervisor does without; its status is still start's to know. */
        /* waits: for the supervisor, which is all that is left to do */
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* The supervisor's {"error": {...}} as an error of ours: the same exit status, words and hint. */
static int take_error(const char *what, const char *vm, const json_t *json, struct error **err)
{
        const char *message = json_member_string(json, "message");
        const char *hint = json_member_string(json, "hint");
        const char *name = json_member_string(json, "code");
        enum error_code code = ERROR_FAILED;

        for (enum error_code each = ERROR_FAILED; name && each <= ERROR_CANCELLED; each++)
                if (strcmp(error_code_name(each), name) == 0 && each != ERROR_OS && each != ERROR_QMP)
                        code = each;
        error_set(err, code, "%s", message ? message : "no reason given");
        if (hint)
                error_hint(err, "%s", hint);
        return error_wrap(err, "%s '%s'", what, vm);
}

/*
 * Until the supervisor has spoken. The first signal is passed on to it by the keeper, and it takes everything back; the
 * second leaves it to itself. Blocked from before the fork: the supervisor takes them by signalfd, whenever they come.
 */
static int await_word(const char *vm, int fd, int signal_fd, pid_t keeper, long long deadline,
                      enum error_code *ret_cancelled, struct error **err)
{
        struct pollfd polled[] = { { .fd = fd, .events = POLLIN }, { .fd = signal_fd, .events = POLLIN } };
        struct signalfd_siginfo info;

        for (;;) {
                long long left = deadline - fd_now_ms();
                int n = poll(polled, ARRAY_SIZE(polled), left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left);

                if (n < 0 && errno != EINTR)
                        return error_os(err, errno, "wait for the supervisor");
                if (n > 0 && polled[0].revents)
                        return 0;
                if (n == 0 && *ret_cancelled) {
                        error_set(err, ERROR_DEADLINE, "start '%s': it is not taken back after %d s", vm,
                                  TAKE_BACK_MS / 1000);
                        return error_hint(err, "'vmlaunch status %s' shows what becomes of it", vm);
                }
                if (n == 0) {
                        *ret_cancelled = ERROR_DEADLINE;
                        deadline = fd_now_ms() + TAKE_BACK_MS;
                        kill(keeper, SIGTERM);
                        continue;
                }
                if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
                        continue;
                if (*ret_cancelled) {
                        error_set(err, ERROR_CANCELLED, "start '%s': not waiting for it to be taken back",
                                  vm);
                        return error_hint(err, "'vmlaunch status %s' shows what becomes of it", vm);
                }
                *ret_cancelled = ERROR_CANCELLED;
                deadline = fd_now_ms() + TAKE_BACK_MS;
                kill(keeper, SIGTERM);
                log_notice("start '%s': cancelling; once more to leave it in the background", vm);
        }
}

/*
 * A supervisor that was killed before its word may have a successor, made by the keeper, which has found the guest
 * running. 1: it has, 0: the keeper has ended and so has the VM, -1: *err.
 */
static int await_successor(const struct verb_context *context, const char *name, pid_t keeper,
                           long long *ret_qemu_pid, long long *ret_supervisor, int *ret_status,
                           struct error **err)
{
        for (long long deadline = fd_now_ms() + SUCCESSOR_MS; fd_now_ms() < deadline;) {
                _cleanup_error_ struct error *ignored = NULL;
                json_auto_t *record = NULL;
                struct vm_dir *vm = NULL;
                json_int_t pid = 0, supervisor = 0;
                const char *state = "";

                if (waitpid(keeper, ret_status, WNOHANG) > 0)
                        return 0;
                if (vm_dir_open(&context->site->paths, name, &vm, &ignored) == 0 &&
                    record_read(vm->fd, &record, &ignored) == 0)
                        json_unpack(record, "{s:s, s:I, s:I}", "state", &state, "pid", &pid, "supervisor_pid",
                                    &supervisor);
                vm_dir_release(vm, true);
                /* The dead one may have written the word running, with its own pid. */
                if (strcmp(state, "running") == 0 && supervisor > 0 &&
                    process_start_time((pid_t)supervisor)) {
                        *ret_qemu_pid = pid;
                        *ret_supervisor = supervisor;
                        return 1;
                }
                poll(NULL, 0, SUCCESSOR_STEP_MS);
        }
        return error_set(err, ERROR_DEADLINE,
                         "start '%s': its supervisor was killed, and no successor has it running after %u s",
                         name, SUCCESSOR_MS / 1000);
}

static void log_undone(const char *line, void *data)
{
        (void)data;
        log_info("%s", line);
}

/* Its keeper has ended, too, before there was a run to go on with: what its beginning left, its lock file and what is
 * in a journal. Whoever has begun anew meanwhile has the lock. */
static void clear_away(const struct verb_context *context, const char *vm)
{
        _cleanup_cgroup_host_ struct cgroup_host cgroup = { 0 };
        _cleanup_error_ struct error *err = NULL;
        struct reconcile_request request = {
                .site = context->site, .cgroup = &cgroup, .name = vm, .line = log_undone
        };

        if (cgroup_host_read("", &cgroup, &err) == 0)
                reconcile(&request, &err);
}

static int await_ready(const struct verb_context *context, const char *vm, int fd, int signal_fd,
                       pid_t keeper, long long *ret_qemu_pid, long long *ret_supervisor, struct error **err)
{
        _cleanup_free_ char *line = NULL;
        json_auto_t *json = NULL;
        enum error_code cancelled = 0;
        int status = 0;
        long long deadline = fd_now_ms() + verb_timeout_ms(context, START_MS);

        if (await_word(vm, fd, signal_fd, keeper, deadline, &cancelled, err) < 0)
                return -1;
        if (fd_read_all(fd, "the supervisor's word", READY_MAX, &line, NULL, err) < 0)
                return -1;
        json = json_loads(line, 0, NULL);
        if (!json) {
                int found = await_successor(context, vm, keeper, ret_qemu_pid, ret_supervisor, &status, err);

                if (found)
                        return found < 0 ? -1 : 0;
                clear_away(context, vm);
                return error_set(err, ERROR_FAILED,
                                 "start '%s': the supervisor ended without a word (status %#x)", vm,
                                 (unsigned)status);
        }
        if (json_object_get(json, "error")) {
                /* The locks are free then. A QEMU that does not end keeps both. */
                if (!json_member_is_true(json, "stuck"))
                        process_reap(keeper, KEEPER_END_MS, &status);
                take_error("start", vm, json_object_get(json, "error"), err);
                if (cancelled)
                        (*err)->code = cancelled;
                return cancelled != ERROR_DEADLINE ? -1
                                                   : error_wrap(err, "the guest did not run in %lld s",
                                                                verb_timeout_ms(context, START_MS) / 1000);
        }
        if (cancelled)
                return error_set(err, cancelled,
                                 "start '%s': cancelled when the guest ran already: it is being shut down",
                                 vm);
        *ret_qemu_pid = json_member_integer(json, "pid");
        *ret_supervisor = json_member_integer(json, "supervisor_pid");
        return 0;
}

/* The successor's word as a line for reconcile. */
static int read_adoption(const char *name, const json_t *word, char **ret_line, struct error **err)
{
        const json_t *error = json_object_get(word, "error"), *refused = json_object_get(word, "refused");
        const char *code = json_member_string(refused, "code");

        if (refused && code && strcmp(code, error_code_name(ERROR_BUSY)) != 0)
                return take_error("adopt", name, refused, err);
        if (refused)
                *ret_line = xstrdup("another supervisor has begun to look after it");
        else if (error)
                *ret_line = xasprintf("ended and undone: %s",
                                      json_member_string(error, "message") ?: "no reason given");
        else if (json_is_integer(json_object_get(word, "pid")))
                *ret_line = xasprintf("adopted: supervisor %lld looks after QEMU (process %lld)",
                                      json_member_integer(word, "supervisor_pid"),
                                      json_member_integer(word, "pid"));
        else
                *ret_line = xstrdup("QEMU ended while it was adopted: 'vmlaunch status' has the verdict");
        return 0;
}

int verb_adopt_behind(struct verb_context *context, const char *name, char **ret_line, struct error **err)
{
        _cleanup_free_ char *line = NULL, *copy = xstrdup(name);
        _cleanup_close_ int reader = -1;
        json_auto_t *word = NULL;
        int ready[2];
        pid_t pid;

        if (unit_adopt(context, name, ret_line))
                return 0;
        if (pipe2(ready, O_CLOEXEC) < 0)
                return error_os(err, errno, "adopt '%s': make a pipe", name);
        fflush(stdout);
        pid = fork();
        if (pid == 0) {
                close(ready[0]);
                become_keeper(context, copy, NULL, ready[1]);
        }
        close(ready[1]);
        reader = ready[0];
        if (pid < 0)
                return error_os(err, errno, "adopt '%s': fork", name);
        if (fd_wait(reader, POLLIN, fd_now_ms() + SUCCESSOR_MS) <= 0) {
                *ret_line = xasprintf("adopted, but QEMU has not answered in %u s", SUCCESSOR_MS / 1000);
                return 0;
        }
        if (fd_read_all(reader, "the supervisor's word", READY_MAX, &line, NULL, err) < 0)
                return error_wrap(err, "adopt '%s'", name);
        word = json_loads(line, 0, NULL);
        return read_adoption(name, word, ret_line, err);
}

static void report_started(const struct verb_context *context, const struct launch_plan *plan,
                           long long qemu_pid, long long supervisor)
{
        if (context->output != OUTPUT_TABLE)
                output_object(json_pack("{s:i, s:s, s:s, s:s, s:I, s:I}", "schema", 1, "name", plan->name,
                                        "uuid", plan->uuid, "state", "running", "pid", (json_int_t)qemu_pid,
                                        "supervisor_pid", (json_int_t)supervisor),
                              context->output);
        else if (!context->quiet)
                printf("%s is running, QEMU pid %lld\n", plan->name, qemu_pid);
}

static int start_in_unit(struct verb_context *context, const struct prepared *prepared, struct error **err)
{
        json_auto_t *record = NULL;

        interrupt_arm(context, "systemd goes on with it", "start '%s': not waiting for it",
                      prepared->plan->name);
        if (unit_start(context, prepared, verb_timeout_ms(context, START_MS), &record, err) < 0)
                return -1;
        report_started(context, prepared->plan, json_member_integer(record, "pid"),
                       json_member_integer(record, "supervisor_pid"));
        return 0;
}

int start_vm(struct verb_context *context, const char *argument, struct error **err)
{
        _cleanup_prepared_ struct prepared prepared = { 0 };
        _cleanup_close_ int reader = -1, signal_fd = -1;
        long long qemu_pid = 0, supervisor = 0;
        sigset_t signals;
        int ready[2];
        pid_t pid;

        if (prepare(context, argument, true, &prepared, err) < 0)
                return -1;
        output_warnings(prepared.plan->warnings, context);
        /* A VM that has a unit is started by it. */
        if (prepared.group == PLAN_GROUP_SERVICE)
                return start_in_unit(context, &prepared, err);
        if (pipe2(ready, O_CLOEXEC) < 0)
                return error_os(err, errno, "start '%s': make a pipe", prepared.plan->name);
        sigemptyset(&signals);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGTERM);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        fflush(stdout);
        pid = fork();
        if (pid == 0) {
                close(ready[0]);
                fd_close(&signal_fd);
                become_keeper(context, prepared.plan->name, &prepared, ready[1]);
        }
        close(ready[1]);
        reader = ready[0];
        if (pid < 0)
                return error_os(err, errno, "start '%s': fork", prepared.plan->name);
        if (await_ready(context, prepared.plan->name, reader, signal_fd, pid, &qemu_pid, &supervisor, err) <
            0)
                return -1;
        report_started(context, prepared.plan, qemu_pid, supervisor);
        return 0;
}

int verb_start(struct verb_context *context, struct error **err)
{
        bool all = verb_flag(context, "autostart");

        if (all == (context->n_args > 0))
                return error_set(err, ERROR_USAGE, "start takes a template or a VM's name, or --autostart");
        if (instance_need_owner(context, "starting a VM", err) < 0)
                return -1;
        return all ? autostart_all(context, err) : start_vm(context, context->args[0], err);
}
