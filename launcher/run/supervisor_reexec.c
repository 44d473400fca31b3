/*
 * vmlaunch-reexec: another program goes on in this process, with QEMU, its lock and every client.
 *
 * The program is opened and checked, and asked whether it can take over; then clients are held until QEMU has answered
 * everything, the state is written down (handover.h) and the program executed. Until that has worked nothing is given
 * away, and whatever fails is the answer to the client that asked; else that answer is the new program's.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/close_range.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "cgroups/cgroup_apply.h"
#include "launcher/run/adopt.h"
#include "launcher/run/confine.h"
#include "launcher/run/handover.h"
#include "launcher/run/reexec.h"
#include "launcher/run/story.h"
#include "launcher/run/supervisor_parts.h"
#include "launcher/state/crash_point.h"

/* The program's word: it only prints a line. */
#define WORD_MS 2000u
/* After SIGKILL. */
#define WORD_GRACE_MS 1000u
#define WORD_MAX      4096
/* For QEMU to answer everything it has been asked. */
#define DRAIN_MS 2000
/* /proc/self/exe of a file that was replaced or removed (proc(5)). */
#define DELETED " (deleted)"

struct reexec {
        struct supervisor *s;
        struct control_call *call;
        char *program, *who, *version;
        int program_fd;
        int pidfd, word_fd; /* of the one that is asked for its word */
        struct loop_source *child, *deadline;
        bool killed;
        long long until_ms; /* the end of the drain */
};

static void reexec_free(struct reexec *reexec)
{
        struct loop *loop = reexec->s->loop;

        loop_remove(loop, reexec->child);
        loop_remove(loop, reexec->deadline);
        fd_close(&reexec->program_fd);
        fd_close(&reexec->pidfd);
        fd_close(&reexec->word_fd);
        free(reexec->program);
        free(reexec->who);
        free(reexec->version);
        free(reexec);
}

void reexec_forget(struct supervisor *s)
{
        if (s->reexec)
                reexec_free(TAKE_PTR(s->reexec));
}

/* Goes on as if nothing had been asked. Steals the error. */
static void give_up(struct reexec *reexec, struct error *error)
{
        struct supervisor *s = reexec->s;
        struct control_call *call = reexec->call;
        _cleanup_free_ char *shown = text_printable(reexec->program), *text = NULL;

        s->reexec = NULL;
        reexec_free(reexec);
        control_hold(s->control, false);
        error_wrap(&error, "re-execute as '%s'", shown);
        text = error_text(error);
        supervisor_story(s, "%s", text);
        control_answer(call, NULL, error);
        error_free(error);
}

/* The program. */

char *reexec_own_program(void)
{
        char path[PATH_MAX + sizeof(DELETED)];
        ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
        struct stat st;

        if (n <= 0)
                return NULL;
        path[n] = '\0';
        if (text_ends_with(path, DELETED) && stat(path, &st) < 0)
                path[(size_t)n - strlen(DELETED)] = '\0';
        return xstrdup(path);
}

/* What is checked is what is executed: the open file. */
static int open_program(const char *path, int *ret_fd, struct error **err)
{
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (path[0] != '/')
                return error_set(err, ERROR_FAILED, "it is no absolute path");
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_os(err, errno, "open it");
        if (!S_ISREG(st.st_mode))
                return error_set(err, ERROR_FAILED, "it is no regular file");
        if (st.st_uid != 0 && st.st_uid != geteuid())
                return error_set(err, ERROR_FAILED, "it belongs to uid %u", (unsigned)st.st_uid);
        if (st.st_mode & (S_IWGRP | S_IWOTH))
                return error_set(err, ERROR_FAILED, "others than its owner may write to it (mode %04o)",
                                 (unsigned)st.st_mode & 07777);
        if (!(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)))
                return error_set(err, ERROR_FAILED, "it is not executable (mode %04o)",
                                 (unsigned)st.st_mode & 07777);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* In the child. fds become 0, 1, 2 and nothing else is passed on. */
static void __attribute__((noreturn)) say_word(int program_fd, int null_fd, int word_fd)
{
        static char *const argv[] = { "vmlaunch", "__reexec", NULL };
        static char *const env[] = { NULL };

        if (dup2(null_fd, 0) < 0 || dup2(word_fd, 1) < 0 || dup2(null_fd, 2) < 0)
                _exit(127);
        syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
        process_signals_default();
        fexecve(program_fd, argv, env);
        _exit(127);
}

/* Of its full size from the start, so that a program gone wild fills no memory; the word ends at the first NUL. */
static int word_file(struct error **err)
{
        _cleanup_close_ int fd = memfd_create("vmlaunch-word", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0 || ftruncate(fd, WORD_MAX) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) < 0)
                return error_os(err, errno, "make a memory file");
        return TAKE_FD(fd);
}

static void begin_drain(struct reexec *reexec);

static int hear_word(struct reexec *reexec, struct error **err)
{
        char word[WORD_MAX + 1];
        siginfo_t info = { 0 };
        ssize_t n;

        if (waitid(P_PIDFD, (id_t)reexec->pidfd, &info, WEXITED | WNOHANG) < 0)
                return error_os(err, errno, "wait for it");
        if (reexec->killed)
                return error_set(err, ERROR_FAILED,
                                 "asked whether it can take over, it did not end within %u ms", WORD_MS);
        if (info.si_code != CLD_EXITED || info.si_status != 0)
                return error_set(err, ERROR_FAILED,
                                 "asked whether it can take over a supervisor, it ended with %s %d",
                                 info.si_code == CLD_EXITED ? "status" : "signal", info.si_status);
        n = pread(reexec->word_fd, word, WORD_MAX, 0);
        word[n < 0 ? 0 : n] = '\0';
        return handover_hear_word(word, &reexec->version, err);
}

static void on_word(int pidfd, void *data)
{
        struct reexec *reexec = data;
        struct error *err = NULL;

        (void)pidfd;
        reexec->child = NULL;
        loop_remove(reexec->s->loop, reexec->deadline);
        reexec->deadline = NULL;
        if (hear_word(reexec, &err) < 0)
                give_up(reexec, err);
        else
                begin_drain(reexec);
}

static void on_no_word(void *data)
{
        struct reexec *reexec = data;
        struct error *err = NULL, *ignored = NULL;

        reexec->deadline = NULL;
        if (reexec->killed) {
                error_set(&err, ERROR_DEADLINE, "it was killed and does not end: a kernel call holds it");
                give_up(reexec, err);
                return;
        }
        reexec->killed = true;
        confine_send_signal(reexec->pidfd, SIGKILL, &ignored);
        error_free(ignored);
        reexec->deadline = loop_add_deadline(reexec->s->loop, WORD_GRACE_MS, on_no_word, reexec);
}

static int ask_for_word(struct reexec *reexec, struct error **err)
{
        _cleanup_close_ int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        struct cgroup_entry no_group = CGROUP_ENTRY_INIT;
        struct loop *loop = reexec->s->loop;
        pid_t pid;

        if (null_fd < 0)
                return error_os(err, errno, "open /dev/null");
        reexec->word_fd = word_file(err);
        if (reexec->word_fd < 0)
                return -1;
        /* Just a fork() that gives the pidfd with it. */
        pid = cgroup_entry_fork(&no_group, &reexec->pidfd);
        if (pid == 0)
                say_word(reexec->program_fd, null_fd, reexec->word_fd);
        if (pid < 0)
                return error_os(err, errno, "fork");
        crash_point(CRASH_REEXEC_ASKED);
        reexec->child = loop_add_child(loop, reexec->pidfd, on_word, reexec);
        reexec->deadline = loop_add_deadline(loop, WORD_MS, on_no_word, reexec);
        return 0;
}

/* Whether this is a moment for it at all. */
static int may_reexec(struct supervisor *s, const struct control_call *call, struct error **err)
{
        if (s->state != VM_RUNNING && s->state != VM_PAUSED)
                return error_set(err, ERROR_BUSY, "the VM is %s",
                                 s->state == VM_REBOOTING || s->state == VM_RESTARTING
                                         ? "rebooting"
                                         : vm_state_name(s->state));
        if (s->resuming || s->exited || !wire_is_up(s))
                return error_set(err, ERROR_BUSY, "QEMU does not answer");
        for (enum lease_kind kind = 0; kind < LEASE_KINDS; kind++)
                if (leases_has(s->leases, kind))
                        return leases_busy(s->leases, kind, err);
        if (leases_frozen(s->leases) != FROZEN_NO)
                return error_set(err, ERROR_BUSY, "the guest is frozen");
        if (!applies_are_idle(s->applies) || s->operator_changes)
                return error_set(err, ERROR_BUSY, "a change of the running VM is under way or owed");
        if (control_has_own_calls(s->control, call))
                return error_set(err, ERROR_BUSY, "a client waits for an answer that is not QEMU's");
        return 0;
}

/* The state. */

static json_t *agent_state(const struct supervisor *s, struct handover *handover)
{
        int fd = s->qga ? qga_client_fd(s->qga) : -1;

        if (fd < 0)
                return json_null();
        return json_pack("{s:o, s:b, s:s, s:b}", "fd", handover_give_fd(handover, fd), "open", s->agent_open,
                         "state", agent_state_name(s->agent), "sync_time", s->syncing_time || s->sync_timer);
}

static json_t *guest_state(const struct supervisor *s)
{
        json_t *restarts = json_array();

        for (size_t i = 0; i < ARRAY_SIZE(s->panic_restarts); i++)
                json_array_append_new(restarts, json_integer(s->panic_restarts[i]));
        return json_pack("{s:b, s:b, s:s, s:b, s:I, s:o}", "paused_state", s->state == VM_PAUSED, "paused",
                         s->paused, "run_state", run_state_name(s->run_state), "kept", s->kept,
                         "last_reset_ms", (json_int_t)s->last_reset_ms, "panic_restarts", restarts);
}

static json_t *fd_or_null(struct handover *handover, int fd)
{
        return fd < 0 ? json_null() : handover_give_fd(handover, fd);
}

static json_t *locks_state(const struct supervisor *s, struct handover *handover)
{
        json_t *locks = json_array();
        const char *name;
        int fd;

        for (size_t i = 0; execution_lock_at(s->execution, i, &name, &fd); i++)
                json_array_append_new(
                        locks, json_pack("{s:s, s:o}", "name", name, "fd", handover_give_fd(handover, fd)));
        return locks;
}

static int write_state(const struct reexec *reexec, struct handover *handover, struct error **err)
{
        const struct supervisor *s = reexec->s;
        json_t *document = handover->document, *qmp, *control;
        int qmp_fd;

        qmp = qmp_client_state(s->qmp, &qmp_fd, err);
        if (!qmp)
                return -1;
        json_object_set_new(document, "qmp",
                            json_pack("{s:o, s:o, s:I}", "fd", handover_give_fd(handover, qmp_fd), "state",
                                      qmp, "connected_ms", (json_int_t)s->connected_ms));
        control = control_state(s->control, reexec->call, handover, err);
        if (!control)
                return -1;
        json_object_set_new(document, "control", control);
        json_object_set_new(document, "who", json_string(reexec->who));
        json_object_set_new(document, "foreground", json_boolean(s->options->foreground));
        json_object_set_new(document, "log_level", json_integer(log_get_level()));
        json_object_set_new(document, "signalled", json_boolean(s->signalled));
        json_object_set_new(document, "record", supervisor_record(s));
        json_object_set_new(document, "lock", handover_give_fd(handover, s->vm->lock_fd));
        json_object_set_new(document, "keeper", fd_or_null(handover, s->keeper_fd));
        json_object_set_new(document, "qemu",
                            json_pack("{s:i, s:I, s:o, s:o, s:b}", "pid", (int)s->pid, "pid_start",
                                      (json_int_t)s->pid_start, "pidfd", handover_give_fd(handover, s->pidfd),
                                      "stderr", fd_or_null(handover, execution_stderr_fd(s->execution)),
                                      "adopted", s->adopted));
        json_object_set_new(document, "locks", locks_state(s, handover));
        json_object_set_new(document, "agent", agent_state(s, handover));
        json_object_set_new(document, "guest", guest_state(s));
        return 0;
}

/* Returns only when it does not work. */
static int execute(const struct reexec *reexec, struct error **err)
{
        struct supervisor *s = reexec->s;
        char *root = s->options->site->paths.root;
        char state_text[16], lock_text[16], keeper_text[16] = "none";
        char *argv[] = { "vmlaunch",  "__reexec", s->vm->name, state_text, lock_text,
                         keeper_text, NULL,       NULL,        NULL };
        _cleanup_handover_ struct handover handover = { 0 };
        _cleanup_close_ int state_fd = -1;
        int saved;

        handover_init(&handover);
        if (write_state(reexec, &handover, err) < 0 || handover_write(&handover, &state_fd, err) < 0)
                return -1;
        if (*root) {
                memmove(argv + 3, argv + 1, 5 * sizeof(*argv));
                argv[1] = "--root";
                argv[2] = root;
        }
        snprintf(state_text, sizeof(state_text), "%d", state_fd);
        snprintf(lock_text, sizeof(lock_text), "%d", s->vm->lock_fd);
        if (s->keeper_fd >= 0)
                snprintf(keeper_text, sizeof(keeper_text), "%d", s->keeper_fd);
        supervisor_flush(s);
        handover_keep_fds(&handover, true);
        fexecve(reexec->program_fd, argv, environ);
        saved = errno;
        handover_keep_fds(&handover, false);
        return error_os(err, saved, "execute it");
}

/* The drain: QEMU answers in order, so with the answer to a query of ours all before it has been answered. */

static void ask_qemu(struct reexec *reexec);

/* From the loop itself: nothing that was read is on the stack. */
static void hand_over(void *data)
{
        struct reexec *reexec = data;
        struct error *err = NULL;

        reexec->deadline = NULL;
        if (may_reexec(reexec->s, reexec->call, &err) < 0) {
                give_up(reexec, err);
                return;
        }
        execute(reexec, &err);
        if (err->code == ERROR_BUSY && fd_now_ms() < reexec->until_ms) {
                error_free(err);
                ask_qemu(reexec);
                return;
        }
        give_up(reexec, err);
}

static void on_answered(json_t *reply, const struct error *error, void *data)
{
        struct reexec *reexec = data;
        struct error *err = NULL;

        if (!reply && (error->code != ERROR_DEADLINE || fd_now_ms() >= reexec->until_ms)) {
                error_set(&err, ERROR_BUSY, "QEMU does not answer: %s", error->message);
                give_up(reexec, err);
        } else if (!reply) {
                ask_qemu(reexec);
        } else {
                reexec->deadline = loop_add_deadline(reexec->s->loop, 0, hand_over, reexec);
        }
}

static void ask_qemu(struct reexec *reexec)
{
        ops_query_status(reexec->s->qmp, on_answered, reexec);
}

static void begin_drain(struct reexec *reexec)
{
        struct supervisor *s = reexec->s;
        struct error *err = NULL;

        if (may_reexec(s, reexec->call, &err) < 0) {
                give_up(reexec, err);
                return;
        }
        control_hold(s->control, true);
        reexec->until_ms = fd_now_ms() + DRAIN_MS;
        ask_qemu(reexec);
}

int reexec_command(struct supervisor *s, json_t *arguments, const char *who, struct error **err)
{
        const char *program = NULL;
        struct reexec *reexec;
        struct error *failed = NULL;
        json_error_t why;

        if (arguments && json_unpack_ex(arguments, &why, 0, "{s?:s!}", "program", &program) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        if (!program && !s->program)
                return error_set(err, ERROR_FAILED, "it is not known which program this is: name one");
        if (s->reexec)
                return error_set(err, ERROR_BUSY, "somebody else has asked for it just now");
        if (may_reexec(s, NULL, err) < 0)
                return -1;
        reexec = xcalloc(1, sizeof(*reexec));
        *reexec = (struct reexec){ .s = s,
                                   .program = xstrdup(program ? program : s->program),
                                   .who = xstrdup(who),
                                   .program_fd = -1,
                                   .pidfd = -1,
                                   .word_fd = -1 };
        reexec->call = control_answer_later(s->control);
        s->reexec = reexec;
        if (open_program(reexec->program, &reexec->program_fd, &failed) < 0 ||
            ask_for_word(reexec, &failed) < 0)
                give_up(reexec, failed);
        return 0;
}

/* The program that goes on. */

static int take_guest(struct supervisor *s, const json_t *guest, struct error **err)
{
        const json_t *restarts = json_object_get(guest, "panic_restarts");
        const char *run_state;
        json_int_t last_reset_ms;
        bool paused_state;

        if (handover_bool(guest, "paused_state", &paused_state, err) < 0 ||
            handover_bool(guest, "paused", &s->paused, err) < 0 ||
            handover_bool(guest, "kept", &s->kept, err) < 0 ||
            handover_string(guest, "run_state", &run_state, err) < 0 ||
            handover_integer(guest, "last_reset_ms", INT64_MIN, INT64_MAX, &last_reset_ms, err) < 0)
                return -1;
        s->state = paused_state ? VM_PAUSED : VM_RUNNING;
        s->last_reset_ms = last_reset_ms;
        for (enum run_state each = RUN_STATE_UNKNOWN; each <= RUN_STATE_WATCHDOG; each++)
                if (strcmp(run_state_name(each), run_state) == 0)
                        s->run_state = each;
        for (size_t i = 0; i < ARRAY_SIZE(s->panic_restarts); i++)
                s->panic_restarts[i] = json_integer_value(json_array_get(restarts, i));
        return 0;
}

static int take_locks(struct supervisor *s, struct handover *handover, struct error **err)
{
        const json_t *locks = json_object_get(handover->document, "locks"), *each;
        size_t i;

        if (!json_is_array(locks))
                return error_set(err, ERROR_FAILED, "locks is no list");
        json_array_foreach ((json_t *)locks, i, each) {
                const char *name;
                int fd;

                if (handover_string(each, "name", &name, err) < 0 ||
                    handover_take_fd(handover, each, "fd", &fd, err) < 0)
                        return error_wrap(err, "lock %zu", i);
                execution_keep_lock(s->execution, name, fd);
        }
        return 0;
}

static int take_qemu(struct supervisor *s, struct handover *handover, struct adoption *adoption,
                     struct error **err)
{
        const json_t *qemu = json_object_get(handover->document, "qemu");
        json_int_t pid, pid_start;

        if (handover_integer(qemu, "pid", 1, INT32_MAX, &pid, err) < 0 ||
            handover_integer(qemu, "pid_start", 0, INT64_MAX, &pid_start, err) < 0 ||
            handover_bool(qemu, "adopted", &s->adopted, err) < 0 ||
            handover_take_fd(handover, qemu, "pidfd", &adoption->pidfd, err) < 0 ||
            handover_take_fd_if(handover, qemu, "stderr", &adoption->stderr_fd, err) < 0)
                return error_wrap(err, "qemu");
        s->pid = adoption->pid = adoption->last_pid = (pid_t)pid;
        s->pid_start = (unsigned long long)pid_start;
        return 0;
}

static int take_wire(struct supervisor *s, struct handover *handover, struct error **err)
{
        const json_t *qmp = json_object_get(handover->document, "qmp"),
                     *agent = json_object_get(handover->document, "agent");
        struct wire_state wire = { .qmp = json_object_get(qmp, "state"), .agent_fd = -1 };
        const char *state;
        json_int_t connected_ms;

        if (handover_integer(qmp, "connected_ms", INT64_MIN, INT64_MAX, &connected_ms, err) < 0)
                return error_wrap(err, "qmp");
        s->connected_ms = connected_ms;
        if (!json_is_null(agent)) {
                if (handover_string(agent, "state", &state, err) < 0 ||
                    handover_bool(agent, "open", &wire.agent_open, err) < 0 ||
                    handover_bool(agent, "sync_time", &wire.sync_time, err) < 0)
                        return error_wrap(err, "agent");
                for (enum agent_state each = AGENT_NONE; each <= AGENT_SILENT; each++)
                        if (strcmp(agent_state_name(each), state) == 0)
                                s->agent = each;
                if (handover_take_fd(handover, agent, "fd", &wire.agent_fd, err) < 0)
                        return error_wrap(err, "agent");
        }
        if (handover_take_fd(handover, qmp, "fd", &wire.qmp_fd, err) < 0) {
                fd_close(&wire.agent_fd);
                return error_wrap(err, "qmp");
        }
        return wire_resume(s, &wire, err);
}

/* What the last program wrote, and where the locks and connections are. */
static int take_state(struct supervisor *s, struct handover *handover, struct adoption *adoption,
                      struct control_call **ret_call, struct error **err)
{
        const json_t *document = handover->document;
        const json_t *record = json_object_get(document, "record");
        const struct execution_options how = {
                .vm = s->vm, .generation = s->generation, .cgroup = &s->options->host->cgroup, .fail_step = -1
        };
        _cleanup_close_ int run_dirfd = openat(s->vm->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (run_dirfd < 0)
                return error_os(err, errno, "open the directory of the VMs");
        if (take_qemu(s, handover, adoption, err) < 0)
                return -1;
        adoption->record = json_incref((json_t *)record);
        adoption->plan = adoption_plan(&s->options->site->paths, s->vm, adoption);
        s->plan = adoption->plan;
        crash_points_init(run_dirfd);
        supervisor_hear_signals(s);
        unit_begin(s);
        agent_begin(s);
        supervisor_open_log(s);
        s->execution = execution_adopt(s->plan, &how, s->pid, TAKE_FD(adoption->pidfd),
                                       TAKE_FD(adoption->stderr_fd), NULL, NULL);
        s->pidfd = execution_qemu_pidfd(s->execution);
        s->agent = s->plan->policy.has_agent ? AGENT_ABSENT : AGENT_NONE;
        if (take_locks(s, handover, err) < 0 || take_guest(s, json_object_get(document, "guest"), err) < 0 ||
            take_wire(s, handover, err) < 0 ||
            supervisor_resume_control(s, json_object_get(document, "control"), handover, ret_call, err) < 0 ||
            handover_take_fd_if(handover, document, "keeper", &s->keeper_fd, err) < 0)
                return -1;
        return 0;
}

static void begin(struct supervisor *s, const json_t *document, struct control_call *call)
{
        const char *who = json_string_value(json_object_get(document, "who"));
        const char *version = json_string_value(json_object_get(document, "version"));
        _cleanup_free_ char *shown_who = text_printable(who ? who : "somebody"),
                            *shown = text_printable(version ? version : "?"),
                            *program = text_printable(s->program ? s->program : "?");

        s->child = loop_add_child(s->loop, s->pidfd, supervisor_on_child, s);
        keeper_attend(s, false);
        helpers_attend(s);
        logs_attend(s);
        supervisor_tell_as_told(s);
        supervisor_story(s, "re-executed as version %s ('%s') from version %s, asked for by %s",
                         VMLAUNCH_VERSION, program, shown, shown_who);
        supervisor_flush(s);
        if (call)
                control_answer(call,
                               json_pack("{s:s, s:s, s:i, s:o}", "version", VMLAUNCH_VERSION, "last_version",
                                         shown, "supervisor_pid", (int)getpid(), "program",
                                         story_string(s->program)),
                               NULL);
}

int supervisor_take_over(struct vm_dir *vm, struct handover *handover,
                         const struct supervisor_options *options, struct error **err)
{
        const json_t *document = handover->document, *record = json_object_get(document, "record");
        const char *generation = json_string_value(json_object_get(record, "generation"));
        const char *started = json_string_value(json_object_get(record, "started"));
        json_t *warnings = json_object_get(record, "warnings");
        struct adoption adoption = ADOPTION_INIT;
        struct control_call *call = NULL;
        struct supervisor s;
        int status;

        if (!json_is_object(record) || !generation || !*generation ||
            !json_is_string(json_object_get(record, "uuid")))
                return error_set(err, ERROR_FAILED, "the state has no record");
        s = (struct supervisor){
                .options = options,
                .loop = loop_new(),
                .vm = vm,
                .generation = xstrdup(generation),
                .log_fd = -1,
                .ready_fd = -1,
                .keeper_fd = -1,
                .pidfd = -1,
                .lowered = true,
                .program = reexec_own_program(),
                .story = adopt_story_of(record),
                .warnings = json_is_array(warnings) ? json_incref(warnings) : json_array(),
                .started = started ? xstrdup(started) : story_now(),
        };
        s.end.ready = true;
        s.signalled = json_is_true(json_object_get(document, "signalled"));
        s.changed_by_hand = json_is_true(json_object_get(record, "changed_by_hand"));
        /* What was taken until it fails is left as it is: the caller executes another program. */
        if (take_state(&s, handover, &adoption, &call, err) < 0)
                return -1;
        begin(&s, document, call);
        handover_done(handover);
        status = supervisor_loop(&s, true);
        adoption_done(&adoption);
        return status;
}
