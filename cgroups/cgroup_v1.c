#include <assert.h>
#include <inttypes.h>

#include "base/number.h"
#include "cgroups/cgroup_values.h"

uint64_t cgroup_v1_cpu_shares(double cpu)
{
        float shares = 1024.0F * (float)cpu;

        assert(cpu > 0);
        return shares < 2 ? 2 : shares > 262144 ? 262144 : number_ceil((double)shares);
}

uint32_t cgroup_v1_cfq_weight(uint32_t io_weight)
{
        uint32_t weight = io_weight * 5;

        return weight < 10 ? 10 : weight > 1000 ? 1000 : weight;
}

uint32_t cgroup_bfq_weight(uint32_t io_weight)
{
        return io_weight <= 100 ? io_weight : 100 + (io_weight - 100) * 900 / 9900;
}

void cgroup_v1_values(const struct cgroup_limits *limits, struct cgroup_filler *filler)
{
        bool bfq = cgroup_host_has_file(filler->host, "blkio.bfq.weight");

        if (limits->cpu > 0)
                cgroup_value_add(filler, CGROUP_LIMIT_CPU, "cpu", "cpu.shares", false, "%" PRIu64,
                                 cgroup_v1_cpu_shares(limits->cpu));
        if (limits->quota_us) {
                cgroup_value_add(filler, CGROUP_LIMIT_CPU_QUOTA, "cpu", "cpu.cfs_period_us", false,
                                 "%" PRIu64, limits->period_us);
                cgroup_value_add(filler, CGROUP_LIMIT_CPU_QUOTA, "cpu", "cpu.cfs_quota_us", false, "%" PRIu64,
                                 limits->quota_us);
        }
        if (limits->io_weight && bfq)
                cgroup_value_add(filler, CGROUP_LIMIT_IO_WEIGHT, "blkio", "blkio.bfq.weight", true, "%u",
                                 cgroup_bfq_weight(limits->io_weight));
        if (limits->io_weight && (!bfq || cgroup_host_has_file(filler->host, "blkio.weight")))
                cgroup_value_add(filler, CGROUP_LIMIT_IO_WEIGHT, "blkio", "blkio.weight", true, "%u",
                                 cgroup_v1_cfq_weight(limits->io_weight));
        if (limits->pids)
                cgroup_value_add(filler, CGROUP_LIMIT_PIDS, "pids", "pids.max", false, "%u", limits->pids);
        if (limits->memory_soft)
                cgroup_value_add(filler, CGROUP_LIMIT_MEMORY_SOFT, "memory", "memory.soft_limit_in_bytes",
                                 false, "%" PRIu64, limits->memory_soft);
        if (limits->memory_hard)
                cgroup_value_add(filler, CGROUP_LIMIT_MEMORY_HARD, "memory", "memory.limit_in_bytes", false,
                                 "%" PRIu64, limits->memory_hard);
        if (limits->memory_swap_hard)
                cgroup_value_add(filler, CGROUP_LIMIT_MEMORY_SWAP, "memory", "memory.memsw.limit_in_bytes",
                                 true, "%" PRIu64, limits->memory_swap_hard);
}
