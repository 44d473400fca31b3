/* Steps of the host, and commands of QEMU that are no part of anything. */
#include <inttypes.h>
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/plan/change_limits.h"
#include "launcher/plan/changing.h"

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
        case EFFECT_IMAGE_CREATE:
        case EFFECT_FILE_OPEN:
                return "fd";
        case EFFECT_NET:
                return "ifname";
        case EFFECT_DEVICE_GRANT:
                return "path";
        case EFFECT_HELPER:
                return "id";
        default:
                return NULL;
        }
}

bool changing_is_same(const json_t *a, const json_t *b, const char *member)
{
        const json_t *one = json_object_get(a, member), *other = json_object_get(b, member);

        /* json_equal() of two that are absent is false. */
        return one == other || json_equal(one, other);
}

/* The step of the other plan that does the same thing another way; NULL: there is none. */
static const struct plan_step *counterpart(const struct launch_plan *plan, const struct plan_step *step)
{
        const char *member = known_by(step->effect);

        for (size_t i = 0; member && i < plan->n_steps; i++)
                if (plan->steps[i].effect == step->effect &&
                    changing_is_same(plan->steps[i].args, step->args, member) &&
                    changing_is_same(plan->steps[i].args, step->args, "op"))
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
                        changing_tell_next_start(c, "%s: %s of '%s' changes at the next start",
                                                 wanted->because, key,
                                                 json_member_string(b, known_by(wanted->effect)));
        }
}

void changing_add_file(struct changing *c, const json_t *args)
{
        const char *access = json_member_string(args, "access");

        ARRAY_GROW(c->change.files, c->change.n_files);
        c->change.files[c->change.n_files++] = (struct change_file){
                .name = xstrdup(json_member_string(args, "fd")),
                .path = xstrdup(json_member_string(args, "path")),
                .rw = access && strcmp(access, "rw") == 0,
                .direct = json_member_is_true(args, "direct"),
        };
}

/* Of a start alone: whose text or name is of a run, and what is the supervisor's. */
static bool is_of_a_start(const struct plan_step *step)
{
        enum plan_effect effect = step->effect;
        const char *fd = json_member_string(step->args, "fd");

        /* Helper processes have theirs. */
        if (effect == EFFECT_STDERR)
                return !fd || strcmp(fd, "stderr") == 0;
        return effect == EFFECT_LIVE_TEMPLATE || effect == EFFECT_MACHINE_LOCK || effect == EFFECT_SPAWN ||
               effect == EFFECT_UID_CLAIM || effect == EFFECT_DIRECTORY || effect == EFFECT_MACHINED ||
               effect == EFFECT_CGROUP_CREATE || effect == EFFECT_AFFINITY;
}

void changing_add_limit_steps(struct changing *c)
{
        const char *was = c->was_plan->cgroup, *wanted = c->wanted_plan->cgroup;
        json_auto_t *steps = NULL;

        if (was && wanted && strcmp(was, wanted) != 0) {
                changing_tell_next_start(c, "SLICE: the VM's group changes at the next start");
                return;
        }
        steps = change_limits(c->was_plan, c->wanted_plan);
        json_array_extend(c->steps, steps);
}

/* The kernel's side of a tap: launcher/run/fragment.c opens no other device. */
static bool is_vhost(const struct plan_step *step)
{
        const char *path = json_member_string(step->args, "path");

        return path && strcmp(path, "/dev/vhost-net") == 0;
}

/* What a running VM can be given: launcher/run/fragment.c takes no other effect. */
static bool comes_live(const struct plan_step *step)
{
        switch (step->effect) {
        case EFFECT_NET:
        case EFFECT_SCRIPT:
        case EFFECT_IMAGE_OPEN:
        case EFFECT_IMAGE_CREATE:
        case EFFECT_DEVICE_GRANT:
        case EFFECT_SOCKET_PAIR:
        case EFFECT_STDERR:
        case EFFECT_HELPER:
                return true;
        case EFFECT_DEVICE_OPEN:
                return json_object_get(step->args, "usb") || is_vhost(step);
        default:
                return false;
        }
}

/* A device that pins the guest's memory comes; it is lowered again when the last one has gone. */
static void raise_memory_lock(struct changing *c)
{
        uint64_t was = c->was_plan->confine.memlock, wanted = c->wanted_plan->confine.memlock;

        if (wanted > was)
                changing_add_step(c, "rule: a device of the host pins the guest's memory", EFFECT_MEMORY_LOCK,
                                  json_pack("{s:o}", "bytes", json_sprintf("%" PRIu64, wanted)), NULL);
}

static void lower_memory_lock(struct changing *c)
{
        uint64_t was = c->was_plan->confine.memlock, wanted = c->wanted_plan->confine.memlock;

        if (wanted < was)
                changing_add_step(c, "rule: a device of the host pins the guest's memory", EFFECT_TAKE_BACK,
                                  json_pack("{s:s, s:s, s:o}", "effect", plan_effect_name(EFFECT_MEMORY_LOCK),
                                            "member", "bytes", "value", json_sprintf("%" PRIu64, was)),
                                  NULL);
}

/* Of an object that comes: then the client has its value. */
static bool take_secret(struct changing *c, const struct plan_step *step)
{
        const char *name = json_member_string(step->args, "fd"),
                   *path = json_member_string(step->args, "path");
        struct change_secret secret = { 0 };

        for (size_t i = 0; i < c->wanted.n; i++) {
                const struct plan_part *part = &c->wanted.items[i];
                const char *source = changing_secret(part);

                if (!source || strcmp(source, name) != 0 || plan_parts_find(&c->was, PART_OBJECT, part->id))
                        continue;
                for (size_t k = 0; k < c->wanted_plan->n_secrets; k++)
                        if (strcmp(c->wanted_plan->secrets[k].source, name) == 0)
                                secret.value = xstrdup_null(c->wanted_plan->secrets[k].value);
                if (!path && !secret.value)
                        return false;
                secret.name = xstrdup(name);
                secret.path = xstrdup_null(path);
                ARRAY_GROW(c->change.secrets, c->change.n_secrets);
                c->change.secrets[c->change.n_secrets++] = secret;
                return true;
        }
        return false;
}

void changing_add_host_steps(struct changing *c)
{
        raise_memory_lock(c);
        changing_bridges(c);
        for (size_t i = 0; i < c->wanted_plan->n_steps; i++) {
                const struct plan_step *step = &c->wanted_plan->steps[i];

                if (step->effect == EFFECT_QMP || is_of_a_start(step) || change_limits_has(step->effect) ||
                    has_step(c->was_plan, step) || changing_handles_image(c, step) ||
                    changing_handles_net(c, step))
                        continue;
                if (counterpart(c->was_plan, step)) {
                        change_step(c, counterpart(c->was_plan, step), step);
                        continue;
                }
                /* QEMU is given the connection by name, and has it alone. */
                if (step->effect == EFFECT_CONNECT) {
                        changing_add_file(c, step->args);
                        c->change.files[c->change.n_files - 1].connects = true;
                        continue;
                }
                if (step->effect == EFFECT_SECRET && take_secret(c, step))
                        continue;
                if (!comes_live(step)) {
                        changing_tell_next_start(c, "%s: %s comes with the next start", step->because,
                                                 plan_effect_name(step->effect));
                        continue;
                }
                if (step->effect == EFFECT_IMAGE_OPEN)
                        changing_add_file(c, step->args);
                changing_add_step(c, step->because, step->effect, json_incref(step->args), NULL);
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

void changing_remove_host_steps(struct changing *c)
{
        lower_memory_lock(c);
        for (size_t i = c->was_plan->n_steps; i-- > 0;) {
                const struct plan_step *step = &c->was_plan->steps[i];
                const char *member = known_by(step->effect);
                json_t *args;

                if (!member || has_step(c->wanted_plan, step) || counterpart(c->wanted_plan, step) ||
                    changing_handles_image(c, step) || changing_handles_net(c, step))
                        continue;
                args = json_pack("{s:s, s:s, s:O}", "effect", plan_effect_name(step->effect), "member",
                                 member, "value", json_object_get(step->args, member));
                /* The several steps of one tap are taken back together. */
                if (is_taken_back(c->steps, args)) {
                        json_decref(args);
                        continue;
                }
                changing_add_step(c, step->because, EFFECT_TAKE_BACK, args, NULL);
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
        const char *name = json_member_string(step->args, "execute");

        return json_object_get(step->args, "fd") || (name && strcmp(name, "display-update") == 0);
}

void changing_add_qmp_steps(struct changing *c)
{
        for (size_t i = 0; i < c->wanted_plan->n_steps; i++) {
                const struct plan_step *step = &c->wanted_plan->steps[i];

                if (step->effect != EFFECT_QMP || is_of_the_screen(step) || changing_handles_net(c, step) ||
                    has_step(c->was_plan, step))
                        continue;
                if (text_starts_with(json_member_string(step->args, "execute"), "migrate-set-"))
                        changing_tell_next_start(c, "%s: how it migrates changes at the next start",
                                                 step->because);
                else
                        changing_add_step(c, step->because, EFFECT_QMP, json_incref(step->args),
                                          json_pack("{s:o}", "undo", way_back(c->was_plan, step)));
        }
}
