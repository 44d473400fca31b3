/* CPU model. */
#include <string.h>

#include "launcher/plan/builder.h"

#define WITHOUT_KVM "'host-model' works without, or name a model such as 'qemu64'"

int cpu_check(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;
        const char *nearest;

        switch (spec->cpu_model.mode) {
        case CPU_MODE_HOST_PASSTHROUGH:
                if (build->accel == ACCEL_KVM)
                        return 0;
                build_error(build, err, ERROR_HOST, "CPU_MODEL/MODEL", "'host-passthrough' needs KVM");
                return error_hint(err, WITHOUT_KVM);
        case CPU_MODE_HOST_MODEL:
                if (build->accel == ACCEL_TCG)
                        build_warn(build, "CPU_MODEL/MODEL",
                                   "'host-model' without KVM: using 'max', all that TCG can emulate");
                return 0;
        case CPU_MODE_NAMED:
                /* QEMU lists it among its models whether it can be had or not. */
                if (strcmp(spec->cpu_model.model_text, "host") == 0 && build->accel != ACCEL_KVM) {
                        build_error(build, err, ERROR_HOST, "CPU_MODEL/MODEL", "'host' needs KVM");
                        return error_hint(err, WITHOUT_KVM);
                }
                if (qemu_has_cpu_model(build->in->qemu, spec->cpu_model.model_text))
                        return 0;
                nearest = text_nearest(spec->cpu_model.model_text,
                                       (const char *const *)build->in->qemu->cpu_models);
                build_error(build, err, ERROR_INVALID, "CPU_MODEL/MODEL", "%s has no CPU model '%s'",
                            build->in->qemu->path, spec->cpu_model.model_text);
                return nearest ? error_hint(err, "did you mean '%s'?", nearest) : -1;
        case CPU_MODE_NONE:
                return 0;
        }
        return 0;
}

void cpu_args(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        _cleanup_text_ struct text model = TEXT_INIT;
        const char *because = "CPU_MODEL/MODEL";

        switch (spec->cpu_model.mode) {
        case CPU_MODE_HOST_PASSTHROUGH:
                keyval_add(&model, NULL, "host");
                break;
        case CPU_MODE_NONE:
                /* Without KVM QEMU's own default holds. */
                if (build->accel == ACCEL_TCG)
                        break;
                because = "rule: without CPU_MODEL the guest gets host-model under KVM";
                /* fallthrough */
        case CPU_MODE_HOST_MODEL:
                if (build->accel == ACCEL_TCG) {
                        keyval_add(&model, NULL, "max");
                        break;
                }
                keyval_add(&model, NULL, "host");
                keyval_add(&model, "migratable", "on");
                break;
        case CPU_MODE_NAMED:
                keyval_add(&model, NULL, "%s", spec->cpu_model.model_text);
                break;
        }
        if (model.length)
                build_option(build, because, "-cpu", "%s", text_str(&model));
}
