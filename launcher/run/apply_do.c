/*
 * One apply from its begin to its commit. It was checked (apply_check.c). What fails is undone (apply_undo.c); what takes away
 * goes another way (apply_forward.c).
 */
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "launcher/run/apply_parts.h"
#include "launcher/run/command_table.h"
#include "launcher/run/fragment_journal.h"
#include "launcher/state/crash_point.h"

bool apply_is_abandoned(const struct apply *apply)
{
        return apply->client == 0;
}

struct error *apply_abandoned(void)
{
        struct error *error = NULL;

        error_set(&error, ERROR_CANCELLED, "the client has gone");
        return error;
}

static void finished(struct apply *apply);

void apply_begin(struct apply *apply)
{
        struct applies *applies = apply->applies;
        struct error *error = NULL;
        json_auto_t *entry = NULL;

        if (fragment_journal_next(applies->vm->fd, &applies->journal, &apply->first, &error) < 0) {
                apply_refuse(apply, error);
                return;
        }
        if (apply->fragment->forward) {
                apply_forward_begin(apply);
                return;
        }
        entry = json_pack("{s:{s:I, s:I, s:s}}", "apply", "id", apply->id, "begin", apply->first, "who",
                          apply->who);
        if (journal_append(applies->vm->fd, entry, &error) < 0) {
                apply_refuse(apply, error);
                return;
        }
        crash_point(CRASH_APPLY_BEGUN);
        apply_next_step(apply);
}

static struct error *step_error(const struct apply *apply, const struct error *error, size_t step)
{
        _cleanup_free_ char *text = fragment_step_text(apply->fragment, step);
        struct error *why = error_copy(error);

        error_wrap(&why, "%s", text);
        return why;
}

static void fail(struct apply *apply, const struct error *error, size_t step)
{
        apply_undo(apply, step_error(apply, error, step));
}

void apply_step_failed(struct apply *apply, const struct error *error)
{
        fail(apply, error, apply->at);
}

static int find_fd(const struct apply *apply, const char *name)
{
        for (size_t i = 0; i < apply->fragment->n_fds; i++)
                if (strcmp(apply->fragment->fds[i], name) == 0)
                        return apply->fds[i];
        for (size_t i = 0; i < apply->n_opened; i++)
                if (strcmp(apply->opened[i].name, name) == 0)
                        return apply->opened[i].fd;
        return -1;
}

/* Host steps. */

static int take_locks(struct apply *apply, size_t first, size_t end, struct error **err)
{
        for (size_t i = first; i < end; i++) {
                const struct fragment_step *step = &apply->fragment->steps[i];

                if (step->effect == EFFECT_IMAGE_CREATE &&
                    apply_image_made(apply, step, find_fd(apply, json_member_string(step->args, "fd")), err) <
                            0)
                        return -1;
        }
        return 0;
}

static void on_host_done(const struct error *error, struct named_fd *fds, size_t n_fds, void *data)
{
        struct apply *apply = data;
        struct error *taken = NULL;

        if (!apply_helper_ended(apply))
                return;
        apply->at += apply->n_host;
        for (size_t i = 0; i < n_fds; i++) {
                ARRAY_GROW(apply->opened, apply->n_opened);
                apply->opened[apply->n_opened++] =
                        (struct named_fd){ .name = xstrdup(fds[i].name), .fd = TAKE_FD(fds[i].fd) };
        }
        /* It says which step. */
        if (error)
                apply_undo(apply, error_copy(error));
        else if (take_locks(apply, apply->at - apply->n_host, apply->at, &taken) < 0)
                apply_undo(apply, taken);
        else
                apply_next_step(apply);
}

/* QEMU has not been asked whose threads they are. */
static bool lacks_threads(const struct fragment_step *step)
{
        return step->effect == EFFECT_AFFINITY && !json_object_get(step->args, "threads");
}

static bool is_helpers(const struct fragment_step *step)
{
        return step->effect != EFFECT_QMP && step->effect != EFFECT_IMAGE_OPEN && !lacks_threads(step);
}

/* All up to the next step of ours. */
static void do_host_steps(struct apply *apply)
{
        struct applies *applies = apply->applies;
        const struct fragment *fragment = apply->fragment;
        json_auto_t *steps = json_array();
        struct error *error = NULL;
        unsigned ms = APPLY_HOST_MS;
        size_t i;

        for (i = apply->at; i < fragment->n_steps && is_helpers(&fragment->steps[i]); i++) {
                _cleanup_free_ char *text = fragment_step_text(fragment, i);

                if (fragment->steps[i].effect == EFFECT_SCRIPT)
                        ms += APPLY_SCRIPT_MS;
                if (fragment->steps[i].effect == EFFECT_IMAGE_CREATE)
                        ms += APPLY_IMAGE_MS;
                json_array_append_new(
                        steps, json_pack("{s:I, s:s, s:O, s:I, s:s}", "n", apply->first + (json_int_t)i,
                                         "effect", plan_effect_name(fragment->steps[i].effect), "args",
                                         fragment->steps[i].args, "apply", apply->id, "text", text));
        }
        apply->n_host = i - apply->at;
        apply->state = APPLY_HOST;
        apply->helper = host_helper_do(applies->loop, applies->vm, applies->cgroup, applies->generation,
                                       steps, ms, on_host_done, apply, &error);
        if (!apply->helper)
                apply_undo(apply, error);
}

/* QMP steps. */

void apply_step_done(struct apply *apply)
{
        loop_remove(apply->applies->loop, apply->timer);
        apply->timer = NULL;
        apply->at++;
        apply_next_step(apply);
}

static void journal_failed(struct apply *apply)
{
        json_auto_t *entry = json_pack("{s:I, s:b}", "n", apply->first + (json_int_t)apply->at, "failed", 1);
        _cleanup_error_ struct error *unwritten = NULL;

        /* Its undo is then tried in vain, which is all. */
        if (journal_append(apply->applies->vm->fd, entry, &unwritten) < 0)
                apply_story(apply, "%s", unwritten->message);
}

static void on_not_awaited(void *data)
{
        struct apply *apply = data;
        const struct fragment_step *step = &apply->fragment->steps[apply->at];
        _cleanup_error_ struct error *error = NULL;
        size_t at = apply->at;

        apply->timer = NULL;
        error_set(&error, ERROR_DEADLINE, "%s of '%s' has not come in %u ms", step->await_event,
                  step->await_value, step->await_ms);
        apply->at++;
        fail(apply, error, at);
}

static void refused_by_guest(struct apply *apply)
{
        journal_failed(apply);
        fail(apply, apply->refused, apply->at);
}

static void on_step(json_t *reply, const struct error *error, void *data)
{
        struct apply *apply = data;
        const struct fragment_step *step = &apply->fragment->steps[apply->at];
        size_t at = apply->at;

        apply->in_qemu = false;
        if (apply_is_over(apply))
                return;
        if (!reply) {
                /* Nothing was sent, or QEMU says that it was not done; else nobody knows. */
                if (error->code == ERROR_QMP || error->code == ERROR_BUSY) {
                        journal_failed(apply);
                        fail(apply, error, at);
                } else {
                        apply_owe(apply, step_error(apply, error, at));
                }
                return;
        }
        crash_point_effect(plan_effect_name(EFFECT_QMP), CRASH_DONE);
        if (apply->refused) {
                refused_by_guest(apply);
        } else if (!step->await_event || apply->seen || apply_is_abandoned(apply)) {
                apply_step_done(apply);
        } else {
                apply->state = APPLY_AWAITING;
                apply->timer = loop_add_deadline(apply->applies->loop, step->await_ms, on_not_awaited, apply);
        }
}

static int journal_qmp_step(const struct apply *apply, const struct fragment_step *step, struct error **err)
{
        /* No arguments: there may be a secret among them, and the undo does not need them. */
        json_auto_t *entry =
                json_pack("{s:I, s:s, s:{s:s}, s:I, s:O}", "n", apply->first + (json_int_t)apply->at,
                          "effect", plan_effect_name(step->effect), "args", "execute", step->command->name,
                          "apply", apply->id, "undo", step->undo);

        return journal_append(apply->applies->vm->fd, entry, err);
}

static void do_qmp_step(struct apply *apply)
{
        const struct applies *applies = apply->applies;
        const struct fragment_step *step = &apply->fragment->steps[apply->at];
        const struct control_command *command = control_command_find(step->command->name);
        struct qmp_client *qmp = applies->host.qemu(applies->data);
        int fd = step->fd ? find_fd(apply, step->fd) : -1;
        struct error *error = NULL;

        if (!qmp)
                error_set(&error, ERROR_BUSY, "QEMU does not answer");
        else if (step->fd && fd < 0)
                error_set(&error, ERROR_FAILED, "the fd '%s' is not there", step->fd);
        else if (journal_qmp_step(apply, step, &error) == 0) {
                apply->state = APPLY_QMP;
                apply->in_qemu = true;
                apply->seen = false;
                error_free(TAKE_PTR(apply->refused));
                crash_point_effect(plan_effect_name(EFFECT_QMP), CRASH_DO);
                qmp_client_call(qmp, step->command->name,
                                json_incref(json_object_get(step->args, "arguments")), command->class, &fd,
                                step->fd ? 1 : 0, on_step, apply);
                crash_point(CRASH_APPLY_SENT);
                return;
        }
        fail(apply, error, apply->at);
        error_free(error);
}

static void do_image_step(struct apply *apply)
{
        const struct fragment_step *step = &apply->fragment->steps[apply->at];
        int fd = find_fd(apply, json_member_string(step->args, "fd"));
        struct error *error = NULL;

        if (apply_image_open(apply, step, fd, &error) == 0) {
                apply_step_done(apply);
        } else {
                fail(apply, error, apply->at);
                error_free(error);
        }
}

void apply_next_step(struct apply *apply)
{
        const struct fragment *fragment = apply->fragment;

        if (apply_is_abandoned(apply))
                apply_undo(apply, apply_abandoned());
        else if (apply->at == fragment->n_steps)
                finished(apply);
        else if (fragment->steps[apply->at].effect == EFFECT_QMP)
                do_qmp_step(apply);
        else if (fragment->steps[apply->at].effect == EFFECT_IMAGE_OPEN)
                do_image_step(apply);
        else if (lacks_threads(&fragment->steps[apply->at]))
                apply_ask_threads(apply);
        else
                do_host_steps(apply);
}

/* The end. */

static bool has_helpers(const struct fragment *fragment)
{
        size_t i = 0;

        while (i < fragment->n_steps && fragment->steps[i].effect != EFFECT_HELPER)
                i++;
        return i < fragment->n_steps;
}

static json_t *id_value(const struct apply *apply)
{
        return json_pack("{s:I}", "id", apply->id);
}

/* The one that takes away what this one has left over has its place in the journal before this one leaves it. */
static void follow(struct apply *apply)
{
        struct applies *applies = apply->applies;
        json_auto_t *entry = json_pack("{s:I, s:I, s:s, s:O}", "id", apply->then_id, "begin",
                                       apply->first + (json_int_t)apply->fragment->n_steps, "who", apply->who,
                                       "forward", apply->fragment->then->source);
        struct error *error = NULL;

        if (apply_begin_forward(applies, entry, &error) < 0) {
                apply_story(apply, "what is left of it stays: %s", error->message);
                error_free(error);
                return;
        }
        apply_pass_answer(apply);
}

void apply_commit_now(struct apply *apply)
{
        struct applies *applies = apply->applies;
        json_auto_t *mark = json_pack("{s:I, s:b}", "id", apply->id, "committed", 1);
        json_auto_t *devices = NULL, *entry = json_pack("{s:O}", "apply", mark);
        _cleanup_error_ struct error *unsettled = NULL;
        _cleanup_free_ char *what = apply_title(apply);
        struct error *error = NULL;

        loop_remove(applies->loop, apply->timer);
        apply->timer = NULL;
        if (apply->fragment->forward && apply->fragment->live) {
                free(apply->live);
                apply->live = applies->host.change_live(apply->fragment->live, applies->data, &error);
                if (!apply->live) {
                        apply_story(apply, "live.tmpl stays as it is: %s", error->message);
                        error_free(TAKE_PTR(error));
                }
        }
        if (apply->live)
                json_object_set_new(mark, "live", json_string(apply->live));
        if (apply->fragment->devices) {
                devices = fragment_devices(applies->host.devices(applies->data), apply->fragment->devices);
                json_object_set(mark, "devices", devices);
        }
        if (apply->fragment->places)
                json_object_set(mark, "places", apply->fragment->places);
        if (apply->fragment->then) {
                apply->then_id = ++applies->last_id;
                json_object_set_new(mark, "then",
                                    json_pack("{s:I, s:O}", "id", apply->then_id, "forward",
                                              apply->fragment->then->source));
        }
        if (journal_append(applies->vm->fd, entry, &error) < 0) {
                if (apply->fragment->forward)
                        apply_forward_uncommitted(apply, error);
                else
                        apply_undo(apply, error);
                return;
        }
        crash_point(CRASH_APPLY_COMMITTED);
        apply_story(apply, "%s by %s is done", what, apply->who);
        applies->host.committed(apply->live, devices, apply->fragment->places, has_helpers(apply->fragment),
                                applies->data);
        if (apply->fragment->then)
                follow(apply);
        /* It is done whatever happens now: who waits need not wait for this. */
        apply_answer(apply, id_value(apply), NULL);
        if (fragment_journal_compact(applies->vm->fd, &applies->journal, &unsettled) < 0)
                apply_story(apply, "%s", unsettled->message);
        crash_point(CRASH_APPLY_SETTLED);
        if (!apply->fragment->then)
                apply_look_ahead(applies);
        apply_leave(apply);
}

static void on_no_commit(void *data)
{
        struct apply *apply = data;
        struct error *error = NULL;

        apply->timer = NULL;
        error_set(&error, ERROR_DEADLINE, "no commit came in %u ms", apply->commit_ms);
        apply_undo(apply, error);
}

static void finished(struct apply *apply)
{
        /* QEMU has them now. */
        apply_close_fds(apply);
        crash_point(CRASH_APPLY_DONE);
        if (!apply->wait_for_commit) {
                apply_commit_now(apply);
                return;
        }
        apply->state = APPLY_WAITING;
        apply->timer = loop_add_deadline(apply->applies->loop, apply->commit_ms, on_no_commit, apply);
        apply_answer(apply, id_value(apply), NULL);
}

static bool is_about(const json_t *event_data, const char *member, const char *value)
{
        const char *is = json_member_string(event_data, member);

        return is && strcmp(is, value) == 0;
}

void apply_step_event(struct apply *apply, const char *name, const json_t *event_data)
{
        const struct fragment_step *step = &apply->fragment->steps[apply->at];

        if (!step->await_event || !is_about(event_data, step->await_member, step->await_value))
                return;
        if (strcmp(name, step->await_event) == 0) {
                apply->seen = true;
                if (apply->state == APPLY_AWAITING)
                        apply_step_done(apply);
        } else if (strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") == 0 && !apply->refused) {
                error_set(&apply->refused, ERROR_GUEST, "the guest does not give '%s' back",
                          step->await_value);
                if (apply->state == APPLY_AWAITING)
                        refused_by_guest(apply);
        }
}
