#include "launcher/plan/plan_change.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "launcher/plan/live_change.h"
#include "launcher/plan/plan_parts.h"

struct changing {
        const struct plan_change_options *options;
        struct plan_parts was, wanted;
        const struct launch_plan *was_plan, *wanted_plan;
        json_t *steps;
        bool removes;
        json_t *after;   /* steps of a second fragment */
        json_t *handled; /* {"disk2": true}: drives whose medium changes */
        struct plan_change change;
};

struct machine_lock *plan_lock(const struct launch_plan *plan)
{
        struct machine_lock *lock = NULL;
        struct error *err = NULL;

        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_MACHINE_LOCK &&
                    machine_lock_parse("machine.lock",
                                       json_string_value(json_object_get(plan->steps[i].args, "text")), &lock,
                                       &err) < 0)
                        error_free(TAKE_PTR(err));
        return lock;
}

static const struct {
        const char *add, *remove, *id;
} commands[PLAN_PART_KINDS] = {
        [PART_OBJECT] = { "object-add", "object-del", "id" },
        [PART_FDSET] = { "add-fd", "remove-fd", "fdset-id" },
        [PART_CHARDEV] = { "chardev-add", "chardev-remove", "id" },
        [PART_NODE] = { "blockdev-add", "blockdev-del", "node-name" },
        [PART_NETDEV] = { "netdev_add", "netdev_del", "id" },
        [PART_DEVICE] = { "device_add", "device_del", "id" },
};

void plan_change_done(struct plan_change *change)
{
        json_decref(change->fragment);
        json_decref(change->after);
        for (size_t i = 0; i < change->n_files; i++) {
                free(change->files[i].name);
                free(change->files[i].path);
        }
        free(change->files);
        error_free(change->next_start);
        *change = (struct plan_change){ 0 };
}

bool plan_change_is_empty(const struct plan_change *change)
{
        return json_array_size(json_object_get(change->fragment, "steps")) == 0;
}

static void add_step(struct changing *c, const char *because, enum plan_effect effect, json_t *args_consume,
                     json_t *more_consume)
{
        json_t *step = json_pack("{s:s, s:o, s:s}", "effect", plan_effect_name(effect), "args", args_consume,
                                 "because", because);

        if (more_consume) {
                json_object_update(step, more_consume);
                json_decref(more_consume);
        }
        json_array_append_new(c->steps, step);
}

static json_t *command(const char *name, json_t *arguments_consume)
{
        return json_pack("{s:s, s:o}", "execute", name, "arguments", arguments_consume);
}

static void add_qmp(struct changing *c, const char *because, const char *name, json_t *arguments_consume,
                    json_t *more_consume)
{
        add_step(c, because, EFFECT_QMP, command(name, arguments_consume), more_consume);
}

/* Names and numbers in QEMU. */

/*
 * The number of a set: QEMU's own where it has it; else one of the name, above all that a command line counts to. Two
 * names with one number are found by the supervisor, which adds nothing that is there.
 */
static json_int_t fdset_number(const struct changing *c, const char *name)
{
        const json_t *known = json_object_get(c->options->fdsets, name);

        return json_is_integer(known) ? json_integer_value(known)
                                      : 0x40000000 + (json_int_t)(text_hash(name, strlen(name)) & 0x3fffffff);
}

static char *fdset_path(const char *name, void *data)
{
        return xasprintf("/dev/fdset/%lld", (long long)fdset_number(data, name));
}

/* A name for getfd: no digit in front, no colon inside. */
static char *fd_name(const char *source, void *data)
{
        char *name = xasprintf("fd-%s", source);

        (void)data;
        for (char *p = name; *p; p++)
                if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
                        *p = '.';
        return name;
}

/* What a part's arguments say in QEMU; new reference. */
static json_t *arguments_of(struct changing *c, const struct plan_part *part)
{
        json_t *arguments = json_deep_copy(part->json), *each;
        const char *key;
        void *next;

        plan_part_replace(arguments, PLAN_PART_FDSET, fdset_path, c);
        plan_part_replace(arguments, PLAN_PART_FD, fd_name, NULL);
        /* fds=a:b */
        json_object_foreach_safe (arguments, next, key, each) {
                _cleanup_text_ struct text list = TEXT_INIT;
                json_t *name;
                size_t i;

                if (!json_is_array(each) || !text_starts_with(key, "fd"))
                        continue;
                json_array_foreach (each, i, name)
                        text_addf(&list, "%s%s", i ? ":" : "", json_string_value(name));
                json_object_set_new(arguments, key, json_string(text_str(&list)));
        }
        return arguments;
}

static void tell_next_start(struct changing *c, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
static void tell_next_start(struct changing *c, const char *format, ...)
{
        _cleanup_text_ struct text text = TEXT_INIT;
        struct error *one = NULL;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&text, format, ap);
        va_end(ap);
        error_set(&one, ERROR_INVALID, "%s", text_str(&text));
        error_append(&c->change.next_start, one);
}

/* What comes. */

static void give_fds(struct changing *c, const struct plan_part *part, json_t *value)
{
        const char *text = json_string_value(value), *key;
        json_t *each;
        size_t i;

        json_array_foreach (value, i, each)
                give_fds(c, part, each);
        json_object_foreach (value, key, each)
                give_fds(c, part, each);
        if (text && text_starts_with(text, PLAN_PART_FD)) {
                const char *source = text + strlen(PLAN_PART_FD);
                _cleanup_free_ char *name = fd_name(source, NULL);

                add_qmp(c, part->because, "getfd", json_pack("{s:s}", "fdname", name),
                        json_pack("{s:s}", "fd", source));
        }
}

/* Why a device comes and goes with a start only; NULL: it can be plugged. */
static const char *not_pluggable(const struct plan_part *part)
{
        const char *bus = json_string_value(json_object_get(part->json, "bus")),
                   *driver = json_string_value(json_object_get(part->json, "driver"));

        if (part->kind != PART_DEVICE || !driver)
                return NULL;
        if (text_starts_with(driver, "ide-") || (bus && text_starts_with(bus, "ide.")))
                return "IDE and SATA have no hotplug: TARGET vda or sda style has";
        if (text_starts_with(driver, "isa-") || strcmp(driver, "floppy") == 0 ||
            strcmp(driver, "pvpanic") == 0)
                return "an ISA device has no hotplug";
        if (bus && strcmp(bus, "pcie.0") == 0)
                return "a device on the root complex has no hotplug";
        return NULL;
}

static void add_part(struct changing *c, const struct plan_part *part)
{
        const char *why = not_pluggable(part);

        if (why)
                tell_next_start(c, "%s: '%s' can come with a start only: %s", part->because, part->id, why);
        if (part->kind == PART_FDSET) {
                const char *source =
                        json_string_value(json_object_get(part->json, "fd")) + strlen(PLAN_PART_FD);

                add_qmp(c, part->because, "add-fd",
                        json_pack("{s:I, s:s}", "fdset-id", fdset_number(c, part->id), "opaque", part->id),
                        json_pack("{s:s}", "fd", source));
                return;
        }
        give_fds(c, part, part->json);
        add_qmp(c, part->because, commands[part->kind].add, arguments_of(c, part), NULL);
}

/* What both have: but for the place in the boot order, which is the firmware's and long past. */
static json_t *comparable(const struct plan_part *part)
{
        json_t *copy = json_deep_copy(part->json);

        json_object_del(copy, "bootindex");
        return copy;
}

/* A throttle group's limits merge with what it has (qemu-lab 7), so all of them are said. */
static json_t *limits_between(const json_t *from, const json_t *to)
{
        json_t *limits = json_object(), *value;
        const char *key;

        json_object_foreach (json_object_get(from, "limits"), key, value)
                json_object_set_new(limits, key, json_integer(text_ends_with(key, "-length")));
        json_object_foreach (json_object_get(to, "limits"), key, value)
                json_object_set(limits, key, value);
        return limits;
}

static json_t *set_limits(const char *id, json_t *limits_consume)
{
        return json_pack("{s:o, s:s, s:o}", "path", json_sprintf("/objects/%s", id), "property", "limits",
                         "value", limits_consume);
}

static bool change_throttle(struct changing *c, const struct plan_part *was, const struct plan_part *wanted)
{
        const char *type = json_string_value(json_object_get(wanted->json, "qom-type"));

        if (wanted->kind != PART_OBJECT || !type || strcmp(type, "throttle-group") != 0)
                return false;
        add_qmp(c, wanted->because, "qom-set",
                set_limits(wanted->id, limits_between(was->json, wanted->json)),
                json_pack(
                        "{s:[o]}", "undo",
                        command("qom-set", set_limits(wanted->id, limits_between(wanted->json, was->json)))));
        return true;
}

static json_t *set_requested(const struct plan_part *part)
{
        return json_pack("{s:o, s:s, s:O}", "path", json_sprintf("/machine/peripheral/%s", part->id),
                         "property", "requested-size", "value",
                         json_object_get(part->json, "requested-size"));
}

/* The guest takes or gives blocks in its own time. */
static bool change_virtio_mem(struct changing *c, const struct plan_part *was, const struct plan_part *wanted)
{
        const char *driver = json_string_value(json_object_get(wanted->json, "driver"));

        if (wanted->kind != PART_DEVICE || !driver || strcmp(driver, "virtio-mem-pci") != 0)
                return false;
        add_qmp(c, "MEMORY_PLUGGED", "qom-set", set_requested(wanted),
                json_pack("{s:[o]}", "undo", command("qom-set", set_requested(was))));
        return true;
}

static void change_part(struct changing *c, const struct plan_part *was, const struct plan_part *wanted)
{
        json_auto_t *a = comparable(was), *b = comparable(wanted);
        const char *key;
        json_t *value;

        if (json_equal(a, b) || change_throttle(c, was, wanted) || change_virtio_mem(c, was, wanted))
                return;
        json_object_foreach (b, key, value) {
                if (!json_equal(json_object_get(a, key), value))
                        tell_next_start(c, "%s: %s of '%s' changes at the next start", wanted->because, key,
                                        wanted->id);
        }
        json_object_foreach (a, key, value) {
                if (!json_object_get(b, key))
                        tell_next_start(c, "%s: %s of '%s' goes at the next start", wanted->because, key,
                                        wanted->id);
        }
}

/* Options of the command line are all the same, or come with the next start. Nothing of a run's own is in them. */
static bool has_option(const struct plan_parts *parts, const struct plan_part *option)
{
        for (size_t i = 0; i < parts->n; i++)
                if (parts->items[i].kind == PART_OPTION && strcmp(parts->items[i].id, option->id) == 0 &&
                    json_equal(parts->items[i].json, option->json))
                        return true;
        return false;
}

/* "disk2-file" and "disk2" are of the drive "disk2". */
static bool is_handled(const struct changing *c, const char *id)
{
        const char *drive;
        json_t *value;

        json_object_foreach (c->handled, drive, value) {
                size_t n = strlen(drive);

                if (strncmp(id, drive, n) == 0 && (id[n] == '-' || !id[n]))
                        return true;
        }
        return false;
}

static bool is_handled_image(const struct changing *c, const struct plan_step *step)
{
        const char *fd = json_string_value(json_object_get(step->args, "fd"));

        return step->effect == EFFECT_IMAGE_OPEN && fd && text_starts_with(fd, "image:") &&
               is_handled(c, fd + strlen("image:"));
}

static void add_parts(struct changing *c)
{
        for (enum plan_part_kind kind = 0; kind < PART_OPTION; kind++)
                for (size_t i = 0; i < c->wanted.n; i++) {
                        const struct plan_part *part = &c->wanted.items[i];
                        const struct plan_part *was;

                        if (part->kind != kind || is_handled(c, part->id))
                                continue;
                        was = plan_parts_find(&c->was, kind, part->id);
                        if (was)
                                change_part(c, was, part);
                        else
                                add_part(c, part);
                }
        for (size_t i = 0; i < c->wanted.n; i++) {
                const struct plan_part *part = &c->wanted.items[i];

                if (part->kind == PART_OPTION && !has_option(&c->was, part))
                        tell_next_start(c, "%s: %s %s comes with the next start", part->because, part->id,
                                        json_string_value(part->json));
        }
}

/* What goes: newest first, devices before what they are made of. */

static void remove_part(struct changing *c, const struct plan_part *part)
{
        const char *why = not_pluggable(part);
        json_t *more = json_pack("{s:[]}", "undo"), *id = json_string(part->id);

        if (why)
                tell_next_start(c, "%s: '%s' can go with the next start only: %s", part->because, part->id,
                                why);
        if (part->kind == PART_FDSET) {
                json_decref(id);
                id = json_integer(fdset_number(c, part->id));
        }
        if (part->kind == PART_DEVICE)
                json_object_set_new(more, "await",
                                    json_pack("{s:s, s:s, s:i}", "event", "DEVICE_DELETED", "device",
                                              part->id, "timeout", (int)c->options->unplug_s));
        add_qmp(c, part->because, commands[part->kind].remove,
                json_pack("{s:o}", commands[part->kind].id, id), more);
        c->removes = true;
}

static void remove_parts(struct changing *c)
{
        for (enum plan_part_kind kind = PART_OPTION; kind-- > 0;)
                for (size_t i = c->was.n; i-- > 0;) {
                        const struct plan_part *part = &c->was.items[i];

                        if (part->kind == kind && !is_handled(c, part->id) &&
                            !plan_parts_find(&c->wanted, kind, part->id))
                                remove_part(c, part);
                }
}

/* Steps of the host. */

static bool has_step(const struct launch_plan *plan, const struct plan_step *step)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == step->effect && json_equal(plan->steps[i].args, step->args))
                        return true;
        return false;
}

/* The member by which a step of the journal is known again. */
static const char *known_by(enum plan_effect effect)
{
        switch (effect) {
        case EFFECT_IMAGE_OPEN:
        case EFFECT_FILE_OPEN:
                return "fd";
        case EFFECT_NET:
                return "ifname";
        default:
                return NULL;
        }
}

/* The step of the other plan that does the same thing another way; NULL: there is none. */
static const struct plan_step *counterpart(const struct launch_plan *plan, const struct plan_step *step)
{
        const char *member = known_by(step->effect);

        for (size_t i = 0; member && i < plan->n_steps; i++)
                if (plan->steps[i].effect == step->effect &&
                    json_equal(json_object_get(plan->steps[i].args, member),
                               json_object_get(step->args, member)) &&
                    json_equal(json_object_get(plan->steps[i].args, "op"), json_object_get(step->args, "op")))
                        return &plan->steps[i];
        return NULL;
}

/* The device has it already: what is open stays open. How it is used is in the nodes. */
static void change_step(struct changing *c, const struct plan_step *was, const struct plan_step *wanted)
{
        const json_t *a = was->args, *b = wanted->args;
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)b, key, value) {
                if (strcmp(key, "direct") != 0 && !json_equal(json_object_get(a, key), value))
                        tell_next_start(c, "%s: %s of '%s' changes at the next start", wanted->because, key,
                                        json_string_value(json_object_get(b, known_by(wanted->effect))));
        }
}

static void add_file(struct changing *c, const json_t *args)
{
        const char *access = json_string_value(json_object_get(args, "access"));

        ARRAY_GROW(c->change.files, c->change.n_files);
        c->change.files[c->change.n_files++] = (struct change_file){
                .name = xstrdup(json_string_value(json_object_get(args, "fd"))),
                .path = xstrdup(json_string_value(json_object_get(args, "path"))),
                .rw = access && strcmp(access, "rw") == 0,
                .direct = json_is_true(json_object_get(args, "direct")),
        };
}

/* Of a start alone: whose text or name is of a run, and what is the supervisor's. */
static bool is_of_a_start(enum plan_effect effect)
{
        return effect == EFFECT_LIVE_TEMPLATE || effect == EFFECT_MACHINE_LOCK || effect == EFFECT_SPAWN ||
               effect == EFFECT_UID_CLAIM || effect == EFFECT_STDERR || effect == EFFECT_DIRECTORY;
}

/* What a running VM can be given: launcher/run/fragment.c takes no other effect. */
static bool comes_live(enum plan_effect effect)
{
        return effect == EFFECT_NET || effect == EFFECT_DEVICE_OPEN || effect == EFFECT_CGROUP_WRITE ||
               effect == EFFECT_IMAGE_OPEN;
}

static void add_host_steps(struct changing *c)
{
        for (size_t i = 0; i < c->wanted_plan->n_steps; i++) {
                const struct plan_step *step = &c->wanted_plan->steps[i];

                if (step->effect == EFFECT_QMP || is_of_a_start(step->effect) ||
                    has_step(c->was_plan, step) || is_handled_image(c, step))
                        continue;
                if (counterpart(c->was_plan, step)) {
                        change_step(c, counterpart(c->was_plan, step), step);
                        continue;
                }
                if (!comes_live(step->effect)) {
                        tell_next_start(c, "%s: %s comes with the next start", step->because,
                                        plan_effect_name(step->effect));
                        continue;
                }
                if (step->effect == EFFECT_IMAGE_OPEN)
                        add_file(c, step->args);
                else if (step->effect != EFFECT_NET && step->effect != EFFECT_CGROUP_WRITE)
                        tell_next_start(c, "%s: it comes with a start only (%s)", step->because,
                                        plan_effect_name(step->effect));
                add_step(c, step->because, step->effect, json_incref(step->args), NULL);
        }
}

static bool is_taken_back(const json_t *steps, const json_t *args)
{
        const json_t *step;
        size_t i;

        json_array_foreach ((json_t *)steps, i, step) {
                if (json_equal(json_object_get(step, "args"), args))
                        return true;
        }
        return false;
}

static void remove_host_steps(struct changing *c)
{
        for (size_t i = c->was_plan->n_steps; i-- > 0;) {
                const struct plan_step *step = &c->was_plan->steps[i];
                const char *member = known_by(step->effect);
                json_t *args;

                if (!member || has_step(c->wanted_plan, step) || counterpart(c->wanted_plan, step) ||
                    is_handled_image(c, step))
                        continue;
                args = json_pack("{s:s, s:s, s:O}", "effect", plan_effect_name(step->effect), "member",
                                 member, "value", json_object_get(step->args, member));
                /* The several steps of one tap are taken back together. */
                if (is_taken_back(c->steps, args)) {
                        json_decref(args);
                        continue;
                }
                add_step(c, step->because, EFFECT_TAKE_BACK, args, NULL);
        }
}

/* The same command as it was given last, if it was. */
static json_t *way_back(const struct launch_plan *was, const struct plan_step *step)
{
        json_t *undo = json_array();

        for (size_t i = 0; i < was->n_steps; i++)
                if (was->steps[i].effect == EFFECT_QMP &&
                    json_equal(json_object_get(was->steps[i].args, "execute"),
                               json_object_get(step->args, "execute")))
                        json_array_append(undo, was->steps[i].args);
        return undo;
}

/* The screen's listener is given to QEMU before the guest runs. */
static bool is_of_the_screen(const struct plan_step *step)
{
        const char *name = json_string_value(json_object_get(step->args, "execute"));

        return json_object_get(step->args, "fd") || (name && strcmp(name, "display-update") == 0);
}

static void add_qmp_steps(struct changing *c)
{
        for (size_t i = 0; i < c->wanted_plan->n_steps; i++) {
                const struct plan_step *step = &c->wanted_plan->steps[i];

                if (step->effect == EFFECT_QMP && !is_of_the_screen(step) && !has_step(c->was_plan, step))
                        add_step(c, step->because, EFFECT_QMP, json_incref(step->args),
                                 json_pack("{s:o}", "undo", way_back(c->was_plan, step)));
        }
}

/* What is written down. */

static const char *live_text(const struct launch_plan *plan)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_LIVE_TEMPLATE)
                        return json_string_value(json_object_get(plan->steps[i].args, "text"));
        return "";
}

static const json_t *find_device(const json_t *devices, const json_t *like)
{
        const json_t *each;
        size_t i;

        json_array_foreach ((json_t *)devices, i, each) {
                if (json_equal(json_object_get(each, "id"), json_object_get(like, "id")))
                        return each;
        }
        return NULL;
}

static json_t *device_changes(const struct changing *c)
{
        json_t *set = json_array(), *remove = json_array(), *each;
        size_t i;

        json_array_foreach (c->wanted_plan->devices, i, each) {
                const json_t *was = find_device(c->was_plan->devices, each);

                if (!was || !json_equal(was, each))
                        json_array_append(set, each);
        }
        json_array_foreach (c->was_plan->devices, i, each) {
                if (!find_device(c->wanted_plan->devices, each))
                        json_array_append(remove, json_object_get(each, "id"));
        }
        return json_pack("{s:o, s:o}", "set", set, "remove", remove);
}

/* What the supervisor was given at the start. */
static void tell_policy(struct changing *c)
{
        json_auto_t *was = plan_policy_to_json(&c->was_plan->policy),
                    *wanted = plan_policy_to_json(&c->wanted_plan->policy);
        const char *key;
        json_t *value;

        json_object_foreach (wanted, key, value) {
                if (!json_equal(json_object_get(was, key), value))
                        tell_next_start(c, "the supervisor's %s changes at the next start", key);
        }
}

/* Media of drives that stay. */

static const struct plan_step *image_of(const struct launch_plan *plan, const char *node)
{
        for (size_t i = 0; i < plan->n_steps; i++) {
                const char *fd = json_string_value(json_object_get(plan->steps[i].args, "fd"));

                if (plan->steps[i].effect == EFFECT_IMAGE_OPEN && fd && text_starts_with(fd, "image:") &&
                    strcmp(fd + strlen("image:"), node) == 0)
                        return &plan->steps[i];
        }
        return NULL;
}

static bool is_removable(const struct plan_part *device)
{
        static const char *const drivers[] = { "ide-cd", "scsi-cd", "floppy" };
        const char *driver = json_string_value(json_object_get(device->json, "driver"));

        for (size_t i = 0; driver && i < ARRAY_SIZE(drivers); i++)
                if (strcmp(driver, drivers[i]) == 0)
                        return true;
        return false;
}

static bool is_part_of(const struct plan_part *part, enum plan_part_kind kind, const char *drive)
{
        size_t n = strlen(drive);

        return part->kind == kind && strncmp(part->id, drive, n) == 0 && part->id[n] == '-';
}

static json_t *tray(const char *command_name, const char *id, bool force)
{
        json_t *arguments = json_pack("{s:s}", "id", id);

        if (force)
                json_object_set_new(arguments, "force", json_true());
        return command(command_name, arguments);
}

static void add_tray_step(struct changing *c, const struct plan_part *device, const char *name,
                          const char *undo, bool force)
{
        add_step(c, device->because, EFFECT_QMP, tray(name, device->id, force),
                 json_pack("{s:[o]}", "undo", tray(undo, device->id, true)));
}

static json_t *insertion(const struct plan_part *device)
{
        return json_pack("{s:s, s:O}", "id", device->id, "node-name", json_object_get(device->json, "drive"));
}

/* The old one's nodes make room: their names are the new one's. Its file and lock go when all is done. */
static void take_medium_out(struct changing *c, const struct plan_part *device)
{
        add_qmp(c, device->because, "blockdev-remove-medium", json_pack("{s:s}", "id", device->id),
                json_pack("{s:[o]}", "undo", command("blockdev-insert-medium", insertion(device))));
        for (size_t i = c->was.n; i-- > 0;) {
                const struct plan_part *part = &c->was.items[i];

                if (is_part_of(part, PART_NODE, device->id))
                        add_qmp(c, part->because, "blockdev-del", json_pack("{s:s}", "node-name", part->id),
                                json_pack("{s:[o]}", "undo", command("blockdev-add", arguments_of(c, part))));
        }
        for (size_t i = 0; i < c->was.n; i++)
                if (is_part_of(&c->was.items[i], PART_FDSET, device->id))
                        json_array_append_new(
                                c->after, json_pack("{s:s, s:{s:s, s:{s:I}}, s:[]}", "effect", "qmp", "args",
                                                    "execute", "remove-fd", "arguments", "fdset-id",
                                                    fdset_number(c, c->was.items[i].id), "undo"));
        for (size_t i = 0; i < c->was_plan->n_steps; i++) {
                const struct plan_step *step = &c->was_plan->steps[i];

                if (is_handled_image(c, step) &&
                    is_handled(c, json_string_value(json_object_get(step->args, "fd")) + strlen("image:")))
                        json_array_append_new(c->after,
                                              json_pack("{s:s, s:{s:s, s:s, s:O, s:O}}", "effect",
                                                        plan_effect_name(EFFECT_TAKE_BACK), "args", "effect",
                                                        plan_effect_name(EFFECT_IMAGE_OPEN), "member", "fd",
                                                        "value", json_object_get(step->args, "fd"), "path",
                                                        json_object_get(step->args, "path")));
        }
}

static void put_medium_in(struct changing *c, const struct plan_part *device)
{
        json_auto_t *numbers = c->options->fdsets ? json_deep_copy(c->options->fdsets) : json_object();
        struct plan_change_options options = *c->options;
        const struct plan_change_options *before = c->options;

        /* The old one's sets are there still, under the same names. */
        options.fdsets = numbers;
        for (size_t i = 0; i < c->wanted.n; i++)
                if (is_part_of(&c->wanted.items[i], PART_FDSET, device->id)) {
                        const struct plan_step *image = image_of(c->wanted_plan, c->wanted.items[i].id);
                        const char *path = json_string_value(json_object_get(image->args, "path"));

                        json_object_set_new(
                                numbers, c->wanted.items[i].id,
                                json_integer(0x40000000 +
                                             (json_int_t)(text_hash(path, strlen(path)) & 0x3fffffff)));
                }
        c->options = &options;
        for (size_t i = 0; i < c->wanted.n; i++)
                if (is_part_of(&c->wanted.items[i], PART_FDSET, device->id) ||
                    is_part_of(&c->wanted.items[i], PART_NODE, device->id))
                        add_part(c, &c->wanted.items[i]);
        c->options = before;
        add_qmp(c, device->because, "blockdev-insert-medium", insertion(device),
                json_pack("{s:[o]}", "undo",
                          command("blockdev-remove-medium", json_pack("{s:s}", "id", device->id))));
}

static void open_medium(struct changing *c, const char *drive)
{
        for (size_t i = 0; i < c->wanted_plan->n_steps; i++) {
                const struct plan_step *step = &c->wanted_plan->steps[i];
                const char *fd = json_string_value(json_object_get(step->args, "fd"));
                size_t n = strlen(drive);

                if (step->effect != EFFECT_IMAGE_OPEN || !fd || !text_starts_with(fd, "image:") ||
                    strncmp(fd + strlen("image:"), drive, n) != 0 || fd[strlen("image:") + n] != '-')
                        continue;
                add_file(c, step->args);
                add_step(c, step->because, step->effect, json_incref(step->args), NULL);
        }
}

static void change_media(struct changing *c)
{
        for (size_t i = 0; i < c->wanted.n; i++) {
                const struct plan_part *wanted = &c->wanted.items[i];
                const struct plan_part *was = wanted->kind == PART_DEVICE && is_removable(wanted)
                                                      ? plan_parts_find(&c->was, PART_DEVICE, wanted->id)
                                                      : NULL;
                _cleanup_free_ char *node = xasprintf("%s-file", wanted->id);
                const struct plan_step *old = was ? image_of(c->was_plan, node) : NULL,
                                       *new = was ? image_of(c->wanted_plan, node) : NULL;

                if (!was || (!old && !new) ||
                    (old && new &&json_equal(json_object_get(old->args, "path"),
                                             json_object_get(new->args, "path"))))
                        continue;
                json_object_set_new(c->handled, wanted->id, json_true());
                open_medium(c, wanted->id);
                add_tray_step(c, was, "blockdev-open-tray", "blockdev-close-tray", c->options->force_tray);
                if (old)
                        take_medium_out(c, was);
                if (new)
                        put_medium_in(c, wanted);
                add_tray_step(c, was, "blockdev-close-tray", "blockdev-open-tray", false);
        }
}

/* What machine.lock says of devices that are new, or elsewhere now. */
static json_t *place_changes(const struct launch_plan *was, const struct launch_plan *wanted)
{
        _cleanup_(machine_lock_freep) struct machine_lock *a = plan_lock(was), *b = plan_lock(wanted);
        json_t *places = json_object();

        for (size_t i = 0; b && i < b->n_addresses; i++) {
                const struct locked_address *now = &b->addresses[i];
                bool known = false;

                for (size_t k = 0; a && k < a->n_addresses; k++)
                        known = known || (strcmp(a->addresses[k].device, now->device) == 0 &&
                                          strcmp(a->addresses[k].address, now->address) == 0);
                if (!known)
                        json_object_set_new(places, now->device, json_string(now->address));
        }
        return places;
}

int plan_change_build(const struct launch_plan *was, const struct launch_plan *wanted,
                      const struct plan_change_options *options, struct plan_change *ret, struct error **err)
{
        struct changing c = { .options = options,
                              .was_plan = was,
                              .wanted_plan = wanted,
                              .steps = json_array(),
                              .handled = json_object(),
                              .after = json_array() };

        json_t *live;

        if (strcmp(was->name, wanted->name) != 0 || strcmp(was->uuid, wanted->uuid) != 0) {
                json_decref(c.steps);
                json_decref(c.handled);
                json_decref(c.after);
                return error_set(err, ERROR_INVALID, "NAME and UUID of a running VM stay");
        }
        live = live_change(live_text(was), live_text(wanted), err);
        if (!live) {
                json_decref(c.steps);
                json_decref(c.handled);
                json_decref(c.after);
                return -1;
        }
        plan_parts_read(was, &c.was);
        plan_parts_read(wanted, &c.wanted);
        change_media(&c);
        add_host_steps(&c);
        add_parts(&c);
        add_qmp_steps(&c);
        remove_parts(&c);
        remove_host_steps(&c);
        tell_policy(&c);
        c.change.fragment = json_pack("{s:s, s:o, s:o, s:o}", "what", options->what, "steps", c.steps, "live",
                                      live, "devices", device_changes(&c));
        if (c.removes)
                json_object_set_new(c.change.fragment, "forward", json_true());
        else
                json_object_set_new(c.change.fragment, "places", place_changes(was, wanted));
        if (json_array_size(c.after))
                c.change.after =
                        json_pack("{s:s, s:O, s:b}", "what", options->what, "steps", c.after, "forward", 1);
        json_decref(c.after);
        json_decref(c.handled);
        plan_parts_done(&c.was);
        plan_parts_done(&c.wanted);
        *ret = c.change;
        return 0;
}

char *plan_change_text(const struct plan_change *change)
{
        struct text out = TEXT_INIT;
        const json_t *step;
        size_t i;

        json_array_foreach (json_object_get(change->fragment, "steps"), i, step) {
                const json_t *args = json_object_get(step, "args");
                const char *effect = json_string_value(json_object_get(step, "effect"));
                bool is_qmp = strcmp(effect, plan_effect_name(EFFECT_QMP)) == 0;
                _cleanup_free_ char *text =
                        json_dumps(is_qmp ? json_object_get(args, "arguments") : args, JSON_COMPACT);
                const json_t *await = json_object_get(step, "await");

                text_addf(&out, "%-13s %s%s%s\n", effect,
                          is_qmp ? json_string_value(json_object_get(args, "execute")) : "",
                          is_qmp ? " " : "", text);
                if (await)
                        text_addf(&out, "              until %s\n",
                                  json_string_value(json_object_get(await, "event")));
        }
        return text_take(&out);
}
