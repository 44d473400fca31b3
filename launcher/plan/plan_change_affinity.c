/* CPUs of threads: of those that come, and of those that are to run elsewhere. */
#include <stdlib.h>
#include <string.h>

#include "launcher/plan/changing.h"
#include "launcher/plan/plugged.h"

static const struct plan_step *find_step(const struct launch_plan *plan)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_AFFINITY)
                        return &plan->steps[i];
        return NULL;
}

/* What differs. A thread of which nothing is said any more goes where the others are, unless it goes altogether. */
static json_t *pin_changes(const struct changing *c, const struct plan_step *was,
                           const struct plan_step *wanted, const char *key)
{
        const json_t *before = was ? json_object_get(was->args, key) : NULL,
                     *after = wanted ? json_object_get(wanted->args, key) : NULL;
        const char *others = c->wanted_plan->confine.cpus, *number;
        json_t *changes = json_object(), *cpus;

        json_object_foreach ((json_t *)after, number, cpus)
                if (!json_equal(json_object_get(before, number), cpus))
                        json_object_set(changes, number, cpus);
        json_object_foreach ((json_t *)before, number, cpus) {
                _cleanup_free_ char *device = plugged_cpu_id((unsigned)atoi(number));
                bool goes = plan_parts_find(&c->was, PART_DEVICE, device) &&
                            !plan_parts_find(&c->wanted, PART_DEVICE, device);

                if (!json_object_get(after, number) && !goes)
                        json_object_set_new(changes, number, json_string(others ? others : AFFINITY_ANY));
        }
        return changes;
}

static void tell(struct changing *c, const char *was, const char *wanted, const char *what)
{
        if (strcmp(was ? was : "", wanted ? wanted : "") != 0)
                changing_tell_next_start(c, "%s at the next start", what);
}

void changing_add_affinity(struct changing *c)
{
        const struct plan_step *was = find_step(c->was_plan), *wanted = find_step(c->wanted_plan);
        json_t *vcpus = pin_changes(c, was, wanted, "vcpus"),
               *iothreads = pin_changes(c, was, wanted, "iothreads");

        if (json_object_size(vcpus) || json_object_size(iothreads))
                changing_add_step(c, wanted ? wanted->because : was->because, EFFECT_AFFINITY,
                                  json_pack("{s:O, s:O}", "vcpus", vcpus, "iothreads", iothreads), NULL);
        json_decref(vcpus);
        json_decref(iothreads);
        tell(c, c->was_plan->confine.cpus, c->wanted_plan->confine.cpus,
             "CPUTUNE: the CPUs of QEMU's other threads change");
        tell(c, c->was_plan->confine.memory_nodes, c->wanted_plan->confine.memory_nodes,
             "NUMATUNE: the memory nodes of QEMU change");
}
