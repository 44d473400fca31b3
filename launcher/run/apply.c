#include "launcher/run/apply.h"

#include <assert.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "launcher/run/apply_parts.h"
#include "launcher/run/command_table.h"
#include "launcher/run/fragment_journal.h"

void apply_story(struct apply *apply, const char *format, ...)
{
        _cleanup_text_ struct text line = TEXT_INIT;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&line, format, ap);
        va_end(ap);
        apply->applies->host.story(text_str(&line), apply->applies->data);
}

char *apply_title(const struct apply *apply)
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

void apply_close_fds(struct apply *apply)
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
        apply_close_fds(apply);
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

void apply_unlink(struct apply **list, struct apply *apply)
{
        while (*list && *list != apply)
                list = &(*list)->next;
        if (*list)
                *list = apply->next;
        apply->next = NULL;
}

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
                apply_unlink(&applies->owed, apply);
                apply->due = false;
                applies->current = apply;
                if (apply->fragment && apply->fragment->forward)
                        apply_forward_again(apply);
                else
                        apply_undo_again(apply);
        } else if (applies->queue) {
                apply = applies->queue;
                apply_unlink(&applies->queue, apply);
                applies->current = apply;
                apply_check(apply);
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

void apply_leave(struct apply *apply)
{
        apply_step_aside(apply);
        apply_free(apply);
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
                apply_step_done(apply);
        } else if (apply->state == APPLY_WAITING) {
                apply_undo(apply, apply_abandoned());
        }
}

void applies_event(struct applies *applies, const char *name, const json_t *event_data)
{
        struct apply *apply = applies->current;

        if (applies->ended)
                return;
        applies_look_is_old(applies);
        for (struct apply *owed = applies->owed; owed; owed = owed->next)
                if (owed->pending && apply_forward_event(owed, name, event_data))
                        owed->due = true;
        look_for_next(applies);
        if (apply && apply->fragment && apply->fragment->forward)
                apply_forward_event(apply, name, event_data);
        else if (apply && apply->fragment && (apply->state == APPLY_QMP || apply->state == APPLY_AWAITING))
                apply_step_event(apply, name, event_data);
        else if (apply && apply->state == APPLY_UNDOING)
                apply_undo_event(apply, name, event_data);
        if (applies->owed && strcmp(name, "DEVICE_DELETED") == 0)
                applies_try_again(applies);
}

void applies_try_again(struct applies *applies)
{
        applies_look_is_old(applies);
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
                /* Else its callback does (apply_is_over()). */
                if (!is_awaited(apply))
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
        apply_look_over(applies, error);
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
        _cleanup_free_ char *what = apply_title(apply);

        return error_set(err, ERROR_BUSY, "%s by %s is not yet %s", what, apply->who,
                         apply->state >= APPLY_UNDOING && !apply->pending ? "undone" : "done");
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
        const char *who = json_member_string(fragment, "who");
        struct apply *apply = xcalloc(1, sizeof(*apply));

        apply->applies = applies;
        apply->id = json_member_integer(fragment, "id");
        apply->state = APPLY_OWED;
        apply->who = xstrdup(who ? who : "a client of the last supervisor");
        apply->first = json_member_integer(fragment, "begin");
        apply->fragment = read_forward(applies, fragment);
        apply->keys = apply->fragment ? json_incref(apply->fragment->keys) : json_array();
        apply->fds = xcalloc(1, sizeof(*apply->fds));
        return apply;
}

int apply_begin_forward(struct applies *applies, const json_t *begin, struct error **err)
{
        json_auto_t *entry = json_pack("{s:O}", "apply", begin);
        struct apply *apply;

        if (journal_append(applies->vm->fd, entry, err) < 0)
                return -1;
        apply = adopt_open(applies, begin);
        apply->due = true;
        append(&applies->owed, apply);
        return 0;
}

void apply_pass_answer(struct apply *apply)
{
        for (struct apply *owed = apply->applies->owed; owed; owed = owed->next)
                if (owed->id == apply->then_id) {
                        owed->answer = TAKE_PTR(apply->answer);
                        owed->answer_data = apply->answer_data;
                }
}

/* One that is committed, and what has to follow was not begun any more. */
static int follow_committed(struct applies *applies, const json_t *fragments, const json_t *committed,
                            json_int_t next, struct error **err)
{
        const json_t *then = json_object_get(committed, "then");
        json_auto_t *begin = NULL;
        const json_t *each;
        size_t i;

        if (!then)
                return 0;
        json_array_foreach ((json_t *)fragments, i, each) {
                if (json_equal(json_object_get(each, "id"), json_object_get(then, "id")))
                        return 0;
        }
        begin = json_copy((json_t *)then);
        json_object_set_new(begin, "begin", json_integer(next));
        json_object_set(begin, "who", json_object_get(committed, "who"));
        applies_go_on(applies, json_member_integer(then, "id"));
        return apply_begin_forward(applies, begin, err);
}

json_int_t applies_last(const struct applies *applies)
{
        return applies->last_id;
}

void applies_go_on(struct applies *applies, json_int_t last)
{
        if (last > applies->last_id)
                applies->last_id = last;
}

int applies_adopt(struct applies *applies, struct error **err)
{
        json_auto_t *fragments = NULL;
        json_int_t next, next_id;
        const json_t *each;
        size_t i;

        if (fragment_journal_read(applies->vm->fd, &fragments, &next, &next_id, err) < 0)
                return -1;
        applies_go_on(applies, next_id - 1);
        if (json_array_size(fragments) == 0)
                return 0;
        json_array_foreach (fragments, i, each) {
                const json_t *live = json_object_get(each, "live"),
                             *devices = json_object_get(each, "devices");

                if (json_member_is_true(each, "undone"))
                        continue;
                if (json_member_is_true(each, "committed")) {
                        applies->host.committed(json_string_value(live),
                                                json_is_array(devices) ? devices : NULL,
                                                json_object_get(each, "places"), true, applies->data);
                        if (follow_committed(applies, fragments, each, next, err) < 0)
                                return -1;
                } else {
                        struct apply *apply = adopt_open(applies, each);

                        apply_story(apply, "change %d by %s was not committed: it %s", (int)apply->id,
                                    apply->who, apply->fragment ? "goes on" : "is undone");
                        append(&applies->owed, apply);
                }
        }
        return fragment_journal_compact(applies->vm->fd, &applies->journal, err);
}
