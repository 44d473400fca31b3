#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "launcher/run/story.h"
#include "launcher/run/supervisor_parts.h"

/* An error's words quote what QEMU or the guest said. */
#define LINE_MAX_BYTES 2000
/* Most guests run by then, and the record of that has the lines before it as well. */
#define STARTING_MS 100

/* One line on why the state is what it is; NULL: nothing to say. Lent. */
static const char *reason_now(const struct supervisor *s)
{
        if (s->verdict.reason)
                return s->verdict.reason;
        if (s->stuck)
                return "stuck-in-kernel: QEMU was killed and does not end";
        switch (s->state) {
        case VM_STARTING:
        case VM_STOPPING:
        case VM_QUITTING:
        case VM_REBOOTING:
        case VM_RESTARTING:
        case VM_RUNNING:
        case VM_PAUSED:
                if (s->silent || (s->reconnect && s->state != VM_STARTING))
                        return "QEMU does not answer";
                break;
        default:
                break;
        }
        if (s->state == VM_REBOOTING || s->state == VM_RESTARTING)
                return "reboot asked for";
        if (s->state == VM_STOPPING)
                return "shutdown asked for";
        if (s->state == VM_QUITTING)
                return s->end.panicked    ? "the guest panicked"
                       : s->end.guest_off ? "the guest powered off"
                                          : "QEMU is being ended";
        if (s->state == VM_PAUSED && s->run_state != RUN_STATE_UNKNOWN && s->run_state != RUN_STATE_PAUSED)
                return run_state_name(s->run_state);
        return NULL;
}

/* A guest that is being rebooted counts as running, unless somebody has paused it. */
static const char *state_now(const struct supervisor *s)
{
        return vm_state_name(s->state == VM_REBOOTING && s->paused ? VM_PAUSED : s->state);
}

static json_t *number_or_null(json_int_t n)
{
        return n ? json_integer(n) : json_null();
}

static json_t *frozen_now(const struct supervisor *s)
{
        switch (s->leases ? leases_frozen(s->leases) : FROZEN_NO) {
        case FROZEN_NO:
                return json_false();
        case FROZEN_YES:
                return json_true();
        case FROZEN_UNKNOWN:
                break;
        }
        return json_null();
}

json_t *supervisor_record(const struct supervisor *s)
{
        const struct launch_plan *plan = s->plan;
        bool judged = s->verdict.kind != 0;

        /* A pid that is no more is nobody's: it may be another's already. Nothing in this version works in the background. */
        return json_pack(
                "{s:i, s:s?, s:s?, s:s?, s:s, s:o, s:s?, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, "
                "s:[], s:b, s:I, s:O?, s:s?, s:s, s:o, s:o, s:O?, s:o, s:o, s:s?, s:s?, s:O, s:o}",
                "schema", 1, "name", plan->name, "uuid", plan->uuid, "generation", s->generation, "state",
                state_now(s), "reason", story_string(reason_now(s)), "verdict",
                judged ? verdict_name(s->verdict.kind) : NULL, "exit_status",
                judged ? json_integer(s->exit_status) : json_null(), "oom",
                s->oom.kills ? json_pack("{s:I, s:b, s:I, s:I}", "kills", (json_int_t)s->oom.kills,
                                         "at_limit", (int)s->oom.at_limit, "limit", (json_int_t)s->oom.limit,
                                         "peak", (json_int_t)s->oom.peak)
                             : json_null(),
                "pid", number_or_null(s->exited ? 0 : s->pid), "pid_start",
                number_or_null(s->exited ? 0 : (json_int_t)s->pid_start), "supervisor_pid",
                number_or_null(s->state == VM_STOPPED ? 0 : (json_int_t)getpid()), "uid",
                (json_int_t)plan->confine.uid, "cgroup", story_string(plan->cgroup), "qemu_group",
                story_string(plan->qemu_group), "unit", story_string(plan->unit), "template",
                story_string(plan->template_file), "frozen", frozen_now(s), "leases",
                s->leases ? leases_json(s->leases) : json_array(), "jobs", "changed_by_hand",
                (int)s->changed_by_hand, "last_change",
                s->applies ? applies_last(s->applies) : s->last_change, "differences", s->differences,
                "compared", s->compared, "agent", agent_state_name(s->agent), "devices",
                plan->devices ? json_incref(plan->devices) : json_array(), "helpers", helpers_json(s),
                "warnings", s->warnings, "policy", plan_policy_to_json(&plan->policy), "end",
                adopt_end_to_json(s), "started", s->started, "ended", s->ended, "story", s->story, "stderr",
                story_string(s->stderr_text));
}

void supervisor_flush(struct supervisor *s)
{
        _cleanup_error_ struct error *err = NULL;
        json_auto_t *record = supervisor_record(s);

        loop_remove(s->loop, s->flush);
        s->flush = NULL;
        if (record_write(s->vm->fd, record, &err) < 0) {
                _cleanup_free_ char *text = error_text(err);

                /* A full /run does not stop a VM; clients of the control socket still see the truth. */
                log_warning("%s: %s", s->plan->name, text);
        }
}

static void on_flush(void *data)
{
        struct supervisor *s = data;

        s->flush = NULL;
        supervisor_flush(s);
}

/* Lines that come together are written together. */
void supervisor_flush_soon(struct supervisor *s)
{
        if (!s->flush && s->state != VM_STOPPED)
                s->flush = loop_add_deadline(s->loop, s->state == VM_STARTING ? STARTING_MS : 0, on_flush, s);
}

static void tell_line(struct supervisor *s, enum log_level level, const char *line)
{
        _cleanup_free_ char *now = story_now();

        story_add(s->story, now, line);
        log_line(level, "%s: %s", s->plan->name, line);
        recorder_note(s->recorder, line);
        if (s->control)
                control_event(s->control, "VMLAUNCH_STORY", json_pack("{s:o}", "text", story_string(line)));
}

void supervisor_story(struct supervisor *s, const char *format, ...)
{
        _cleanup_text_ struct text line = TEXT_INIT;
        unsigned unsaid = 0;
        va_list ap;

        /* The end is always told; it has few lines. */
        if (s->state < VM_QUITTING && !story_may_say(&s->pace, fd_now_ms(), &unsaid))
                return;
        if (unsaid) {
                _cleanup_free_ char *missing = xasprintf("%u more lines in a minute were left out", unsaid);

                tell_line(s, LOG_LEVEL_INFO, missing);
        }
        va_start(ap, format);
        text_vaddf(&line, format, ap);
        va_end(ap);
        if (line.length > LINE_MAX_BYTES)
                line.data[LINE_MAX_BYTES] = '\0';
        tell_line(s, LOG_LEVEL_INFO, text_str(&line));
        supervisor_flush_soon(s);
}

void supervisor_story_end(struct supervisor *s, const struct verdict *verdict)
{
        _cleanup_free_ char *line =
                xasprintf("QEMU has ended, %s: %s", verdict_name(verdict->kind), verdict->reason);

        if (strlen(line) > LINE_MAX_BYTES)
                line[LINE_MAX_BYTES] = '\0';
        tell_line(s, verdict->exit_status ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, line);
        supervisor_flush_soon(s);
}

static bool same(const char *a, const char *b)
{
        return a == b || (a && b && strcmp(a, b) == 0);
}

void supervisor_changed(struct supervisor *s)
{
        const char *state = state_now(s), *reason = reason_now(s);

        if (same(s->told_state, state) && same(s->told_reason, reason) && s->told_agent == s->agent)
                return;
        s->told_state = state;
        free(s->told_reason);
        s->told_reason = xstrdup_null(reason);
        s->told_agent = s->agent;
        /* First the file, then the word: who hears it may read the record. */
        supervisor_flush(s);
        unit_changed(s, state, reason);
        if (s->control)
                control_event(s->control, "VMLAUNCH_STATE",
                              json_pack("{s:s, s:o, s:s}", "state", state, "reason", story_string(reason),
                                        "agent", agent_state_name(s->agent)));
}

void supervisor_tell_as_told(struct supervisor *s)
{
        s->told_state = state_now(s);
        s->told_reason = xstrdup_null(reason_now(s));
        s->told_agent = s->agent;
}
