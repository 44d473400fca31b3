#include "launcher/run/verdict.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/text.h"

#define TAIL_LINES 3
#define TAIL_BYTES 400

static const struct {
        const char *name;
        int exit_status; /* DESIGN section 3 */
} verdicts[] = {
        [VERDICT_ASKED] = { "asked", 0 },
        [VERDICT_GUEST_OFF] = { "guest-off", 0 },
        [VERDICT_KILLED] = { "killed", 11 },
        [VERDICT_NEVER_STARTED] = { "never-started", 1 },
        [VERDICT_CRASHED] = { "crashed", 12 },
        [VERDICT_PANICKED] = { "panicked", 14 },
        [VERDICT_OOM_KILLED] = { "oom-killed", 13 },
        [VERDICT_LOST] = { "lost", 15 },
};

const char *verdict_name(enum verdict_kind kind)
{
        return verdicts[kind].name;
}

bool verdict_from_name(const char *name, enum verdict_kind *ret)
{
        for (size_t i = 1; i < ARRAY_SIZE(verdicts); i++)
                if (strcmp(verdicts[i].name, name) == 0) {
                        *ret = (enum verdict_kind)i;
                        return true;
                }
        return false;
}

int verdict_exit_status(enum verdict_kind kind)
{
        return verdicts[kind].exit_status;
}

void verdict_done(struct verdict *verdict)
{
        free(verdict->reason);
        verdict->reason = NULL;
}

/* "qemu-system-x86_64: " in front of QEMU's messages (error_print_loc() prints its program name). */
static const char *skip_program(const char *line, size_t *length)
{
        const char *colon = memchr(line, ':', *length);
        size_t skip;

        if (!colon || *length < 5 || strncmp(line, "qemu-", 5) != 0 || colon[1] != ' ' ||
            memchr(line, ' ', (size_t)(colon - line)))
                return line;
        skip = (size_t)(colon - line) + 2;
        *length -= skip;
        return line + skip;
}

static void add_printable(struct text *out, const char *s, size_t n)
{
        for (size_t i = 0; i < n && out->length < TAIL_BYTES; i++) {
                unsigned char c = (unsigned char)s[i];

                /* UTF-8 passes, control bytes (a terminal would obey them) do not. */
                if (c == '\t')
                        text_add(out, " ");
                else if (c < 0x20 || c == 0x7f)
                        text_addf(out, "\\x%02x", c);
                else
                        text_add_bytes(out, s + i, 1);
        }
}

char *stderr_tail(const char *qemu_stderr)
{
        const char *starts[TAIL_LINES];
        size_t lengths[TAIL_LINES], n = 0;
        struct text out = TEXT_INIT;
        const char *end;

        if (!qemu_stderr)
                return NULL;
        end = qemu_stderr + strlen(qemu_stderr);
        while (end > qemu_stderr && n < TAIL_LINES) {
                const char *start = end;

                while (start > qemu_stderr && start[-1] != '\n')
                        start--;
                while (end > start && (end[-1] == '\r' || end[-1] == ' '))
                        end--;
                if (end > start) {
                        starts[n] = start;
                        lengths[n++] = (size_t)(end - start);
                }
                end = start > qemu_stderr ? start - 1 : start;
        }
        if (n == 0)
                return NULL;
        while (n-- > 0) {
                const char *line = skip_program(starts[n], &lengths[n]);

                if (out.length)
                        text_add(&out, "; ");
                add_printable(&out, line, lengths[n]);
        }
        if (out.length >= TAIL_BYTES)
                text_add(&out, "...");
        return text_take(&out);
}

/* Signals that a process earns by its own doing; others come from somebody. */
static bool signal_is_fault(int sig)
{
        switch (sig) {
        case SIGSEGV:
        case SIGABRT:
        case SIGBUS:
        case SIGFPE:
        case SIGILL:
        case SIGTRAP:
        case SIGSYS:
        case SIGXFSZ:
        case SIGXCPU:
                return true;
        default:
                return false;
        }
}

static void say_how(struct text *out, int wait_status)
{
        if (WIFSIGNALED(wait_status)) {
                const char *name = sigabbrev_np(WTERMSIG(wait_status));

                if (name)
                        text_addf(out, "QEMU was ended by SIG%s", name);
                else
                        text_addf(out, "QEMU was ended by signal %d", WTERMSIG(wait_status));
                if (WTERMSIG(wait_status) == SIGSYS)
                        text_add(out, " (a system call that its sandbox forbids)");
        } else {
                text_addf(out, "QEMU ended with status %d", WEXITSTATUS(wait_status));
        }
}

/* What was seen before the end is all there is. */
static enum verdict_kind kind_unseen(const struct run_end *end)
{
        if (!end->ready)
                return VERDICT_NEVER_STARTED;
        if (end->panicked)
                return VERDICT_PANICKED;
        if (end->guest_off)
                return VERDICT_GUEST_OFF;
        if (end->asked || end->we_quit || end->we_killed)
                return VERDICT_ASKED;
        return end->oom ? VERDICT_OOM_KILLED : VERDICT_LOST;
}

static enum verdict_kind kind_of(const struct run_end *end)
{
        bool by_signal = WIFSIGNALED(end->wait_status);
        bool our_kill = by_signal && end->we_killed &&
                        (WTERMSIG(end->wait_status) == SIGKILL || WTERMSIG(end->wait_status) == SIGTERM);
        bool clean = !by_signal && WEXITSTATUS(end->wait_status) == 0;
        /* QEMU makes status 0 of a SIGTERM, SIGINT or SIGHUP: only the event tells. */
        bool told_by_signal = end->shutdown_reason && strcmp(end->shutdown_reason, "host-signal") == 0;

        if (end->status_unknown)
                return kind_unseen(end);
        if (end->oom && by_signal && WTERMSIG(end->wait_status) == SIGKILL && !our_kill)
                return VERDICT_OOM_KILLED;
        if (!end->ready)
                return end->asked && !end->start_error ? VERDICT_ASKED : VERDICT_NEVER_STARTED;
        if (by_signal && !our_kill)
                return signal_is_fault(WTERMSIG(end->wait_status)) ? VERDICT_CRASHED : VERDICT_KILLED;
        if (!by_signal && !clean)
                return VERDICT_CRASHED;
        if (end->panicked)
                return VERDICT_PANICKED;
        if (end->guest_off)
                return VERDICT_GUEST_OFF;
        if (told_by_signal && !end->we_killed)
                return VERDICT_KILLED;
        if (end->asked || end->we_quit || end->we_killed)
                return VERDICT_ASKED;
        /* Status 0 and no word: only a handled signal, its event lost, ends QEMU so. */
        return VERDICT_KILLED;
}

void verdict_judge(const struct run_end *end, struct verdict *ret)
{
        _cleanup_free_ char *tail = stderr_tail(end->qemu_stderr);
        struct text reason = TEXT_INIT;
        bool quote = false;

        ret->kind = kind_of(end);
        switch (ret->kind) {
        case VERDICT_ASKED:
                text_add(&reason,
                         end->ready ? "destroyed as asked" : "stopped as asked before its guest ran");
                if (!end->status_unknown && WIFSIGNALED(end->wait_status))
                        text_add(&reason, ", by signal");
                break;
        case VERDICT_GUEST_OFF:
                text_add(&reason, "the guest powered off");
                break;
        case VERDICT_PANICKED:
                text_add(&reason, "the guest panicked");
                break;
        case VERDICT_NEVER_STARTED:
                if (end->start_error)
                        text_add(&reason, end->start_error);
                else if (end->status_unknown)
                        text_add(&reason, "QEMU ended unseen before its guest ran");
                else
                        say_how(&reason, end->wait_status);
                quote = true;
                break;
        case VERDICT_LOST:
                text_add(&reason, "QEMU ended unseen: its supervisor was gone");
                quote = true;
                break;
        case VERDICT_KILLED:
                if (!WIFSIGNALED(end->wait_status))
                        text_add(&reason, "QEMU was told by a signal to end");
                else
                        say_how(&reason, end->wait_status);
                quote = true;
                break;
        case VERDICT_CRASHED:
                say_how(&reason, end->wait_status);
                quote = true;
                break;
        case VERDICT_OOM_KILLED:
                text_addf(&reason, "the kernel ended QEMU because %s: %s",
                          end->oom_at_limit ? "the VM reached its memory limit"
                                            : "the host was out of memory",
                          end->oom);
                break;
        }
        if (quote && tail)
                text_addf(&reason, ": %s", tail);
        ret->exit_status = verdicts[ret->kind].exit_status;
        ret->reason = text_take(&reason);
}
