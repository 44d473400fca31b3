/* What systemd is told of a VM by its supervisor: state, readiness, signs of life, and fds to keep for the next one. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "launcher/run/sd_notify.h"
#include "launcher/run/supervisor_parts.h"

/* NOTIFY_READY = "agent": a guest whose agent never answers is started all the same. */
#define AGENT_READY_MS 300000u

static void on_watchdog(void *data)
{
        struct supervisor *s = data;

        sd_notify("WATCHDOG=1");
        s->watchdog = loop_add_deadline(s->loop, sd_watchdog_ms() / 2, on_watchdog, s);
}

void unit_begin(struct supervisor *s)
{
        if (sd_watchdog_ms())
                on_watchdog(s);
}

void unit_log(const struct supervisor *s)
{
        if (s->plan->unit)
                log_set_journal(s->plan->name, s->generation);
}

void unit_store(struct supervisor *s, int control_fd)
{
        if (s->options->foreground)
                s->unit_listener = control_fd;
}

/* Each message is work for systemd, so the first one takes the fds along. */
static void tell(struct supervisor *s, const char *state)
{
        const int fds[] = { s->unit_listener, s->pidfd };

        if (s->unit_listener < 0) {
                sd_notify(state);
                return;
        }
        /* Of the QEMU before this one, in the same unit. */
        if (sd_has_stored())
                sd_notify_forget();
        sd_notify_store(state, fds, s->pidfd >= 0 ? 2 : 1);
        s->unit_listener = -1;
}

int unit_stored_control(const struct supervisor *s)
{
        _cleanup_close_ int fd = s->adopted && s->options->foreground ? sd_stored_fd(true) : -1;

        /* Somebody may have ended the VM meanwhile, and its directory with it. */
        return fd >= 0 && faccessat(s->vm->fd, "control.sock", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? TAKE_FD(fd)
                                                                                               : -1;
}

static void tell_ready(struct supervisor *s)
{
        loop_remove(s->loop, s->agent_ready);
        s->agent_ready = NULL;
        tell(s, s->unit_status ? s->unit_status : "READY=1");
        free(TAKE_PTR(s->unit_status));
        s->unit_ready = true;
}

static void on_no_agent(void *data)
{
        struct supervisor *s = data;

        s->agent_ready = NULL;
        supervisor_story(s, "the guest agent has not answered in %u s: its unit counts as started without it",
                         AGENT_READY_MS / 1000);
        tell_ready(s);
}

static bool awaits_agent(const struct supervisor *s)
{
        return s->plan->policy.ready_on_agent && !s->adopted && s->agent != AGENT_ANSWERING;
}

void unit_ready(struct supervisor *s)
{
        if (awaits_agent(s))
                s->agent_ready = loop_add_deadline(s->loop, AGENT_READY_MS, on_no_agent, s);
        else
                tell_ready(s);
}

void unit_changed(struct supervisor *s, const char *state, const char *reason)
{
        _cleanup_free_ char *shown = text_printable(reason ? reason : "");
        _cleanup_free_ char *status = xasprintf("STATUS=%s%s%s", state, reason ? ": " : "", shown);
        bool is_first = s->state == VM_RUNNING && !s->unit_ready && !s->adopted && !awaits_agent(s);

        /* Each of them systemd tells everybody on D-Bus. That the VM starts it says itself, and that it runs goes with the
         * word that it is ready, which is next. */
        if (is_first) {
                free(s->unit_status);
                s->unit_status = xasprintf("READY=1\n%s", status);
        } else if (s->options->foreground && s->state != VM_STARTING) {
                tell(s, status);
        }
        if (s->agent_ready && s->agent == AGENT_ANSWERING)
                tell_ready(s);
}
