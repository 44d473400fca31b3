/* Hyper-V enlightenments: they go with FEATURES/HYPERV, and some need others. */
#include <string.h>

#include "conf/spec_rules.h"

static const struct source_pos *place(const struct hyperv_spec *hyperv, const char *key)
{
        const struct source_pos *pos = &spec_origin(&attr_hyperv, hyperv, key)->pos;

        return pos->file ? pos : &hyperv->section.pos;
}

static bool has_hyperv_clock(const struct vm_spec *spec)
{
        const struct timer_spec *timer = vm_spec_timer(spec, TIMER_HYPERVCLOCK);

        return timer && (timer->timer_present || !spec_is_given(&attr_timer, timer, "PRESENT"));
}

/* QEMU refuses them at the start, under KVM only (libvirt-behaviour 3.2): here it is said everywhere. */
static void check_needs(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct hyperv_spec *hyperv = &spec->hyperv;
        const struct {
                bool on;
                const char *key;
                bool needed;
                const char *what;
        } needs[] = {
                { hyperv->synic, "SYNIC", hyperv->vpindex, "VPINDEX" },
                { hyperv->stimer, "STIMER", hyperv->vpindex && hyperv->synic, "VPINDEX and SYNIC" },
                { hyperv->stimer, "STIMER", has_hyperv_clock(spec), "TIMER = [ NAME = \"hypervclock\" ]" },
                { hyperv->stimer_direct, "STIMER_DIRECT", hyperv->stimer, "STIMER" },
                { hyperv->tlbflush, "TLBFLUSH", hyperv->vpindex, "VPINDEX" },
                { hyperv->ipi, "IPI", hyperv->vpindex, "VPINDEX" },
                { hyperv->evmcs, "EVMCS", hyperv->vapic, "VAPIC" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(needs) && !hyperv->passthrough; i++)
                if (needs[i].on && !needs[i].needed)
                        spec_fail(builder, place(hyperv, needs[i].key), "HYPERV/%s: needs %s", needs[i].key,
                                  needs[i].what);
        if (hyperv->spinlocks && hyperv->spinlocks < 4095)
                spec_fail(builder, place(hyperv, "SPINLOCKS"),
                          "HYPERV/SPINLOCKS: has to be 4095 or more, or 0");
}

void spec_check_hyperv(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        if (spec->hyperv.present && !spec->features.hyperv)
                spec_fail(builder, &spec->hyperv.section.pos,
                          "HYPERV: goes with FEATURES = [ HYPERV = \"yes\" ]");
        spec->hyperv.present = spec->features.hyperv;
        if (spec->features.hyperv)
                check_needs(builder);
}
