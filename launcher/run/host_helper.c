#include "launcher/run/host_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/process.h"
#include "cgroups/cgroup_apply.h"
#include "launcher/run/confine.h"
#include "launcher/run/host_helper_fds.h"
#include "launcher/state/crash_point.h"

#define ANSWER_MAX (1u << 20)
/* The helper's own alarm comes first; the supervisor's is for one that cannot even take a signal. */
#define GRACE_MS 1000u

struct host_helper {
        struct loop *loop;
        struct loop_source *child, *deadline;
        int pidfd, answer_fd;
        unsigned deadline_ms;
        int socket; /* what it has opened comes here; -1: none is expected */
        bool late;
        host_helper_fn *fn;
        host_steps_fn *steps_fn; /* instead of fn */
        void *data;
};

static char *const host_argv[] = { "vmlaunch", "__host", NULL };

/* fds[0..n-1] become 0..n-1 and nothing else is passed on. */
static void __attribute__((noreturn)) child(char *const *argv, const int *fds, int n)
{
        static char *const env[] = { NULL };
        int high[HOST_HELPER_FDS];

        for (int i = 0; i < n; i++) {
                high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HOST_HELPER_FDS);
                if (high[i] < 0)
                        _exit(127);
        }
        for (int i = 0; i < n; i++)
                if (dup2(high[i], i) < 0)
                        _exit(127);
        /* Ours are close-on-exec from birth; this is for what was inherited. */
        syscall(SYS_close_range, (unsigned)n, ~0u, CLOSE_RANGE_CLOEXEC);
        process_signals_default();
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
        fd_close(&helper->socket);
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
                const char *text = json_member_string(one, "text");
                struct error *more = NULL;

                error_set(&more, (enum error_code)json_member_integer(one, "code"), "%s",
                          text ? text : "an error without words");
                more->os_errno = (int)json_member_integer(one, "os_errno");
                error_append(err, more);
        }
}

/* The answer, new reference, and its errors; without one NULL and how the helper ended. */
static json_t *hear(struct host_helper *helper, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        json_t *answer = NULL;
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
                if (json_is_object(answer)) {
                        take_errors(json_object_get(answer, "errors"), err);
                } else {
                        json_decref(answer);
                        answer = NULL;
                        error_set(err, ERROR_FAILED, "the host helper ended with status %d and no answer",
                                  info.si_status);
                }
        }
        return answer;
}

/* The fds that it sent, at most max; they come whole, before its end. */
static size_t take_fds(int sock, int *fds, size_t max)
{
        union {
                char bytes[CMSG_SPACE(FD_MAX_PASSED * sizeof(int))];
                struct cmsghdr align;
        } control;
        struct iovec io = { .iov_base = &(char){ 0 }, .iov_len = 1 };
        struct msghdr message = { .msg_iov = &io,
                                  .msg_iovlen = 1,
                                  .msg_control = control.bytes,
                                  .msg_controllen = sizeof(control.bytes) };
        size_t n = 0;

        if (recvmsg(sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
                return 0;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
                        if (n < max)
                                fds[n++] = fd;
                        else
                                close(fd);
                }
        }
        return n;
}

static void pass_steps(struct host_helper *helper, const json_t *answer, const struct error *error)
{
        const json_t *names = json_object_get(answer, "fds");
        _cleanup_error_ struct error *short_of = NULL;
        struct named_fd named[FD_MAX_PASSED] = { 0 };
        int fds[FD_MAX_PASSED];
        size_t n = take_fds(helper->socket, fds, FD_MAX_PASSED);

        for (size_t i = 0; i < n; i++) {
                const char *name = json_string_value(json_array_get(names, i));

                named[i] = (struct named_fd){ .name = xstrdup(name ? name : ""), .fd = fds[i] };
        }
        if (!error && json_array_size(names) != n)
                error_set(&short_of, ERROR_FAILED, "the host helper has opened %zu fds and sent %zu",
                          json_array_size(names), n);
        helper->steps_fn(error ? error : short_of, named, n, helper->data);
        for (size_t i = 0; i < n; i++) {
                fd_close(&named[i].fd);
                free(named[i].name);
        }
}

static void pass(struct host_helper *helper, const json_t *answer, const struct error *error)
{
        json_auto_t *nothing = json_array();
        const json_t *undone = json_object_get(answer, "undone");

        if (helper->steps_fn)
                pass_steps(helper, answer, error);
        else
                helper->fn(error, json_is_array(undone) ? undone : nothing, helper->data);
        host_helper_free(helper);
}

static void on_end(int pidfd, void *data)
{
        struct host_helper *helper = data;
        _cleanup_error_ struct error *error = NULL;
        json_auto_t *answer = hear(helper, &error);

        (void)pidfd;
        pass(helper, answer, error);
}

static void on_deadline(void *data)
{
        struct host_helper *helper = data;
        struct error *ignored = NULL;

        helper->deadline = NULL;
        if (helper->late) {
                /* SIGKILL did not end it: a kernel call holds it. It is not waited for. */
                _cleanup_error_ struct error *error = NULL;

                error_set(&error, ERROR_DEADLINE, "the host helper does not end: a kernel call holds it");
                pass(helper, NULL, error);
                return;
        }
        helper->late = true;
        confine_send_signal(helper->pidfd, SIGKILL, &ignored);
        crash_point(CRASH_HELPER_LATE);
        error_free(ignored);
        helper->deadline = loop_add_deadline(helper->loop, GRACE_MS, on_deadline, helper);
}

/* request_consume without what every request has. sock_consume -1: none. argv NULL: a host helper's own. */
static struct host_helper *start(char *const *argv, struct loop *loop, const struct vm_dir *vm,
                                 const struct cgroup_host *cgroup, unsigned deadline_ms,
                                 json_t *request_consume, int sock_consume, struct error **err)
{
        json_auto_t *json = request_consume;
        _cleanup_close_ int request = -1, answer = -1, null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        _cleanup_close_ int pidfd = -1, sock = sock_consume;
        struct cgroup_entry no_group = CGROUP_ENTRY_INIT;
        _cleanup_free_ char *text = NULL;
        struct host_helper *helper;
        pid_t pid;

        json_object_set_new(json, "schema", json_integer(1));
        json_object_set_new(json, "deadline_ms", json_integer(deadline_ms));
        json_object_set_new(json, "cgroup", cgroup_host_to_json(cgroup));
        text = json_dumps(json, JSON_COMPACT);
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
                const int fds[HOST_HELPER_FDS] = { request, answer, null_fd, vm->fd, vm->lock_fd, sock };

                if (argv)
                        child(argv, fds, HOST_HELPER_VM_DIR);
                child(host_argv, fds, sock < 0 ? HOST_HELPER_SOCKET : HOST_HELPER_FDS);
        }
        if (pid < 0) {
                error_os(err, errno, "start the host helper");
                return NULL;
        }
        helper = xcalloc(1, sizeof(*helper));
        *helper = (struct host_helper){ .loop = loop, .deadline_ms = deadline_ms, .socket = -1 };
        helper->pidfd = TAKE_FD(pidfd);
        crash_point(CRASH_HELPER_STARTED);
        helper->answer_fd = TAKE_FD(answer);
        helper->child = loop_add_child(loop, helper->pidfd, on_end, helper);
        helper->deadline = loop_add_deadline(loop, (uint64_t)deadline_ms + GRACE_MS, on_deadline, helper);
        return helper;
}

int host_helper_leave(int run_dirfd, int log_fd, json_t *request_consume, struct error **err)
{
        json_auto_t *json = request_consume;
        _cleanup_close_ int request = -1, null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), pidfd = -1;
        struct cgroup_entry no_group = CGROUP_ENTRY_INIT;
        _cleanup_free_ char *text = NULL;
        pid_t pid;

        json_object_set_new(json, "schema", json_integer(1));
        text = json_dumps(json, JSON_COMPACT);
        if (null_fd < 0)
                return error_os(err, errno, "open /dev/null");
        request = memory_file("vmlaunch-request", text, err);
        if (request < 0)
                return -1;
        pid = cgroup_entry_fork(&no_group, &pidfd);
        if (pid == 0) {
                const int fds[] = { request, null_fd, null_fd, run_dirfd, log_fd < 0 ? null_fd : log_fd };

                /* It outlives who started it. */
                setsid();
                child(host_argv, fds, ARRAY_SIZE(fds));
        }
        if (pid < 0)
                return error_os(err, errno, "start the host helper");
        crash_point(CRASH_HELPER_STARTED);
        return TAKE_FD(pidfd);
}

struct host_helper *host_helper_undo(struct loop *loop, const struct vm_dir *vm,
                                     const struct cgroup_host *cgroup, unsigned deadline_ms,
                                     host_helper_fn *fn, void *data, struct error **err)
{
        struct host_helper *helper =
                start(NULL, loop, vm, cgroup, deadline_ms, json_pack("{s:s}", "action", "undo"), -1, err);

        if (helper) {
                helper->fn = fn;
                helper->data = data;
        }
        return helper;
}

struct host_helper *host_helper_undo_steps(struct loop *loop, const struct vm_dir *vm,
                                           const struct cgroup_host *cgroup, json_int_t first,
                                           json_int_t last, unsigned deadline_ms, host_helper_fn *fn,
                                           void *data, struct error **err)
{
        struct host_helper *helper = start(NULL, loop, vm, cgroup, deadline_ms,
                                           json_pack("{s:s, s:I, s:I, s:i}", "action", "undo-steps", "first",
                                                     first, "last", last, "parent", (int)getpid()),
                                           -1, err);

        if (helper) {
                helper->fn = fn;
                helper->data = data;
        }
        return helper;
}

struct host_helper *host_helper_do(struct loop *loop, const struct vm_dir *vm,
                                   const struct cgroup_host *cgroup, const char *generation,
                                   const json_t *steps, unsigned deadline_ms, host_steps_fn *fn, void *data,
                                   struct error **err)
{
        struct host_helper *helper;
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
                error_os(err, errno, "make a socket for the host helper");
                return NULL;
        }
        helper = start(NULL, loop, vm, cgroup, deadline_ms,
                       json_pack("{s:s, s:s, s:s, s:s, s:O, s:i}", "action", "do", "name", vm->name,
                                 "run_dir", vm->path, "generation", generation, "steps", (json_t *)steps,
                                 "parent", (int)getpid()),
                       ends[1], err);
        if (!helper) {
                close(ends[0]);
                return NULL;
        }
        helper->socket = ends[0];
        helper->steps_fn = fn;
        helper->data = data;
        return helper;
}

struct host_helper *host_helper_verb(struct loop *loop, const struct vm_dir *vm,
                                     const struct cgroup_host *cgroup, char *const *argv,
                                     json_t *request_consume, unsigned deadline_ms, host_helper_fn *fn,
                                     void *data, struct error **err)
{
        struct host_helper *helper = start(argv, loop, vm, cgroup, deadline_ms, request_consume, -1, err);

        if (helper) {
                helper->fn = fn;
                helper->data = data;
        }
        return helper;
}
