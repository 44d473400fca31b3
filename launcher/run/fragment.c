#include "launcher/run/fragment_parts.h"

#include <ctype.h>
#include <string.h>

#include "base/json_member.h"
#include "base/number.h"
#include "base/text.h"
#include "launcher/run/command_table.h"
#include "launcher/run/generation.h"

#define WHAT_MAX 200
/* QEMU counts the sets of its command line from 0. */
#define FDSET_MAX 0x7fffffff

void fragment_free(struct fragment *fragment)
{
        if (!fragment)
                return;
        for (size_t i = 0; i < fragment->n_fds; i++)
                free(fragment->fds[i]);
        free(fragment->fds);
        for (size_t i = 0; i < fragment->n_steps; i++) {
                struct fragment_step *step = &fragment->steps[i];

                json_decref(step->args);
                json_decref(step->undo);
                free(step->fd);
                free(step->await_event);
                free(step->await_member);
                free(step->await_value);
        }
        free(fragment->steps);
        json_decref(fragment->keys);
        json_decref(fragment->live);
        json_decref(fragment->devices);
        json_decref(fragment->source);
        json_decref(fragment->places);
        fragment_free(fragment->then);
        free(fragment->what);
        free(fragment);
}

char *fragment_step_text(const struct fragment *fragment, size_t i)
{
        const struct fragment_step *step = &fragment->steps[i];
        const char *op = json_member_string(step->args, "op");
        const char *file = json_member_string(step->args, "file");
        const char *more = step->command ? step->command->name : op ? op : file;
        _cleanup_free_ char *shown = more ? text_printable(more) : NULL;

        return xasprintf("step %zu (%s%s%s)", i + 1, plan_effect_name(step->effect), shown ? " " : "",
                         shown ? shown : "");
}

int fragment_check_members(const json_t *object, const char *const *list, struct error **err)
{
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)object, key, value) {
                size_t i = 0;

                while (list[i] && strcmp(list[i], key) != 0)
                        i++;
                if (!list[i]) {
                        _cleanup_free_ char *shown = text_printable(key);

                        return error_set(err, ERROR_FAILED, "member '%s' is unexpected", shown);
                }
        }
        return 0;
}

bool fragment_is_id(const char *s, const char *others, size_t max)
{
        if (!isalpha((unsigned char)*s) || strlen(s) > max)
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char)*s) && !strchr(others, *s))
                        return false;
        return true;
}

bool fragment_is_line(const char *s, size_t max)
{
        if (strlen(s) > max)
                return false;
        for (; *s; s++)
                if ((unsigned char)*s < ' ' || *s == 0x7f)
                        return false;
        return true;
}

int fragment_need_role(const struct reading *reading, enum control_role role, const char *what,
                       struct error **err)
{
        if (reading->role >= role)
                return 0;
        return error_set(err, ERROR_NOT_PERMITTED, "%s needs the role %s, and this connection's is %s", what,
                         control_role_name(role), control_role_name(reading->role));
}

bool fragment_fd_is_ours(const char *fd)
{
        static const char *const kinds[] = { "tap:", "vhost:", "usb:", "qemu:", "helper:", "stderr:" };

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (text_starts_with(fd, kinds[i]))
                        return true;
        return false;
}

/* QMP steps. */

/* The id of what a command makes or takes away, as text; new string, NULL and *err. */
static char *object_id(const struct fragment_command *command, const json_t *arguments, struct error **err)
{
        const json_t *value = json_object_get(arguments, command->id);
        const char *text = json_string_value(value);

        if (command->object == OBJECT_FDSET) {
                json_int_t n = json_integer_value(value);

                if (json_is_integer(value) && n >= 0 && n <= FDSET_MAX)
                        return xasprintf("%lld", (long long)n);
                error_set(err, ERROR_FAILED, "%s is not a number from 0 to %d", command->id, FDSET_MAX);
                return NULL;
        }
        if (!text || !fragment_is_id(text, "-._", ID_MAX)) {
                error_set(err, ERROR_FAILED, "%s is no name that begins with a letter", command->id);
                return NULL;
        }
        /* Those of the control socket's clients: fd_names.h. */
        if (command->object == OBJECT_FD && text_starts_with(text, "client")) {
                error_set(err, ERROR_FAILED, "%s begins with 'client'", command->id);
                return NULL;
        }
        return xstrdup(text);
}

/* {"execute", "arguments"} of a step or of an undo. */
static int read_command(const struct reading *reading, const json_t *json,
                        const struct fragment_command **ret, struct error **err)
{
        static const char *const members[] = { "execute", "arguments", NULL };
        const char *name = json_member_string(json, "execute");
        const json_t *arguments = json_object_get(json, "arguments");
        const struct fragment_command *command;

        if (!json_is_object(json) || !name)
                return error_set(err, ERROR_FAILED, "execute is missing");
        if (fragment_check_members(json, members, err) < 0)
                return -1;
        if (arguments && !json_is_object(arguments))
                return error_set(err, ERROR_FAILED, "arguments is not an object");
        command = fragment_command_find(name);
        if (!command) {
                _cleanup_free_ char *shown = text_printable(name);

                return error_set(err, ERROR_NOT_PERMITTED, "no fragment may have the command %s", shown);
        }
        if (fragment_need_role(reading, command->role, command->name, err) < 0)
                return -1;
        if (command->id) {
                _cleanup_free_ char *id = object_id(command, arguments, err);

                if (!id)
                        return -1;
        }
        *ret = command;
        return 0;
}

static int read_undo(const struct reading *reading, struct fragment_step *step, json_t *undo,
                     struct error **err)
{
        const json_t *arguments = json_object_get(step->args, "arguments");
        const struct fragment_command *command;
        json_t *each;
        size_t i;

        if (step->command->action == ACTION_CREATE) {
                if (undo)
                        return error_set(err, ERROR_FAILED, "undo of %s is known and cannot be given",
                                         step->command->name);
                step->undo = json_pack("[{s:s, s:{s:O}}]", "execute", step->command->undo, "arguments",
                                       step->command->id, json_object_get(arguments, step->command->id));
                return 0;
        }
        if (!json_is_array(undo) || json_array_size(undo) > FRAGMENT_UNDOS)
                return error_set(err, ERROR_FAILED,
                                 "undo is not an array of at most %d commands (empty: nothing to take back)",
                                 FRAGMENT_UNDOS);
        json_array_foreach (undo, i, each) {
                if (read_command(reading, each, &command, err) < 0)
                        return error_wrap(err, "undo %zu", i + 1);
                if (command->takes_fd)
                        return error_set(err, ERROR_FAILED, "undo %zu needs an fd", i + 1);
        }
        step->undo = json_incref(undo);
        return 0;
}

static int read_await(struct fragment_step *step, const json_t *await, struct error **err)
{
        static const char *const members[] = { "event", "device", "id", "timeout", NULL };
        const char *event, *device = NULL, *id = NULL;
        double timeout_s = 5;
        json_error_t why;

        if (!await)
                return 0;
        if (!json_is_object(await) || fragment_check_members(await, members, err) < 0)
                return *err ? -1 : error_set(err, ERROR_FAILED, "await is not an object");
        if (json_unpack_ex((json_t *)await, &why, 0, "{s:s, s?s, s?s, s?F}", "event", &event, "device",
                           &device, "id", &id, "timeout", &timeout_s) < 0)
                return error_set(err, ERROR_FAILED, "await: %s", why.text);
        if (!fragment_is_id(event, "_", NAME_MAX_))
                return error_set(err, ERROR_FAILED, "await: event is no name");
        if (!device == !id)
                return error_set(err, ERROR_FAILED, "await: either device or id is needed");
        if (!(timeout_s > 0 && timeout_s <= FRAGMENT_AWAIT_MAX_S))
                return error_set(err, ERROR_FAILED, "await: timeout is not between 0 and %d seconds",
                                 FRAGMENT_AWAIT_MAX_S);
        step->await_event = xstrdup(event);
        step->await_member = xstrdup(device ? "device" : "id");
        step->await_value = xstrdup(device ? device : id);
        step->await_ms = (unsigned)number_ceil(timeout_s * 1000);
        return 0;
}

static int read_step_fd(struct reading *reading, struct fragment_step *step, const json_t *fd,
                        struct error **err)
{
        const char *name = json_string_value(fd);
        json_t *uses = name ? json_object_get(reading->fd_uses, name) : NULL;

        if (!fd && !step->command->takes_fd)
                return 0;
        if (!step->command->takes_fd)
                return error_set(err, ERROR_FAILED, "%s takes no fd", step->command->name);
        if (!uses)
                return error_set(err, ERROR_FAILED,
                                 "fd names none that came with the fragment or was opened");
        json_integer_set(uses, json_integer_value(uses) + 1);
        step->fd = xstrdup(name);
        return 0;
}

static int read_qmp(struct reading *reading, struct fragment_step *step, const json_t *json,
                    struct error **err)
{
        const json_t *arguments = json_object_get(step->args, "arguments");
        const struct control_command *known;
        json_auto_t *keys = NULL;

        if (read_command(reading, step->args, &step->command, err) < 0)
                return -1;
        if (reading->fragment->forward && step->command->action != ACTION_REMOVE)
                return error_set(err, ERROR_FAILED, "a fragment with forward only takes away");
        if (step->command->action == ACTION_CREATE) {
                _cleanup_free_ char *id = object_id(step->command, arguments, err);
                _cleanup_free_ char *key = xasprintf("%d/%s", (int)step->command->object, id);

                /* Two images may share one set: its undo takes both. */
                if (json_object_get(reading->created, key) && step->command->object != OBJECT_FDSET)
                        return error_set(err, ERROR_FAILED, "'%s' is made twice", id);
                json_object_set_new(reading->created, key, json_true());
        }
        known = control_command_find(step->command->name);
        keys = control_command_keys(known, arguments);
        json_array_extend(reading->fragment->keys, keys);
        if (read_step_fd(reading, step, json_object_get(json, "fd"), err) < 0 ||
            read_undo(reading, step, json_object_get(json, "undo"), err) < 0 ||
            read_await(step, json_object_get(json, "await"), err) < 0)
                return -1;
        return 0;
}

/* The fragment. */

static int read_step(struct reading *reading, const json_t *json, struct fragment_step *step,
                     struct error **err)
{
        static const char *const qmp_members[] = { "effect", "args", "because", "undo", "await", "fd", NULL };
        const char *name = json_member_string(json, "effect");
        const json_t *args = json_object_get(json, "args"), *because = json_object_get(json, "because");

        if (!json_is_object(json) || !name)
                return error_set(err, ERROR_FAILED, "effect is missing");
        if (!plan_effect_from_name(name, &step->effect)) {
                _cleanup_free_ char *shown = text_printable(name);

                return error_set(err, ERROR_FAILED, "effect '%s' is unknown", shown);
        }
        if (!json_is_object(args))
                return error_set(err, ERROR_FAILED, "args is not an object");
        if (because && !json_is_string(because))
                return error_set(err, ERROR_FAILED, "because is not a text");
        step->args = generation_fill_json(args, reading->vm->generation);
        if (step->effect == EFFECT_QMP)
                return fragment_check_members(json, qmp_members, err) < 0
                               ? -1
                               : read_qmp(reading, step, json, err);
        return fragment_read_host(reading, json, step, err);
}

static int read_steps(struct reading *reading, const json_t *steps, struct error **err)
{
        struct fragment *fragment = reading->fragment;
        json_t *each;
        size_t i;

        if (!json_is_array(steps) || json_array_size(steps) == 0 || json_array_size(steps) > FRAGMENT_STEPS)
                return error_set(err, ERROR_FAILED, "steps is not an array of 1 to %d", FRAGMENT_STEPS);
        fragment->steps = xcalloc(json_array_size(steps), sizeof(*fragment->steps));
        json_array_foreach ((json_t *)steps, i, each) {
                /* Counted first: fragment_free() has what it got so far. */
                fragment->n_steps++;
                if (read_step(reading, each, &fragment->steps[i], err) < 0) {
                        _cleanup_free_ char *text = json_is_object(each) && fragment->steps[i].args
                                                            ? fragment_step_text(fragment, i)
                                                            : xasprintf("step %zu", i + 1);

                        return error_wrap(err, "%s", text);
                }
        }
        return 0;
}

static int read_fds(struct reading *reading, const json_t *fds, size_t n_fds, struct error **err)
{
        struct fragment *fragment = reading->fragment;
        json_t *each;
        size_t i;

        if (fds && !json_is_array(fds))
                return error_set(err, ERROR_FAILED, "fds is not an array");
        if (json_array_size(fds) != n_fds)
                return error_set(err, ERROR_FAILED, "fds names %zu fds, and %zu came", json_array_size(fds),
                                 n_fds);
        fragment->fds = xcalloc(n_fds + 1, sizeof(*fragment->fds));
        json_array_foreach ((json_t *)fds, i, each) {
                const char *name = json_string_value(each);

                if (!name || !fragment_is_id(name, "-._:", NAME_MAX_) || fragment_fd_is_ours(name))
                        return error_set(err, ERROR_FAILED, "fds: entry %zu is no name", i + 1);
                if (json_object_get(reading->fd_uses, name))
                        return error_set(err, ERROR_FAILED, "fds: '%s' is there twice", name);
                json_object_set_new(reading->fd_uses, name, json_integer(0));
                fragment->fds[fragment->n_fds++] = xstrdup(name);
        }
        return 0;
}

/* An fd that no step takes, and a tap that nobody could tell as ours, are mistakes. */
static int check_leftovers(const struct reading *reading, struct error **err)
{
        const char *name;
        json_t *value;

        json_object_foreach (reading->fd_uses, name, value) {
                if (json_integer_value(value) == 0)
                        return error_set(err, ERROR_FAILED, "no step takes the fd '%s'", name);
        }
        json_object_foreach (reading->helpers, name, value) {
                if (json_integer_value(value) != 3)
                        return error_set(err, ERROR_FAILED, "the socket for '%s' has no helper process",
                                         name);
        }
        json_object_foreach (reading->taps, name, value) {
                if (!json_is_true(value))
                        return error_set(err, ERROR_FAILED, "the tap '%s' gets no group and alias (link-set)",
                                         name);
        }
        return 0;
}

/* {"set":[OBJECT...],"remove":[...]} with at most FRAGMENT_LIVE entries each. */
static int check_changes(const json_t *changes, bool remove_names, struct error **err)
{
        static const char *const members[] = { "set", "remove", NULL };
        const char *key;
        json_t *list, *each;
        size_t i;

        if (!json_is_object(changes))
                return error_set(err, ERROR_FAILED, "not an object");
        if (fragment_check_members(changes, members, err) < 0)
                return -1;
        json_object_foreach ((json_t *)changes, key, list) {
                bool names = remove_names && strcmp(key, "remove") == 0;

                if (!json_is_array(list) || json_array_size(list) > FRAGMENT_LIVE)
                        return error_set(err, ERROR_FAILED, "%s is not an array of at most %d", key,
                                         FRAGMENT_LIVE);
                json_array_foreach (list, i, each) {
                        if (names ? !json_is_string(each) : !json_is_object(each))
                                return error_set(err, ERROR_FAILED, "%s: entry %zu is no %s", key, i + 1,
                                                 names ? "id" : "object");
                }
        }
        return 0;
}

static bool is_value(const json_t *value)
{
        return !json_is_object(value) && !json_is_array(value) &&
               (!json_is_string(value) || fragment_is_line(json_string_value(value), VALUE_MAX));
}

/* One of its members is what OpenNebula keeps with a NIC, by name. */
static bool is_member(const char *key, const json_t *member)
{
        const char *name;
        json_t *each;

        if (strcmp(key, "metadata") != 0 || !json_is_object(member) ||
            json_object_size(member) > FRAGMENT_LIVE)
                return is_value(member);
        json_object_foreach ((json_t *)member, name, each) {
                if (!is_value(each) || !fragment_is_line(name, ID_MAX))
                        return false;
        }
        return true;
}

static int check_device(const json_t *device, struct error **err)
{
        const char *id = json_member_string(device, "id");
        const char *kind = json_member_string(device, "kind");
        const char *key;
        json_t *value;

        if (!id || !fragment_is_id(id, "-._", ID_MAX) || !kind)
                return error_set(err, ERROR_FAILED, "id or kind is missing");
        json_object_foreach ((json_t *)device, key, value) {
                if (!is_member(key, value))
                        return error_set(err, ERROR_FAILED, "a member is not one line of text or a number");
        }
        return 0;
}

/* QEMU's ids, and "rp4:0x0", "scsi0.0:2"; an image's path, and "raw:/srv/base.raw". */
static int read_places(const json_t *places, struct error **err)
{
        const char *id;
        json_t *place;

        if (!json_is_object(places) || json_object_size(places) > FRAGMENT_LIVE)
                return error_set(err, ERROR_FAILED, "not an object of at most %d", FRAGMENT_LIVE);
        json_object_foreach ((json_t *)places, id, place) {
                if (*id == '/' && json_is_string(place) && fragment_is_line(id, VALUE_MAX) &&
                    fragment_is_line(json_string_value(place), VALUE_MAX))
                        continue;
                if (!fragment_is_id(id, "-._", NAME_MAX_) || !json_is_string(place) ||
                    !fragment_is_id(json_string_value(place), "-._:", NAME_MAX_))
                        return error_set(err, ERROR_FAILED, "a device or its place is no name");
        }
        return 0;
}

static int read_live(struct reading *reading, const json_t *json, struct error **err)
{
        json_t *live = json_object_get(json, "live"), *devices = json_object_get(json, "devices"),
               *places = json_object_get(json, "places"), *each;
        size_t i;

        /* What a VM is made of at its next start is not an operator's to say. */
        if ((live || devices || places) &&
            fragment_need_role(reading, ROLE_ADMIN, "a change of what the VM has", err) < 0)
                return -1;
        if (live && check_changes(live, false, err) < 0)
                return error_wrap(err, "live");
        if (devices && check_changes(devices, true, err) < 0)
                return error_wrap(err, "devices");
        if (places && read_places(places, err) < 0)
                return error_wrap(err, "places");
        json_array_foreach (json_object_get(devices, "set"), i, each) {
                if (check_device(each, err) < 0)
                        return error_wrap(err, "devices: set: entry %zu", i + 1);
        }
        reading->fragment->live = json_incref(live);
        reading->fragment->devices = json_incref(devices);
        reading->fragment->places = json_incref(places);
        return 0;
}

/* What it leaves over is taken away by another one, which changes nothing else. */
static int read_then(struct reading *reading, const json_t *then, struct error **err)
{
        struct fragment *fragment = NULL;

        if (!then)
                return 0;
        if (reading->fragment->forward)
                return error_set(err, ERROR_FAILED, "then goes with no fragment that has forward");
        if (fragment_read(then, reading->vm, reading->role, 0, &fragment, err) < 0)
                return error_wrap(err, "then");
        reading->fragment->then = fragment;
        if (!fragment->forward || fragment->live || fragment->devices || fragment->places)
                return error_set(err, ERROR_FAILED, "then has to have forward, and changes nothing else");
        return 0;
}

static int read_fragment(struct reading *reading, const json_t *json, size_t n_fds, struct error **err)
{
        static const char *const members[] = { "what",   "fds",     "steps", "live", "devices",
                                               "places", "forward", "then",  NULL };
        const json_t *forward = json_object_get(json, "forward");
        const json_t *what = json_object_get(json, "what");
        const char *text = json_string_value(what);

        if (!json_is_object(json))
                return error_set(err, ERROR_FAILED, "fragment is not an object");
        if (fragment_check_members(json, members, err) < 0)
                return -1;
        if (what && (!text || !fragment_is_line(text, WHAT_MAX)))
                return error_set(err, ERROR_FAILED, "what is not a line of at most %d bytes", WHAT_MAX);
        if (forward && !json_is_boolean(forward))
                return error_set(err, ERROR_FAILED, "forward is neither true nor false");
        reading->fragment->forward = json_is_true(forward);
        reading->fragment->what = xstrdup_null(text);
        if (read_fds(reading, json_object_get(json, "fds"), n_fds, err) < 0 ||
            read_steps(reading, json_object_get(json, "steps"), err) < 0 || check_leftovers(reading, err) < 0)
                return -1;
        if (reading->fragment->forward)
                reading->fragment->source = json_deep_copy(json);
        if (read_then(reading, json_object_get(json, "then"), err) < 0)
                return -1;
        return read_live(reading, json, err);
}

int fragment_read(const json_t *json, const struct fragment_vm *vm, enum control_role role, size_t n_fds,
                  struct fragment **ret, struct error **err)
{
        struct reading reading = {
                .vm = vm,
                .role = role,
                .fragment = xcalloc(1, sizeof(struct fragment)),
                .created = json_object(),
                .taps = json_object(),
                .fd_uses = json_object(),
                .helpers = json_object(),
        };
        int result;

        reading.fragment->keys = json_array();
        result = read_fragment(&reading, json, n_fds, err);
        json_decref(reading.created);
        json_decref(reading.taps);
        json_decref(reading.fd_uses);
        json_decref(reading.helpers);
        if (result < 0)
                fragment_free(reading.fragment);
        else
                *ret = reading.fragment;
        return result;
}

static void drop_device(json_t *devices, const char *id)
{
        for (size_t i = json_array_size(devices); i-- > 0;) {
                const char *is = json_member_string(json_array_get(devices, i), "id");

                if (is && id && strcmp(is, id) == 0)
                        json_array_remove(devices, i);
        }
}

json_t *fragment_devices(const json_t *devices, const json_t *changes)
{
        json_t *copy = devices ? json_copy((json_t *)devices) : json_array(), *each;
        size_t i;

        json_array_foreach (json_object_get(changes, "remove"), i, each)
                drop_device(copy, json_string_value(each));
        json_array_foreach (json_object_get(changes, "set"), i, each) {
                drop_device(copy, json_member_string(each, "id"));
                json_array_append(copy, each);
        }
        return copy;
}
