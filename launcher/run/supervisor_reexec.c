/*
 * vmlaunch-reexec: another program goes on in this process, with QEMU, its lock and every client.
 *
 * The program is opened and checked, and asked whether it can take over; then clients are held until QEMU has answered
 * everything, the state is written down (handover.h) and the program executed. Until that has worked nothing is given
 * away, and whatever fails is the answer to the client that asked; else that answer is the new program's.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/close_range.h>

#include "base/fd.h"
#include "base/process.h"
#include "base/text.h"
#include "cgroups/cgroup_apply.h"
#include "launcher/run/confine.h"
#include "launcher/run/handover.h"
#include "launcher/run/reexec.h"
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
        char *path = fd_read_link(AT_FDCWD, "/proc/self/exe");
        struct stat st;

        if (path && text_ends_with(path, DELETED) && stat(path, &st) < 0)
                path[strlen(path) - strlen(DELETED)] = '\0';
        return path;
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
        if (supervisor_write_state(s, reexec->call, reexec->who, &handover, err) < 0 ||
            handover_write(&handover, &state_fd, err) < 0)
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
