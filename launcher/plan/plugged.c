/* vCPUs and memory modules that were plugged in: the same devices at a start from live.tmpl and live. */
#include "launcher/plan/plugged.h"

#include <string.h>

#include "launcher/plan/affinity.h"
#include "launcher/plan/memory.h"

char *plugged_cpu_id(unsigned index)
{
        return xasprintf("cpu%u", index);
}

/* "qemu64-x86_64-cpu": the type of -cpu's model; without one QEMU has qemu64 or qemu32. */
static char *cpu_type(const struct build *build)
{
        const struct launch_plan *plan = build->plan;
        const char *target = build->in->qemu->target;
        const char *model = strcmp(target, "i386") == 0 ? "qemu32" : "qemu64";
        size_t n = strlen(model);

        for (size_t i = 0; i + 1 < plan->n_args; i++)
                if (plan->args[i].is_option && strcmp(plan->args[i].text, "-cpu") == 0) {
                        model = plan->args[i + 1].text;
                        n = strcspn(model, ",");
                }
        return xasprintf("%.*s-%s-cpu", (int)n, model, target);
}

int plugged_check(struct build *build, struct error **err)
{
        const char *target = build->in->qemu->target;

        if (build->spec->vcpu_plugged && strcmp(target, "x86_64") != 0 && strcmp(target, "i386") != 0)
                return build_error(build, err, ERROR_INVALID, "VCPU_PLUGGED",
                                   "a '%s' has no hotplug of vCPUs", build->machine->name);
        return 0;
}

static void add_cpus(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        const struct smp smp = vm_spec_smp(spec);
        _cleanup_free_ char *type = spec->vcpu_plugged ? cpu_type(build) : NULL;

        for (unsigned i = spec->vcpu; i < spec->vcpu + spec->vcpu_plugged; i++) {
                _cleanup_free_ char *id = plugged_cpu_id(i);

                build_json(build, "VCPU_PLUGGED", "-device",
                           json_pack("{s:s, s:s, s:i, s:i, s:i}", "driver", type, "id", id, "socket-id",
                                     (int)(i / (smp.threads * smp.cores)), "core-id",
                                     (int)(i / smp.threads % smp.cores), "thread-id",
                                     (int)(i % smp.threads)));
                build_device(build, json_pack("{s:s, s:s}", "id", id, "kind", "cpu"));
        }
}

static void add_dimms(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_dimms; i++) {
                const struct dimm_spec *dimm = &spec->dimms[i];
                _cleanup_free_ char *because = xasprintf("DIMM[%zu]/SIZE", i);
                _cleanup_text_ struct text why = TEXT_INIT;
                json_t *object =
                        json_pack("{s:s, s:o, s:I}", "qom-type", memory_backend_type(spec), "id",
                                  json_sprintf("ram-dimm%u", dimm->id), "size", (json_int_t)dimm->size);

                text_add(&why, because);
                memory_add_backing(build, object, false, &why);
                affinity_add_policy(build, 0, object, &why);
                build_json(build, text_str(&why), "-object", object);
                build_json(build, because, "-device",
                           json_pack("{s:s, s:o, s:o, s:i}", "driver", "pc-dimm", "id",
                                     json_sprintf("dimm%u", dimm->id), "memdev",
                                     json_sprintf("ram-dimm%u", dimm->id), "slot", (int)dimm->id));
                build_device(build, json_pack("{s:o, s:s, s:I}", "id", json_sprintf("dimm%u", dimm->id),
                                              "kind", "memory", "size", (json_int_t)dimm->size));
        }
}

void plugged_args(struct build *build)
{
        add_cpus(build);
        add_dimms(build);
}
