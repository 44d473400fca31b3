/* From QEMU's end to the VM's: verdict, undo, what is told, what stays. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"
#include "launcher/run/host_helper.h"
#include "launcher/run/story.h"
#include "launcher/run/supervisor_parts.h"
#include "launcher/state/crash_point.h"

/* After QEMU's end: for what it wrote to QMP before. The kernel closes the socket first, so this is never waited out
 * unless somebody else holds it. */
#define LAST_WORDS_MS 200u
/* For the host helper: taps, groups and files take milliseconds, a killed QEMU may take its time. */
#define UNDO_MS         30000u
#define STDERR_READ_MAX (1024u * 1024)

static void on_last_words(void *data)
{
        struct supervisor *s = data;

        s->last_words = NULL;
        supervisor_event(s, EV_QEMU_EXITED);
}

void supervisor_qemu_exited(struct supervisor *s)
{
        s->exited = true;
        if (s->qmp)
                s->last_words = loop_add_deadline(s->loop, LAST_WORDS_MS, on_last_words, s);
        else
                supervisor_event(s, EV_QEMU_EXITED);
}

void supervisor_on_child(int pidfd, void *data)
{
        struct supervisor *s = data;
        pid_t pid;

        (void)pidfd;
        adopt_let_in(s);
        do
                pid = waitpid(s->pid, &s->end.wait_status, WNOHANG);
        while (pid < 0 && errno == EINTR);
        s->child = NULL;
        if (pid < 0)
                keeper_await_status(s);
        else
                supervisor_qemu_exited(s);
}

/* The memfd has its full size from the start: what QEMU wrote ends at the first NUL. */
static char *read_stderr(int fd)
{
        char *text = xmalloc(STDERR_READ_MAX + 1);
        size_t length = 0;

        while (fd >= 0 && length < STDERR_READ_MAX) {
                ssize_t n = pread(fd, text + length, STDERR_READ_MAX - length, (off_t)length);
                char *end;

                if (n <= 0)
                        break;
                end = memchr(text + length, '\0', (size_t)n);
                if (end) {
                        length = (size_t)(end - text);
                        break;
                }
                length += (size_t)n;
        }
        text[length] = '\0';
        return xrealloc(text, length + 1);
}

void supervisor_undo_line(const char *line, void *data)
{
        struct supervisor *s = data;

        log_debug("%s: undone: %s", s->plan->name, line);
}

static void undone(struct supervisor *s, const struct error *error)
{
        if (error) {
                _cleanup_free_ char *text = error_text(error);

                supervisor_story(s, "not everything could be undone: %s", text);
                log_error("%s: not everything could be undone (try 'vmlaunch reconcile'): %s", s->plan->name,
                          text);
        }
        if (!error)
                supervisor_story(s, "everything its start did is undone");
        supervisor_event(s, EV_UNDONE);
}

static void on_helper(const struct error *error, const json_t *lines, void *data)
{
        struct supervisor *s = data;
        size_t i;
        json_t *line;

        s->helper = NULL;
        json_array_foreach ((json_t *)lines, i, line) {
                supervisor_undo_line(json_string_value(line), s);
        }
        undone(s, error);
}

void supervisor_begin_undo(struct supervisor *s)
{
        _cleanup_error_ struct error *err = NULL;

        if (s->lowered) {
                s->helper = host_helper_undo(s->loop, s->vm, &s->options->host->cgroup, UNDO_MS, on_helper, s,
                                             &err);
                if (!s->helper)
                        undone(s, err);
        } else if (undo_journal(s->vm->fd, &s->options->host->cgroup, supervisor_undo_line, s, &err) < 0)
                undone(s, err);
        else
                undone(s, NULL);
}

/* While the group is there. */
static void look_for_oom(struct supervisor *s)
{
        if (!s->plan->cgroup)
                return;
        cgroup_oom_read(&s->options->host->cgroup, s->plan->cgroup, &s->oom);
        if (!s->oom.kills)
                return;
        s->oom_text = cgroup_oom_text(&s->oom);
        s->end.oom = s->oom_text;
        s->end.oom_at_limit = s->oom.at_limit;
}

void supervisor_clean_up(struct supervisor *s)
{
        _cleanup_free_ char *said = read_stderr(execution_stderr_fd(s->execution));
        _cleanup_free_ char *why = s->start_error ? error_text(s->start_error) : NULL;
        bool at_rest;

        crash_point(CRASH_QEMU_ENDED);
        loop_remove(s->loop, s->last_words);
        loop_remove(s->loop, s->kill_timer);
        s->last_words = s->kill_timer = NULL;
        stop_end(s);
        s->stuck = false;
        s->end.start_error = why;
        s->end.shutdown_reason = s->shutdown_reason;
        s->end.qemu_stderr = said;
        look_for_oom(s);
        verdict_judge(&s->end, &s->verdict);
        s->end.start_error = s->end.qemu_stderr = s->end.oom = NULL;
        s->exit_status = s->verdict.exit_status;
        s->stderr_text = stderr_tail(said);
        s->ended = story_now();
        s->agent = s->plan->policy.has_agent ? AGENT_ABSENT : AGENT_NONE;
        supervisor_story_end(s, &s->verdict);
        agent_qemu_gone(s);
        operator_forget(s);
        at_rest = !s->applies || applies_end(s->applies);
        wire_close(s);
        supervisor_changed(s);
        /* The undo takes the journal away: a successor finds the verdict here or nowhere. */
        supervisor_flush(s);
        /* Else when its helper has ended: two would undo at once. */
        if (at_rest)
                supervisor_begin_undo(s);
}

void supervisor_end(struct supervisor *s)
{
        supervisor_flush(s);
        if (s->control) {
                control_event(s->control, "VMLAUNCH_END",
                              json_pack("{s:s, s:i, s:o}", "verdict", verdict_name(s->verdict.kind),
                                        "exit_status", s->exit_status, "reason",
                                        story_string(s->verdict.reason)));
                control_finish(s->control);
        }
        crash_point(CRASH_END_TOLD);
        if (!s->end.ready) {
                struct error *error = NULL;

                error_set(&error, s->start_error ? s->start_error->code : ERROR_FAILED, "%s",
                          s->verdict.reason);
                /* Stopped as asked is 0 for `run`, but for `start` no guest runs. */
                supervisor_tell_failed(s, error, s->exit_status ? s->exit_status : 1);
                error_free(error);
        }
        loop_quit(s->loop, s->exit_status);
}

/* "record.json.new.PID": of a supervisor of this run that died while it wrote. */
static void sweep_half_written(int at, const char *path, const char *of)
{
        int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        crash_point(CRASH_LEAVE);
        for (struct dirent *entry; dir && (entry = readdir(dir));)
                if (strstr(entry->d_name, of))
                        unlinkat(dirfd(dir), entry->d_name, 0);
        if (dir)
                closedir(dir);
}

/* What is left of a run is its record; of a start that came to nothing, the record of the run before. */
void supervisor_leave_directory(struct supervisor *s, bool keep)
{
        const char *clock = s->plan->policy.clock.path;
        _cleanup_free_ char *state = clock ? xstrndup(clock, (size_t)(strrchr(clock, '/') - clock)) : NULL;

        if (!s->vm)
                return;
        sweep_half_written(s->vm->fd, ".", ".new.");
        if (state)
                sweep_half_written(AT_FDCWD, state, "clock.new.");
        unlinkat(s->vm->fd, "control.sock", 0);
        if (journal_is_empty(s->vm->fd)) {
                unlinkat(s->vm->fd, "journal", 0);
                /* Whoever opened it meanwhile looks again (vm_dir_lock()). */
                unlinkat(s->vm->fd, "lock", 0);
                crash_point(CRASH_LEFT);
        } else {
                keep = true;
        }
        vm_dir_release(s->vm, keep);
}
