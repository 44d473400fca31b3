#include <signal.h>

#include "base/log.h"
#include "launcher/run/confine.h"
#include "launcher/run/story.h"
#include "launcher/run/stuck.h"
#include "launcher/run/supervisor_parts.h"
#include "launcher/state/crash_point.h"

struct shutdown_facts stop_facts(const struct supervisor *s)
{
        return (struct shutdown_facts){
                .has_acpi = s->plan->policy.has_acpi,
                .cancel_no_acpi = s->plan->policy.cancel_no_acpi,
                .agent = s->agent,
                .paused = s->paused,
                .frozen = leases_frozen(s->leases) != FROZEN_NO,
        };
}

static void take_step(struct supervisor *s, enum shutdown_step step);

void stop_feed(struct supervisor *s, enum shutdown_input input)
{
        const struct shutdown_facts facts = stop_facts(s);

        if (s->shutting)
                take_step(s, shutdown_next(&s->shutdown, input, &facts));
}

static void on_resumed(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;

        if (!reply && s->shutting)
                supervisor_story(s, "the paused guest could not be resumed: %s", error->message);
        stop_feed(s, SHUTDOWN_RESUMED);
}

static void on_thawed(json_t *value_consume, const struct error *error, void *data)
{
        struct supervisor *s = data;

        json_decref(value_consume);
        if (error && s->shutting)
                supervisor_story(s, "the frozen guest could not be thawed: %s", error->message);
        stop_feed(s, SHUTDOWN_THAWED);
}

static void on_agent_told(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;

        if (s->state >= VM_QUITTING)
                return;
        if (!reply) {
                _cleanup_free_ char *text = error_text(error);

                supervisor_story(s, "the agent did not take it: %s", text);
                if (error->code == ERROR_DEADLINE && s->agent == AGENT_ANSWERING) {
                        s->agent = AGENT_SILENT;
                        supervisor_changed(s);
                }
        }
        stop_feed(s, reply ? SHUTDOWN_AGENT_TOOK : SHUTDOWN_AGENT_FAILED);
}

static void on_pressed(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;

        if (reply || s->state >= VM_QUITTING)
                return;
        if (error->code == ERROR_DEADLINE)
                wire_overdue(s);
        supervisor_story(s, "the power button could not be pressed: %s", error->message);
}

static void on_forced_reset(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;

        if (reply) {
                supervisor_event(s, EV_GUEST_RESET);
                return;
        }
        supervisor_story(s, "the reset failed: %s", error->message);
        supervisor_event(s, EV_GUEST_WILL_NOT);
}

static void take_step(struct supervisor *s, enum shutdown_step step)
{
        const char *what = s->shutdown.request.reboot ? "reboot" : "power off";

        switch (step) {
        case SHUTDOWN_WAIT:
                return;
        case SHUTDOWN_RESUME:
                supervisor_story(s, "resuming the paused guest, so that it can %s", what);
                if (s->qmp)
                        ops_cont(s->qmp, on_resumed, s);
                crash_point(CRASH_GUEST_ASKED);
                return;
        case SHUTDOWN_THAW:
                supervisor_story(s, "thawing the guest, so that it can %s", what);
                leases_end(s->leases, LEASE_FREEZE, "the guest is to end", on_thawed, s);
                return;
        case SHUTDOWN_ASK_AGENT:
                supervisor_story(s, "asking the guest by its agent to %s", what);
                qga_client_shutdown(s->qga, s->shutdown.request.reboot ? "reboot" : "powerdown",
                                    on_agent_told, s);
                crash_point(CRASH_GUEST_ASKED);
                return;
        case SHUTDOWN_PRESS:
                supervisor_story(s, "pressing the power button (ACPI), so that the guest will %s", what);
                if (s->qmp)
                        ops_system_powerdown(s->qmp, on_pressed, s);
                crash_point(CRASH_GUEST_ASKED);
                return;
        case SHUTDOWN_KILL:
                supervisor_story(s, "the guest has not powered off in %u s: destroying it",
                                 s->shutdown.request.timeout_s);
                supervisor_event(s, EV_DESTROY_ASKED);
                return;
        case SHUTDOWN_RESET:
                supervisor_story(s, "the guest has not rebooted in %u s: resetting it",
                                 s->shutdown.request.timeout_s);
                if (s->qmp)
                        ops_system_reset(s->qmp, on_forced_reset, s);
                else
                        supervisor_event(s, EV_GUEST_WILL_NOT);
                crash_point(CRASH_RESTART_ASKED);
                return;
        case SHUTDOWN_GIVE_UP:
        case SHUTDOWN_NO_MEANS:
                supervisor_event(s, EV_GUEST_WILL_NOT);
                return;
        }
}

static void on_half_time(void *data)
{
        struct supervisor *s = data;

        s->half_time = NULL;
        supervisor_story(s, "half of %u s has passed", s->shutdown.request.timeout_s);
        stop_feed(s, SHUTDOWN_HALF_TIME);
}

static void on_deadline(void *data)
{
        struct supervisor *s = data;

        s->deadline = NULL;
        stop_feed(s, SHUTDOWN_DEADLINE);
}

void stop_end(struct supervisor *s)
{
        s->shutting = false;
        loop_remove(s->loop, s->half_time);
        loop_remove(s->loop, s->deadline);
        s->half_time = s->deadline = NULL;
}

void stop_begin(struct supervisor *s, bool join)
{
        const struct shutdown_facts facts = stop_facts(s);
        bool agent_busy = s->shutting && s->shutdown.agent_busy;
        enum shutdown_step step = shutdown_begin(&s->shutdown, &s->asked, &facts);

        stop_end(s);
        s->shutting = true;
        /* Before the guest is asked or the client answered: a successor goes on with it. */
        supervisor_flush(s);
        s->half_time = loop_add_deadline(s->loop, s->asked.timeout_s * 500ull, on_half_time, s);
        s->deadline = loop_add_deadline(s->loop, s->asked.timeout_s * 1000ull, on_deadline, s);
        /* It has not answered the first request yet, and what it is asked is the same. */
        if (join && agent_busy) {
                s->shutdown.agent_busy = true;
                if (step == SHUTDOWN_ASK_AGENT)
                        return;
        }
        take_step(s, step);
}

static const char *no_means(const struct shutdown_request *request, const struct shutdown_facts *facts)
{
        if (request->mode == SHUTDOWN_ACPI)
                return "the VM has no ACPI";
        if (request->mode == SHUTDOWN_AGENT)
                return facts->agent == AGENT_NONE ? "the VM has no guest agent" : "the guest agent is absent";
        return facts->agent == AGENT_NONE ? "the VM has neither ACPI nor a guest agent"
                                          : "the VM has no ACPI, and the guest agent is absent";
}

static void report_stuck(struct supervisor *s);

int stop_request(struct supervisor *s, const struct shutdown_request *request, const char *who,
                 struct error **err)
{
        const struct shutdown_facts facts = stop_facts(s);
        struct shutdown trial;
        enum shutdown_step step = SHUTDOWN_WAIT;
        struct vm_move move;

        s->asked = *request;
        if (request->mode == SHUTDOWN_DESTROY) {
                s->hurry = request->force;
                supervisor_story(s, "destroy asked for by %s", who);
                supervisor_event(s, EV_DESTROY_ASKED);
                /* It has been said before, to others. */
                if (s->stuck)
                        report_stuck(s);
                return 0;
        }
        move = vm_next(s->state, request->reboot ? EV_REBOOT_ASKED : EV_SHUTDOWN_ASKED);
        if (move.action == DO_REFUSE)
                return error_set(err, ERROR_BUSY, "the VM is %s: it cannot be rebooted now",
                                 vm_state_name(s->state));
        if (move.action == DO_ASK_GUEST || move.action == DO_JOIN)
                step = shutdown_begin(&trial, request, &facts);
        if (step == SHUTDOWN_NO_MEANS)
                return error_set(err, ERROR_GUEST, "the guest cannot be asked: %s",
                                 no_means(request, &facts));
        supervisor_story(s, "%s asked for by %s (mode %s, %u s%s)", request->reboot ? "reboot" : "shutdown",
                         who, shutdown_mode_name(request->mode), request->timeout_s,
                         request->force ? ", force" : "");
        if (step == SHUTDOWN_KILL) {
                supervisor_story(s, "the guest cannot be asked: destroying it at once");
                supervisor_event(s, EV_DESTROY_ASKED);
                return 0;
        }
        crash_point(CRASH_SHUTDOWN_ASKED);
        supervisor_event(s, request->reboot ? EV_REBOOT_ASKED : EV_SHUTDOWN_ASKED);
        return 0;
}

static void take_kill_step(struct supervisor *s);

static void on_kill_timer(void *data)
{
        struct supervisor *s = data;

        s->kill_timer = NULL;
        s->kill_step++;
        take_kill_step(s);
}

static void send_signal(struct supervisor *s, int sig)
{
        _cleanup_error_ struct error *err = NULL;

        s->end.we_killed = true;
        /* A successor must not take it for a stranger's doing. */
        supervisor_flush(s);
        if (s->exited)
                return;
        if (confine_send_signal(s->pidfd, sig, &err) == 0) {
                crash_point(CRASH_QEMU_SIGNALLED);
        } else {
                _cleanup_free_ char *text = error_text(err);

                supervisor_story(s, "signal QEMU: %s", text);
        }
}

static void on_quit(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;

        if (reply && s->destroying && s->kill_timer && s->kill_step == KILL_QUIT) {
                /* It has heard, and flushes. */
                loop_remove(s->loop, s->kill_timer);
                s->kill_timer = loop_add_deadline(s->loop, KILL_AFTER_QUIT_MS, on_kill_timer, s);
        }
        if (reply || error->code == ERROR_DISCONNECTED || error->code == ERROR_DEADLINE || !s->killing ||
            s->kill_step != KILL_QUIT)
                return;
        supervisor_story(s, "QEMU did not take quit: %s", error->message);
        kill_hurry(s);
}

/* What is known without rights over QEMU; a client that has them can say more. */
static void report_stuck(struct supervisor *s)
{
        if (s->control)
                control_event(s->control, "VMLAUNCH_SHUTDOWN",
                              json_pack("{s:s, s:i, s:o}", "result", "stuck", "pid", (int)s->pid, "reason",
                                        story_string(s->stuck_where)));
}

static void note_stuck(struct supervisor *s)
{
        s->stuck = true;
        free(s->stuck_where);
        s->stuck_where = stuck_where(s->pid);
        supervisor_story(s, "stuck-in-kernel: QEMU was killed and does not end%s%s",
                         s->stuck_where ? ": " : "", s->stuck_where ? s->stuck_where : "");
        log_warning("%s: stuck-in-kernel: QEMU (pid %d) was killed and does not end", s->plan->name,
                    (int)s->pid);
        supervisor_changed(s);
        supervisor_tell_stuck(s);
        report_stuck(s);
}

static void take_kill_step(struct supervisor *s)
{
        unsigned wait_ms = kill_wait_ms(s->kill_step);

        switch (s->kill_step) {
        case KILL_QUIT:
                if (wire_is_up(s)) {
                        s->end.we_quit = true;
                        if (s->destroying)
                                wait_ms = KILL_IF_MUTE_MS;
                        ops_quit(s->qmp, on_quit, s);
                } else {
                        supervisor_story(s, "QEMU cannot be reached by QMP: sending it SIGTERM");
                        send_signal(s, SIGTERM);
                }
                break;
        case KILL_NOW:
                supervisor_story(s, s->hurry ? "killing QEMU at once, as asked"
                                             : "QEMU has not ended: killing it");
                send_signal(s, SIGKILL);
                break;
        default:
                note_stuck(s);
                break;
        }
        if (s->kill_step <= KILL_NOW)
                crash_point(CRASH_QUIT_SENT);
        if (wait_ms)
                s->kill_timer = loop_add_deadline(s->loop, wait_ms, on_kill_timer, s);
}

void kill_begin(struct supervisor *s)
{
        if (s->killing)
                return;
        s->killing = true;
        s->kill_step = s->hurry ? KILL_NOW : KILL_QUIT;
        take_kill_step(s);
}

void kill_hurry(struct supervisor *s)
{
        if (!s->killing || s->kill_step != KILL_QUIT)
                return;
        loop_remove(s->loop, s->kill_timer);
        s->kill_step = KILL_NOW;
        take_kill_step(s);
}
