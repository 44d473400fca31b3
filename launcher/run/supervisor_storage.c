/*
 * I/O errors of the guest's disks: told, and where space was wanting the guest goes on by itself when there is some.
 *
 * QEMU stops the guest (werror=enospc) and says so, and does the same request again at cont. Nobody else looks at the
 * storage: it may be one that does not answer. So cont is tried, at longer and longer intervals, and a guest that stops
 * again is still in want of space.
 */
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/run/supervisor_parts.h"
#include "launcher/state/crash_point.h"
#include "qmp/ops_machine.h"

#define RETRY_MS         1000u
#define RETRY_LONGEST_MS 16000u
/* A guest that has run for so long has written what it wanted. */
#define SETTLED_MS 1000u

static void on_timer(void *data);

static void wait(struct supervisor *s, unsigned ms)
{
        loop_remove(s->loop, s->space.timer);
        s->space.timer = loop_add_deadline(s->loop, ms, on_timer, s);
}

static void forget(struct supervisor *s)
{
        loop_remove(s->loop, s->space.timer);
        s->space = (struct space_wait){ 0 };
}

static void on_continued(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;

        (void)reply, (void)error;
        if (s->space.timer || s->exited || s->state >= VM_QUITTING)
                return;
        wait(s, SETTLED_MS);
}

static void on_timer(void *data)
{
        struct supervisor *s = data;

        s->space.timer = NULL;
        if (s->exited || s->state >= VM_QUITTING)
                return;
        if (s->state == VM_PAUSED && s->run_state == RUN_STATE_IO_ERROR && wire_is_up(s)) {
                s->space.tried_ms = s->space.tried_ms ? s->space.tried_ms * 2 : RETRY_MS;
                if (s->space.tried_ms > RETRY_LONGEST_MS)
                        s->space.tried_ms = RETRY_LONGEST_MS;
                ops_cont(s->qmp, on_continued, s);
                crash_point(CRASH_GUEST_ASKED);
                return;
        }
        if (!s->paused)
                supervisor_story(s, "there is space again: the guest goes on");
        forget(s);
}

/* "disk1" of "/machine/peripheral/disk1/virtio-backend", or of the node "disk1-format"; new string. */
static char *disk_of(const json_t *event_data)
{
        static const char below[] = "/machine/peripheral/";
        const char *qdev = json_member_string(event_data, "qdev");
        const char *node = json_member_string(event_data, "node-name");

        if (qdev && text_starts_with(qdev, below))
                return xstrndup(qdev + strlen(below), strcspn(qdev + strlen(below), "/"));
        if (qdev && *qdev)
                return xstrdup(qdev);
        return node ? xstrndup(node, strcspn(node, "-")) : xstrdup("?");
}

/* "vdb (disk1)" */
static char *disk_title(const struct supervisor *s, const char *id)
{
        _cleanup_free_ char *shown = text_printable(id);
        const json_t *device;
        size_t i;

        json_array_foreach (s->plan->devices, i, device) {
                const char *is = json_member_string(device, "id"),
                           *target = json_member_string(device, "target");

                if (is && target && strcmp(is, id) == 0)
                        return xasprintf("%s (%s)", target, shown);
        }
        return xstrdup(shown);
}

static bool stays_stopped(const struct supervisor *s, const char *id)
{
        const json_t *device;
        size_t i;

        json_array_foreach (s->plan->devices, i, device) {
                const char *is = json_member_string(device, "id"),
                           *policy = json_member_string(device, "error_policy");

                if (is && policy && strcmp(is, id) == 0)
                        return strcmp(policy, "stop") == 0;
        }
        return false;
}

void storage_io_error(struct supervisor *s, const json_t *event_data)
{
        const char *action = json_member_string(event_data, "action");
        const char *operation = json_member_string(event_data, "operation");
        const char *reason = json_member_string(event_data, "reason");
        _cleanup_free_ char *id = disk_of(event_data), *title = disk_title(s, id),
                            *why = text_printable(reason ? reason : "no reason");
        bool stops = action && strcmp(action, "stop") == 0;
        bool no_space = json_member_is_true(event_data, "nospace");
        const char *verb = operation && strcmp(operation, "read") == 0 ? "read" : "written";

        /* ERROR_POLICY stop leaves it to somebody; otherwise QEMU stops for this error only. */
        if (stops && no_space && !stays_stopped(s, id)) {
                if (!s->space.waiting)
                        supervisor_story(s,
                                         "%s cannot be %s: no space left; the guest is paused until there is",
                                         title, verb);
                s->space.waiting = true;
                wait(s, s->space.tried_ms ? s->space.tried_ms : RETRY_MS);
                return;
        }
        s->space.other = s->space.other || stops;
        if (stops)
                supervisor_story(s,
                                 "%s cannot be %s: %s; the guest is paused: 'vmlaunch resume %s' tries again",
                                 title, verb, why, s->plan->name);
        else
                supervisor_story(s, "%s cannot be %s: %s; the guest was told", title, verb, why);
}

void storage_adopted(struct supervisor *s)
{
        if (s->state != VM_PAUSED || s->run_state != RUN_STATE_IO_ERROR || s->space.waiting || s->space.other)
                return;
        s->space.waiting = true;
        wait(s, RETRY_MS);
}

void storage_forget(struct supervisor *s)
{
        forget(s);
}
