/* What the host grants the VM as a whole: CPU time, I/O and memory limits of its control group. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

/* The kernel's own bounds: min_cfs_quota_period, max_cfs_quota_period, max_cfs_runtime (kernel/sched/core.c). */
#define QUOTA_MIN_US  1000
#define QUOTA_MAX_US  ((1ull << 44) - 1)
#define PERIOD_MAX_US 1000000

#define ATTR_OF struct cputune_spec
static const struct attr cputune_rows[] = {
        { "QUOTA", U64(quota_us), .lookup = LOOKUP_D, .min = QUOTA_MIN_US, .max = QUOTA_MAX_US,
          .unit = "microseconds", .lands = "cgroup",
          .doc = "CPU time that the VM as a whole, all vCPUs and QEMU's own threads together, may use in each PERIOD: "
                 "150000 in 100000 is one and a half CPUs. Absent: no limit.",
          .source = "DESIGN 5.3; sched-bwc.rst" },
        { "PERIOD", U64(period_us), .lookup = LOOKUP_D, .dflt = "100000", .min = QUOTA_MIN_US,
          .max = PERIOD_MAX_US, .unit = "microseconds", .lands = "cgroup", .doc = "The period of QUOTA.",
          .source = "DESIGN 5.3; sched-bwc.rst" },
        COMING("VCPU", "vCPU that is pinned."),
        COMING("CPUSET", "Host CPUs."),
        COMING("VCPUPIN", "Host CPUs of a vCPU."),
        COMING("EMULATORPIN", "Host CPUs of the emulator."),
        COMING("IOTHREADPIN", "Host CPUs of I/O threads."),
        COMING("SHARES", "CPU shares."),
        COMING("EMULATOR_QUOTA", "CPU time of the emulator."),
        COMING("EMULATOR_PERIOD", "Period of the emulator."),
};
#undef ATTR_OF

const struct attr_section attr_cputune = {
        .name = "CPUTUNE",
        .rows = cputune_rows,
        .n_rows = ARRAY_SIZE(cputune_rows),
        .doc = "Limits of CPU time; CPU is the share.",
        .source = "DESIGN 5.3",
};

#define ATTR_OF struct blkiotune_spec
static const struct attr blkiotune_rows[] = {
        { "WEIGHT", U32(weight), .lookup = LOOKUP_D, .min = 1, .max = 10000, .lands = "cgroup",
          .doc = "Share of the host's disk time when disks are busy; 100 is what a group has that asks for nothing. "
                 "It is io.weight of cgroup v2, and converted for blkio.weight of v1 and for the weights of BFQ.",
          .source = "libvirt-behaviour 11.2; cgroup-v2.rst" },
};
#undef ATTR_OF

const struct attr_section attr_blkiotune = {
        .name = "BLKIOTUNE",
        .rows = blkiotune_rows,
        .n_rows = ARRAY_SIZE(blkiotune_rows),
        .doc = "Share of disk I/O.",
        .source = "libvirt-behaviour 11.2",
};

#define ATTR_OF struct memtune_spec
static const struct attr memtune_rows[] = {
        { "HARD_LIMIT", SIZE(hard_limit, 1 << 20, "MiB"), .lookup = LOOKUP_D, .min = 1 << 20,
          .max = 1ull << 48, .lands = "cgroup",
          .doc = "Memory of the whole VM: the guest's and QEMU's own, which is tens to hundreds of MiB. A VM that needs "
                 "more is ended by the kernel. At least MEMORY. Absent: no limit.",
          .source = "DESIGN 5.3; libvirt-behaviour 11.2" },
        { "SOFT_LIMIT", SIZE(soft_limit, 1 << 20, "MiB"), .lookup = LOOKUP_D, .min = 1 << 20,
          .max = 1ull << 48, .lands = "cgroup",
          .doc = "Memory that the VM is pushed back to: on cgroup v1 when the host is short of it, on v2 always, and what "
                 "asks for more is slowed down. Absent: no limit.",
          .source = "DESIGN 5.3; libvirt-behaviour 11.2" },
        { "SWAP_HARD_LIMIT", SIZE(swap_hard_limit, 1 << 20, "MiB"), .lookup = LOOKUP_D, .min = 1 << 20,
          .max = 1ull << 48, .lands = "cgroup",
          .doc = "Memory and swap of the whole VM together; goes with HARD_LIMIT, of which it is at least as much. "
                 "Absent: no limit.",
          .source = "DESIGN 5.3; libvirt-behaviour 11.2" },
};
#undef ATTR_OF

const struct attr_section attr_memtune = {
        .name = "MEMTUNE",
        .rows = memtune_rows,
        .n_rows = ARRAY_SIZE(memtune_rows),
        .doc = "Memory limits of the VM's control group.",
        .source = "DESIGN 5.3",
};
