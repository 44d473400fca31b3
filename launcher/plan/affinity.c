#include "launcher/plan/affinity.h"

#include "base/number_list.h"

static int check_list(const struct build *build, const char *reference, const char *list,
                      const struct number_list *has, const char *what, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        struct number_list wanted;

        if (!list || !number_list_parse(list, &wanted) || number_list_is_within(&wanted, has))
                return 0;
        text = number_list_text(has);
        if (!*text)
                return build_error(build, err, ERROR_HOST, reference, "this host's kernel knows of no %s",
                                   what);
        return build_error(build, err, ERROR_HOST, reference, "this host has the %s %s, and not all of %s",
                           what, text, list);
}

static int check_pins(const struct build *build, const char *reference, const struct cpu_pins *pins,
                      struct error **err)
{
        for (size_t i = 0; i < pins->n; i++)
                if (check_list(build, reference, pins->items[i].cpus, &build->in->host->online, "CPUs", err) <
                    0)
                        return -1;
        return 0;
}

int affinity_check(struct build *build, struct error **err)
{
        const struct cputune_spec *cputune = &build->spec->cputune;
        const struct host_facts *host = build->in->host;

        if (check_list(build, "CPUTUNE/CPUSET", cputune->cpuset, &host->online, "CPUs", err) < 0 ||
            check_list(build, "CPUTUNE/EMULATORPIN", cputune->emulatorpin, &host->online, "CPUs", err) < 0 ||
            check_pins(build, "CPUTUNE/VCPUPIN", &cputune->vcpus, err) < 0 ||
            check_pins(build, "CPUTUNE/IOTHREADPIN", &cputune->iothreads, err) < 0)
                return -1;
        for (size_t i = 0; i < build->spec->n_numatunes; i++) {
                _cleanup_free_ char *reference = xasprintf("NUMATUNE[%zu]/NODESET", i);

                if (check_list(build, reference, build->spec->numatunes[i].nodeset, &host->nodes,
                               "memory nodes", err) < 0)
                        return -1;
        }
        return 0;
}

static void refer_policy(const struct build *build, struct text *because, size_t i)
{
        build_refer(build, because, "NUMATUNE[%zu]/MODE", i);
        build_refer(build, because, "NUMATUNE[%zu]/NODESET", i);
}

void affinity_confine(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        const struct cputune_spec *cputune = &spec->cputune;
        struct plan_confinement *confine = &build->plan->confine;

        confine->cpus = xstrdup_null(cputune->emulatorpin ? cputune->emulatorpin : cputune->cpuset);
        for (size_t i = 0; i < spec->n_numatunes; i++)
                if (spec->numatunes[i].mode == NUMA_MODE_RESTRICTIVE)
                        confine->memory_nodes = xstrdup(spec->numatunes[i].nodeset);
}

void affinity_spawn_step(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        _cleanup_text_ struct text because = TEXT_INIT;

        build_refer(build, &because, "CPUTUNE/%s", spec->cputune.emulatorpin ? "EMULATORPIN" : "CPUSET");
        for (size_t i = 0; i < spec->n_numatunes; i++)
                if (spec->numatunes[i].mode == NUMA_MODE_RESTRICTIVE)
                        refer_policy(build, &because, i);
        text_addf(&because, "%srule: the emulator runs", because.length ? " " : "");
        build_step(build, text_str(&because), EFFECT_SPAWN, json_object());
}

/* {"0": "2-3"} of the threads first to last; what is as the emulator's is not named. */
static json_t *pins_json(const struct vm_spec *spec, const struct cpu_pins *pins, unsigned first,
                         unsigned last)
{
        const char *emulator = spec->cputune.emulatorpin ? AFFINITY_ANY : NULL;
        json_t *json = json_object();

        for (unsigned n = first; n <= last; n++) {
                const char *pin = vm_spec_pin(spec, pins, n);
                _cleanup_free_ char *number = xasprintf("%u", n);

                /* Without EMULATORPIN it is CPUSET that the thread begins with. */
                if (pin && (emulator || pin != spec->cputune.cpuset))
                        json_object_set_new(json, number, json_string(pin));
                else if (!pin && emulator)
                        json_object_set_new(json, number, json_string(emulator));
        }
        return json;
}

void affinity_steps(struct build *build)
{
        static const char *const keys[] = { "VCPUPIN", "IOTHREADPIN", "EMULATORPIN", "CPUSET" };
        const struct vm_spec *spec = build->spec;
        const struct cputune_spec *cputune = &spec->cputune;
        _cleanup_text_ struct text because = TEXT_INIT;
        json_t *vcpus = pins_json(spec, &cputune->vcpus, 0, spec->vcpu + spec->vcpu_plugged - 1),
               *iothreads = pins_json(spec, &cputune->iothreads, 1, spec->features.iothreads);

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                build_refer(build, &because, "CPUTUNE/%s", keys[i]);
        if (json_object_size(vcpus) || json_object_size(iothreads))
                build_step(build, text_str(&because), EFFECT_AFFINITY,
                           json_pack("{s:O, s:O}", "vcpus", vcpus, "iothreads", iothreads));
        json_decref(vcpus);
        json_decref(iothreads);
}

void affinity_add_policy(const struct build *build, unsigned node, json_t *object, struct text *because)
{
        static const char *const policies[] = { [NUMA_MODE_STRICT] = "bind",
                                                [NUMA_MODE_PREFERRED] = "preferred",
                                                [NUMA_MODE_INTERLEAVE] = "interleave" };
        const struct numatune_spec *numatune = vm_spec_numatune(build->spec, node);
        struct number_list nodes;
        json_t *numbers;

        if (!numatune || numatune->mode == NUMA_MODE_RESTRICTIVE ||
            !number_list_parse(numatune->nodeset, &nodes))
                return;
        refer_policy(build, because, (size_t)(numatune - build->spec->numatunes));
        numbers = json_array();
        for (unsigned n = 0; n < NUMBER_LIST_END; n++)
                if (number_list_has(&nodes, n))
                        json_array_append_new(numbers, json_integer((json_int_t)n));
        json_object_set_new(object, "host-nodes", numbers);
        json_object_set_new(object, "policy", json_string(policies[numatune->mode]));
}
