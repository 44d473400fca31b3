#include "launcher/run/apply.h"

#include <assert.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/run/apply_parts.h"
#include "launcher/run/command_table.h"
#include "launcher/run/fragment_journal.h"
#include "launcher/state/crash_point.h"
#include "qmp/ops_object.h"

void apply_story(struct apply *apply, const char *format, ...)
{
        _cleanup_text_ struct text line = TEXT_INIT;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&line, format, ap);
        va_end(ap);
        apply->applies->host.story(text_str(&line), apply->applies->data);
}

/* "change 3 (attach nic1)" */
static char *title(const struct apply *apply)
{
        const char *what = apply->fragment ? apply->fragment->what : NULL;
        _cleanup_free_ char *shown = what ? text_printable(what) : NULL;

        return xasprintf("change %d%s%s%s", (int)apply->id, shown ? " (" : "", shown ? shown : "",
                         shown ? ")" : "");
}

void apply_answer(struct apply *apply, json_t *value_consume, const struct error *error)
{
        apply_answer_fn *fn = apply->answer;

        apply->answer = NULL;
        if (fn)
                fn(value_consume, error, apply->answer_data);
        else
                json_decref(value_consume);
}

static void close_fds(struct apply *apply)
{
        for (size_t i = 0; apply->fragment && i < apply->fragment->n_fds; i++)
                fd_close(&apply->fds[i]);
        for (size_t i = 0; i < apply->n_opened; i++) {
                fd_close(&apply->opened[i].fd);
                free(apply->opened[i].name);
        }
        apply->n_opened = 0;
}

void apply_free(struct apply *apply)
{
        loop_remove(apply->applies->loop, apply->timer);
        host_helper_forget(apply->helper);
        close_fds(apply);
        free(apply->fds);
        free(apply->opened);
        fragment_free(apply->fragment);
        free(apply->who);
        free(apply->live);
        error_free(apply->error);
        error_free(apply->refused);
        json_decref(apply->owed);
        json_decref(apply->keys);
        free(apply);
}

/* Somebody still answers it. */
static bool is_awaited(const struct apply *apply)
{
        return apply->in_qemu || apply->asked || apply->helper;
}

bool apply_is_over(struct apply *apply)
{
        struct applies *applies = apply->applies;

        if (!applies->ended)
                return false;
        if (is_awaited(apply))
                return true;
        if (applies->current == apply)
                applies->current = NULL;
        apply_free(apply);
        return true;
}

/* The queue. */

static void append(struct apply **list, struct apply *apply)
{
        apply->next = NULL;
        while (*list)
                list = &(*list)->next;
        *list = apply;
}

static void unlink_from(struct apply **list, struct apply *apply)
{
        while (*list && *list != apply)
                list = &(*list)->next;
        if (*list)
                *list = apply->next;
        apply->next = NULL;
}

static void check(struct apply *apply);

static void take_up_next(void *data)
{
        struct applies *applies = data;
        struct apply *apply = applies->owed;

        applies->next = NULL;
        if (applies->current || applies->ended)
                return;
        while (apply && !apply->due)
                apply = apply->next;
        if (apply) {
                unlink_from(&applies->owed, apply);
                apply->due = false;
                applies->current = apply;
                if (apply->fragment && apply->fragment->forward)
                        apply_forward_again(apply);
                else
                        apply_undo_again(apply);
        } else if (applies->queue) {
                apply = applies->queue;
                unlink_from(&applies->queue, apply);
                applies->current = apply;
                check(apply);
        }
}

/* From the loop: nobody's callback is called while it calls us. */
static void look_for_next(struct applies *applies)
{
        if (!applies->next && !applies->current && !applies->ended && (applies->queue || applies->owed))
                applies->next = loop_add_deadline(applies->loop, 0, take_up_next, applies);
}

void apply_step_aside(struct apply *apply)
{
        struct applies *applies = apply->applies;

        assert(applies->current == apply);
        applies->current = NULL;
        if (apply->state == APPLY_OWED)
                append(&applies->owed, apply);
        look_for_next(applies);
}

static void leave(struct apply *apply)
{
        apply_step_aside(apply);
        apply_free(apply);
}

/* Nothing of it was begun. */
static void refuse(struct apply *apply, struct error *error_consume)
{
        apply_answer(apply, NULL, error_consume);
        error_free(error_consume);
        leave(apply);
}

/* Is it to be done no longer? */
static bool is_abandoned(const struct apply *apply)
{
        return apply->client == 0;
}

static struct error *abandoned(void)
{
        struct error *error = NULL;

        error_set(&error, ERROR_CANCELLED, "the client has gone");
        return error;
}

/* What it makes must not be there: an undo would take away somebody else's. */

static const struct {
        enum fragment_object object;
        enum qemu_objects query;
} queries[] = {
        { OBJECT_DEVICE, QEMU_DEVICES },   { OBJECT_QOM, QEMU_QOM_OBJECTS }, { OBJECT_NODE, QEMU_NODES },
        { OBJECT_CHARDEV, QEMU_CHARDEVS }, { OBJECT_FDSET, QEMU_FDSETS },
};

int apply_query_of(enum fragment_object object)
{
        for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
                if (queries[i].object == object)
                        return (int)queries[i].query;
        return -1;
}

char *apply_object_id(const struct fragment_command *command, const json_t *arguments)
{
        const json_t *id = json_object_get(arguments, command->id);

        return json_is_integer(id) ? xasprintf("%lld", (long long)json_integer_value(id))
                                   : xstrdup(json_is_string(id) ? json_string_value(id) : "");
}

static bool creates(const struct fragment_step *step, enum fragment_object object)
{
        return step->command && step->command->action == ACTION_CREATE && step->command->object == object;
}

static void begin(struct apply *apply);

/* Does a step before it take away what it makes anew? */
static bool makes_room(const struct fragment *fragment, size_t i)
{
        const struct fragment_step *step = &fragment->steps[i];
        const json_t *id = json_object_get(json_object_get(step->args, "arguments"), step->command->id);

        for (size_t k = 0; k < i; k++) {
                const struct fragment_step *earlier = &fragment->steps[k];

                if (earlier->command && earlier->command->action == ACTION_REMOVE &&
                    earlier->command->object == step->command->object &&
                    json_equal(json_object_get(json_object_get(earlier->args, "arguments"),
                                               earlier->command->id),
                               id))
                        return true;
        }
        return false;
}

static void take_objects(struct apply *apply, size_t which, const json_t *reply, const struct error *error)
{
        const struct fragment *fragment = apply->fragment;

        for (size_t i = 0; !apply->error && reply && i < fragment->n_steps; i++) {
                const struct fragment_step *step = &fragment->steps[i];
                _cleanup_free_ char *id = NULL, *text = NULL;

                if (!creates(step, queries[which].object) || makes_room(fragment, i))
                        continue;
                id = apply_object_id(step->command, json_object_get(step->args, "arguments"));
                if (!ops_objects_have(queries[which].query, reply, id))
                        continue;
                text = fragment_step_text(fragment, i);
                error_set(&apply->error, ERROR_FAILED, "%s: QEMU has '%s' already", text, id);
        }
        if (!reply && !apply->error) {
                apply->error = error_copy(error);
                error_wrap(&apply->error, "ask QEMU what it has");
        }
        if (--apply->asked > 0 || apply_is_over(apply))
                return;
        if (is_abandoned(apply) && !apply->error)
                apply->error = abandoned();
        if (apply->error)
                refuse(apply, TAKE_PTR(apply->error));
        else
                begin(apply);
}

#define ON_OBJECTS(n)                                                                    \
        static void on_objects_##n(json_t *reply, const struct error *error, void *data) \
        {                                                                                \
                take_objects(data, n, reply, error);                                     \
        }
ON_OBJECTS(0)
ON_OBJECTS(1)
ON_OBJECTS(2)
ON_OBJECTS(3)
ON_OBJECTS(4)

static int check_now(struct apply *apply, struct error **err)
{
        const struct applies *applies = apply->applies;
        const struct fragment *fragment = apply->fragment;
        bool has_qmp = false;

        for (size_t i = 0; i < fragment->n_steps; i++)
                has_qmp = has_qmp || fragment->steps[i].effect == EFFECT_QMP;
        if (has_qmp && !applies->host.qemu(applies->data))
                return error_set(err, ERROR_BUSY, "QEMU does not answer");
        for (const struct apply *owed = applies->owed; owed; owed = owed->next) {
                _cleanup_free_ char *what = title(owed);

                if (control_keys_meet(owed->keys, fragment->keys))
                        return error_set(err, ERROR_BUSY, "%s is not yet undone", what);
        }
        /* One that takes away changes live.tmpl as it is when the guest has given the device back. */
        if (fragment->live && !fragment->forward) {
                apply->live = applies->host.change_live(fragment->live, applies->data, err);
                if (!apply->live)
                        return -1;
        }
        return 0;
}

/* The guest is asked once more for a device that it keeps: the new request takes the old one's place. */
static void supersede(struct apply *apply)
{
        const char *device = apply->fragment->forward ? apply_forward_device(apply) : NULL;
        struct applies *applies = apply->applies;

        for (struct apply *owed = applies->owed, *next; device && owed; owed = next) {
                const char *other = owed->pending ? apply_forward_device(owed) : NULL;
                json_auto_t *entry = json_pack("{s:{s:I, s:b}}", "apply", "id", owed->id, "undone", 1);
                struct error *unwritten = NULL;

                next = owed->next;
                if (!other || owed->asked || strcmp(device, other) != 0)
                        continue;
                if (journal_append(applies->vm->fd, entry, &unwritten) < 0) {
                        apply_story(owed, "%s", unwritten->message);
                        error_free(unwritten);
                }
                unlink_from(&applies->owed, owed);
                apply_free(owed);
        }
}

static void check(struct apply *apply)
{
        static qmp_reply_fn *const callbacks[] = { on_objects_0, on_objects_1, on_objects_2, on_objects_3,
                                                   on_objects_4 };
        struct applies *applies = apply->applies;
        const struct fragment *fragment = apply->fragment;
        struct error *error = is_abandoned(apply) ? abandoned() : NULL;

        static_assert(ARRAY_SIZE(callbacks) == ARRAY_SIZE(queries), "one callback for each query");
        apply->state = APPLY_CHECKING;
        supersede(apply);
        if (error || check_now(apply, &error) < 0) {
                refuse(apply, error);
                return;
        }
        for (size_t which = 0; which < ARRAY_SIZE(queries); which++) {
                size_t i = 0;

                while (i < fragment->n_steps && !creates(&fragment->steps[i], queries[which].object))
                        i++;
                if (i == fragment->n_steps)
                        continue;
                apply->asked++;
                ops_query_objects(applies->host.qemu(applies->data), queries[which].query, callbacks[which],
                                  apply);
        }
        if (!apply->asked)
                begin(apply);
}

/* Doing. */

static void next_step(struct apply *apply);
static void finished(struct apply *apply);

static void begin(struct apply *apply)
{
        struct applies *applies = apply->applies;
        json_auto_t *fragments = NULL, *entry = NULL;
        struct error *error = NULL;
        json_int_t next_id;

        if (fragment_journal_read(applies->vm->fd, &fragments, &apply->first, &next_id, &error) < 0) {
                refuse(apply, error);
                return;
        }
        if (apply->fragment->forward) {
                apply_forward_begin(apply);
                return;
        }
        entry = json_pack("{s:{s:I, s:I, s:s}}", "apply", "id", apply->id, "begin", apply->first, "who",
                          apply->who);
        if (journal_append(applies->vm->fd, entry, &error) < 0) {
                refuse(apply, error);
                return;
        }
        crash_point(CRASH_APPLY_BEGUN);
        next_step(apply);
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

static void on_host_done(const struct error *error, struct named_fd *fds, size_t n_fds, void *data)
{
        struct apply *apply = data;

        apply->helper = NULL;
        if (apply->applies->ended) {
                struct applies *applies = apply->applies;

                if (apply_is_over(apply))
                        applies->host.ended(applies->data);
                return;
        }
        apply->at += apply->n_host;
        for (size_t i = 0; i < n_fds; i++) {
                ARRAY_GROW(apply->opened, apply->n_opened);
                apply->opened[apply->n_opened++] =
                        (struct named_fd){ .name = xstrdup(fds[i].name), .fd = TAKE_FD(fds[i].fd) };
        }
        if (!error) {
                next_step(apply);
        } else {
                /* It says which step. */
                apply_undo(apply, error_copy(error));
        }
}

static bool is_helpers(enum plan_effect effect)
{
        return effect != EFFECT_QMP && effect != EFFECT_IMAGE_OPEN;
}

/* All up to the next step of ours. */
static void do_host_steps(struct apply *apply)
{
        struct applies *applies = apply->applies;
        const struct fragment *fragment = apply->fragment;
        json_auto_t *steps = json_array();
        struct error *error = NULL;
        size_t i;

        for (i = apply->at; i < fragment->n_steps && is_helpers(fragment->steps[i].effect); i++) {
                _cleanup_free_ char *text = fragment_step_text(fragment, i);

                json_array_append_new(
                        steps, json_pack("{s:I, s:s, s:O, s:I, s:s}", "n", apply->first + (json_int_t)i,
                                         "effect", plan_effect_name(fragment->steps[i].effect), "args",
                                         fragment->steps[i].args, "apply", apply->id, "text", text));
        }
        apply->n_host = i - apply->at;
        apply->state = APPLY_HOST;
        apply->helper = host_helper_do(applies->loop, applies->vm, applies->cgroup, applies->generation,
                                       steps, APPLY_HOST_MS, on_host_done, apply, &error);
        if (!apply->helper)
                apply_undo(apply, error);
}

/* QMP steps. */

static void step_done(struct apply *apply)
{
        loop_remove(apply->applies->loop, apply->timer);
        apply->timer = NULL;
        apply->at++;
        next_step(apply);
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
        } else if (!step->await_event || apply->seen || is_abandoned(apply)) {
                step_done(apply);
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
        int fd = find_fd(apply, json_string_value(json_object_get(step->args, "fd")));
        struct error *error = NULL;

        if (apply_image_open(apply, step, fd, &error) == 0) {
                step_done(apply);
        } else {
                fail(apply, error, apply->at);
                error_free(error);
        }
}

static void next_step(struct apply *apply)
{
        const struct fragment *fragment = apply->fragment;

        if (is_abandoned(apply))
                apply_undo(apply, abandoned());
        else if (apply->at == fragment->n_steps)
                finished(apply);
        else if (fragment->steps[apply->at].effect == EFFECT_QMP)
                do_qmp_step(apply);
        else if (fragment->steps[apply->at].effect == EFFECT_IMAGE_OPEN)
                do_image_step(apply);
        else
                do_host_steps(apply);
}

/* The end. */

static json_t *id_value(const struct apply *apply)
{
        return json_pack("{s:I}", "id", apply->id);
}

void apply_commit_now(struct apply *apply)
{
        struct applies *applies = apply->applies;
        json_auto_t *mark = json_pack("{s:I, s:b}", "id", apply->id, "committed", 1);
        json_auto_t *devices = NULL, *entry = json_pack("{s:O}", "apply", mark);
        _cleanup_error_ struct error *unsettled = NULL;
        _cleanup_free_ char *what = title(apply);
        struct error *error = NULL;

        loop_remove(applies->loop, apply->timer);
        apply->timer = NULL;
        if (apply->fragment->forward && apply->fragment->live) {
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
        if (journal_append(applies->vm->fd, entry, &error) < 0) {
                apply_undo(apply, error);
                return;
        }
        crash_point(CRASH_APPLY_COMMITTED);
        apply_story(apply, "%s by %s is done", what, apply->who);
        applies->host.committed(apply->live, devices, apply->fragment->places, applies->data);
        if (fragment_journal_compact(applies->vm->fd, &unsettled) < 0)
                apply_story(apply, "%s", unsettled->message);
        crash_point(CRASH_APPLY_SETTLED);
        apply_answer(apply, id_value(apply), NULL);
        leave(apply);
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
        close_fds(apply);
        crash_point(CRASH_APPLY_DONE);
        if (!apply->wait_for_commit) {
                apply_commit_now(apply);
                return;
        }
        apply->state = APPLY_WAITING;
        apply->timer = loop_add_deadline(apply->applies->loop, apply->commit_ms, on_no_commit, apply);
        apply_answer(apply, id_value(apply), NULL);
}

/* From outside. */

struct applies *applies_new(struct loop *loop, const struct vm_dir *vm, const struct cgroup_host *cgroup,
                            const char *generation, const struct apply_host *host, void *data)
{
        struct applies *applies = xcalloc(1, sizeof(*applies));

        applies->loop = loop;
        applies->vm = vm;
        applies->cgroup = cgroup;
        applies->generation = generation;
        applies->host = *host;
        applies->data = data;
        return applies;
}

void applies_free(struct applies *applies)
{
        if (!applies)
                return;
        applies_end(applies);
        loop_remove(applies->loop, applies->next);
        if (applies->current)
                apply_free(applies->current);
        free(applies);
}

bool applies_are_full(const struct applies *applies)
{
        unsigned waiting = 0;

        for (const struct apply *apply = applies->queue; apply; apply = apply->next)
                waiting++;
        return waiting >= APPLY_QUEUE || applies->ended;
}

void applies_begin(struct applies *applies, const struct apply_request *request, apply_answer_fn *fn,
                   void *data)
{
        struct fragment *fragment = request->fragment;
        struct apply *apply = xcalloc(1, sizeof(*apply));

        apply->applies = applies;
        apply->id = ++applies->last_id;
        apply->state = APPLY_QUEUED;
        apply->fragment = fragment;
        apply->keys = json_incref(fragment->keys);
        apply->fds = xcalloc(fragment->n_fds + 1, sizeof(*apply->fds));
        for (size_t i = 0; i < fragment->n_fds; i++)
                apply->fds[i] = TAKE_FD(request->fds[i]);
        apply->client = request->client;
        apply->who = xstrdup(request->who);
        apply->wait_for_commit = request->wait_for_commit;
        apply->commit_ms = request->commit_ms;
        apply->answer = fn;
        apply->answer_data = data;
        append(&applies->queue, apply);
        look_for_next(applies);
}

bool applies_waits(const struct applies *applies, json_int_t id, unsigned long long client)
{
        const struct apply *apply = applies->current;

        return apply && apply->id == id && apply->client == client && apply->state == APPLY_WAITING;
}

void applies_commit(struct applies *applies, apply_answer_fn *fn, void *data)
{
        applies->current->answer = fn;
        applies->current->answer_data = data;
        apply_commit_now(applies->current);
}

void applies_abort(struct applies *applies, apply_answer_fn *fn, void *data)
{
        applies->current->answer = fn;
        applies->current->answer_data = data;
        apply_undo(applies->current, NULL);
}

void applies_client_gone(struct applies *applies, unsigned long long client)
{
        struct apply *apply = applies->current;

        for (struct apply *queued = applies->queue; queued; queued = queued->next)
                if (queued->client == client)
                        queued->client = 0;
        if (!apply || apply->client != client)
                return;
        apply->client = 0;
        if (apply->fragment && apply->fragment->forward)
                return;
        /* In the other states the answer of the step that goes on is waited for. */
        if (apply->state == APPLY_AWAITING) {
                step_done(apply);
        } else if (apply->state == APPLY_WAITING) {
                apply_undo(apply, abandoned());
        }
}

static bool is_about(const json_t *event_data, const char *member, const char *value)
{
        const char *is = json_string_value(json_object_get(event_data, member));

        return is && strcmp(is, value) == 0;
}

static void step_event(struct apply *apply, const char *name, const json_t *event_data)
{
        const struct fragment_step *step = &apply->fragment->steps[apply->at];

        if (!step->await_event || !is_about(event_data, step->await_member, step->await_value))
                return;
        if (strcmp(name, step->await_event) == 0) {
                apply->seen = true;
                if (apply->state == APPLY_AWAITING)
                        step_done(apply);
        } else if (strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") == 0 && !apply->refused) {
                error_set(&apply->refused, ERROR_GUEST, "the guest does not give '%s' back",
                          step->await_value);
                if (apply->state == APPLY_AWAITING)
                        refused_by_guest(apply);
        }
}

void applies_event(struct applies *applies, const char *name, const json_t *event_data)
{
        struct apply *apply = applies->current;

        if (applies->ended)
                return;
        for (struct apply *owed = applies->owed; owed; owed = owed->next)
                if (owed->pending && apply_forward_event(owed, name, event_data))
                        owed->due = true;
        look_for_next(applies);
        if (apply && apply->fragment && apply->fragment->forward)
                apply_forward_event(apply, name, event_data);
        else if (apply && apply->fragment && (apply->state == APPLY_QMP || apply->state == APPLY_AWAITING))
                step_event(apply, name, event_data);
        else if (apply && apply->state == APPLY_UNDOING)
                apply_undo_event(apply, name, event_data);
        if (applies->owed && strcmp(name, "DEVICE_DELETED") == 0)
                applies_try_again(applies);
}

void applies_try_again(struct applies *applies)
{
        for (struct apply *owed = applies->owed; owed; owed = owed->next)
                owed->due = true;
        look_for_next(applies);
}

static void end_list(struct apply **list, const struct error *error)
{
        while (*list) {
                struct apply *apply = *list;

                *list = apply->next;
                apply_answer(apply, NULL, error);
                apply_free(apply);
        }
}

bool applies_end(struct applies *applies)
{
        _cleanup_error_ struct error *error = NULL;
        struct apply *current = applies->current;

        if (applies->ended)
                return !current || !current->helper;
        applies->ended = true;
        error_set(&error, ERROR_NOT_RUNNING, "QEMU has ended");
        end_list(&applies->queue, error);
        end_list(&applies->owed, error);
        if (!current)
                return true;
        apply_answer(current, NULL, error);
        loop_remove(applies->loop, current->timer);
        current->timer = NULL;
        if (is_awaited(current))
                return !current->helper;
        applies->current = NULL;
        apply_free(current);
        return true;
}

bool applies_are_idle(const struct applies *applies)
{
        return !applies->current && !applies->queue;
}

int applies_check_keys(const struct applies *applies, const json_t *keys, struct error **err)
{
        const struct apply *apply = applies->current;

        if (!apply || !control_keys_meet(apply->keys, keys))
                apply = applies->owed;
        while (apply && !control_keys_meet(apply->keys, keys))
                apply = apply->next;
        if (!apply)
                return 0;
        _cleanup_free_ char *what = title(apply);

        return error_set(err, ERROR_BUSY, "%s by %s is not yet %s", what, apply->who,
                         apply->state >= APPLY_UNDOING ? "undone" : "done");
}

/* Taking over. */

/* One that took away goes on from its first step: what is gone already is found so. */
static struct fragment *read_forward(const struct applies *applies, const json_t *fragment)
{
        const json_t *source = json_object_get(fragment, "forward");
        const struct fragment_vm vm = applies->host.fragment_vm(applies->data);
        struct fragment *ret = NULL;
        struct error *error = NULL;

        if (source && fragment_read(source, &vm, ROLE_ADMIN, 0, &ret, &error) < 0)
                error_free(error);
        return ret;
}

static struct apply *adopt_open(struct applies *applies, const json_t *fragment)
{
        const char *who = json_string_value(json_object_get(fragment, "who"));
        struct apply *apply = xcalloc(1, sizeof(*apply));

        apply->applies = applies;
        apply->id = json_integer_value(json_object_get(fragment, "id"));
        apply->state = APPLY_OWED;
        apply->who = xstrdup(who ? who : "a client of the last supervisor");
        apply->first = json_integer_value(json_object_get(fragment, "begin"));
        apply->fragment = read_forward(applies, fragment);
        apply->keys = apply->fragment ? json_incref(apply->fragment->keys) : json_array();
        apply->fds = xcalloc(1, sizeof(*apply->fds));
        return apply;
}

int applies_adopt(struct applies *applies, struct error **err)
{
        json_auto_t *fragments = NULL;
        json_int_t next, next_id;
        const json_t *each;
        size_t i;

        if (fragment_journal_read(applies->vm->fd, &fragments, &next, &next_id, err) < 0)
                return -1;
        applies->last_id = next_id - 1;
        if (json_array_size(fragments) == 0)
                return 0;
        json_array_foreach (fragments, i, each) {
                const json_t *live = json_object_get(each, "live"),
                             *devices = json_object_get(each, "devices");

                if (json_is_true(json_object_get(each, "undone")))
                        continue;
                if (json_is_true(json_object_get(each, "committed"))) {
                        applies->host.committed(json_string_value(live),
                                                json_is_array(devices) ? devices : NULL,
                                                json_object_get(each, "places"), applies->data);
                } else {
                        struct apply *apply = adopt_open(applies, each);

                        apply_story(apply, "change %d by %s was not committed: it %s", (int)apply->id,
                                    apply->who, apply->fragment ? "goes on" : "is undone");
                        append(&applies->owed, apply);
                }
        }
        return fragment_journal_compact(applies->vm->fd, err);
}
