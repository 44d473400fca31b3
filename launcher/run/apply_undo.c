/* The way back of a fragment: what the journal says that it did, newest first. */
#include <string.h>

#include "base/json_member.h"
#include "launcher/run/apply_parts.h"
#include "launcher/run/command_table.h"
#include "launcher/run/fragment_journal.h"
#include "launcher/state/crash_point.h"
#include "qmp/ops_object.h"

static void go_on(struct apply *apply);

static json_t *newest(const struct apply *apply)
{
        size_t n = json_array_size(apply->owed);

        return n ? json_array_get(apply->owed, n - 1) : NULL;
}

static json_int_t number(const json_t *step)
{
        return json_member_integer(step, "n");
}

static bool is_qmp(const json_t *step)
{
        return strcmp(json_member_string(step, "effect"), plan_effect_name(EFFECT_QMP)) == 0;
}

/* The command of the newest step's undo that is worked on. */
static const struct fragment_command *command_now(const struct apply *apply, const json_t **ret_arguments)
{
        const json_t *undo = json_array_get(json_object_get(newest(apply), "undo"), apply->undo_at);
        const char *name = json_member_string(undo, "execute");

        *ret_arguments = json_object_get(undo, "arguments");
        return name ? fragment_command_find(name) : NULL;
}

static bool is_image(const json_t *step)
{
        return strcmp(json_member_string(step, "effect"), plan_effect_name(EFFECT_IMAGE_OPEN)) == 0;
}

/* Done and undone by the host helper. */
static bool is_helpers(const json_t *step)
{
        return !is_qmp(step) && !is_image(step);
}

static void mark(struct apply *apply, json_t *entry_consume)
{
        json_auto_t *entry = entry_consume;
        _cleanup_error_ struct error *unwritten = NULL;

        /* Undone twice does no harm. */
        if (journal_append(apply->applies->vm->fd, entry, &unwritten) < 0)
                apply_story(apply, "%s", unwritten->message);
}

static void step_undone(struct apply *apply)
{
        mark(apply, json_pack("{s:I, s:b}", "n", number(newest(apply)), "undone", 1));
        json_array_remove(apply->owed, json_array_size(apply->owed) - 1);
        apply->undo_at = 0;
        crash_point_effect(plan_effect_name(EFFECT_QMP), CRASH_UNDONE);
        go_on(apply);
}

static void command_done(struct apply *apply)
{
        loop_remove(apply->applies->loop, apply->timer);
        apply->timer = NULL;
        apply->undo_at++;
        go_on(apply);
}

/* Tells who waits: the reason, and whether it is over. */
static void tell(struct apply *apply, const struct error *left)
{
        struct error *error = NULL;

        if (left) {
                _cleanup_free_ char *why =
                        apply->error ? error_text(apply->error) : xstrdup("abort asked for");
                _cleanup_free_ char *rest = error_text(left);

                error_set(&error, ERROR_DEADLINE, "%s; it is not yet undone, which is tried on: %s", why,
                          rest);
                apply_answer(apply, NULL, error);
        } else if (apply->error) {
                apply_answer(apply, NULL, apply->error);
        } else {
                apply_answer(apply, json_pack("{s:I}", "id", apply->id), NULL);
        }
        error_free(error);
}

static void on_retry(void *data)
{
        struct apply *apply = data;

        apply->timer = NULL;
        applies_try_again(apply->applies);
}

void apply_retry_later(struct apply *apply)
{
        unsigned wait_ms = APPLY_RETRY_MS << (apply->tries < 5 ? apply->tries : 5);

        apply->tries++;
        loop_remove(apply->applies->loop, apply->timer);
        apply->timer = loop_add_deadline(apply->applies->loop,
                                         wait_ms < APPLY_RETRY_LONGEST_MS ? wait_ms : APPLY_RETRY_LONGEST_MS,
                                         on_retry, apply);
}

/* Not now. */
static void put_off(struct apply *apply, struct error *why_consume)
{
        _cleanup_free_ char *why = error_text(why_consume);

        if (apply->tries == 0)
                apply_story(apply, "change %d is not yet undone: %s", (int)apply->id, why);
        tell(apply, why_consume);
        error_free(why_consume);
        apply_retry_later(apply);
        apply->state = APPLY_OWED;
        apply->undo_at = 0;
        apply_step_aside(apply);
}

static void over(struct apply *apply)
{
        _cleanup_error_ struct error *unsettled = NULL;

        mark(apply, json_pack("{s:{s:I, s:b}}", "apply", "id", apply->id, "undone", 1));
        crash_point(CRASH_APPLY_UNDONE);
        if (fragment_journal_compact(apply->applies->vm->fd, &apply->applies->journal, &unsettled) < 0)
                apply_story(apply, "%s", unsettled->message);
        if (apply->error) {
                _cleanup_free_ char *why = error_text(apply->error);

                apply_story(apply, "change %d by %s is undone: %s", (int)apply->id, apply->who, why);
        } else {
                apply_story(apply, "change %d by %s is undone", (int)apply->id, apply->who);
        }
        tell(apply, NULL);
        apply_step_aside(apply);
        apply_free(apply);
}

/* Host steps: the helper's. */

bool apply_helper_ended(struct apply *apply)
{
        const struct applies *applies = apply->applies;

        apply->helper = NULL;
        if (!applies->ended)
                return true;
        if (apply_is_over(apply))
                applies->host.ended(applies->data);
        return false;
}

static void on_host_undone(const struct error *error, const json_t *undone, void *data)
{
        struct apply *apply = data;
        struct applies *applies = apply->applies;

        (void)undone;
        if (!apply_helper_ended(apply))
                return;
        if (error) {
                put_off(apply, error_copy(error));
                return;
        }
        while (newest(apply) && is_helpers(newest(apply))) {
                const char *lock = json_member_string(newest(apply), "lock");

                if (lock)
                        applies->host.drop_lock(lock, applies->data);
                json_array_remove(apply->owed, json_array_size(apply->owed) - 1);
        }
        go_on(apply);
}

static void undo_host_steps(struct apply *apply)
{
        struct applies *applies = apply->applies;
        json_int_t first = number(newest(apply)), last = first;
        struct error *error = NULL;

        for (size_t i = json_array_size(apply->owed); i-- > 0 && is_helpers(json_array_get(apply->owed, i));)
                first = number(json_array_get(apply->owed, i));
        apply->helper = host_helper_undo_steps(applies->loop, applies->vm, applies->cgroup, first, last,
                                               APPLY_HOST_MS, on_host_undone, apply, &error);
        if (!apply->helper)
                put_off(apply, error);
}

/* The lock is ours, the fd QEMU's. */
static void undo_image_step(struct apply *apply)
{
        const struct applies *applies = apply->applies;
        const char *lock = json_member_string(newest(apply), "lock");

        crash_point_effect(plan_effect_name(EFFECT_IMAGE_OPEN), CRASH_UNDO);
        if (lock)
                applies->host.drop_lock(lock, applies->data);
        step_undone(apply);
}

/* QMP steps. */

static void on_not_given_back(void *data)
{
        struct apply *apply = data;
        struct error *error = NULL;

        apply->timer = NULL;
        error_set(&error, ERROR_DEADLINE, "the guest has not given a device back in %u ms", APPLY_UNPLUG_MS);
        put_off(apply, error);
}

static void on_command(json_t *reply, const struct error *error, void *data)
{
        struct apply *apply = data;
        const json_t *arguments;
        const struct fragment_command *command = command_now(apply, &arguments);

        apply->in_qemu = false;
        if (apply_is_over(apply))
                return;
        /* Names of fds and netdevs cannot be asked for: not there is what is wanted. For the former it is the only
         * error there is. */
        if (!reply && error->code == ERROR_QMP &&
            (command->object == OBJECT_FD ||
             (command->object == OBJECT_NETDEV && strcmp(error->qmp_class, "DeviceNotFound") == 0))) {
                command_done(apply);
                return;
        }
        /* A device that is on its way out already is refused: it is waited for all the same. */
        if (command->object == OBJECT_DEVICE && command->action == ACTION_REMOVE &&
            (reply || error->code == ERROR_QMP)) {
                if (apply->seen)
                        command_done(apply);
                else
                        apply->timer = loop_add_deadline(apply->applies->loop, APPLY_UNPLUG_MS,
                                                         on_not_given_back, apply);
                return;
        }
        if (!reply) {
                struct error *why = error_copy(error);

                error_wrap(&why, "%s", command->name);
                put_off(apply, why);
                return;
        }
        command_done(apply);
}

static void send_command(struct apply *apply, struct qmp_client *qmp)
{
        const json_t *arguments;
        const struct fragment_command *command = command_now(apply, &arguments);

        apply->in_qemu = true;
        apply->seen = false;
        qmp_client_call(qmp, command->name, json_incref((json_t *)arguments),
                        control_command_find(command->name)->class, NULL, 0, on_command, apply);
        crash_point(CRASH_APPLY_UNDO_SENT);
}

/* Is what is to be taken away there? */
static void on_objects(json_t *reply, const struct error *error, void *data)
{
        struct apply *apply = data;
        struct qmp_client *qmp = apply->applies->host.qemu(apply->applies->data);
        const json_t *arguments;
        const struct fragment_command *command = command_now(apply, &arguments);
        _cleanup_free_ char *id = apply_object_id(command, arguments);

        apply->in_qemu = false;
        if (apply_is_over(apply))
                return;
        if (!reply || !qmp) {
                struct error *why = error ? error_copy(error) : NULL;

                if (!why)
                        error_set(&why, ERROR_DEADLINE, "QEMU does not answer");
                put_off(apply, why);
        } else if (ops_objects_have((enum qemu_objects)apply_query_of(command->object), reply, id)) {
                send_command(apply, qmp);
        } else {
                command_done(apply);
        }
}

static void undo_qmp_step(struct apply *apply)
{
        struct qmp_client *qmp = apply->applies->host.qemu(apply->applies->data);
        const json_t *undo = json_object_get(newest(apply), "undo"), *arguments;
        const struct fragment_command *command = command_now(apply, &arguments);
        int query;

        if (apply->undo_at == 0)
                crash_point_effect(plan_effect_name(EFFECT_QMP), CRASH_UNDO);
        /* A journal of another version's may have commands that are none of ours. */
        if (!command && apply->undo_at < json_array_size(undo)) {
                command_done(apply);
                return;
        }
        if (!command) {
                step_undone(apply);
                return;
        }
        if (!qmp) {
                struct error *error = NULL;

                error_set(&error, ERROR_DEADLINE, "QEMU does not answer");
                put_off(apply, error);
                return;
        }
        query = command->action == ACTION_REMOVE ? apply_query_of(command->object) : -1;
        if (query < 0) {
                send_command(apply, qmp);
                return;
        }
        apply->in_qemu = true;
        ops_query_objects(qmp, (enum qemu_objects)query, on_objects, apply);
}

static void go_on(struct apply *apply)
{
        const json_t *step = newest(apply);

        if (!step)
                over(apply);
        else if (is_qmp(step))
                undo_qmp_step(apply);
        else if (is_image(step))
                undo_image_step(apply);
        else
                undo_host_steps(apply);
}

void apply_undo_event(struct apply *apply, const char *name, const json_t *event_data)
{
        const char *device = json_member_string(event_data, "device");
        const struct fragment_command *command;
        const json_t *arguments;
        struct error *error = NULL;
        const char *id;

        if (!newest(apply) || !is_qmp(newest(apply)) || !device)
                return;
        command = command_now(apply, &arguments);
        if (!command || command->object != OBJECT_DEVICE)
                return;
        id = json_member_string(arguments, command->id);
        if (!id || strcmp(id, device) != 0)
                return;
        if (strcmp(name, "DEVICE_DELETED") == 0) {
                apply->seen = true;
                if (apply->timer && !apply->in_qemu)
                        command_done(apply);
        } else if (strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") == 0 && apply->timer && !apply->in_qemu) {
                error_set(&error, ERROR_GUEST, "the guest does not give '%s' back", device);
                put_off(apply, error);
        }
}

/* What the journal says of it. */
static int read_owed(struct apply *apply, struct error **err)
{
        json_auto_t *fragments = NULL;
        json_int_t next, next_id;
        json_t *each;
        size_t i;

        if (fragment_journal_read(apply->applies->vm->fd, &fragments, &next, &next_id, err) < 0)
                return -1;
        json_decref(apply->owed);
        apply->owed = json_array();
        json_array_foreach (fragments, i, each) {
                if (json_member_integer(each, "id") == apply->id)
                        json_array_extend(apply->owed, json_object_get(each, "steps"));
        }
        return 0;
}

void apply_undo_again(struct apply *apply)
{
        struct error *error = NULL;

        loop_remove(apply->applies->loop, apply->timer);
        apply->timer = NULL;
        apply->state = APPLY_UNDOING;
        apply->undo_at = 0;
        if (read_owed(apply, &error) < 0)
                put_off(apply, error);
        else
                go_on(apply);
}

void apply_undo(struct apply *apply, struct error *why_consume)
{
        apply->error = why_consume;
        crash_point(CRASH_APPLY_UNDO);
        apply_undo_again(apply);
}

void apply_owe(struct apply *apply, struct error *why_consume)
{
        struct error *error = NULL;

        apply->error = why_consume;
        crash_point(CRASH_APPLY_UNDO);
        error_set(&error, ERROR_DEADLINE, "QEMU does not answer");
        put_off(apply, error);
}
