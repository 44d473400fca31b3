/* CPU model. */
#include <string.h>

#include "launcher/plan/builder.h"

#define WITHOUT_KVM "'host-model' works without, or name a model such as 'qemu64'"

/* Not of the CPU but of how QEMU makes it: TCG takes them whatever its models have on. */
static const char *const switches[] = { "check",
                                        "cpuid-0xb",
                                        "enforce",
                                        "fill-mtrr-mask",
                                        "full-cpuid-auto-level",
                                        "host-cache-info",
                                        "host-phys-bits",
                                        "hypervisor",
                                        "l3-cache",
                                        "legacy-cache",
                                        "lmce",
                                        "migratable",
                                        "pmu",
                                        "tcg-cpuid",
                                        "vmware-cpuid-freq" };

static bool is_switch(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
                if (strcmp(switches[i], name) == 0)
                        return true;
        return false;
}

/* The flag as this QEMU spells it: tsc_adjust is tsc-adjust; new string. */
static char *flag_name(const struct build *build, const char *name)
{
        char *spelt = xstrdup(name);

        if (qemu_has_cpu_flag(build->in->qemu, name))
                return spelt;
        for (char *c = spelt; *c; c++)
                if (*c == '_')
                        *c = '-';
        return spelt;
}

static int check_flag(struct build *build, const struct cpu_flag *flag, struct error **err)
{
        const struct qemu_facts *qemu = build->in->qemu;
        _cleanup_free_ char *name = flag_name(build, flag->name);

        if (!qemu_has_cpu_flag(qemu, name)) {
                const char *nearest = text_nearest(name, (const char *const *)qemu->cpu_flags);

                build_error(build, err, ERROR_INVALID, "CPU_MODEL/FEATURES", "%s has no CPU flag '%s'",
                            qemu->path, flag->name);
                return nearest ? error_hint(err, "did you mean '%s'?", nearest) : -1;
        }
        if (build->accel == ACCEL_KVM || !flag->on || is_switch(name) || !qemu->tcg_flags[0] ||
            qemu_tcg_has_flag(qemu, name))
                return 0;
        if (text_starts_with(name, "kvm") || text_starts_with(name, "hv-")) {
                build_warn(build, "CPU_MODEL/FEATURES",
                           "'%s' has an effect under KVM only, and this guest is emulated", name);
                return 0;
        }
        build_error(build, err, ERROR_HOST, "CPU_MODEL/FEATURES", "'%s' cannot be had without KVM", name);
        return error_hint(err, "-%s does without it", name);
}

static int check_flags(struct build *build, struct error **err)
{
        const struct cpu_model_spec *cpu = &build->spec->cpu_model;

        if (build->spec->features.hyperv && build->accel == ACCEL_TCG)
                build_warn(build, "FEATURES/HYPERV",
                           "enlightenments need KVM, and this guest is emulated: it only gets the timers");
        /* Facts of a QEMU that does not tell: it will say itself. */
        for (size_t i = 0; i < cpu->n_flags && build->in->qemu->cpu_flags[0]; i++)
                if (check_flag(build, &cpu->flags[i], err) < 0)
                        return -1;
        return 0;
}

/* Under KVM a model and its flags are a promise (libvirt's fallback=forbid): QEMU starts with all of them or not. */
static bool is_enforced(const struct build *build)
{
        const struct cpu_model_spec *cpu = &build->spec->cpu_model;

        if (build->accel != ACCEL_KVM || (cpu->mode != CPU_MODE_NAMED && !cpu->n_flags))
                return false;
        for (size_t i = 0; i < cpu->n_flags; i++)
                if (strcmp(cpu->flags[i].name, "enforce") == 0 || strcmp(cpu->flags[i].name, "check") == 0)
                        return false;
        return true;
}

static void add_flags(struct build *build, struct text *model, struct text *because)
{
        const struct cpu_model_spec *cpu = &build->spec->cpu_model;
        const struct origin *pmu = vm_spec_origin(build->spec, "PMU");

        for (size_t i = 0; i < cpu->n_flags; i++) {
                _cleanup_free_ char *name = flag_name(build, cpu->flags[i].name);

                keyval_add(model, name, cpu->flags[i].on ? "on" : "off");
        }
        if (cpu->n_flags)
                build_refer(build, because, "CPU_MODEL/FEATURES");
        clock_cpu_options(build, model, because);
        /* Without KVM QEMU refuses some of them. */
        if (build->spec->features.hyperv && build->accel == ACCEL_KVM)
                hyperv_cpu_options(build, model, because);
        if (build->spec->panic.present && build->spec->panic.model == PANIC_MODEL_HYPERV) {
                keyval_add(model, "hv-crash", "on");
                build_refer(build, because, "PANIC/MODEL");
        }
        if (pmu->layer != LAYER_NONE) {
                keyval_add(model, "pmu", build->spec->pmu ? "on" : "off");
                build_refer(build, because, "PMU");
        }
        if (is_enforced(build))
                keyval_add(model, "enforce", "on");
}

/* QEMU's own default by name, where something is to be changed about it. */
static const char *default_model(const struct build *build)
{
        if (build->machine->default_cpu)
                return build->machine->default_cpu;
        return strcmp(build->in->qemu->target, "i386") == 0 ? "qemu32" : "qemu64";
}

int cpu_check(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;
        const char *nearest;

        if (check_flags(build, err) < 0)
                return -1;
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
        _cleanup_text_ struct text model = TEXT_INIT, flags = TEXT_INIT, because = TEXT_INIT;

        switch (spec->cpu_model.mode) {
        case CPU_MODE_HOST_PASSTHROUGH:
                keyval_add(&model, NULL, "host");
                break;
        case CPU_MODE_NONE:
                /* Without KVM QEMU's own default holds; the virt machine's is a 32-bit CPU. */
                if (build->accel == ACCEL_TCG) {
                        if (build->kind == MACHINE_VIRT)
                                keyval_add(&model, NULL, "max");
                        break;
                }
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
        build_refer(build, &because, "CPU_MODEL/MODEL");
        add_flags(build, &flags, &because);
        if (flags.length && !model.length)
                keyval_add(&model, NULL, "%s", default_model(build));
        if (flags.length)
                text_addf(&model, ",%s", text_str(&flags));
        if (spec->cpu_model.mode == CPU_MODE_NONE && model.length)
                text_addf(&because, "%srule: %s", because.length ? " " : "",
                          build->accel == ACCEL_KVM ? "without CPU_MODEL the guest gets host-model under KVM"
                                                    : "without CPU_MODEL the guest gets a default");
        if (model.length)
                build_option(build, text_str(&because), "-cpu", "%s", text_str(&model));
}
