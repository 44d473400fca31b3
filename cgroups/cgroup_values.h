/*
 * cgroup_values - cgroup_v1.c and cgroup_v2.c: names and values of the limits in each version's control files. Pure.
 *
 * Sources: Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst of the kernel.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cgroups/cgroup_plan.h"

/* A plan that is being filled (cgroup_plan.c). */
struct cgroup_filler {
        struct cgroup_plan *plan;
        const struct cgroup_host *host;
};
/* One file that keeps a limit. need: the file is one that not every kernel has (cgroup_host.files). */
void cgroup_value_add(struct cgroup_filler *filler, enum cgroup_limit limit, const char *controller,
                      const char *file, bool need, const char *format, ...)
        __attribute__((format(printf, 6, 7)));

/* Add each file to write, in the order of the writing. A limit with several files of which the kernel has none (I/O
 * weight) comes with one of them. */
void cgroup_v1_values(const struct cgroup_limits *limits, struct cgroup_filler *filler);
void cgroup_v2_values(const struct cgroup_limits *limits, struct cgroup_filler *filler);

/*
 * clamp(ceil((float)base * (float)CPU), min, max) in single precision, as OpenNebula's KVM driver computes
 * it: base, min, max = 1024, 2, 262144 for cpu.shares (v1) and 100, 1, 10000 for cpu.weight (v2). cpu > 0.
 */
uint64_t cgroup_v1_cpu_shares(double cpu);
uint64_t cgroup_v2_cpu_weight(double cpu);

/* The weights of older schedulers for one of io.weight's, 1 to 10000: CFQ's blkio.weight, 10 to 1000 around 500, and
 * BFQ's, 1 to 1000 around 100, as systemd converts them (cgroup-util.h). */
uint32_t cgroup_v1_cfq_weight(uint32_t io_weight);
uint32_t cgroup_bfq_weight(uint32_t io_weight);
