/*
 * BALLOON/PRESSURE_FLOOR: the guest gives memory while the host is short of it, and gets it back (pressure.h).
 *
 * A look every few seconds, and none in VMs without the row. What the guest is to have at most is MEMORY of live.tmpl, which
 * `balloon` and `resize` change.
 */
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "conf/template.h"
#include "launcher/run/pressure.h"
#include "launcher/run/supervisor_parts.h"
#include "launcher/state/crash_point.h"
#include "qmp/ops_machine.h"

#define LOOK_MS      3000
#define PRESSURE     "/proc/pressure/memory"
#define PRESSURE_MAX 4096

static void on_look(void *data);

static void look_later(struct supervisor *s)
{
        loop_remove(s->loop, s->pressure.timer);
        s->pressure.timer = loop_add_deadline(s->loop, LOOK_MS, on_look, s);
}

/* MEMORY of live.tmpl; 0: it cannot be read now. */
static uint64_t ceiling(const struct supervisor *s)
{
        _cleanup_(template_freep) struct template *live = NULL;
        _cleanup_error_ struct error *unread = NULL;
        _cleanup_free_ char *text = NULL;
        uint64_t bytes = 0;
        size_t n;

        if (fd_read_file_at(s->vm->fd, "live.tmpl", TEMPLATE_MAX_BYTES, &text, &n, &unread) < 0 ||
            template_parse("live.tmpl", text, n, &live, &unread) < 0)
                return 0;
        for (size_t i = 0; i < live->n_attributes; i++) {
                const struct template_attribute *each = &live->attributes[i];

                if (!each->is_vector && strcmp(each->name, "MEMORY") == 0 &&
                    text_parse_size(each->value, 1 << 20, &bytes) != TEXT_SIZE_OK)
                        bytes = 0;
        }
        return bytes;
}

static void on_told(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;

        if (!reply && !s->exited)
                supervisor_story(s, "the balloon does not follow the host's memory pressure: %s",
                                 error->message);
}

static void on_balloon(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;
        uint64_t most = s->exited ? 0 : ceiling(s), has, target;
        _cleanup_free_ char *shown = NULL;

        (void)error;
        if (!reply || !most || s->state != VM_RUNNING)
                return;
        has = (uint64_t)json_member_integer(reply, "actual");
        target = pressure_target(s->pressure.percent, has, s->plan->policy.balloon_floor, most);
        /* A guest that has not got so far is told once. */
        if (target == has || target == s->pressure.told)
                return;
        shown = text_from_size(target);
        supervisor_story(s, "memory pressure of the host is %.1f %%: the guest is to have %s",
                         s->pressure.percent, shown);
        s->pressure.told = target;
        ops_balloon(s->qmp, target, on_told, s);
        crash_point(CRASH_GUEST_ASKED);
}

static void on_look(void *data)
{
        struct supervisor *s = data;
        _cleanup_error_ struct error *unread = NULL;
        _cleanup_free_ char *text = NULL;
        size_t n;

        s->pressure.timer = NULL;
        if (s->exited || s->state >= VM_QUITTING)
                return;
        if (fd_read_file_at(AT_FDCWD, PRESSURE, PRESSURE_MAX, &text, &n, &unread) < 0 ||
            !pressure_parse(text, &s->pressure.percent)) {
                supervisor_story(s, "the host tells no memory pressure (%s): the balloon stays as it is",
                                 PRESSURE);
                return;
        }
        look_later(s);
        if (s->state == VM_RUNNING && wire_is_up(s))
                ops_query_balloon(s->qmp, on_balloon, s);
}

void pressure_begin(struct supervisor *s)
{
        if (s->plan->policy.balloon_floor)
                look_later(s);
}

void pressure_forget(struct supervisor *s)
{
        loop_remove(s->loop, s->pressure.timer);
        s->pressure.timer = NULL;
}
