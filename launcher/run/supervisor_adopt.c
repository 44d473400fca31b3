/* Taking over a run whose supervisor is gone, and the keeper's word of how QEMU ended. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/log.h"
#include "launcher/run/keeper.h"
#include "launcher/run/reexec.h"
#include "launcher/run/story.h"
#include "launcher/run/supervisor.h"
#include "launcher/run/supervisor_parts.h"
#include "launcher/state/crash_point.h"

/* The keeper waits for QEMU when the kernel tells it, as it tells us: a moment, unless it was stopped or killed. */
#define KEEPER_WORD_MS 1000u

/* For the agent to open its port and to thaw; what is not over then is for the next supervisor. */
#define LEASES_ONLY_MS 15000u

/* A client that comes now would be told that QEMU does not answer, which takes some 30 ms to greet. Less than the
 * second that `status` waits for a word. */
#define HOLD_MS 800u

/* The keeper. */

static void on_no_word(void *data)
{
        struct supervisor *s = data;

        s->status_wait = NULL;
        s->end.status_unknown = true;
        supervisor_qemu_exited(s);
}

/* All that it has said. */
static void hear_keeper(struct supervisor *s)
{
        struct keeper_word word;
        int heard = 0;

        while (s->keeper_fd >= 0 && (heard = keeper_hear(s->keeper_fd, &word)) > 0)
                if (word.pid == s->pid && !s->status_known) {
                        s->status_known = true;
                        s->end.wait_status = word.wait_status;
                }
        if (heard < 0) {
                loop_remove(s->loop, s->keeper);
                s->keeper = NULL;
                fd_close(&s->keeper_fd);
        }
}

static void on_keeper(struct loop_source *source, uint32_t events, void *data)
{
        struct supervisor *s = data;

        (void)source;
        (void)events;
        hear_keeper(s);
        if (s->status_known && s->status_wait) {
                loop_remove(s->loop, s->status_wait);
                s->status_wait = NULL;
                supervisor_qemu_exited(s);
        }
}

void keeper_attend(struct supervisor *s, bool give)
{
        _cleanup_error_ struct error *err = NULL;

        if (s->keeper_fd < 0)
                return;
        if (give && keeper_give(s->keeper_fd, s->vm->lock_fd, s->log_fd, &err) < 0)
                log_warning("%s: %s", s->plan->name, err->message);
        crash_point(CRASH_KEEPER_GIVEN);
        s->keeper = loop_add_fd(s->loop, s->keeper_fd, EPOLLIN, on_keeper, s);
}

void keeper_await_status(struct supervisor *s)
{
        hear_keeper(s);
        if (s->status_known) {
                supervisor_qemu_exited(s);
                return;
        }
        s->status_wait = loop_add_deadline(s->loop, s->keeper_fd < 0 ? 0 : KEEPER_WORD_MS, on_no_word, s);
}

/* What a successor has to know. */

json_t *adopt_end_to_json(const struct supervisor *s)
{
        json_t *end = json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:n}", "ready", s->end.ready, "asked",
                                s->end.asked, "guest_off", s->end.guest_off, "panicked", s->end.panicked,
                                "quit", s->end.we_quit, "killed", s->end.we_killed, "request");

        if (s->shutting || s->resuming)
                json_object_set_new(end, "request",
                                    json_pack("{s:s, s:b, s:b, s:i}", "mode",
                                              shutdown_mode_name(s->asked.mode), "reboot", s->asked.reboot,
                                              "force", s->asked.force, "timeout", (int)s->asked.timeout_s));
        return end;
}

/* Only what the record says in the right words counts. */
static void take_end(struct supervisor *s, const json_t *end)
{
        const json_t *request = json_object_get(end, "request");
        const char *mode = json_member_string(request, "mode");
        json_int_t timeout = json_member_integer(request, "timeout");

        s->end = adopt_end_from_json(end);
        if (!mode || timeout <= 0 || timeout > 86400 || !shutdown_mode_from_name(mode, &s->asked.mode) ||
            s->asked.mode == SHUTDOWN_DESTROY)
                return;
        s->asked.reboot = json_member_is_true(request, "reboot");
        s->asked.force = json_member_is_true(request, "force");
        s->asked.timeout_s = (unsigned)timeout;
        s->resuming = true;
}

void adopt_resume_request(struct supervisor *s)
{
        const struct shutdown_request request = s->asked;
        _cleanup_error_ struct error *err = NULL;

        if (!s->resuming)
                return;
        s->resuming = false;
        if (stop_request(s, &request, "a client of the last supervisor", &err) < 0)
                supervisor_story(s, "%s", err->message);
}

/* The state of QEMU. */

static void on_start_status(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;
        _cleanup_error_ struct error *err = NULL;
        struct error *failed = NULL;

        if (s->state != VM_STARTING)
                return;
        if (!reply) {
                if (error->code == ERROR_DEADLINE) {
                        wire_overdue(s);
                        adopt_settle_start(s);
                }
                return;
        }
        if (ops_status_read(reply, &s->run_state, &err) < 0) {
                log_warning("%s: query-status: %s", s->plan->name, err->message);
                return;
        }
        if (s->run_state == RUN_STATE_PRELAUNCH || s->run_state == RUN_STATE_PRECONFIG) {
                error_set(&failed, ERROR_FAILED, "its supervisor was killed before the guest ran");
                supervisor_start_failed(s, failed);
                return;
        }
        supervisor_event(s, EV_READY);
        if (reply)
                heard_status(reply, NULL, s);
        heard_ask_chardevs(s);
        compare_adopted(s);
}

void adopt_settle_start(struct supervisor *s)
{
        if (wire_is_up(s))
                ops_query_status(s->qmp, on_start_status, s);
}

/* A record is written by many versions: of a story only what is one. */
json_t *adopt_story_of(const json_t *record)
{
        json_t *story = json_array(), *entry;
        size_t i;

        json_array_foreach (json_object_get(record, "story"), i, entry) {
                const char *time = json_member_string(entry, "time");
                const char *text = json_member_string(entry, "text");

                if (time && text)
                        story_add(story, time, text);
        }
        return story;
}

static void begin(struct supervisor *s, struct adoption *adoption)
{
        json_t *warnings = json_object_get(adoption->record, "warnings");
        const char *state = json_member_string(adoption->record, "state");
        const struct execution_options how = {
                .vm = s->vm,
                .generation = s->generation,
                .cgroup = &s->options->host->cgroup,
                .fail_step = -1,
        };
        _cleanup_error_ struct error *unwritten = NULL;
        struct error *lost = NULL;
        int repaired;

        crash_point(CRASH_ADOPT_BEGIN);
        s->warnings = json_is_array(warnings) ? json_incref(warnings) : json_array();
        s->execution = execution_adopt(s->plan, &how, adoption->pid, TAKE_FD(adoption->pidfd),
                                       TAKE_FD(adoption->stderr_fd), adoption->journal.locks, &lost);
        s->pid = adoption->last_pid;
        s->pid_start = adoption->pid_start;
        s->pidfd = execution_qemu_pidfd(s->execution);
        take_end(s, json_object_get(adoption->record, "end"));
        s->end.ready = s->end.ready || adoption->journal.started;
        s->last_change = json_member_integer(adoption->record, "last_change");
        s->changed_by_hand = json_member_is_true(adoption->record, "changed_by_hand");
        s->paused = state && strcmp(state, "paused") == 0;
        s->found_state = s->paused ? "paused" : "running";
        s->state = !s->end.ready ? VM_STARTING : s->paused ? VM_PAUSED : VM_RUNNING;
        keeper_attend(s, !s->options->keeper_has_lock);
        repaired = adoption_repair(s->vm, adoption, &unwritten);
        if (repaired > 0)
                supervisor_story(s, "the journal was torn: what the run owes is written down again");
        else if (repaired < 0)
                supervisor_story(s, "%s", unwritten->message);
        for (const struct error *one = lost; one; one = one->next)
                supervisor_story(s, "a lock was lost: %s", one->message);
        error_free(lost);
        if (adoption->trouble)
                supervisor_story(s, "what was known of the VM is lost: %s", adoption->trouble->message);
}

static void on_leases_over(void *data)
{
        struct supervisor *s = data;

        s->leases_over = NULL;
        loop_quit(s->loop, 0);
}

void adopt_lease_over(struct supervisor *s)
{
        if (!s->options->leases_only || leases_has(s->leases, LEASE_FREEZE) ||
            leases_has(s->leases, LEASE_PAUSE))
                return;
        /* From the loop: a lease's own code is still at work. */
        loop_remove(s->loop, s->leases_over);
        s->leases_over = loop_add_deadline(s->loop, 0, on_leases_over, s);
}

static void on_hold_over(void *data)
{
        struct supervisor *s = data;

        s->holding = NULL;
        if (s->control)
                control_hold(s->control, false);
}

void adopt_let_in(struct supervisor *s)
{
        if (!s->holding)
                return;
        loop_remove(s->loop, s->holding);
        on_hold_over(s);
}

/* QEMU lives. */
static void attend(struct supervisor *s)
{
        _cleanup_error_ struct error *err = NULL;

        s->child = loop_add_child(s->loop, s->pidfd, supervisor_on_child, s);
        if (supervisor_open_control(s, &err) < 0) {
                log_warning("%s: %s", s->plan->name, err->message);
        } else {
                control_hold(s->control, true);
                s->holding = loop_add_deadline(s->loop, HOLD_MS, on_hold_over, s);
        }
        supervisor_story(s, "adopted by supervisor pid %d: QEMU is pid %d", (int)getpid(), (int)s->pid);
        steps_attend(s, true);
        crash_point(CRASH_ADOPT_ATTENDS);
        /* Before the record is written anew: until they are undone, it has them. */
        if (s->options->leases_only)
                s->leases_over = loop_add_deadline(s->loop, LEASES_ONLY_MS, on_leases_over, s);
        agent_end_leases_found(s);
        if (s->end.ready) {
                supervisor_flush(s);
                supervisor_tell_ready(s);
        }
        apply_adopt(s);
        wire_try(s);
        /* A destroy has begun. */
        if (s->end.asked && s->state != VM_STARTING)
                supervisor_event(s, EV_DESTROY_ASKED);
}

/* QEMU does not. A verdict that was given stays; the undo is done again, which does no harm. */
static void finish(struct supervisor *s, const json_t *record)
{
        const char *verdict = json_member_string(record, "verdict");
        const char *reason = json_member_string(record, "reason");
        const char *ended = json_member_string(record, "ended");

        s->exited = true;
        if (verdict && verdict_from_name(verdict, &s->verdict.kind)) {
                s->verdict.reason = xstrdup(reason ? reason : verdict);
                s->exit_status = s->verdict.exit_status = verdict_exit_status(s->verdict.kind);
                s->ended = ended ? xstrdup(ended) : story_now();
                s->stderr_text = xstrdup_null(json_member_string(record, "stderr"));
                s->state = VM_GONE;
                supervisor_begin_undo(s);
                return;
        }
        hear_keeper(s);
        s->end.status_unknown = !s->status_known;
        supervisor_story(s, "supervisor pid %d finds that QEMU has ended", (int)getpid());
        supervisor_event(s, EV_QEMU_EXITED);
}

int supervisor_adopt(struct vm_dir *vm_consume, struct adoption *adoption,
                     const struct supervisor_options *options)
{
        const char *started = json_member_string(adoption->record, "started");
        struct supervisor s = {
                .plan = adoption->plan,
                .options = options,
                .loop = loop_new(),
                .vm = vm_consume,
                .generation = xstrdup(adoption->generation ? adoption->generation : ""),
                .adopted = true,
                .log_fd = -1,
                .ready_fd = options->ready_fd,
                .keeper_fd = options->keeper_fd,
                .unit_listener = -1,
                .pidfd = -1,
                .agent = adoption->plan->policy.has_agent ? AGENT_ABSENT : AGENT_NONE,
                .program = reexec_own_program(),
                .story = adopt_story_of(adoption->record),
                .started = started ? xstrdup(started) : story_now(),
        };
        /* Nothing was begun and nothing is known: the last supervisor died before it had done anything. */
        bool nothing = !adoption->generation && !adoption->pid;

        supervisor_hear_signals(&s);
        unit_begin(&s);
        agent_begin(&s);
        supervisor_open_log(&s);
        unit_log(&s);
        begin(&s, adoption);
        if (adoption->pid)
                attend(&s);
        else
                finish(&s, adoption->record);
        return supervisor_loop(&s, !nothing);
}
