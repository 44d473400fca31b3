#include "launcher/run/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "launcher/run/adopt_process.h"
#include "launcher/run/effects.h"
#include "launcher/run/sd_notify.h"
#include "launcher/run/story.h"

/* Steps of a plan count from 0, and are far fewer. */
#define FIRST_REPAIRED 100000
#define CMDLINE_MAX    (8u << 20)
/* Of a run whose record is gone: kvmrc's default of SHUTDOWN_TIMEOUT. */
#define DEFAULT_SHUTDOWN_S 180
#define SHUTDOWN_MAX_S     86400

static bool flag(const json_t *json, const char *key, bool otherwise)
{
        const json_t *value = json_object_get(json, key);

        return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

struct run_end adopt_end_from_json(const json_t *json)
{
        return (struct run_end){
                .ready = flag(json, "ready", false),
                .asked = flag(json, "asked", false),
                .guest_off = flag(json, "guest_off", false),
                .panicked = flag(json, "panicked", false),
                .we_quit = flag(json, "quit", false),
                .we_killed = flag(json, "killed", false),
        };
}

static struct plan_clock clock_from_json(const json_t *json)
{
        const char *path = json_member_string(json, "path");

        if (!path || *path != '/')
                return (struct plan_clock){ 0 };
        return (struct plan_clock){ .path = xstrdup(path),
                                    .adjustment = json_member_integer(json, "adjustment"),
                                    .ahead = json_member_integer(json, "ahead") };
}

struct plan_policy adopt_policy_from_json(const json_t *json)
{
        json_int_t timeout = json_member_integer(json, "shutdown_timeout");
        json_int_t floor = json_member_integer(json, "balloon_floor");
        const char *on_crash = json_member_string(json, "on_crash");

        return (struct plan_policy){
                .has_agent = flag(json, "agent", false),
                .has_acpi = flag(json, "acpi", true),
                .has_panic = flag(json, "panic", false),
                .shutdown_timeout_s =
                        timeout > 0 && timeout <= SHUTDOWN_MAX_S ? (unsigned)timeout : DEFAULT_SHUTDOWN_S,
                .force_destroy = flag(json, "force_destroy", false),
                .cancel_no_acpi = flag(json, "cancel_no_acpi", false),
                .restart_on_panic = on_crash && strcmp(on_crash, "restart") == 0,
                .keep_on_panic = on_crash && strcmp(on_crash, "preserve") == 0,
                .poweroff_on_watchdog = flag(json, "watchdog_poweroff", false),
                .sync_time = flag(json, "sync_time", false),
                .agent_allow = xstrdup_null(json_member_string(json, "agent_allow")),
                .balloon_floor = floor > 0 ? (uint64_t)floor : 0,
                .clock = clock_from_json(json_object_get(json, "clock")),
        };
}

void adoption_done(struct adoption *adoption)
{
        launch_plan_free(adoption->plan);
        json_decref(adoption->record);
        error_free(adoption->trouble);
        journal_run_done(&adoption->journal);
        free(adoption->generation);
        fd_close(&adoption->pidfd);
        fd_close(&adoption->stderr_fd);
}

/* The argument behind "-uuid": QEMU's own word for who it is. New string or NULL. */
static char *uuid_of_process(pid_t pid)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/cmdline", (int)pid), *text = NULL;
        struct error *ignored = NULL;
        size_t n = 0;

        if (fd_read_file_at(AT_FDCWD, path, CMDLINE_MAX, &text, &n, &ignored) < 0) {
                error_free(ignored);
                return NULL;
        }
        for (const char *arg = text; arg < text + n; arg += strlen(arg) + 1)
                if (strcmp(arg, "-uuid") == 0 && arg + sizeof("-uuid") < text + n)
                        return xstrdup(arg + sizeof("-uuid"));
        return NULL;
}

struct launch_plan *adoption_plan(const struct paths *paths, const struct vm_dir *vm,
                                  const struct adoption *adoption)
{
        struct launch_plan *plan = xcalloc(1, sizeof(*plan));
        const json_t *record = adoption->record, *devices = json_object_get(record, "devices");
        const json_t *policy = json_object_get(record, "policy");
        const json_t *uid = json_object_get(adoption->journal.spawned, "uid");
        struct stat st;

        plan->name = xstrdup(vm->name);
        plan->uuid = xstrdup_null(json_member_string(record, "uuid"));
        if (!plan->uuid && adoption->pid)
                plan->uuid = uuid_of_process(adoption->pid);
        plan->template_file = xstrdup_null(json_member_string(record, "template"));
        plan->run_dir = xstrdup(vm->path);
        plan->log_path = xasprintf("%s/%s.log", paths->log, vm->name);
        plan->cgroup = json_object_size(record) ? xstrdup_null(json_member_string(record, "cgroup"))
                       : adoption->pid          ? process_group(vm->name, adoption->pid)
                                                : NULL;
        plan->qemu_group = json_object_size(record) ? xstrdup_null(json_member_string(record, "qemu_group"))
                                                    : xstrdup_null(plan->cgroup);
        plan->unit = xstrdup_null(json_member_string(record, "unit"));
        plan->devices = json_is_array(devices) ? json_deep_copy(devices) : json_array();
        plan->policy = adopt_policy_from_json(policy);
        /* A record without a policy says nothing of the agent; its socket does. */
        if (!json_is_object(policy))
                plan->policy.has_agent = fstatat(vm->fd, "private/agent.sock", &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (!json_is_integer(uid))
                uid = json_object_get(record, "uid");
        plan->confine.uid = (uid_t)json_integer_value(uid);
        return plan;
}

bool record_says_end(const json_t *record)
{
        const char *state = json_member_string(record, "state");

        return json_member_string(record, "verdict") && state && strcmp(state, "stopped") == 0;
}

/* Of the run that goes on or is owed: a record of one that has ended is an earlier one's. New string or NULL. */
static char *generation_of(const struct journal_run *run, const json_t *record)
{
        if (run->generation)
                return xstrdup(run->generation);
        return record_says_end(record) ? NULL : xstrdup_null(json_member_string(record, "generation"));
}

/* The pidfd that a supervisor before this one has left with systemd, if it is of this process; -1. */
static int stored_pidfd(pid_t pid)
{
        _cleanup_close_ int fd = sd_stored_fd(false);
        _cleanup_free_ char *path = NULL, *text = NULL, *wanted = NULL;
        _cleanup_error_ struct error *ignored = NULL;

        if (fd < 0)
                return -1;
        path = xasprintf("/proc/self/fdinfo/%d", fd);
        wanted = xasprintf("\nPid:\t%d\n", (int)pid);
        /* -1 once it has ended. */
        if (fd_read_file_at(AT_FDCWD, path, 4096, &text, NULL, &ignored) < 0 || !strstr(text, wanted))
                return -1;
        return TAKE_FD(fd);
}

static int prove(struct adoption *adoption, struct error **err)
{
        json_t *spawned = adoption->journal.spawned;
        int lives;

        adoption->last_pid = (pid_t)json_member_integer(spawned, "pid");
        if (!spawned || !adoption->generation || !*adoption->generation)
                return 0;
        /* One that was opened while QEMU was a child needs no other proof. */
        adoption->pidfd = stored_pidfd(adoption->last_pid);
        lives = adoption->pidfd >= 0 ? fd_wait(adoption->pidfd, POLLIN, fd_now_ms()) == 0
                                     : qemu_prove(spawned, adoption->generation, &adoption->pidfd, err);
        if (lives <= 0)
                return lives;
        adoption->pid = adoption->last_pid;
        adoption->pid_start = (unsigned long long)json_member_integer(spawned, "start");
        return 0;
}

/* The server's device of a plan that is gone, when it has a port; NULL. Lent. */
static const json_t *port_device(const struct launch_plan *plan)
{
        json_t *device;
        size_t i;

        json_array_foreach (plan->devices, i, device) {
                const char *kind = json_member_string(device, "kind");

                if (kind && strcmp(kind, "graphics") == 0 && json_is_integer(json_object_get(device, "port")))
                        return device;
        }
        return NULL;
}

/* What its journal would have said of it. */
static void add_port_lock(const struct launch_plan *plan, json_t *locks)
{
        const json_t *device = port_device(plan);
        unsigned port = device ? (unsigned)json_member_integer(device, "port") : 0;
        _cleanup_free_ char *name = port_lock_name(port), *what = xasprintf("port %u", port);

        if (device)
                json_array_append_new(locks,
                                      json_pack("{s:s, s:s, s:b}", "name", name, "what", what, "shared", 0));
}

int adoption_read(const struct site *site, const struct vm_dir *vm, struct adoption *ret, struct error **err)
{
        _cleanup_adoption_ struct adoption adoption = ADOPTION_INIT;

        /* First nobody is between fork and exec any more: the journal is complete then. */
        if (journal_wait_settled(vm->fd, err) < 0)
                return -1;
        if (journal_run_read(vm->fd, &adoption.journal, err) < 0)
                return -1;
        if (record_read(vm->fd, &adoption.record, &adoption.trouble) < 0)
                adoption.record = json_object();
        adoption.generation = generation_of(&adoption.journal, adoption.record);
        adoption.torn = !adoption.journal.name || !json_object_size(adoption.journal.spawned);
        if (!adoption.journal.spawned)
                adoption.journal.spawned = spawned_by_record(adoption.record);
        if (!adoption.journal.spawned &&
            process_find(site, vm->name, adoption.generation, &adoption.journal.spawned, &adoption.generation,
                         err) < 0)
                return -1;
        if (prove(&adoption, err) < 0)
                return -1;
        if (adoption.pid)
                adoption.stderr_fd = process_open_stderr(adoption.pid);
        if (adoption.pid && adoption.torn)
                process_add_locks(adoption.pid, adoption.journal.locks);
        adoption.plan = adoption_plan(&site->paths, vm, &adoption);
        if (adoption.pid && adoption.torn)
                add_port_lock(adoption.plan, adoption.journal.locks);
        *ret = adoption;
        adoption = (struct adoption)ADOPTION_INIT;
        return 0;
}

/* What the kernel keeps per user. When a host boots each VM is started without record and journal, and to read all command
 * lines for each would be the square of their number. */
static bool has_processes(uid_t uid)
{
        errno = 0;
        return getpriority(PRIO_USER, uid) != -1 || errno != ESRCH;
}

int vm_qemu_lives(const struct site *site, const struct vm_dir *vm, uid_t uid, pid_t *ret_pid,
                  char **ret_generation, struct error **err)
{
        _cleanup_journal_run_ struct journal_run run = { 0 };
        json_auto_t *record = NULL, *spawned = NULL;
        _cleanup_error_ struct error *ignored = NULL;
        _cleanup_free_ char *generation = NULL;
        int lives;

        if (vm_dir_is_at_rest(vm))
                return 0;
        /* One that cannot be read knows nothing. */
        if (record_read(vm->fd, &record, &ignored) < 0)
                record = NULL;
        spawned = spawned_by_record(record);
        /* A run that has ended and owes nothing has no process: what a start finds, which asks more than once. */
        if (!spawned && record_says_end(record) && journal_is_empty(vm->fd))
                return 0;
        lives = journal_qemu_lives(vm->fd, ret_pid, err);
        if (lives < 0 || journal_run_read(vm->fd, &run, err) < 0)
                return -1;
        generation = generation_of(&run, record);
        if (!lives && !json_object_size(run.spawned)) {
                if (spawned)
                        return 0;
                if (journal_wait_settled(vm->fd, err) < 0)
                        return -1;
                if (uid && !has_processes(uid))
                        return 0;
                lives = process_find(site, vm->name, generation, &spawned, &generation, err);
                if (lives > 0)
                        *ret_pid = (pid_t)json_member_integer(spawned, "pid");
        }
        if (lives > 0 && ret_generation) {
                free(*ret_generation);
                *ret_generation = TAKE_PTR(generation);
        }
        return lives;
}

static int owe(const struct vm_dir *vm, unsigned n, enum plan_effect effect, json_t *args_consume,
               json_t *learned_consume, struct error **err)
{
        json_auto_t *step = json_pack("{s:i, s:s, s:o}", "n", (int)n, "effect", plan_effect_name(effect),
                                      "args", args_consume);
        json_auto_t *learned =
                learned_consume ? json_pack("{s:i, s:o}", "n", (int)n, "learned", learned_consume) : NULL;

        return journal_append(vm->fd, step, err) < 0 || (learned && journal_append(vm->fd, learned, err) < 0)
                       ? -1
                       : 0;
}

/* Those that the journal had lost. */
static int owe_locks(const struct vm_dir *vm, const json_t *locks, unsigned *n, struct error **err)
{
        json_t *lock;
        size_t i;

        json_array_foreach ((json_t *)locks, i, lock) {
                const char *target = json_member_string(lock, "found");
                const char *kind = json_member_is_true(lock, "shared") ? "shared" : "exclusive";

                if (target && owe(vm, (*n)++, EFFECT_IMAGE_OPEN,
                                  json_pack("{s:o, s:s}", "path", story_string(target), "lock", kind),
                                  json_pack("{s:s}", "lock", json_member_string(lock, "name")), err) < 0)
                        return -1;
        }
        return 0;
}

static int owe_port(const struct vm_dir *vm, const struct launch_plan *plan, unsigned *n, struct error **err)
{
        const json_t *device = port_device(plan);

        if (!device)
                return 0;
        return owe(
                vm, (*n)++, EFFECT_PORT,
                json_pack("{s:O, s:s}", "port", json_object_get(device, "port"), "address",
                          json_member_string(device, "listen") ? json_member_string(device, "listen") : ""),
                NULL, err);
}

int adoption_repair(const struct vm_dir *vm, struct adoption *adoption, struct error **err)
{
        const struct launch_plan *plan = adoption->plan;
        unsigned n = FIRST_REPAIRED;
        json_auto_t *run = NULL;

        if (!adoption->torn || !adoption->pid)
                return 0;
        run = json_pack("{s:{s:s, s:s, s:s, s:i}}", "run", "name", vm->name, "generation",
                        adoption->generation, "run_dir", vm->path, "executor", (int)getpid());
        if ((!adoption->journal.name && journal_append(vm->fd, run, err) < 0) ||
            (plan->confine.uid != geteuid() &&
             owe(vm, n++, EFFECT_UID_CLAIM, json_pack("{s:I}", "uid", (json_int_t)plan->confine.uid), NULL,
                 err) < 0) ||
            owe(vm, n++, EFFECT_DIRECTORY, json_pack("{s:s+}", "path", vm->path, "/private"), NULL, err) <
                    0 ||
            owe(vm, n++, EFFECT_LIVE_TEMPLATE, json_pack("{s:s+}", "path", vm->path, "/live.tmpl"), NULL,
                err) < 0 ||
            owe_locks(vm, adoption->journal.locks, &n, err) < 0 || owe_port(vm, plan, &n, err) < 0 ||
            (plan->qemu_group &&
             owe(vm, n++, EFFECT_CGROUP_CREATE, json_pack("{s:s}", "path", plan->qemu_group),
                 json_pack("{s:b}", "made", 1), err) < 0) ||
            owe(vm, n++, EFFECT_SPAWN, json_object(), json_incref(adoption->journal.spawned), err) < 0)
                return error_wrap(err, "write down again what the run of '%s' owes", vm->name);
        adoption->torn = false;
        return 1;
}
