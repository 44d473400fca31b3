/* vmlaunch-apply: what a fragment needs of the supervisor, and what the control socket says. */
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/number.h"
#include "launcher/run/live_template.h"
#include "launcher/run/supervisor_parts.h"
#include "launcher/state/crash_point.h"
#include "launcher/state/machine_lock.h"

#define LIVE_MAX (4u << 20)

static struct qmp_client *qemu(void *data)
{
        struct supervisor *s = data;

        return wire_is_up(s) ? s->qmp : NULL;
}

static char *change_live(const json_t *live, void *data, struct error **err)
{
        const struct supervisor *s = data;
        _cleanup_free_ char *text = NULL;

        if (fd_read_file_at(s->vm->fd, "live.tmpl", LIVE_MAX, &text, NULL, err) < 0)
                return NULL;
        return live_template_change(text, live, s->options->site, s->plan->name, err);
}

static const json_t *devices(void *data)
{
        const struct supervisor *s = data;

        return s->plan->devices;
}

/* Where the guest has seen a new device: there it is again after a start, and nobody else meanwhile. And what was under a new
 * image before QEMU could write its header. */
static int keep_places(struct supervisor *s, const json_t *places, struct error **err)
{
        const char *state = s->options->site->paths.state, *id;
        _cleanup_(machine_lock_freep) struct machine_lock *lock = NULL;
        json_t *place;

        if (json_object_size(places) == 0)
                return 0;
        if (machine_lock_read(state, s->plan->name, &lock, err) < 0)
                return -1;
        if (!lock)
                return error_set(err, ERROR_FAILED, "there is no machine.lock");
        json_object_foreach ((json_t *)places, id, place) {
                if (*id != '/')
                        machine_lock_set(lock, id, json_string_value(place));
                else if (!machine_lock_backing(lock, id))
                        machine_lock_add_image(lock, id, json_string_value(place));
        }
        return machine_lock_write(state, s->plan->name, lock, err);
}

static void committed(const char *live, const json_t *new_devices, const json_t *places, bool helpers,
                      void *data)
{
        struct supervisor *s = data;
        _cleanup_error_ struct error *err = NULL;

        if (live && fd_write_file_at(s->vm->fd, "live.tmpl", live, strlen(live), 0600, 0, &err) < 0) {
                _cleanup_free_ char *text = error_text(err);

                /* The change is there whatever the file says: the journal keeps it for a successor. */
                supervisor_story(s, "live.tmpl could not be written: %s", text);
        }
        crash_point(CRASH_APPLY_LIVE_WRITTEN);
        error_free(TAKE_PTR(err));
        if (keep_places(s, places, &err) < 0) {
                _cleanup_free_ char *text = error_text(err);

                supervisor_story(s, "machine.lock could not be written: %s", text);
        }
        if (new_devices) {
                json_array_clear(s->plan->devices);
                json_array_extend(s->plan->devices, (json_t *)new_devices);
        }
        if (helpers)
                steps_attend(s, false);
        supervisor_flush(s);
}

static void tell_story(const char *text, void *data)
{
        supervisor_story(data, "%s", text);
}

static int take_lock(const char *name, const char *what, bool shared, void *data, struct error **err)
{
        struct supervisor *s = data;

        return execution_take_lock(s->execution, name, what, shared, err);
}

static void drop_lock(const char *name, void *data)
{
        struct supervisor *s = data;

        execution_drop_lock(s->execution, name);
}

static void device_state(const char *id, const char *state, void *data)
{
        struct supervisor *s = data;
        json_t *device;
        size_t i;

        json_array_foreach (s->plan->devices, i, device) {
                const char *is = json_member_string(device, "id");

                if (!is || strcmp(is, id) != 0)
                        continue;
                if (state)
                        json_object_set_new(device, "state", json_string(state));
                else
                        json_object_del(device, "state");
                supervisor_changed(s);
        }
}

static struct fragment_vm fragment_vm(void *data)
{
        const struct supervisor *s = data;

        return (struct fragment_vm){
                .name = s->plan->name,
                .generation = s->generation,
                .link_group = (uint32_t)s->plan->confine.uid,
                .cgroup = s->plan->cgroup,
                .unit = s->plan->unit,
        };
}

static void ended(void *data)
{
        supervisor_begin_undo(data);
}

void apply_open(struct supervisor *s)
{
        static const struct apply_host host = {
                .qemu = qemu,
                .change_live = change_live,
                .devices = devices,
                .committed = committed,
                .story = tell_story,
                .take_lock = take_lock,
                .drop_lock = drop_lock,
                .device_state = device_state,
                .fragment_vm = fragment_vm,
                .ended = ended,
        };

        s->applies = applies_new(s->loop, s->vm, &s->options->host->cgroup, s->generation, &host, s);
        applies_go_on(s->applies, s->last_change);
}

/* What clients ask for. */

static void answer(json_t *value_consume, const struct error *error, void *data)
{
        control_answer(data, value_consume, error);
}

static int may_apply(const struct supervisor *s, struct error **err)
{
        if (s->exited || s->state >= VM_GONE)
                return error_set(err, ERROR_NOT_RUNNING, "QEMU has ended");
        if (s->state == VM_STARTING || s->state == VM_QUITTING || s->state == VM_RESTARTING)
                return error_set(err, ERROR_BUSY, "the VM is %s", vm_state_name(s->state));
        return 0;
}

/* {"commit":N} or {"abort":N}. */
static int settle(struct supervisor *s, json_t *arguments, const struct control_peer *peer,
                  struct error **err)
{
        bool commits = json_is_integer(json_object_get(arguments, "commit"));
        struct control_call *call;
        json_error_t why;
        json_int_t id;

        if (json_unpack_ex(arguments, &why, JSON_STRICT, "{s:I}", commits ? "commit" : "abort", &id) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        if (!applies_waits(s->applies, id, peer->client))
                return error_set(err, ERROR_FAILED, "no change %lld of this connection waits for its commit",
                                 (long long)id);
        call = control_answer_later(s->control);
        if (commits)
                applies_commit(s->applies, answer, call);
        else
                applies_abort(s->applies, answer, call);
        return 0;
}

/* {"look":true}. An admin's, as what it shows. */
static int look(struct supervisor *s, const json_t *arguments, const struct control_peer *peer,
                struct error **err)
{
        if (json_object_size(arguments) != 1 || !json_member_is_true(arguments, "look"))
                return error_set(err, ERROR_FAILED, "look is true, and alone");
        if (peer->role < ROLE_ADMIN)
                return error_set(err, ERROR_NOT_PERMITTED, "look is for admins");
        if (!qemu(s))
                return error_set(err, ERROR_BUSY, "QEMU does not answer");
        applies_look(s->applies, answer, control_answer_later(s->control));
        return 0;
}

static int read_request(const struct supervisor *s, json_t *arguments, size_t n_fds,
                        const struct control_peer *peer, struct apply_request *ret, struct error **err)
{
        const struct fragment_vm vm = fragment_vm((void *)s);
        double timeout_s = APPLY_COMMIT_S;
        const json_t *fragment;
        json_error_t why;
        int commits = 1;

        if (json_unpack_ex(arguments, &why, JSON_STRICT, "{s:o, s?b, s?F}", "fragment", &fragment, "commit",
                           &commits, "timeout", &timeout_s) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        if (!(timeout_s > 0 && timeout_s <= APPLY_COMMIT_MAX_S))
                return error_set(err, ERROR_FAILED, "timeout is not between 0 and %d seconds",
                                 APPLY_COMMIT_MAX_S);
        ret->wait_for_commit = !commits;
        ret->commit_ms = (unsigned)number_ceil(timeout_s * 1000);
        if (fragment_read(fragment, &vm, peer->role, n_fds, &ret->fragment, err) < 0)
                return -1;
        if (!ret->fragment->forward || commits)
                return 0;
        fragment_free(TAKE_PTR(ret->fragment));
        return error_set(err, ERROR_FAILED, "what takes away cannot wait for its commit");
}

int apply_command(struct supervisor *s, json_t *arguments, int *fds, size_t n_fds,
                  const struct control_peer *peer, struct error **err)
{
        _cleanup_free_ char *who = xasprintf("uid %u (pid %d)", (unsigned)peer->uid, (int)peer->pid);
        struct apply_request request = { .fds = fds, .client = peer->client, .who = who };
        const char *unsettled;

        if (may_apply(s, err) < 0)
                return -1;
        if (!arguments)
                return error_set(err, ERROR_FAILED, "fragment is missing");
        if (json_object_get(arguments, "change"))
                return operator_command(s, arguments, who, err);
        if (json_object_get(arguments, "look"))
                return look(s, arguments, peer, err);
        if (!json_object_get(arguments, "fragment"))
                return settle(s, arguments, peer, err);
        if (read_request(s, arguments, n_fds, peer, &request, err) < 0)
                return -1;
        unsettled = control_unsettled(s->control, request.fragment->keys);
        if (unsettled || applies_are_full(s->applies)) {
                fragment_free(request.fragment);
                return unsettled
                               ? error_set(err, ERROR_BUSY,
                                           "'%s' was not answered in its time and what it did is not known",
                                           unsettled)
                               : error_set(err, ERROR_BUSY, "%d changes of the VM wait already", APPLY_QUEUE);
        }
        applies_begin(s->applies, &request, answer, control_answer_later(s->control));
        return 0;
}

void apply_adopt(struct supervisor *s)
{
        _cleanup_error_ struct error *err = NULL;

        if (applies_adopt(s->applies, &err) < 0) {
                _cleanup_free_ char *text = error_text(err);

                supervisor_story(s, "%s", text);
        }
}
