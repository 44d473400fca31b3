/* What QEMU says of itself, its guest and its ports, unasked or asked, and what follows of it; and how the agent is. */
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "launcher/run/supervisor_parts.h"

/* The agent's port, launcher/plan/agent.c. */
#define AGENT_PORT "agent0"
/* QEMU's are words like "host-qmp-quit". */
#define REASON_MAX 64
/* The guest can reset as often as it likes: one line in the story for those of this time. */
#define RESET_NOTE_MS 5000
/* A silent agent is asked again after 5, 10, 20, 40 s and then left alone: an idle supervisor never wakes. */
#define AGENT_TRIES    5
#define AGENT_RETRY_MS 5000u

static void ping(struct supervisor *s);

static void on_agent_retry(void *data)
{
        struct supervisor *s = data;

        s->agent_retry = NULL;
        ping(s);
}

static void on_ping(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;
        bool came = reply && s->agent != AGENT_ANSWERING;

        if (s->state >= VM_QUITTING || !s->agent_open || (error && error->code == ERROR_DISCONNECTED))
                return;
        s->agent = reply ? AGENT_ANSWERING : AGENT_SILENT;
        supervisor_changed(s);
        if (came)
                stop_feed(s, SHUTDOWN_AGENT_CAME);
        if (!reply && ++s->agent_tries < AGENT_TRIES && !s->agent_retry)
                s->agent_retry =
                        loop_add_deadline(s->loop, AGENT_RETRY_MS << (s->agent_tries - 1), on_agent_retry, s);
}

static void ping(struct supervisor *s)
{
        if (s->qga)
                qga_client_ping(s->qga, QGA_COMMAND_MS, on_ping, s);
}

void heard_agent_open(struct supervisor *s, bool open)
{
        if (!s->qga || s->agent_open == open)
                return;
        s->agent_open = open;
        loop_remove(s->loop, s->agent_retry);
        s->agent_retry = NULL;
        s->agent_tries = 0;
        if (!open)
                s->agent = AGENT_ABSENT;
        else if (s->agent == AGENT_ABSENT)
                s->agent = AGENT_OPENED;
        /* The requests this fails call back at once or later: the state is right before. */
        qga_client_set_open(s->qga, open);
        if (open) {
                ping(s);
                leases_try_again(s->leases);
        }
        supervisor_changed(s);
}

/* ON_CRASH. Heard of by event and by query-status, so it may be the second time. */
static void panicked(struct supervisor *s)
{
        const struct plan_policy *policy = &s->plan->policy;
        long long *times = s->panic_restarts, now = fd_now_ms();

        if (s->kept || s->state == VM_RESTARTING)
                return;
        if (policy->keep_on_panic && (s->state == VM_RUNNING || s->state == VM_PAUSED)) {
                s->kept = s->paused = true;
                s->run_state = RUN_STATE_GUEST_PANICKED;
                supervisor_story(s, "the guest panicked, and stays as it is (ON_CRASH)");
                supervisor_event(s, EV_PAUSED);
                return;
        }
        if (!policy->restart_on_panic) {
                supervisor_event(s, EV_GUEST_PANICKED);
                return;
        }
        if (times[0] && now - times[0] < PANIC_WINDOW_MS) {
                supervisor_story(s, "the guest was restarted %d times in %d min after a panic: no more",
                                 PANIC_RESTARTS, PANIC_WINDOW_MS / 60000);
                supervisor_event(s, EV_GUEST_PANICKED);
                return;
        }
        memmove(times, times + 1, (PANIC_RESTARTS - 1) * sizeof(*times));
        times[PANIC_RESTARTS - 1] = now;
        if (s->state != VM_STOPPING)
                supervisor_story(s, "the guest panicked");
        supervisor_event(s, EV_PANIC_RESTARTS);
}

/* WATCHDOG/ACTION poweroff: QEMU has only paused, so that everything is flushed. */
static void power_off(struct supervisor *s)
{
        free(s->shutdown_reason);
        s->shutdown_reason = xstrdup("watchdog");
        supervisor_event(s, EV_GUEST_OFF);
}

static void watchdog_fired(struct supervisor *s, const char *action)
{
        bool off = s->plan->policy.poweroff_on_watchdog;
        _cleanup_free_ char *shown = text_printable(off ? "poweroff" : action ? action : "no action");

        supervisor_story(s, "the guest's watchdog fired: %s", shown);
        if (off)
                power_off(s);
}

void heard_status(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;
        _cleanup_error_ struct error *err = NULL;

        if (s->state >= VM_QUITTING)
                return;
        if (!reply) {
                if (error->code == ERROR_DEADLINE)
                        wire_overdue(s);
                return;
        }
        if (ops_status_read(reply, &s->run_state, &err) < 0) {
                supervisor_story(s, "%s", err->message);
                return;
        }
        switch (s->run_state) {
        case RUN_STATE_RUNNING:
                s->paused = false;
                leases_guest_resumed(s->leases);
                supervisor_event(s, EV_RESUMED);
                adopt_resume_request(s);
                break;
        case RUN_STATE_SHUTDOWN:
                supervisor_event(s, EV_GUEST_OFF);
                break;
        case RUN_STATE_GUEST_PANICKED:
                panicked(s);
                break;
        case RUN_STATE_WATCHDOG:
                if (s->plan->policy.poweroff_on_watchdog) {
                        power_off(s);
                        break;
                }
                /* fall through */
        case RUN_STATE_PAUSED:
        case RUN_STATE_IO_ERROR:
        case RUN_STATE_INTERNAL_ERROR:
                s->paused = true;
                supervisor_event(s, EV_PAUSED);
                adopt_resume_request(s);
                storage_adopted(s);
                break;
        default:
                break;
        }
        supervisor_changed(s);
}

/* On a new connection nothing older is on its way. */
void heard_status_anew(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;

        if (reply && s->control)
                control_shown(s->control, SHOWS_RUN_STATE);
        heard_status(reply, error, data);
}

static void on_shutdown_event(struct supervisor *s, json_t *data)
{
        const char *reason = json_member_string(data, "reason");

        free(s->shutdown_reason);
        s->shutdown_reason = reason ? xstrndup(reason, REASON_MAX) : NULL;
        if (json_member_is_true(data, "guest")) {
                supervisor_event(s, EV_GUEST_OFF);
        } else if (s->state != VM_QUITTING) {
                _cleanup_free_ char *shown = text_printable(reason ? s->shutdown_reason : "no reason");

                supervisor_story(s, "QEMU ends: %s", shown);
        }
}

void heard_event(const char *name, json_t *event_data, json_t *event, void *data)
{
        struct supervisor *s = data;

        if (s->state >= VM_GONE)
                return;
        if (s->control)
                control_broadcast(s->control, event);
        if (s->applies)
                applies_event(s->applies, name, event_data);
        if (strcmp(name, "STOP") == 0) {
                s->paused = true;
                s->run_state = RUN_STATE_UNKNOWN;
                supervisor_event(s, EV_PAUSED);
                /* Paused by whom: us, an I/O error, a watchdog? */
                if (s->state == VM_PAUSED && wire_is_up(s))
                        ops_query_status(s->qmp, heard_status, s);
        } else if (strcmp(name, "RESUME") == 0) {
                bool was_paused = s->state == VM_PAUSED;

                s->paused = false;
                s->run_state = RUN_STATE_RUNNING;
                s->kept = false;
                s->space.other = false;
                leases_guest_resumed(s->leases);
                supervisor_event(s, EV_RESUMED);
                if (was_paused)
                        agent_sync_time(s);
        } else if (strcmp(name, "SHUTDOWN") == 0) {
                on_shutdown_event(s, event_data);
        } else if (strcmp(name, "RESET") == 0) {
                leases_guest_reset(s->leases);
                /* QEMU keeps back a second VSERPORT_CHANGE within a second, and the guest may open it again first. */
                heard_agent_open(s, false);
                if (json_member_is_true(event_data, "guest"))
                        supervisor_event(s, EV_GUEST_RESET);
        } else if (strcmp(name, "GUEST_PANICKED") == 0) {
                panicked(s);
        } else if (strcmp(name, "BLOCK_IO_ERROR") == 0) {
                storage_io_error(s, event_data);
        } else if (strcmp(name, "RTC_CHANGE") == 0) {
                const json_t *offset = json_object_get(event_data, "offset");

                if (json_is_integer(offset))
                        clock_was_set(s, json_integer_value(offset));
        } else if (strcmp(name, "WATCHDOG") == 0) {
                watchdog_fired(s, json_member_string(event_data, "action"));
        } else if (strcmp(name, "VSERPORT_CHANGE") == 0) {
                const char *id = json_member_string(event_data, "id");

                if (id && strcmp(id, AGENT_PORT) == 0)
                        heard_agent_open(s, json_member_is_true(event_data, "open"));
        }
}

/* Which pseudo terminal a port is on is for QEMU to say. */
static bool note_pty(struct supervisor *s, const char *label, const char *pty)
{
        json_t *device;
        size_t i;

        if (!pty)
                return false;
        json_array_foreach (s->plan->devices, i, device) {
                const char *id = json_member_string(device, "id");

                if (!json_object_get(device, "pty") || !id || strcmp(id, label) != 0)
                        continue;
                json_object_set_new(device, "pty", story_string(pty));
                return true;
        }
        return false;
}

bool heard_has_pty(const struct supervisor *s)
{
        json_t *device;
        size_t i;

        json_array_foreach (s->plan->devices, i, device) {
                if (json_object_get(device, "pty"))
                        return true;
        }
        return false;
}

static void on_chardevs(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;
        json_t *chardev;
        size_t i;

        (void)error;
        json_array_foreach (reply, i, chardev) {
                const char *label = json_member_string(chardev, "label");

                if (label && strcmp(label, AGENT_PORT) == 0)
                        heard_agent_open(s, json_member_is_true(chardev, "frontend-open"));
                if (label && note_pty(s, label, ops_pty_read(chardev)))
                        supervisor_changed(s);
        }
}

void heard_ask_chardevs(struct supervisor *s)
{
        if ((s->qga || heard_has_pty(s)) && wire_is_up(s))
                ops_query_chardev(s->qmp, on_chardevs, s);
}

void heard_reset(struct supervisor *s)
{
        long long now = fd_now_ms();

        if (s->last_reset_ms && now - s->last_reset_ms < RESET_NOTE_MS)
                return;
        s->last_reset_ms = now;
        supervisor_story(s, "the guest was reset");
}
