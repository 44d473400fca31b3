#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/number.h"
#include "base/text.h"
#include "conf/agent_allow.h"
#include "launcher/run/story.h"
#include "launcher/run/supervisor_parts.h"
#include "launcher/state/crash_point.h"

#define LEASES_FILE "leases"
#define LEASES_MAX  65536
/* A reply may grow when it is printed again, and a client may have to read it beside events. */
#define ANSWER_MAX  (768u * 1024)
#define AGENT_MAX_S 3600
/* opennebula-semantics section 5.6, step 6. */
#define SYNC_TRIES    4
#define SYNC_RETRY_MS 5000u

/* The file of leases: what a successor ends. */

static int keep(const json_t *leases, void *data, struct error **err)
{
        struct supervisor *s = data;
        _cleanup_free_ char *text = NULL;

        crash_point(CRASH_LEASES_WRITE);
        if (json_array_size(leases) == 0) {
                if (unlinkat(s->vm->fd, LEASES_FILE, 0) < 0 && errno != ENOENT)
                        return error_os(err, errno, "remove '%s'", LEASES_FILE);
        } else {
                text = json_dumps(leases, JSON_COMPACT);
                if (fd_write_file_at(s->vm->fd, LEASES_FILE, text, strlen(text), 0600, 0, err) < 0)
                        return -1;
        }
        crash_point(CRASH_LEASES_WRITTEN);
        return 0;
}

void agent_end_leases_found(struct supervisor *s)
{
        _cleanup_error_ struct error *err = NULL;
        _cleanup_free_ char *text = NULL;
        json_auto_t *found = NULL;
        size_t length;

        if (fd_read_file_at(s->vm->fd, LEASES_FILE, LEASES_MAX, &text, &length, &err) < 0) {
                if (err->code == ERROR_OS && err->os_errno == ENOENT)
                        return;
        } else {
                found = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
        }
        leases_end_all_found(s->leases, json_is_array(found) ? found : NULL);
}

/* What leases need of us. */

static struct qga_client *open_agent(void *data)
{
        struct supervisor *s = data;

        return s->agent_open ? s->qga : NULL;
}

static struct qmp_client *ready_qemu(void *data)
{
        struct supervisor *s = data;

        return wire_is_up(s) ? s->qmp : NULL;
}

static void tell_story(const char *text, void *data)
{
        supervisor_story(data, "%s", text);
}

static void lease_changed(enum lease_kind kind, const char *state, const char *reason, void *data)
{
        struct supervisor *s = data;

        if (s->state == VM_STOPPED)
                return;
        supervisor_flush(s);
        if (s->control)
                control_event(s->control, "VMLAUNCH_LEASE",
                              json_pack("{s:s, s:s, s:o}", "kind", lease_kind_name(kind), "state", state,
                                        "reason", story_string(reason)));
        adopt_lease_over(s);
}

void agent_begin(struct supervisor *s)
{
        static const struct lease_host host = {
                .agent = open_agent,
                .qemu = ready_qemu,
                .keep = keep,
                .story = tell_story,
                .changed = lease_changed,
        };

        s->leases = leases_new(s->loop, &host, &LEASE_TIMES, s);
}

/* vmlaunch-lease */

static void answer_lease(json_t *value_consume, const struct error *error, void *data)
{
        control_answer(data, value_consume, error);
}

struct lease_arguments {
        enum { ACTION_BEGIN, ACTION_RENEW, ACTION_END } action;
        enum lease_kind kind;
        unsigned timeout_ms;
        bool detach;
};

static int read_lease_arguments(json_t *arguments, struct lease_arguments *ret, struct error **err)
{
        static const char *const actions[] = { "begin", "renew", "end" };
        const char *action = NULL, *kind = NULL;
        double timeout_s = LEASE_DEFAULT_S;
        int detach = 0;
        size_t i = 0;
        json_error_t why;

        if (json_unpack_ex(arguments, &why, 0, "{s:s, s:s, s?:F, s?:b!}", "action", &action, "kind", &kind,
                           "timeout", &timeout_s, "detach", &detach) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        while (i < ARRAY_SIZE(actions) && strcmp(actions[i], action) != 0)
                i++;
        if (i == ARRAY_SIZE(actions))
                return error_set(err, ERROR_FAILED, "action is not one of begin, renew, end");
        if (!lease_kind_from_name(kind, &ret->kind))
                return error_set(err, ERROR_FAILED, "kind is not one of freeze, pause");
        if (!(timeout_s > 0 && timeout_s <= LEASE_MAX_S))
                return error_set(err, ERROR_FAILED, "timeout is not between 0 and %u seconds", LEASE_MAX_S);
        ret->action = i;
        ret->timeout_ms = (unsigned)number_ceil(timeout_s * 1000);
        ret->detach = detach;
        return 0;
}

static int may_begin(const struct supervisor *s, enum lease_kind kind, struct error **err)
{
        if (kind == LEASE_FREEZE && !s->plan->policy.has_agent)
                return error_set(err, ERROR_GUEST, "the VM has no guest agent");
        if (s->state != VM_RUNNING && s->state != VM_PAUSED)
                return error_set(err, ERROR_BUSY, "the VM is %s",
                                 s->state == VM_REBOOTING || s->state == VM_RESTARTING
                                         ? "rebooting"
                                         : vm_state_name(s->state));
        if (kind == LEASE_FREEZE && s->paused)
                return leases_busy(s->leases, LEASE_PAUSE, err);
        return 0;
}

int agent_lease_command(struct supervisor *s, json_t *arguments, const struct control_peer *peer,
                        struct error **err)
{
        _cleanup_free_ char *who = xasprintf("uid %u (pid %d)", (unsigned)peer->uid, (int)peer->pid);
        struct lease_arguments how = { 0 };
        struct lease_request request;
        struct control_call *call;
        _cleanup_free_ char *why = NULL;
        struct error *refused = NULL;

        if (read_lease_arguments(arguments, &how, err) < 0)
                return -1;
        if (how.action == ACTION_BEGIN && may_begin(s, how.kind, err) < 0)
                return -1;
        /* Nobody of ours froze it, and a paused guest answers nobody. */
        if (how.action == ACTION_END && how.kind == LEASE_FREEZE && s->paused &&
            !leases_has(s->leases, LEASE_FREEZE))
                return error_set(err, ERROR_BUSY, "the guest is paused: its agent cannot be asked");
        if (how.action == ACTION_RENEW &&
            leases_renew(s->leases, how.kind, peer->client, how.timeout_ms, err) < 0)
                return -1;
        call = control_answer_later(s->control);
        if (how.action == ACTION_RENEW) {
                control_answer(call, json_object(), NULL);
                return 0;
        }
        if (how.action == ACTION_END) {
                why = xasprintf("as %s asked", who);
                leases_end(s->leases, how.kind, why, answer_lease, call);
                return 0;
        }
        request = (struct lease_request){ .kind = how.kind,
                                          .client = how.detach ? 0 : peer->client,
                                          .who = who,
                                          .timeout_ms = how.timeout_ms,
                                          .already = how.kind == LEASE_PAUSE && s->paused };
        if (leases_begin(s->leases, &request, answer_lease, call, &refused) < 0) {
                control_answer(call, NULL, refused);
                error_free(refused);
        }
        return 0;
}

/* vmlaunch-agent */

struct asked {
        struct supervisor *s;
        struct control_call *call;
        const struct qga_client *agent; /* for its outcome, inside the callback */
};

static void on_agent_answer(json_t *reply, const struct error *error, void *data)
{
        struct asked *asked = data;
        struct error *ours = NULL;

        if (error && qga_client_outcome(asked->agent)->frozen)
                leases_note_frozen(asked->s->leases);
        if (reply && json_dumpb(reply, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) > ANSWER_MAX) {
                error_set(&ours, ERROR_GUEST, "the guest agent's answer is larger than %u bytes", ANSWER_MAX);
                reply = NULL;
        } else if (error && error->code == ERROR_QMP) {
                _cleanup_free_ char *text = error_text(error);

                /* Its classes are not those of the control socket: CommandNotFound is about the agent's command. */
                error_set(&ours, ERROR_GUEST, "%s", text);
        }
        control_answer(asked->call, reply ? json_incref(reply) : NULL, ours ? ours : error);
        error_free(ours);
        free(asked);
}

/* The agent answers these while its guest is frozen (qga/main.c). */
static bool is_for_frozen(const char *command)
{
        return strcmp(command, "guest-ping") == 0 || strcmp(command, "guest-info") == 0 ||
               strcmp(command, "guest-fsfreeze-status") == 0;
}

static int may_ask(const struct supervisor *s, const char *command, const struct control_peer *peer,
                   struct error **err)
{
        const char *instead = NULL;
        _cleanup_free_ char *shown = text_printable(command);

        switch (agent_allow_judge(s->plan->policy.agent_allow, command, &instead)) {
        case AGENT_MAY:
                /* What the template had to name is as good as being root in the guest. */
                if (peer->role < ROLE_ADMIN && agent_allow_judge(NULL, command, &instead) != AGENT_MAY)
                        return error_set(err, ERROR_NOT_PERMITTED, "%s is for admins", shown);
                break;
        case AGENT_NEVER:
                return error_set(err, ERROR_NOT_PERMITTED, "%s is not passed on: use %s", shown, instead);
        case AGENT_NOT_LISTED:
                return error_set(err, ERROR_NOT_PERMITTED,
                                 "%s is not allowed: the template would have to say AGENT_ALLOW = \"%s\"",
                                 shown, shown);
        }
        if (!s->plan->policy.has_agent)
                return error_set(err, ERROR_GUEST, "the VM has no guest agent");
        if (!s->qga || s->state == VM_STARTING || s->state >= VM_QUITTING)
                return error_set(err, ERROR_BUSY, "the VM is %s", vm_state_name(s->state));
        if (s->paused)
                return leases_busy(s->leases, LEASE_PAUSE, err);
        if ((leases_has(s->leases, LEASE_FREEZE) || leases_frozen(s->leases) == FROZEN_YES) &&
            !is_for_frozen(command))
                return leases_busy(s->leases, LEASE_FREEZE, err);
        return 0;
}

int agent_command(struct supervisor *s, json_t *arguments, const struct control_peer *peer,
                  struct error **err)
{
        const char *command = NULL;
        json_t *passed_on = NULL;
        double timeout_s = QGA_COMMAND_MS / 1000.0;
        struct asked *asked;
        json_error_t why;

        if (json_unpack_ex(arguments, &why, 0, "{s:s, s?:o, s?:F!}", "command", &command, "arguments",
                           &passed_on, "timeout", &timeout_s) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        if (passed_on && !json_is_object(passed_on))
                return error_set(err, ERROR_FAILED, "arguments is not an object");
        if (!(timeout_s > 0 && timeout_s <= AGENT_MAX_S))
                return error_set(err, ERROR_FAILED, "timeout is not between 0 and %d seconds", AGENT_MAX_S);
        if (may_ask(s, command, peer, err) < 0)
                return -1;
        log_debug("%s: %s by uid %u, pid %d", s->plan->name, command, (unsigned)peer->uid, (int)peer->pid);
        asked = xmalloc(sizeof(*asked));
        *asked = (struct asked){ .s = s, .call = control_answer_later(s->control), .agent = s->qga };
        qga_client_call(s->qga, command, json_incref(passed_on), (unsigned)number_ceil(timeout_s * 1000),
                        on_agent_answer, asked);
        crash_point(CRASH_AGENT_COMMAND_SENT);
        return 0;
}

/* What QEMU's own commands would break. */

int agent_may_forward(struct supervisor *s, const char *command, struct error **err)
{
        if (strcmp(command, "stop") == 0) {
                /* The thaw could not be carried out. */
                if (leases_has(s->leases, LEASE_FREEZE))
                        return leases_busy(s->leases, LEASE_FREEZE, err);
                leases_guest_stays_paused(s->leases);
        } else if (strcmp(command, "cont") == 0 && leases_has(s->leases, LEASE_PAUSE)) {
                return leases_busy(s->leases, LEASE_PAUSE, err);
        }
        return 0;
}

/* SYNC_TIME */

static void sync_time(void *data);

static void on_time_set(json_t *reply, const struct error *error, void *data)
{
        struct supervisor *s = data;

        s->syncing_time = false;
        if (s->state >= VM_QUITTING)
                return;
        if (reply) {
                supervisor_story(s, "the guest's clock is set by its agent");
                return;
        }
        if (error->code == ERROR_DISCONNECTED || s->state != VM_RUNNING || s->sync_timer)
                return;
        if (++s->sync_tries < SYNC_TRIES) {
                s->sync_timer = loop_add_deadline(s->loop, SYNC_RETRY_MS, sync_time, s);
        } else {
                _cleanup_free_ char *text = error_text(error);

                supervisor_story(s, "the guest's clock is not set after its pause: %s", text);
        }
}

static void sync_time(void *data)
{
        struct supervisor *s = data;

        s->sync_timer = NULL;
        if (!s->qga || s->state != VM_RUNNING)
                return;
        s->syncing_time = true;
        qga_client_sync_time(s->qga, QGA_COMMAND_MS, on_time_set, s);
        crash_point(CRASH_TIME_ASKED);
}

void agent_sync_time(struct supervisor *s)
{
        if (!s->plan->policy.sync_time || !s->qga || s->state != VM_RUNNING)
                return;
        s->sync_tries = 0;
        loop_remove(s->loop, s->sync_timer);
        sync_time(s);
}

/* The end. */

void agent_qemu_gone(struct supervisor *s)
{
        loop_remove(s->loop, s->sync_timer);
        s->sync_timer = NULL;
        leases_qemu_gone(s->leases);
}
