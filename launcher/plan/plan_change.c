#include "launcher/plan/plan_change.h"

#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/plan/changing.h"
#include "launcher/plan/live_change.h"

struct machine_lock *plan_lock(const struct launch_plan *plan)
{
        struct machine_lock *lock = NULL;
        struct error *err = NULL;

        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_MACHINE_LOCK &&
                    machine_lock_parse("machine.lock", json_member_string(plan->steps[i].args, "text"), &lock,
                                       &err) < 0)
                        error_free(TAKE_PTR(err));
        return lock;
}

void plan_change_done(struct plan_change *change)
{
        json_decref(change->fragment);
        for (size_t i = 0; i < change->n_files; i++) {
                free(change->files[i].name);
                free(change->files[i].path);
        }
        free(change->files);
        for (size_t i = 0; i < change->n_secrets; i++) {
                struct change_secret *secret = &change->secrets[i];

                if (secret->value)
                        explicit_bzero(secret->value, strlen(secret->value));
                free(secret->name);
                free(secret->path);
                free(secret->value);
        }
        free(change->secrets);
        error_free(change->next_start);
        *change = (struct plan_change){ 0 };
}

bool plan_change_is_empty(const struct plan_change *change)
{
        return json_array_size(json_object_get(change->fragment, "steps")) == 0;
}

/* What is written down. */

static const char *live_text(const struct launch_plan *plan)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_LIVE_TEMPLATE)
                        return json_member_string(plan->steps[i].args, "text");
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
                        changing_tell_next_start(c, "the supervisor's %s changes at the next start", key);
        }
}

/* A process is given its environment once. */
static void tell_environment(struct changing *c)
{
        static char *none[] = { NULL };
        char **was = c->was_plan->env ? c->was_plan->env : none,
             **wanted = c->wanted_plan->env ? c->wanted_plan->env : none;

        for (; *was && *wanted && strcmp(*was, *wanted) == 0; was++)
                wanted++;
        if (*was || *wanted)
                changing_tell_next_start(c, "RAW/ENV: QEMU's environment changes at the next start");
}

/* What machine.lock says of devices that are new, or elsewhere now, and by their paths of images that are new. */
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
        for (size_t i = 0; b && i < b->n_images; i++) {
                const char *path = b->images[i].path, *known = a ? machine_lock_backing(a, path) : NULL;

                if (!known)
                        json_object_set_new(places, path, json_string(b->images[i].backing));
        }
        return places;
}

static bool is_number_taken(const json_t *numbers, json_int_t number)
{
        const char *name;
        json_t *each;

        json_object_foreach ((json_t *)numbers, name, each) {
                if (json_integer_value(each) == number)
                        return true;
        }
        return false;
}

/*
 * QEMU's numbers of sets, and others for what comes where a set of that name is still there: while the guest is paused QEMU
 * takes none away (monitor_fdset_cleanup()). New reference.
 */
static json_t *free_numbers(const struct changing *c)
{
        json_t *numbers = c->options->fdsets ? json_deep_copy(c->options->fdsets) : NULL;

        for (size_t i = 0; numbers && i < c->wanted.n; i++) {
                const struct plan_part *part = &c->wanted.items[i];
                json_int_t number = json_member_integer(numbers, part->id);

                if (part->kind != PART_FDSET || plan_parts_find(&c->was, PART_FDSET, part->id) ||
                    !json_object_get(numbers, part->id))
                        continue;
                while (is_number_taken(numbers, number))
                        number = 0x40000000 + (number + 1) % 0x3fffffff;
                json_object_set_new(numbers, part->id, json_integer(number));
        }
        return numbers;
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

        struct plan_change_options own = *options;
        json_auto_t *numbers = NULL;
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
        plan_parts_read(was, NULL, &c.was);
        plan_parts_read(wanted, &c.was, &c.wanted);
        own.fdsets = numbers = free_numbers(&c);
        c.options = &own;
        changing_media(&c);
        changing_add_limit_steps(&c);
        changing_add_host_steps(&c);
        changing_add_parts(&c);
        changing_add_affinity(&c);
        changing_add_qmp_steps(&c);
        changing_links(&c);
        changing_remove_parts(&c);
        changing_remove_host_steps(&c);
        tell_policy(&c);
        tell_environment(&c);
        c.change.fragment = json_pack("{s:s, s:o, s:o, s:o}", "what", options->what, "steps", c.steps, "live",
                                      live, "devices", device_changes(&c));
        if (c.removes)
                json_object_set_new(c.change.fragment, "forward", json_true());
        else
                json_object_set_new(c.change.fragment, "places", place_changes(was, wanted));
        if (json_array_size(c.after))
                json_object_set_new(
                        c.change.fragment, "then",
                        json_pack("{s:s, s:O, s:b}", "what", options->what, "steps", c.after, "forward", 1));
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
                const char *effect = json_member_string(step, "effect");
                bool is_qmp = strcmp(effect, plan_effect_name(EFFECT_QMP)) == 0;
                _cleanup_free_ char *text =
                        json_dumps(is_qmp ? json_object_get(args, "arguments") : args, JSON_COMPACT);
                const json_t *await = json_object_get(step, "await");

                text_addf(&out, "%-13s %s%s%s\n", effect, is_qmp ? json_member_string(args, "execute") : "",
                          is_qmp ? " " : "", text);
                if (await)
                        text_addf(&out, "              until %s\n", json_member_string(await, "event"));
        }
        return text_take(&out);
}
