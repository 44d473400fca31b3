/*
 * A fragment that takes away: device first, then what it was made of.
 *
 * Once the guest has given a device back there is no way but forward, so nothing of it is undone: a step that cannot be
 * done now is tried again, and a successor goes on where the last one stopped. The whole fragment is in the journal. While
 * the guest keeps the device the change is parked (unplug-pending): its client has its answer, and the guest's late event
 * goes on with it.
 */
#include <string.h>

#include "base/json_member.h"
#include "launcher/run/apply_parts.h"
#include "launcher/run/command_table.h"
#include "launcher/run/execute.h"
#include "launcher/run/fragment_journal.h"
#include "launcher/state/crash_point.h"
#include "qmp/ops_object.h"

/* Guest's words for a slot (ACPI_DEVICE_OST, qemu-lab 6): 0 done, 132 under way, others refuse. */
#define OST_EJECT       3
#define OST_DONE        0
#define OST_IN_PROGRESS 132

static void go(struct apply *apply);

static const struct fragment_step *step_now(const struct apply *apply)
{
        return &apply->fragment->steps[apply->at];
}

/* The device that a step waits for the guest to give back; NULL: it waits for none. */
static const char *awaited_device(const struct fragment_step *step)
{
        return step->await_event ? step->await_value : NULL;
}

const char *apply_forward_device(const struct apply *apply)
{
        for (size_t i = 0; apply->fragment && i < apply->fragment->n_steps; i++)
                if (awaited_device(&apply->fragment->steps[i]))
                        return awaited_device(&apply->fragment->steps[i]);
        return NULL;
}

static void stop_waiting(struct apply *apply)
{
        loop_remove(apply->applies->loop, apply->timer);
        apply->timer = NULL;
}

/* It is in nobody's hands; taken up again at the guest's event, another request, or (retry) after a while. */
static void park(struct apply *apply, struct error *why_consume, bool retry)
{
        stop_waiting(apply);
        apply_answer(apply, NULL, why_consume);
        error_free(why_consume);
        apply->state = APPLY_OWED;
        apply->client = 0;
        if (retry)
                apply_retry_later(apply);
        apply_step_aside(apply);
}

void apply_forward_uncommitted(struct apply *apply, struct error *why_consume)
{
        error_wrap(&why_consume, "it is taken away, which could not be written down");
        park(apply, why_consume, true);
}

/* Nothing was taken away. */
static void give_up(struct apply *apply, struct error *why_consume, const char *device_state)
{
        struct applies *applies = apply->applies;
        json_auto_t *entry = json_pack("{s:{s:I, s:b}}", "apply", "id", apply->id, "undone", 1);
        _cleanup_error_ struct error *unwritten = NULL;
        const char *device = apply_forward_device(apply);

        stop_waiting(apply);
        crash_point(CRASH_APPLY_UNDONE);
        if (journal_append(applies->vm->fd, entry, &unwritten) < 0 ||
            fragment_journal_compact(applies->vm->fd, &applies->journal, &unwritten) < 0)
                apply_story(apply, "%s", unwritten->message);
        if (device)
                applies->host.device_state(device, device_state, applies->data);
        apply_answer(apply, NULL, why_consume);
        error_free(why_consume);
        apply_step_aside(apply);
        apply_free(apply);
}

/* A question of ours is on its way to QEMU, and its answer goes on with it. */
static bool waits_for_answer(struct apply *apply)
{
        stop_waiting(apply);
        if (!apply->asked)
                return false;
        apply->state = APPLY_AWAITING;
        return true;
}

static void step_done(struct apply *apply)
{
        const char *device = awaited_device(step_now(apply));

        apply->seen = true;
        if (waits_for_answer(apply))
                return;
        if (device && apply->pending) {
                apply->pending = false;
                apply_story(apply, "the guest has given '%s' back", device);
        }
        apply->at++;
        go(apply);
}

static void on_not_given_back(void *data)
{
        struct apply *apply = data;
        const struct fragment_step *step = step_now(apply);
        struct error *error = NULL;

        apply->timer = NULL;
        error_set(&error, ERROR_DEADLINE, "the guest has not given '%s' back in %u s; it is unplug-pending",
                  step->await_value, step->await_ms / 1000);
        error_hint(&error, "it goes as soon as the guest lets go; the same command asks again");
        if (!apply->pending)
                apply_story(apply, "'%s' is unplug-pending: the guest keeps it", step->await_value);
        apply->pending = true;
        apply->applies->host.device_state(step->await_value, "unplug-pending", apply->applies->data);
        park(apply, error, false);
}

static void refused(struct apply *apply)
{
        const char *device = awaited_device(step_now(apply));
        struct error *error = NULL;

        if (waits_for_answer(apply))
                return;
        error_set(&error, ERROR_GUEST, "the guest does not give '%s' back", device);
        if (apply->at == 0) {
                apply_story(apply, "the guest refused to give '%s' back", device);
                give_up(apply, error, "unplug-refused");
                return;
        }
        apply->applies->host.device_state(device, "unplug-refused", apply->applies->data);
        park(apply, error, true);
}

/* Is what was to be taken away there? QEMU has refused to. */
static void on_objects(json_t *reply, const struct error *error, void *data)
{
        struct apply *apply = data;
        const struct fragment_step *step = step_now(apply);
        _cleanup_free_ char *id = NULL;

        apply->in_qemu = false;
        if (apply_is_over(apply))
                return;
        id = apply_object_id(step->command, json_object_get(step->args, "arguments"));
        if (reply && !ops_objects_have((enum qemu_objects)apply_query_of(step->command->object), reply, id)) {
                error_free(TAKE_PTR(apply->error));
                step_done(apply);
                return;
        }
        if (!apply->error)
                apply->error = error_copy(error);
        error_wrap(&apply->error, "%s of '%s'", step->command->name, id);
        if (apply->at == 0)
                give_up(apply, TAKE_PTR(apply->error), NULL);
        else
                park(apply, TAKE_PTR(apply->error), true);
}

static void not_done(struct apply *apply, const struct error *error)
{
        const struct fragment_step *step = step_now(apply);
        struct qmp_client *qmp = apply->applies->host.qemu(apply->applies->data);

        if (error->code == ERROR_QMP && strcmp(error->qmp_class, "DeviceNotFound") == 0) {
                step_done(apply);
                return;
        }
        if (error->code == ERROR_QMP && qmp && apply_query_of(step->command->object) >= 0) {
                apply->error = error_copy(error);
                apply->in_qemu = true;
                ops_query_objects(qmp, (enum qemu_objects)apply_query_of(step->command->object), on_objects,
                                  apply);
                return;
        }
        /* Nobody knows: it is asked again, and what is done twice does no harm. */
        if (apply->at == 0 && error->code == ERROR_BUSY)
                give_up(apply, error_copy(error), NULL);
        else
                park(apply, error_copy(error), true);
}

static void on_step(json_t *reply, const struct error *error, void *data)
{
        struct apply *apply = data;
        const struct fragment_step *step = step_now(apply);

        apply->in_qemu = false;
        if (apply_is_over(apply))
                return;
        if (!reply) {
                not_done(apply, error);
                return;
        }
        crash_point_effect(plan_effect_name(EFFECT_QMP), CRASH_DONE);
        if (apply->refused) {
                refused(apply);
        } else if (!step->await_event || apply->seen) {
                step_done(apply);
        } else {
                apply->state = APPLY_AWAITING;
                apply->timer =
                        loop_add_deadline(apply->applies->loop, step->await_ms, on_not_given_back, apply);
        }
}

static void send_step(struct apply *apply)
{
        const struct fragment_step *step = step_now(apply);
        struct qmp_client *qmp = apply->applies->host.qemu(apply->applies->data);
        struct error *error = NULL;

        if (!qmp) {
                error_set(&error, ERROR_BUSY, "QEMU does not answer");
                not_done(apply, error);
                error_free(error);
                return;
        }
        apply->state = APPLY_QMP;
        apply->in_qemu = true;
        apply->seen = false;
        error_free(TAKE_PTR(apply->refused));
        crash_point_effect(plan_effect_name(EFFECT_QMP), CRASH_DO);
        qmp_client_call(qmp, step->command->name, json_incref(json_object_get(step->args, "arguments")),
                        control_command_find(step->command->name)->class, NULL, 0, on_step, apply);
        crash_point(CRASH_APPLY_SENT);
}

/* Steps of the run that are over. */

static bool is_wanted(const json_t *step, const json_t *args)
{
        const char *member = json_member_string(args, "member");

        const json_t *path = json_object_get(args, "path");

        return json_equal(json_object_get(step, "effect"), json_object_get(args, "effect")) &&
               (!path || json_equal(json_object_get(json_object_get(step, "args"), "path"), path)) &&
               json_equal(json_object_get(json_object_get(step, "args"), member),
                          json_object_get(args, "value"));
}

static const char *lock_of(const json_t *step)
{
        return json_member_string(json_object_get(step, "learned"), "lock");
}

static int take_back_image(struct apply *apply, const json_t *step, struct error **err)
{
        struct applies *applies = apply->applies;
        json_auto_t *entry = json_pack("{s:O, s:b}", "n", json_object_get(step, "n"), "undone", 1);

        crash_point_effect(plan_effect_name(EFFECT_IMAGE_OPEN), CRASH_UNDO);
        /* First: what is tried again drops no other disk's lock of the same image. */
        if (journal_append(applies->vm->fd, entry, err) < 0)
                return -1;
        if (lock_of(step))
                applies->host.drop_lock(lock_of(step), applies->data);
        crash_point_effect(plan_effect_name(EFFECT_IMAGE_OPEN), CRASH_UNDONE);
        return 0;
}

static void on_host_undone(const struct error *error, const json_t *undone, void *data)
{
        struct apply *apply = data;

        (void)undone;
        if (!apply_helper_ended(apply))
                return;
        if (error) {
                park(apply, error_copy(error), true);
                return;
        }
        /* The rest of its steps, and when there are none the next of ours. */
        go(apply);
}

static void take_back(struct apply *apply)
{
        struct applies *applies = apply->applies;
        const json_t *args = step_now(apply)->args;
        json_auto_t *steps = NULL;
        struct error *error = NULL;
        size_t n;

        if (journal_steps_read(applies->vm->fd, &steps, &error) < 0) {
                park(apply, error, true);
                return;
        }
        n = json_array_size(steps);
        while (n > 0 && !is_wanted(json_array_get(steps, n - 1), args))
                n--;
        if (n == 0) {
                step_done(apply);
                return;
        }
        if (strcmp(json_member_string(args, "effect"), plan_effect_name(EFFECT_IMAGE_OPEN)) == 0) {
                if (take_back_image(apply, json_array_get(steps, n - 1), &error) < 0)
                        park(apply, error, true);
                else
                        take_back(apply);
                return;
        }
        apply->state = APPLY_HOST;
        /* Of an image that was made: its file goes now. */
        if (lock_of(json_array_get(steps, n - 1)))
                applies->host.drop_lock(lock_of(json_array_get(steps, n - 1)), applies->data);
        {
                json_int_t last = json_member_integer(json_array_get(steps, n - 1), "n"), first = last;

                /* Those of one tap are one behind the other. */
                while (n > 1 && is_wanted(json_array_get(steps, n - 2), args)) {
                        n--;
                        first = json_member_integer(json_array_get(steps, n - 1), "n");
                }
                apply->helper = host_helper_undo_steps(applies->loop, applies->vm, applies->cgroup, first,
                                                       last, APPLY_HOST_MS, on_host_undone, apply, &error);
        }
        if (!apply->helper)
                park(apply, error, true);
}

static void go(struct apply *apply)
{
        if (apply->at == apply->fragment->n_steps) {
                apply_commit_now(apply);
                return;
        }
        if (step_now(apply)->effect == EFFECT_QMP)
                send_step(apply);
        else
                take_back(apply);
}

void apply_forward_begin(struct apply *apply)
{
        struct applies *applies = apply->applies;
        json_auto_t *entry = NULL;
        struct error *error = NULL;

        entry = json_pack("{s:{s:I, s:I, s:s, s:O}}", "apply", "id", apply->id, "begin", apply->first, "who",
                          apply->who, "forward", apply->fragment->source);
        if (journal_append(applies->vm->fd, entry, &error) < 0) {
                give_up(apply, error, NULL);
                return;
        }
        crash_point(CRASH_APPLY_BEGUN);
        go(apply);
}

void apply_forward_again(struct apply *apply)
{
        /* A device that the guest has not given back is asked for again by its client only. */
        if (apply->at < apply->fragment->n_steps && awaited_device(step_now(apply)) && apply->pending) {
                apply->state = APPLY_AWAITING;
                if (apply->refused)
                        refused(apply);
                else if (apply->seen)
                        step_done(apply);
                else
                        on_not_given_back(apply);
                return;
        }
        /* Owed no more: what steps aside in that state is kept. */
        apply->state = APPLY_QMP;
        go(apply);
}

/* A vCPU goes without naming itself: is it there? */
static void on_whether_there(json_t *reply, const struct error *error, void *data)
{
        struct apply *apply = data;
        const struct fragment_step *step;

        (void)error;
        apply->asked--;
        if (apply_is_over(apply))
                return;
        step = apply->at < apply->fragment->n_steps ? step_now(apply) : NULL;
        if (!step || !awaited_device(step))
                return;
        if (reply && !ops_objects_have(QEMU_DEVICES, reply, awaited_device(step)))
                apply->seen = true;
        if (apply->state == APPLY_AWAITING && apply->seen)
                step_done(apply);
        else if (apply->state == APPLY_AWAITING && apply->refused)
                refused(apply);
        else if (apply->state == APPLY_OWED && apply->seen)
                applies_try_again(apply->applies);
}

static bool may_be_about(const struct fragment_step *step, const char *name, const json_t *event_data)
{
        const char *path = json_member_string(event_data, "path");
        const json_t *info = json_object_get(event_data, "info");
        _cleanup_free_ char *below = xasprintf("/peripheral/%s/", step->await_value);

        if (strcmp(name, "DEVICE_DELETED") == 0)
                return path && strstr(path, below);
        return strcmp(name, "ACPI_DEVICE_OST") == 0 && !json_object_get(info, "device") &&
               json_member_integer(info, "source") == OST_EJECT &&
               json_member_integer(info, "status") == OST_DONE;
}

static void ask_whether_there(struct apply *apply)
{
        struct qmp_client *qmp = apply->applies->host.qemu(apply->applies->data);

        if (!qmp || apply->asked)
                return;
        apply->asked++;
        ops_query_objects(qmp, QEMU_DEVICES, on_whether_there, apply);
}

static bool is_about(const struct fragment_step *step, const json_t *event_data)
{
        const char *is = json_member_string(event_data, step->await_member);

        return is && step->await_value && strcmp(is, step->await_value) == 0;
}

/* 1: given back, -1: refused, 0: neither. */
static int outcome(const struct fragment_step *step, const char *name, const json_t *event_data)
{
        const json_t *info = json_object_get(event_data, "info");
        json_int_t status = json_member_integer(info, "status");

        if (strcmp(name, "ACPI_DEVICE_OST") == 0)
                return json_member_integer(info, "source") == OST_EJECT && status != OST_DONE &&
                                       status != OST_IN_PROGRESS && is_about(step, info)
                               ? -1
                               : 0;
        if (!is_about(step, event_data))
                return 0;
        if (strcmp(name, step->await_event) == 0)
                return 1;
        return strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") == 0 ? -1 : 0;
}

bool apply_forward_event(struct apply *apply, const char *name, const json_t *event_data)
{
        const struct fragment_step *step = apply->at < apply->fragment->n_steps ? step_now(apply) : NULL;
        int is = step && step->await_event ? outcome(step, name, event_data) : 0;

        if (is == 0 && step && step->await_event && may_be_about(step, name, event_data))
                ask_whether_there(apply);
        if (is > 0) {
                apply->seen = true;
                if (apply->state == APPLY_AWAITING)
                        step_done(apply);
        } else if (is < 0) {
                if (!apply->refused)
                        error_set(&apply->refused, ERROR_GUEST, "the guest does not give '%s' back",
                                  step->await_value);
                if (apply->state == APPLY_AWAITING)
                        refused(apply);
        }
        return is != 0;
}
