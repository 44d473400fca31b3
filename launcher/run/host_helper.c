#include "launcher/run/host_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "cgroups/cgroup_apply.h"
#include "launcher/run/confine.h"
#include "launcher/run/execute.h"
#include "launcher/state/crash_point.h"

#define VM_DIR_FD   3
#define VM_LOCK_FD  4
#define REQUEST_MAX (1u << 20)
#define ANSWER_MAX  (1u << 20)
/* The helper's own alarm comes first; the supervisor's is for one that cannot even take a signal. */
#define GRACE_MS 1000u

struct host_helper {
        struct loop *loop;
        struct loop_source *child, *deadline;
        int pidfd, answer_fd;
        unsigned deadline_ms;
        bool late;
        host_helper_fn *fn;
        void *data;
};

/* fds[0..4] become 0..4 and nothing else is passed on. */
static void __attribute__((noreturn)) child(const int *fds)
{
        static char *const argv[] = { "vmlaunch", "__host", NULL };
        static char *const env[] = { NULL };
        int high[VM_LOCK_FD + 1];
        sigset_t none;

        for (int i = 0; i <= VM_LOCK_FD; i++) {
                high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, VM_LOCK_FD + 1);
                if (high[i] < 0)
                        _exit(127);
        }
        for (int i = 0; i <= VM_LOCK_FD; i++)
                if (dup2(high[i], i) < 0)
                        _exit(127);
        /* Ours are close-on-exec from birth; this is for what was inherited. */
        syscall(SYS_close_range, VM_LOCK_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
        for (int sig = 1; sig < NSIG; sig++)
                signal(sig, SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve("/proc/self/exe", argv, env);
        _exit(127);
}

static int memory_file(const char *name, const char *text, struct error **err)
{
        int fd = memfd_create(name, MFD_CLOEXEC);

        if (fd < 0)
                return error_os(err, errno, "make a memory file");
        if (text && (fd_write_all(fd, name, text, strlen(text), err) < 0 || lseek(fd, 0, SEEK_SET) < 0)) {
                if (!*err)
                        error_os(err, errno, "rewind '%s'", name);
                close(fd);
                return -1;
        }
        return fd;
}

static void host_helper_free(struct host_helper *helper)
{
        loop_remove(helper->loop, helper->child);
        loop_remove(helper->loop, helper->deadline);
        fd_close(&helper->pidfd);
        fd_close(&helper->answer_fd);
        free(helper);
}

void host_helper_forget(struct host_helper *helper)
{
        if (helper)
                host_helper_free(helper);
}

/* The errors of the answer as a list. */
static void take_errors(const json_t *errors, struct error **err)
{
        const json_t *one;
        size_t i;

        json_array_foreach ((json_t *)errors, i, one) {
                const char *text = json_string_value(json_object_get(one, "text"));
                struct error *more = NULL;

                error_set(&more, (enum error_code)json_integer_value(json_object_get(one, "code")), "%s",
                          text ? text : "an error without words");
                more->os_errno = (int)json_integer_value(json_object_get(one, "os_errno"));
                error_append(err, more);
        }
}

/* The answer's lines, new reference, and its errors; without an answer how the helper ended. */
static json_t *hear(struct host_helper *helper, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        json_t *answer = NULL, *undone = NULL;
        siginfo_t info = { 0 };
        json_error_t why;

        if (waitid(P_PIDFD, (id_t)helper->pidfd, &info, WEXITED | WNOHANG) < 0)
                error_os(err, errno, "wait for the host helper");
        else if (helper->late || (info.si_code == CLD_KILLED && info.si_status == SIGALRM))
                error_set(err, ERROR_DEADLINE, "the host helper did not end within %u ms",
                          helper->deadline_ms);
        else if (info.si_code != CLD_EXITED)
                error_set(err, ERROR_FAILED, "the host helper was killed by signal %d", info.si_status);
        else if (lseek(helper->answer_fd, 0, SEEK_SET) < 0)
                error_os(err, errno, "rewind the host helper's answer");
        else if (fd_read_all(helper->answer_fd, "the host helper's answer", ANSWER_MAX, &text, NULL, err) ==
                 0) {
                answer = json_loads(text, 0, &why);
                undone = json_incref(json_object_get(answer, "undone"));
                if (!json_is_array(undone))
                        error_set(err, ERROR_FAILED, "the host helper ended with status %d and no answer",
                                  info.si_status);
                else
                        take_errors(json_object_get(answer, "errors"), err);
        }
        json_decref(answer);
        if (!json_is_array(undone)) {
                json_decref(undone);
                undone = json_array();
        }
        return undone;
}

static void on_end(int pidfd, void *data)
{
        struct host_helper *helper = data;
        _cleanup_error_ struct error *error = NULL;
        json_auto_t *undone = hear(helper, &error);

        (void)pidfd;
        helper->fn(error, undone, helper->data);
        host_helper_free(helper);
}

static void on_deadline(void *data)
{
        struct host_helper *helper = data;
        struct error *ignored = NULL;

        helper->deadline = NULL;
        if (helper->late) {
                /* SIGKILL did not end it: a kernel call holds it. It is not waited for. */
                json_auto_t *undone = json_array();
                _cleanup_error_ struct error *error = NULL;

                error_set(&error, ERROR_DEADLINE, "the host helper does not end: a kernel call holds it");
                helper->fn(error, undone, helper->data);
                host_helper_free(helper);
                return;
        }
        helper->late = true;
        confine_send_signal(helper->pidfd, SIGKILL, &ignored);
        crash_point(CRASH_HELPER_LATE);
        error_free(ignored);
        helper->deadline = loop_add_deadline(helper->loop, GRACE_MS, on_deadline, helper);
}

struct host_helper *host_helper_undo(struct loop *loop, const struct vm_dir *vm,
                                     const struct cgroup_host *cgroup, unsigned deadline_ms,
                                     host_helper_fn *fn, void *data, struct error **err)
{
        json_auto_t *json = json_pack("{s:i, s:s, s:I, s:o}", "schema", 1, "action", "undo", "deadline_ms",
                                      (json_int_t)deadline_ms, "cgroup", cgroup_host_to_json(cgroup));
        _cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);
        _cleanup_close_ int request = -1, answer = -1, null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        _cleanup_close_ int pidfd = -1;
        struct cgroup_entry no_group = CGROUP_ENTRY_INIT;
        struct host_helper *helper;
        pid_t pid;

        if (null_fd < 0) {
                error_os(err, errno, "open /dev/null");
                return NULL;
        }
        request = memory_file("vmlaunch-request", text, err);
        answer = request < 0 ? -1 : memory_file("vmlaunch-answer", NULL, err);
        if (answer < 0)
                return NULL;
        /* Just a fork() that gives the pidfd with it. */
        pid = cgroup_entry_fork(&no_group, &pidfd);
        if (pid == 0) {
                const int fds[] = { request, answer, null_fd, vm->fd, vm->lock_fd };

                child(fds);
        }
        if (pid < 0) {
                error_os(err, errno, "start the host helper");
                return NULL;
        }
        helper = xcalloc(1, sizeof(*helper));
        *helper = (struct host_helper){ .loop = loop, .fn = fn, .data = data, .deadline_ms = deadline_ms };
        helper->pidfd = TAKE_FD(pidfd);
        crash_point(CRASH_HELPER_STARTED);
        helper->answer_fd = TAKE_FD(answer);
        helper->child = loop_add_child(loop, helper->pidfd, on_end, helper);
        helper->deadline = loop_add_deadline(loop, (uint64_t)deadline_ms + GRACE_MS, on_deadline, helper);
        return helper;
}

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

static int serve(json_t *undone, struct error **err)
{
        /* QEMU's uid, taps, files and groups of whatever owner; nothing else is undone. */
        static const int needed[] = { CAP_KILL, CAP_NET_ADMIN, CAP_DAC_OVERRIDE };
        _cleanup_cgroup_host_ struct cgroup_host cgroup = { 0 };
        _cleanup_close_ int run_dirfd = -1;
        _cleanup_free_ char *text = NULL;
        json_auto_t *request = NULL;
        json_t *cgroup_json;
        json_int_t deadline_ms;
        const char *action;
        json_error_t why;
        struct stat st;

        if (fstat(VM_DIR_FD, &st) < 0 || !S_ISDIR(st.st_mode))
                return error_set(err, ERROR_USAGE, "__host is started by a supervisor, which gives it a VM");
        fcntl(VM_DIR_FD, F_SETFD, FD_CLOEXEC);
        fcntl(VM_LOCK_FD, F_SETFD, FD_CLOEXEC);
        run_dirfd = openat(VM_DIR_FD, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (run_dirfd < 0)
                return error_os(err, errno, "open the directory of the VMs");
        crash_points_init(run_dirfd);
        if (fd_read_all(0, "the request", REQUEST_MAX, &text, NULL, err) < 0)
                return -1;
        request = json_loads(text, JSON_REJECT_DUPLICATES, &why);
        if (!request ||
            json_unpack_ex(request, &why, JSON_STRICT, "{s:i, s:s, s:I, s:o}", "schema", &(int){ 0 },
                           "action", &action, "deadline_ms", &deadline_ms, "cgroup", &cgroup_json) < 0)
                return error_set(err, ERROR_USAGE, "the request: %s", why.text);
        if (strcmp(action, "undo") != 0 || deadline_ms <= 0 || deadline_ms > UINT32_MAX)
                return error_set(err, ERROR_USAGE, "the request: action '%s'", action);
        set_alarm((unsigned)deadline_ms);
        crash_point(CRASH_HELPER_WORKS);
        if (cgroup_host_from_json(cgroup_json, &cgroup, err) < 0 ||
            confine_keep_capabilities(needed, ARRAY_SIZE(needed), err) < 0 || journal_is_empty(VM_DIR_FD))
                return *err ? -1 : 0;
        return undo_journal(VM_DIR_FD, &cgroup, add_line, undone, err);
}

int host_helper_main(void)
{
        _cleanup_error_ struct error *error = NULL;
        json_t *undone = json_array();
        int status = serve(undone, &error) < 0 ? error_exit_status(error) : 0;
        json_auto_t *answer = json_pack("{s:o, s:o}", "undone", undone, "errors", errors_to_json(error));

        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
        return fflush(stdout) == 0 ? status : 1;
}
