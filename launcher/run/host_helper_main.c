/* The host helper's own side: `vmlaunch __host`. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "launcher/run/confine.h"
#include "launcher/run/effects.h"
#include "launcher/run/execute.h"
#include "launcher/run/host_helper.h"
#include "launcher/run/host_helper_fds.h"
#include "launcher/run/memory_cleanup.h"
#include "launcher/state/crash_point.h"

#define REQUEST_MAX (2u << 20)
/* A host with much memory takes its time to compact it. */
#define CLEANUP_MS 300000u

static void add_line(const char *line, void *data)
{
        /* A line that is no UTF-8 cannot be said in JSON. */
        json_array_append_new(data, json_string(line) ?: json_string("?"));
}

static json_t *errors_to_json(const struct error *error)
{
        json_t *errors = json_array();

        for (; error; error = error->next) {
                _cleanup_free_ char *text = error_text(error);

                json_array_append_new(errors, json_pack("{s:i, s:i, s:o}", "code", (int)error->code,
                                                        "os_errno", error->os_errno, "text",
                                                        json_string(text) ?: json_string("?")));
        }
        return errors;
}

static void set_alarm(unsigned ms)
{
        const struct itimerval timer = { .it_value = { .tv_sec = ms / 1000,
                                                       .tv_usec = (suseconds_t)(ms % 1000) * 1000 } };

        setitimer(ITIMER_REAL, &timer, NULL);
}

/* A run that goes on has one author at a time: with its supervisor this helper ends, and a successor waits for that. */
static int bind_to_parent(json_int_t parent, int *ret_journal, struct error **err)
{
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return error_os(err, errno, "ask for the parent's end");
        if (journal_hold(HOST_HELPER_VM_DIR, ret_journal, err) < 0)
                return -1;
        if (getppid() != parent)
                return error_set(err, ERROR_CANCELLED, "the supervisor is gone");
        return 0;
}

/* What a fragment may have of the host (fragment.c). */
static bool is_host_effect(enum plan_effect effect)
{
        static const enum plan_effect all[] = { EFFECT_NET,          EFFECT_UNIT_SET,     EFFECT_SCRIPT,
                                                EFFECT_CGROUP_WRITE, EFFECT_DEVICE_OPEN,  EFFECT_DEVICE_GRANT,
                                                EFFECT_MEMORY_LOCK,  EFFECT_SOCKET_PAIR,  EFFECT_STDERR,
                                                EFFECT_HELPER,       EFFECT_IMAGE_CREATE, EFFECT_AFFINITY };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i] == effect)
                        return true;
        return false;
}

static int do_step(struct effect_run *run, const json_t *step, struct error **err)
{
        json_auto_t *more = json_object();
        enum plan_effect effect;
        json_t *args, *apply;
        const char *name, *text;
        json_error_t why;
        int n;

        if (json_unpack_ex((json_t *)step, &why, JSON_STRICT, "{s:i, s:s, s:o, s:o, s:s}", "n", &n, "effect",
                           &name, "args", &args, "apply", &apply, "text", &text) < 0 ||
            n < 0)
                return error_set(err, ERROR_USAGE, "a step of the request: %s", why.text);
        if (!plan_effect_from_name(name, &effect) || !is_host_effect(effect))
                return error_set(err, ERROR_USAGE, "a step of the request: effect '%s'", name);
        json_object_set(more, "apply", apply);
        if (effect_do(run, (unsigned)n, effect, args, more, false, err) < 0)
                return error_wrap(err, "%s", text);
        return 0;
}

static bool has_step(const json_t *request, enum plan_effect effect)
{
        const json_t *step;
        size_t i;

        json_array_foreach (json_object_get(request, "steps"), i, step) {
                const char *name = json_member_string(step, "effect");

                if (name && strcmp(name, plan_effect_name(effect)) == 0)
                        return true;
        }
        return false;
}

static int send_fds(const struct effect_run *run, json_t *names, struct error **err)
{
        int fds[FD_MAX_PASSED];

        if (run->n_fds == 0)
                return 0;
        if (run->n_fds > FD_MAX_PASSED)
                return error_set(err, ERROR_USAGE, "more than %d fds are to be opened", FD_MAX_PASSED);
        for (size_t i = 0; i < run->n_fds; i++) {
                fds[i] = run->fds[i].fd;
                json_array_append_new(names, json_string(run->fds[i].name));
        }
        return fd_send(HOST_HELPER_SOCKET, "", 1, fds, run->n_fds, err);
}

/* The supervisor undoes what was done before a failure. */
static int do_steps(const json_t *request, const struct cgroup_host *cgroup, json_t *answer,
                    struct error **err)
{
        struct vm_dir vm = { .fd = HOST_HELPER_VM_DIR, .lock_fd = HOST_HELPER_LOCK };
        struct launch_plan plan = { 0 };
        struct effect_run run = { .plan = &plan,
                                  .vm = &vm,
                                  .cgroup = cgroup,
                                  .run_dirfd = -1,
                                  .qemu_pidfd = -1,
                                  .restores = true,
                                  .holds_journal = true };
        json_auto_t *record = NULL;
        json_t *steps, *step, *names = json_array();
        const char *name, *run_dir;
        json_error_t why;
        int result = 0;
        size_t i;

        json_object_set_new(answer, "fds", names);
        if (json_unpack_ex((json_t *)request, &why, 0, "{s:s, s:s, s:s, s:o}", "name", &name, "run_dir",
                           &run_dir, "generation", &run.generation, "steps", &steps) < 0)
                return error_set(err, ERROR_USAGE, "the request: %s", why.text);
        vm.name = (char *)name;
        vm.path = (char *)run_dir;
        /* Where its processes are. */
        if (has_step(request, EFFECT_HELPER)) {
                if (record_read(vm.fd, &record, err) < 0)
                        return -1;
                plan.qemu_group = (char *)json_member_string(record, "qemu_group");
        }
        json_array_foreach (steps, i, step) {
                result = do_step(&run, step, err);
                if (result < 0)
                        break;
        }
        if (result == 0)
                result = send_fds(&run, names, err);
        crash_point(CRASH_HELPER_DONE);
        effect_run_done(&run);
        return result;
}

static int undo_steps(const json_t *request, const struct cgroup_host *cgroup, json_t *undone,
                      struct error **err)
{
        json_int_t first, last;
        json_error_t why;

        if (json_unpack_ex((json_t *)request, &why, 0, "{s:I, s:I}", "first", &first, "last", &last) < 0)
                return error_set(err, ERROR_USAGE, "the request: %s", why.text);
        return undo_journal_steps(HOST_HELPER_VM_DIR, cgroup, first, last, add_line, undone, err);
}

static bool is_cleanup(const json_t *request)
{
        const char *action = json_member_string(request, "action");

        return action && strcmp(action, "memory-cleanup") == 0;
}

static int serve(json_t *answer, json_t *undone, struct error **err)
{
        /* QEMU's uid, taps, files and groups of whatever owner; nothing else is done or undone. */
        static const int needed[] = { CAP_KILL, CAP_NET_ADMIN, CAP_DAC_OVERRIDE, CAP_CHOWN, CAP_SYS_RESOURCE,
                                      CAP_SYS_NICE,
                                      /* To start a process of another user, in namespaces, its ids mapped. */
                                      CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_SETFCAP, CAP_SYS_ADMIN };
        size_t n_needed = ARRAY_SIZE(needed) - 5;
        _cleanup_cgroup_host_ struct cgroup_host cgroup = { 0 };
        _cleanup_close_ int journal = -1, run_dirfd = -1;
        _cleanup_free_ char *text = NULL;
        json_auto_t *request = NULL;
        json_int_t deadline_ms;
        json_t *cgroup_json;
        const char *action;
        bool is_undo, is_do;
        json_error_t why;
        struct stat st;

        if (fstat(HOST_HELPER_VM_DIR, &st) < 0 || !S_ISDIR(st.st_mode))
                return error_set(err, ERROR_USAGE, "__host is started by a supervisor, which gives it a VM");
        for (int fd = HOST_HELPER_VM_DIR; fd < HOST_HELPER_FDS; fd++)
                fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (fd_read_all(0, "the request", REQUEST_MAX, &text, NULL, err) < 0)
                return -1;
        request = json_loads(text, JSON_REJECT_DUPLICATES, &why);
        if (is_cleanup(request)) {
                crash_points_init(HOST_HELPER_VM_DIR);
                set_alarm(CLEANUP_MS);
                return confine_keep_capabilities(NULL, 0, err) < 0 ? -1 : memory_cleanup_serve(request, err);
        }
        run_dirfd = openat(HOST_HELPER_VM_DIR, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (run_dirfd < 0)
                return error_os(err, errno, "open the directory of the VMs");
        crash_points_init(run_dirfd);
        if (!request ||
            json_unpack_ex(request, &why, 0, "{s:i, s:s, s:I, s:o}", "schema", &(int){ 0 }, "action", &action,
                           "deadline_ms", &deadline_ms, "cgroup", &cgroup_json) < 0)
                return error_set(err, ERROR_USAGE, "the request: %s", why.text);
        is_undo = strcmp(action, "undo") == 0;
        is_do = strcmp(action, "do") == 0;
        if ((!is_undo && !is_do && strcmp(action, "undo-steps") != 0) || deadline_ms <= 0 ||
            deadline_ms > UINT32_MAX)
                return error_set(err, ERROR_USAGE, "the request: action '%s'", action);
        if (has_step(request, EFFECT_HELPER))
                n_needed = ARRAY_SIZE(needed);
        set_alarm((unsigned)deadline_ms);
        crash_point(CRASH_HELPER_WORKS);
        if (cgroup_host_from_json(cgroup_json, &cgroup, err) < 0 ||
            confine_keep_capabilities(needed, n_needed, err) < 0)
                return -1;
        if (journal_is_empty(HOST_HELPER_VM_DIR))
                return is_undo ? 0 : error_set(err, ERROR_FAILED, "the journal of the run is gone");
        if (is_undo)
                return undo_journal(HOST_HELPER_VM_DIR, &cgroup, add_line, undone, err);
        if (bind_to_parent(json_member_integer(request, "parent"), &journal, err) < 0)
                return -1;
        return is_do ? do_steps(request, &cgroup, answer, err) : undo_steps(request, &cgroup, undone, err);
}

/* Returns the exit status. */
static int answer_with(json_t *answer, const struct error *error)
{
        json_object_set_new(answer, "errors", errors_to_json(error));
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
        return fflush(stdout) == 0 ? (error ? error_exit_status(error) : 0) : 1;
}

int host_helper_main(void)
{
        _cleanup_error_ struct error *error = NULL;
        json_t *undone = json_array();
        json_auto_t *answer = json_pack("{s:o}", "undone", undone);

        if (serve(answer, undone, &error) < 0)
                assert(error);
        return answer_with(answer, error);
}

static int begin_verb(json_t **ret_request, struct error **err)
{
        static const int needed[] = { CAP_DAC_OVERRIDE };
        _cleanup_free_ char *text = NULL;
        json_int_t deadline_ms, parent;
        json_error_t why;

        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return error_os(err, errno, "ask for the parent's end");
        if (fd_read_all(0, "the request", REQUEST_MAX, &text, NULL, err) < 0)
                return -1;
        *ret_request = json_loads(text, JSON_REJECT_DUPLICATES, &why);
        if (!*ret_request ||
            json_unpack_ex(*ret_request, &why, 0, "{s:I, s:I}", "deadline_ms", &deadline_ms, "parent",
                           &parent) < 0 ||
            deadline_ms <= 0 || deadline_ms > UINT32_MAX)
                return error_set(err, ERROR_USAGE, "this is started by a supervisor: %s", why.text);
        if (getppid() != parent)
                return error_set(err, ERROR_CANCELLED, "the supervisor is gone");
        set_alarm((unsigned)deadline_ms);
        return confine_keep_capabilities(needed, ARRAY_SIZE(needed), err);
}

int host_helper_serve_verb(int (*fn)(const json_t *request, void *data, struct error **err), void *data)
{
        _cleanup_error_ struct error *error = NULL;
        json_auto_t *request = NULL, *answer = json_object();

        if (begin_verb(&request, &error) == 0)
                fn(request, data, &error);
        return answer_with(answer, error);
}
