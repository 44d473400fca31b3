/* Rules of the VM's control group limits: said before anything starts, as the kernel says them only by killing. */
#include <string.h>

#include "base/text.h"
#include "conf/slice.h"
#include "conf/spec_rules.h"

/* QEMU's own: main loop, RCU, signals, migration and some workers of its thread pools. */
#define THREADS_BESIDES_VCPUS 16
#define PERIOD_DEFAULT_US     100000

static const struct source_pos *place(const struct attr_section *section, const void *record, const char *key)
{
        return &spec_origin(section, record, key)->pos;
}

static void check_memtune(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct memtune_spec *memtune = &spec->memtune;
        _cleanup_free_ char *memory = text_from_size(spec->memory),
                            *hard = text_from_size(memtune->hard_limit);

        if (memtune->hard_limit && memtune->hard_limit < spec->memory)
                spec_fail(
                        builder, place(&attr_memtune, memtune, "HARD_LIMIT"),
                        "MEMTUNE/HARD_LIMIT: %s is less than the guest's MEMORY of %s, which needs QEMU's own memory "
                        "on top",
                        hard, memory);
        if (memtune->hard_limit && memtune->soft_limit > memtune->hard_limit)
                spec_fail(builder, place(&attr_memtune, memtune, "SOFT_LIMIT"),
                          "MEMTUNE/SOFT_LIMIT: is more than HARD_LIMIT of %s", hard);
        if (memtune->swap_hard_limit && !spec_is_given(&attr_memtune, memtune, "HARD_LIMIT"))
                spec_fail(builder, place(&attr_memtune, memtune, "SWAP_HARD_LIMIT"),
                          "MEMTUNE/SWAP_HARD_LIMIT: goes with HARD_LIMIT, which is not given");
        else if (memtune->swap_hard_limit && memtune->swap_hard_limit < memtune->hard_limit)
                spec_fail(builder, place(&attr_memtune, memtune, "SWAP_HARD_LIMIT"),
                          "MEMTUNE/SWAP_HARD_LIMIT: is memory and swap together, and HARD_LIMIT alone is %s",
                          hard);
}

void spec_check_limits(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;

        check_memtune(builder);
        if (spec->slice && !slice_name_is_valid(spec->slice)) {
                _cleanup_free_ char *shown = text_printable(spec->slice);

                spec_fail(builder, place(&attr_vm, spec, "SLICE"),
                          "SLICE: '%s' is not the name of a slice (try SLICE = \"machine-gold.slice\")",
                          shown);
        }
        if (spec->start_delay && !spec->start_order)
                spec_fail(builder, place(&attr_vm, spec, "START_DELAY"),
                          "START_DELAY: goes with START_ORDER, which is not given: nobody waits for this VM");
        if (spec->notify_ready && strcmp(spec->notify_ready, "agent") == 0 && !spec->features.guest_agent)
                spec_fail(builder, place(&attr_vm, spec, "NOTIFY_READY"),
                          "NOTIFY_READY: waits for the guest agent, and FEATURES/GUEST_AGENT is no");
        /* live.tmpl has the default beside what else is in the vector. */
        if (spec->cputune.period_us != PERIOD_DEFAULT_US &&
            !spec_is_given(&attr_cputune, &spec->cputune, "QUOTA"))
                spec_fail(builder, place(&attr_cputune, &spec->cputune, "PERIOD"),
                          "CPUTUNE/PERIOD: goes with QUOTA, which is not given");
        if (spec->pids_limit && spec->pids_limit < vm_spec_vcpu_max(spec) + THREADS_BESIDES_VCPUS)
                spec_fail(
                        builder, place(&attr_vm, spec, "PIDS_LIMIT"),
                        "PIDS_LIMIT: %u is too few: a thread for each of %u vCPUs and %u for QEMU's own work",
                        spec->pids_limit, vm_spec_vcpu_max(spec), THREADS_BESIDES_VCPUS);
}
