/* Hyper-V enlightenments: flags of the CPU, libvirt-behaviour 3.2. */
#include <inttypes.h>

#include "launcher/plan/builder.h"

/* libvirt's order. */
enum { SPINLOCKS_AFTER = 1 };

void hyperv_cpu_options(const struct build *build, struct text *value, struct text *because)
{
        const struct hyperv_spec *hyperv = &build->spec->hyperv;
        const struct {
                bool on;
                const char *key, *flag;
        } flags[] = {
                { hyperv->relaxed, "RELAXED", "hv-relaxed" },
                { hyperv->vapic, "VAPIC", "hv-vapic" },
                { hyperv->vpindex, "VPINDEX", "hv-vpindex" },
                { hyperv->runtime, "RUNTIME", "hv-runtime" },
                { hyperv->synic, "SYNIC", "hv-synic" },
                { hyperv->stimer, "STIMER", "hv-stimer" },
                { hyperv->stimer_direct, "STIMER_DIRECT", "hv-stimer-direct" },
                { hyperv->reset, "RESET", "hv-reset" },
                { hyperv->frequencies, "FREQUENCIES", "hv-frequencies" },
                { hyperv->reenlightenment, "REENLIGHTENMENT", "hv-reenlightenment" },
                { hyperv->tlbflush, "TLBFLUSH", "hv-tlbflush" },
                { hyperv->ipi, "IPI", "hv-ipi" },
                { hyperv->evmcs, "EVMCS", "hv-evmcs" },
                { hyperv->avic, "AVIC", "hv-avic" },
                { hyperv->passthrough, "PASSTHROUGH", "hv-passthrough" },
        };

        build_refer(build, because, "FEATURES/HYPERV");
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
                if (flags[i].on)
                        keyval_add(value, flags[i].flag, "on");
                build_refer(build, because, "HYPERV/%s", flags[i].key);
                if (i == SPINLOCKS_AFTER && hyperv->spinlocks)
                        keyval_add(value, "hv-spinlocks", "0x%" PRIx32, hyperv->spinlocks);
        }
        build_refer(build, because, "HYPERV/SPINLOCKS");
        if (hyperv->vendor_id)
                keyval_add(value, "hv-vendor-id", "%s", hyperv->vendor_id);
        build_refer(build, because, "HYPERV/VENDOR_ID");
}
