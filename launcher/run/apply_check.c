/* What is looked at before an apply's first step; and what QEMU has, for a client that makes a fragment. */
#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "launcher/run/apply_parts.h"
#include "launcher/run/command_table.h"
#include "qmp/ops_object.h"

/* Nothing of it was begun. */
void apply_refuse(struct apply *apply, struct error *error_consume)
{
        apply_answer(apply, NULL, error_consume);
        error_free(error_consume);
        apply_leave(apply);
}

/* What it makes must not be there: an undo would take away somebody else's. */

static const struct {
        enum fragment_object object;
        enum qemu_objects query;
} queries[] = {
        { OBJECT_DEVICE, QEMU_DEVICES },   { OBJECT_QOM, QEMU_QOM_OBJECTS }, { OBJECT_NODE, QEMU_NODES },
        { OBJECT_CHARDEV, QEMU_CHARDEVS }, { OBJECT_FDSET, QEMU_FDSETS },
};
/* What most fragments make. */
#define LOOK_DEVICES 0
#define LOOK_NODES   2
#define LOOK_FDSETS  4
/* After a change: its client ends meanwhile, perhaps on the same CPU. */
#define LOOK_AHEAD_MS 20

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

/* What is there of what it makes; NULL: nothing. */
static struct error *find_taken(const struct apply *apply, size_t which, const json_t *objects)
{
        const struct fragment *fragment = apply->fragment;
        struct error *taken = NULL;

        for (size_t i = 0; !taken && i < fragment->n_steps; i++) {
                const struct fragment_step *step = &fragment->steps[i];
                _cleanup_free_ char *id = NULL, *text = NULL;

                if (!creates(step, queries[which].object) || makes_room(fragment, i))
                        continue;
                id = apply_object_id(step->command, json_object_get(step->args, "arguments"));
                if (!ops_objects_have(queries[which].query, objects, id))
                        continue;
                text = fragment_step_text(fragment, i);
                error_set(&taken, ERROR_FAILED, "%s: QEMU has '%s' already", text, id);
        }
        return taken;
}

static void checked(struct apply *apply)
{
        if (apply_is_abandoned(apply) && !apply->error)
                apply->error = apply_abandoned();
        if (apply->error)
                apply_refuse(apply, TAKE_PTR(apply->error));
        else
                apply_begin(apply);
}

static void take_objects(struct apply *apply, size_t which, const json_t *reply, const struct error *error)
{
        if (reply && !apply->error) {
                apply->error = find_taken(apply, which, reply);
        } else if (!apply->error) {
                apply->error = error_copy(error);
                error_wrap(&apply->error, "ask QEMU what it has");
        }
        if (--apply->asked == 0 && !apply_is_over(apply))
                checked(apply);
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

/* What QEMU has, as it was seen last. */

struct apply_look {
        struct applies *applies;
        unsigned long long changes; /* qmp_client_changes() when QEMU was asked */
        json_t *objects[ARRAY_SIZE(queries)];
        unsigned asked; /* queries without an answer */
        struct error *error;
        apply_answer_fn *answer; /* NULL: nobody waits */
        void *answer_data;
};

static void look_free(struct apply_look *look)
{
        for (size_t i = 0; i < ARRAY_SIZE(look->objects); i++)
                json_decref(look->objects[i]);
        error_free(look->error);
        free(look);
}

void applies_look_is_old(struct applies *applies)
{
        struct apply_look *look = TAKE_PTR(applies->look);

        /* Else its last callback does. */
        if (look && !look->asked)
                look_free(look);
}

static void tell_look(struct apply_look *look, const struct error *error)
{
        apply_answer_fn *fn = look->answer;

        look->answer = NULL;
        if (fn)
                fn(error ? NULL : json_pack("{s:O}", "fdsets", look->objects[LOOK_FDSETS]), error,
                   look->answer_data);
}

void apply_look_over(struct applies *applies, const struct error *error)
{
        loop_remove(applies->loop, applies->look_ahead);
        applies->look_ahead = NULL;
        if (applies->look)
                tell_look(applies->look, error);
        applies_look_is_old(applies);
}

/* It may be kept for days: of a node the name is a hundredth of what QEMU says of it. */
static json_t *worth_keeping(size_t which, json_t *reply)
{
        json_t *names, *each;
        size_t i;

        if (which != LOOK_NODES || !reply)
                return json_incref(reply);
        names = json_array();
        json_array_foreach (reply, i, each)
                json_array_append_new(names,
                                      json_pack("{s:O*}", "node-name", json_object_get(each, "node-name")));
        return names;
}

static void saw(struct apply_look *look, size_t which, json_t *reply, const struct error *error)
{
        look->objects[which] = worth_keeping(which, reply);
        if (!reply && !look->error)
                look->error = error_copy(error);
        if (--look->asked > 0)
                return;
        tell_look(look, look->error);
        if (look->applies->look == look && look->error)
                look->applies->look = NULL;
        if (look->applies->look != look)
                look_free(look);
}

#define ON_SEEN(which)                                                                    \
        static void on_seen_##which(json_t *reply, const struct error *error, void *data) \
        {                                                                                 \
                saw(data, which, reply, error);                                           \
        }
ON_SEEN(LOOK_DEVICES)
ON_SEEN(LOOK_NODES)
ON_SEEN(LOOK_FDSETS)

/* NULL: nothing was seen since QEMU was told last to change something. */
static struct apply_look *fresh_look(const struct applies *applies)
{
        struct apply_look *look = applies->look;

        return look && look->changes == qmp_client_changes(applies->host.qemu(applies->data)) ? look : NULL;
}

static void begin_look(struct applies *applies, apply_answer_fn *fn, void *data)
{
        struct qmp_client *qmp = applies->host.qemu(applies->data);
        struct apply_look *look = xcalloc(1, sizeof(*look));

        *look = (struct apply_look){ .applies = applies,
                                     .changes = qmp_client_changes(qmp),
                                     .asked = 3,
                                     .answer = fn,
                                     .answer_data = data };
        applies_look_is_old(applies);
        loop_remove(applies->loop, applies->look_ahead);
        applies->look_ahead = NULL;
        applies->look = look;
        ops_query_objects(qmp, queries[LOOK_DEVICES].query, on_seen_LOOK_DEVICES, look);
        ops_query_objects(qmp, queries[LOOK_NODES].query, on_seen_LOOK_NODES, look);
        ops_query_objects(qmp, queries[LOOK_FDSETS].query, on_seen_LOOK_FDSETS, look);
}

void applies_look(struct applies *applies, apply_answer_fn *fn, void *data)
{
        struct apply_look *look = fresh_look(applies);

        if (!look || look->answer) {
                begin_look(applies, fn, data);
                return;
        }
        look->answer = fn;
        look->answer_data = data;
        if (!look->asked)
                tell_look(look, NULL);
}

static void on_look_ahead(void *data)
{
        struct applies *applies = data;

        applies->look_ahead = NULL;
        if (applies_are_idle(applies) && applies->host.qemu(applies->data) && !fresh_look(applies))
                begin_look(applies, NULL, NULL);
}

void apply_look_ahead(struct applies *applies)
{
        loop_remove(applies->loop, applies->look_ahead);
        applies->look_ahead = loop_add_deadline(applies->loop, LOOK_AHEAD_MS, on_look_ahead, applies);
}

/* What is not there cannot have come since; what is there may have gone without a word. NULL: QEMU has to be asked. */
static const json_t *seen(const struct apply *apply, size_t which)
{
        const struct apply_look *look = fresh_look(apply->applies);

        return look && !look->asked ? look->objects[which] : NULL;
}

/* Has the last look seen that nothing of what it makes of this kind is there? */
static bool is_seen_free(struct apply *apply, size_t which)
{
        const json_t *objects = seen(apply, which);
        _cleanup_error_ struct error *taken = NULL;

        if (!objects)
                return false;
        taken = find_taken(apply, which, objects);
        return !taken;
}

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
                _cleanup_free_ char *what = apply_title(owed);

                if (control_keys_meet(owed->keys, fragment->keys))
                        return error_set(err, ERROR_BUSY, "%s is not yet %s", what,
                                         owed->pending ? "done: the guest keeps the device" : "undone");
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
                apply_unlink(&applies->owed, owed);
                apply_free(owed);
        }
}

void apply_check(struct apply *apply)
{
        static qmp_reply_fn *const callbacks[] = { on_objects_0, on_objects_1, on_objects_2, on_objects_3,
                                                   on_objects_4 };
        struct applies *applies = apply->applies;
        const struct fragment *fragment = apply->fragment;
        struct error *error = apply_is_abandoned(apply) ? apply_abandoned() : NULL;

        static_assert(ARRAY_SIZE(callbacks) == ARRAY_SIZE(queries), "one callback for each query");
        apply->state = APPLY_CHECKING;
        supersede(apply);
        if (error || check_now(apply, &error) < 0) {
                apply_refuse(apply, error);
                return;
        }
        for (size_t which = 0; which < ARRAY_SIZE(queries); which++) {
                size_t i = 0;

                while (i < fragment->n_steps && !creates(&fragment->steps[i], queries[which].object))
                        i++;
                if (i == fragment->n_steps || is_seen_free(apply, which))
                        continue;
                apply->asked++;
                ops_query_objects(applies->host.qemu(applies->data), queries[which].query, callbacks[which],
                                  apply);
        }
        if (!apply->asked)
                checked(apply);
}
