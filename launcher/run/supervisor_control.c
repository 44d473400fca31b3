/* What the control socket's clients ask of the supervisor. */
#include <string.h>

#include "base/log.h"
#include "base/number.h"
#include "base/text.h"
#include "launcher/run/supervisor_parts.h"

#define TIMEOUT_MAX_S 86400

static char *who_text(const struct control_peer *peer)
{
        return xasprintf("uid %u (pid %d)", (unsigned)peer->uid, (int)peer->pid);
}

/* What the control socket asks for. */

static int read_shutdown_arguments(const struct supervisor *s, json_t *arguments,
                                   struct shutdown_request *ret, struct error **err)
{
        const struct plan_policy *policy = &s->plan->policy;
        const char *mode = "auto";
        double timeout_s = policy->shutdown_timeout_s;
        int reboot = 0, force = -1;
        json_error_t why;

        /* F: an integer or a real, both are seconds. */
        if (arguments && json_unpack_ex(arguments, &why, 0, "{s?:s, s?:b, s?:b, s?:F!}", "mode", &mode,
                                        "reboot", &reboot, "force", &force, "timeout", &timeout_s) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        if (!shutdown_mode_from_name(mode, &ret->mode)) {
                _cleanup_free_ char *shown = text_printable(mode);

                return error_set(err, ERROR_FAILED, "mode '%s' is not one of auto, agent, acpi, destroy",
                                 shown);
        }
        if (!(timeout_s > 0 && timeout_s <= TIMEOUT_MAX_S))
                return error_set(err, ERROR_FAILED, "timeout is not between 1 and %d seconds", TIMEOUT_MAX_S);
        if (reboot && ret->mode == SHUTDOWN_DESTROY)
                return error_set(err, ERROR_FAILED, "a destroy is no reboot");
        ret->reboot = reboot;
        ret->timeout_s = (unsigned)number_ceil(timeout_s);
        /* FORCE_DESTROY is about guests that do not stop: neither a reboot nor a hurried destroy is. */
        if (force < 0)
                force = policy->force_destroy && !reboot && ret->mode != SHUTDOWN_DESTROY;
        ret->force = force;
        return 0;
}

/* NULL alone: QEMU is asked first. */
static json_t *answer_status(struct supervisor *s, json_t *arguments, struct error **err)
{
        int with_comparison = 0;
        json_error_t why;

        if (arguments && json_unpack_ex(arguments, &why, 0, "{s?:b!}", "compare", &with_comparison) < 0) {
                error_set(err, ERROR_FAILED, "%s", why.text);
                return NULL;
        }
        if (!with_comparison)
                return supervisor_record(s);
        compare_command(s, err);
        return NULL;
}

static json_t *on_own(const struct control_command *command, json_t *arguments, int *fds, size_t n_fds,
                      const struct control_peer *peer, void *data, struct error **err)
{
        struct supervisor *s = data;
        _cleanup_free_ char *who = who_text(peer);
        struct shutdown_request request = { 0 };

        if (strcmp(command->name, "vmlaunch-status") == 0)
                return answer_status(s, arguments, err);
        if (strcmp(command->name, "vmlaunch-agent") == 0) {
                agent_command(s, arguments, peer, err);
                return NULL;
        }
        if (strcmp(command->name, "vmlaunch-lease") == 0) {
                agent_lease_command(s, arguments, peer, err);
                return NULL;
        }
        if (strcmp(command->name, "vmlaunch-reexec") == 0) {
                reexec_command(s, arguments, who, err);
                return NULL;
        }
        if (strcmp(command->name, "vmlaunch-apply") == 0) {
                apply_command(s, arguments, fds, n_fds, peer, err);
                return NULL;
        }
        if (read_shutdown_arguments(s, arguments, &request, err) < 0 ||
            stop_request(s, &request, who, err) < 0)
                return NULL;
        if (request.mode == SHUTDOWN_DESTROY)
                request.timeout_s = KILL_REPORT_MS / 1000;
        return json_pack("{s:i}", "timeout", (int)request.timeout_s);
}

static struct qmp_client *on_forward(const struct control_command *command, const struct control_peer *peer,
                                     void *data, struct error **err)
{
        struct supervisor *s = data;

        if (s->exited || s->state >= VM_GONE) {
                error_set(err, ERROR_NOT_RUNNING, "QEMU has ended");
                return NULL;
        }
        /* A foreign cont would let the guest run before the plan's commands are done. */
        if (command->changes && s->state == VM_STARTING) {
                error_set(err, ERROR_BUSY, "the VM is starting");
                return NULL;
        }
        if (command->changes && (s->state == VM_QUITTING || s->state == VM_RESTARTING)) {
                error_set(err, ERROR_BUSY, "the VM is %s", vm_state_name(s->state));
                return NULL;
        }
        if (!wire_is_up(s)) {
                error_set(err, ERROR_BUSY, "QEMU does not answer");
                return NULL;
        }
        if (agent_may_forward(s, command->name, err) < 0)
                return NULL;
        if (command->changes) {
                _cleanup_free_ char *who = who_text(peer), *shown = text_printable(command->name);

                s->changed_by_hand = s->changed_by_hand || command->by_hand;
                supervisor_story(s, "%s by %s%s", shown, who,
                                 command->by_hand ? ": the VM is changed by hand" : "");
        }
        return s->qmp;
}

static int on_keys(const json_t *keys, void *data, struct error **err)
{
        const struct supervisor *s = data;

        return applies_check_keys(s->applies, keys, err);
}

static void on_client_wire(const struct control_peer *peer, bool sent, const json_t *message, void *data)
{
        struct supervisor *s = data;
        char channel[40];

        snprintf(channel, sizeof(channel), "client%llu", peer->client);
        recorder_message(s->recorder, channel, sent, message);
}

/* The VM lives without it. */
static void open_recorder(struct supervisor *s)
{
        _cleanup_free_ char *path = NULL, *begins = xasprintf("generation %s", s->generation);
        _cleanup_error_ struct error *err = NULL;
        size_t length = s->plan->log_path ? strlen(s->plan->log_path) : 0;

        if (length < 4)
                return;
        /* NAME.wire beside NAME.log */
        path = xasprintf("%.*s.wire", (int)(length - 4), s->plan->log_path);
        s->recorder = recorder_open(path, &err);
        if (!s->recorder) {
                _cleanup_free_ char *text = error_text(err);

                log_warning("%s: nothing is recorded: %s", s->plan->name, text);
        }
        recorder_note(s->recorder, begins);
}

static struct qmp_client *on_clean_up(void *data)
{
        struct supervisor *s = data;

        return wire_is_up(s) ? s->qmp : NULL;
}

static void on_answer(bool in_time, void *data)
{
        struct supervisor *s = data;

        if (!in_time && s->state < VM_GONE)
                wire_overdue(s);
}

static void on_cut_off(const struct control_peer *peer, const char *why, void *data)
{
        struct supervisor *s = data;

        log_warning("%s: client with uid %u, pid %d is cut off: %s", s->plan->name, (unsigned)peer->uid,
                    (int)peer->pid, why);
}

static void on_gone(const struct control_peer *peer, void *data)
{
        struct supervisor *s = data;

        leases_client_gone(s->leases, peer->client);
        applies_client_gone(s->applies, peer->client);
}

static const struct control_handlers control_handlers = {
        .on_own = on_own,
        .on_forward = on_forward,
        .on_keys = on_keys,
        .on_answer = on_answer,
        .on_clean_up = on_clean_up,
        .on_wire = on_client_wire,
        .on_cut_off = on_cut_off,
        .on_gone = on_gone,
};

int supervisor_resume_control(struct supervisor *s, const json_t *state, struct handover *handover,
                              struct control_call **ret_call, struct error **err)
{
        struct control_roles roles;

        open_recorder(s);
        apply_open(s);
        control_roles_init(&roles, s->plan->confine.uid);
        s->control = control_resume(s->loop, state, handover, s->plan->name, s->generation, &roles,
                                    &control_handlers, s, ret_call, err);
        return s->control ? 0 : -1;
}

int supervisor_open_control(struct supervisor *s, struct error **err)
{
        struct control_roles roles;
        int fd;

        open_recorder(s);
        apply_open(s);
        fd = unit_stored_control(s);
        if (fd < 0 && control_listen(s->vm->fd, "control.sock", &fd, err) < 0)
                return -1;
        unit_store(s, fd);
        control_roles_init(&roles, s->plan->confine.uid);
        s->control = control_new(s->loop, fd, s->plan->name, s->generation, &roles, &control_handlers, s);
        return 0;
}
