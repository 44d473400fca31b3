/* vCPUs: how many, and how they are arranged. */
#include "launcher/plan/builder.h"

/* Above this many vCPUs for each CPU of the host a guest is likely to fail (SUSE's guide, 4.5.1). */
#define OVERCOMMIT_MAX 8
/* Ids of 8 bits, of which 255 is for all; x2APIC is KVM's (QEMU, x86_cpus_init). */
#define TCG_APIC_ID_MAX 254

static unsigned bits(uint32_t n)
{
        unsigned result = 0;

        while (result < 32 && n > 1u << result)
                result++;
        return result;
}

/* Each level has whole bits of the id (QEMU, include/hw/i386/topology.h). */
static uint64_t last_apic_id(struct smp smp)
{
        unsigned thread_bits = bits(smp.threads), core_bits = bits(smp.cores);

        return (uint64_t)(smp.sockets - 1) << (core_bits + thread_bits) |
               (uint64_t)(smp.cores - 1) << thread_bits | (smp.threads - 1);
}

int smp_check(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;
        unsigned cpus = build->in->host->cpus;
        uint32_t max = vm_spec_vcpu_max(spec);

        if (max > build->machine->cpu_max)
                return build_error(build, err, ERROR_INVALID, max > spec->vcpu ? "VCPU_MAX" : "VCPU",
                                   "%u is more than a '%s' takes: %u", max, build->machine->name,
                                   build->machine->cpu_max);
        if (build->accel == ACCEL_TCG && build->kind != MACHINE_VIRT &&
            last_apic_id(vm_spec_smp(spec)) > TCG_APIC_ID_MAX)
                return build_error(
                        build, err, ERROR_HOST, max > spec->vcpu ? "VCPU_MAX" : "VCPU",
                        "places for %u vCPUs, arranged so, have APIC ids up to %llu; above %d they need KVM",
                        max, (unsigned long long)last_apic_id(vm_spec_smp(spec)), TCG_APIC_ID_MAX);
        if (spec->vcpu / OVERCOMMIT_MAX >= cpus && spec->vcpu > OVERCOMMIT_MAX * cpus)
                build_warn(
                        build, "VCPU",
                        "%u is more than %d for each of the %u CPUs of this host: the guest will hardly work",
                        spec->vcpu, OVERCOMMIT_MAX, cpus);
        else if (spec->vcpu > cpus)
                build_warn(build, "VCPU",
                           "%u is more than the %u CPUs of this host: vCPUs wait for each other", spec->vcpu,
                           cpus);
        return 0;
}

void smp_args(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        struct smp arranged = vm_spec_smp(spec);
        _cleanup_text_ struct text smp = TEXT_INIT, because = TEXT_INIT;

        keyval_add(&smp, "cpus", "%u", spec->vcpu);
        build_refer(build, &because, "VCPU");
        if (vm_spec_vcpu_max(spec) > spec->vcpu)
                keyval_add(&smp, "maxcpus", "%u", vm_spec_vcpu_max(spec));
        build_refer(build, &because, "VCPU_MAX");
        keyval_add(&smp, "sockets", "%u", arranged.sockets);
        keyval_add(&smp, "cores", "%u", arranged.cores);
        keyval_add(&smp, "threads", "%u", arranged.threads);
        build_refer(build, &because, "TOPOLOGY/SOCKETS");
        build_refer(build, &because, "TOPOLOGY/CORES");
        build_refer(build, &because, "TOPOLOGY/THREADS");
        build_option(build, text_str(&because), "-smp", "%s", text_str(&smp));
}
