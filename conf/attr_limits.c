/* What the host grants the VM: CPU time, I/O and memory limits of its control group, CPUs and memory nodes. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

/* The kernel's own bounds: min_cfs_quota_period, max_cfs_quota_period, max_cfs_runtime (kernel/sched/core.c). */
#define QUOTA_MIN_US  1000
#define QUOTA_MAX_US  ((1ull << 44) - 1)
#define PERIOD_MAX_US 1000000

/* Of lists of numbers (base/number_list.h). */
#define LIST_CHARS "0123456789-,^ "

#define ATTR_OF struct cputune_spec
static const struct attr cputune_rows[] = {
        { "QUOTA", U64(quota_us), .lookup = LOOKUP_D, .min = QUOTA_MIN_US, .max = QUOTA_MAX_US,
          .unit = "microseconds", .lands = LANDS_CGROUP,
          .doc = "CPU time that the VM as a whole, all vCPUs and QEMU's own threads together, may use in each PERIOD: "
                 "150000 in 100000 is one and a half CPUs. Absent: no limit.",
          .source = "DESIGN 5.3; sched-bwc.rst" },
        { "PERIOD", U64(period_us), .lookup = LOOKUP_D, .dflt = "100000", .min = QUOTA_MIN_US,
          .max = PERIOD_MAX_US, .unit = "microseconds", .lands = LANDS_CGROUP, .doc = "The period of QUOTA.",
          .source = "DESIGN 5.3; sched-bwc.rst" },
        { "CPUSET", TEXT(cpuset), .lookup = LOOKUP_D, .chars = LIST_CHARS, .lands = LANDS_RULE,
          .doc = "CPUs of the host that all of QEMU's threads run on, as far as the keys below say nothing else of them: "
                 "\"0-3,8\"; \"0-7,^2\" leaves 2 out. Absent: any. A CPU that the host has not is an error.",
          .source = "libvirt-behaviour 11.2; sched_setaffinity(2)" },
        { "VCPUPIN", TEXT(vcpupin), .lookup = LOOKUP_D, .chars = LIST_CHARS ":;", .lands = LANDS_RULE,
          .live = true,
          .doc = "CPUs of the host that vCPUs run on, each VCPU:CPUS or FIRST-LAST:CPUS, separated by semicolons: "
                 "\"0:2-3; 1-2:4\". They may also be of vCPUs that are plugged in later.",
          .source = "DESIGN 5.3; libvirt-behaviour 11.2" },
        { "EMULATORPIN", TEXT(emulatorpin), .lookup = LOOKUP_D, .chars = LIST_CHARS, .lands = LANDS_RULE,
          .doc = "CPUs of the host that QEMU's other threads run on: main loop, workers, migration. vCPUs and I/O threads "
                 "that nothing is said of may run on any then.",
          .source = "DESIGN 5.3; libvirt-behaviour 11.2" },
        { "IOTHREADPIN", TEXT(iothreadpin), .lookup = LOOKUP_D, .chars = LIST_CHARS ":;", .lands = LANDS_RULE,
          .live = true,
          .doc = "CPUs of the host that the I/O threads of FEATURES/IOTHREADS run on, counted from 1: \"1:0; 2-4:1\".",
          .source = "DESIGN 5.3; libvirt-behaviour 11.2" },
        COMING("SHARES", "CPU shares."),
        COMING("EMULATOR_QUOTA", "CPU time of the emulator."),
        COMING("EMULATOR_PERIOD", "Period of the emulator."),
};
#undef ATTR_OF

const struct attr_section attr_cputune = {
        .name = "CPUTUNE",
        .rows = cputune_rows,
        .n_rows = ARRAY_SIZE(cputune_rows),
        .doc = "Limits of CPU time, of which CPU is the share, and which CPUs of the host are used.",
        .source = "DESIGN 5.3",
};

#define ATTR_OF struct blkiotune_spec
static const struct attr blkiotune_rows[] = {
        { "WEIGHT", U32(weight), .lookup = LOOKUP_D, .min = 1, .max = 10000, .lands = LANDS_CGROUP,
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
          .max = 1ull << 48, .lands = LANDS_CGROUP,
          .doc = "Memory of the whole VM: the guest's and QEMU's own, which is tens to hundreds of MiB. A VM that needs "
                 "more is ended by the kernel. At least MEMORY. Absent: no limit.",
          .source = "DESIGN 5.3; libvirt-behaviour 11.2" },
        { "SOFT_LIMIT", SIZE(soft_limit, 1 << 20, "MiB"), .lookup = LOOKUP_D, .min = 1 << 20,
          .max = 1ull << 48, .lands = LANDS_CGROUP,
          .doc = "Memory that the VM is pushed back to: on cgroup v1 when the host is short of it, on v2 always, and what "
                 "asks for more is slowed down. Absent: no limit.",
          .source = "DESIGN 5.3; libvirt-behaviour 11.2" },
        { "SWAP_HARD_LIMIT", SIZE(swap_hard_limit, 1 << 20, "MiB"), .lookup = LOOKUP_D, .min = 1 << 20,
          .max = 1ull << 48, .lands = LANDS_CGROUP,
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

static const struct attr_word numa_mode_words[] = {
        WORD("strict", NUMA_MODE_STRICT),
        WORD("preferred", NUMA_MODE_PREFERRED),
        WORD("interleave", NUMA_MODE_INTERLEAVE),
        WORD("restrictive", NUMA_MODE_RESTRICTIVE),
        WORDS_END,
};

#define ATTR_OF struct numatune_spec
static const struct attr numatune_rows[] = {
        { "CELLID", U32(cell), .lookup = LOOKUP_D, .max = SPEC_MAX_NUMA_NODES - 1, .lands = LANDS_ARGV,
          .doc = "The guest's NUMA_NODE, counted from 0, that the vector is about. Absent: all memory of the guest that no "
                 "other vector is about.",
          .source = "libvirt-behaviour 4" },
        { "MODE", ENUM(mode, numa_mode, numa_mode_words), .lookup = LOOKUP_D, .dflt = "strict",
          .lands = LANDS_ARGV,
          .doc = "strict: the guest's memory comes from NODESET, or there is none; preferred: from it, which is one node, "
                 "as long as that has some; interleave: from its nodes in turn; restrictive: all that QEMU allocates "
                 "comes from NODESET, the guest's memory as well; without CELLID.",
          .source = "DESIGN 5.3; libvirt-behaviour 4; mbind(2)" },
        { "NODESET", TEXT(nodeset), .lookup = LOOKUP_D, .chars = LIST_CHARS, .lands = LANDS_ARGV,
          .doc = "Memory nodes of the host: \"0-1\", \"0-3,^2\"; has to be given.",
          .source = "DESIGN 5.3; libvirt-behaviour 4" },
};
#undef ATTR_OF

const struct attr_section attr_numatune = {
        .name = "NUMATUNE",
        .repeats = true,
        .rows = numatune_rows,
        .n_rows = ARRAY_SIZE(numatune_rows),
        .doc = "Which memory nodes of the host the guest's memory comes from; one vector for all of it, one for each "
               "NUMA_NODE that differs.",
        .source = "DESIGN 5.3",
};
