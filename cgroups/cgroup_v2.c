#include <assert.h>
#include <inttypes.h>

#include "base/number.h"
#include "cgroups/cgroup_values.h"

uint64_t cgroup_v2_cpu_weight(double cpu)
{
        float weight = 100.0F * (float)cpu;

        assert(cpu > 0);
        return weight < 1 ? 1 : weight > 10000 ? 10000 : number_ceil((double)weight);
}

void cgroup_v2_values(const struct cgroup_limits *limits, struct cgroup_filler *filler)
{
        bool bfq = cgroup_host_has_file(filler->host, "io.bfq.weight");

        if (limits->cpu > 0)
                cgroup_value_add(filler, CGROUP_LIMIT_CPU, "cpu", "cpu.weight", false, "%" PRIu64,
                                 cgroup_v2_cpu_weight(limits->cpu));
        if (limits->quota_us)
                cgroup_value_add(filler, CGROUP_LIMIT_CPU_QUOTA, "cpu", "cpu.max", false,
                                 "%" PRIu64 " %" PRIu64, limits->quota_us, limits->period_us);
        if (limits->io_weight && bfq)
                cgroup_value_add(filler, CGROUP_LIMIT_IO_WEIGHT, "io", "io.bfq.weight", true, "%u",
                                 cgroup_bfq_weight(limits->io_weight));
        if (limits->io_weight && (!bfq || cgroup_host_has_file(filler->host, "io.weight")))
                cgroup_value_add(filler, CGROUP_LIMIT_IO_WEIGHT, "io", "io.weight", true, "default %u",
                                 limits->io_weight);
        if (limits->pids)
                cgroup_value_add(filler, CGROUP_LIMIT_PIDS, "pids", "pids.max", false, "%u", limits->pids);
        /* Above it the kernel reclaims and slows down; there is no softer one. */
        if (limits->memory_soft)
                cgroup_value_add(filler, CGROUP_LIMIT_MEMORY_SOFT, "memory", "memory.high", false, "%" PRIu64,
                                 limits->memory_soft);
        if (limits->memory_hard)
                cgroup_value_add(filler, CGROUP_LIMIT_MEMORY_HARD, "memory", "memory.max", false, "%" PRIu64,
                                 limits->memory_hard);
        /* v2 counts swap alone. */
        if (limits->memory_swap_hard)
                cgroup_value_add(filler, CGROUP_LIMIT_MEMORY_SWAP, "memory", "memory.swap.max", true,
                                 "%" PRIu64, limits->memory_swap_hard - limits->memory_hard);
}
