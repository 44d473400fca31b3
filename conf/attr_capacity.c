/* Processors and memory as the guest sees them, and where its memory comes from. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

#define MAX_VCPUS 4096

static const struct attr_word access_words[] = {
        WORD("private", MEMORY_ACCESS_PRIVATE),
        WORD("shared", MEMORY_ACCESS_SHARED),
        WORDS_END,
};

static const struct attr_word pin_words[] = {
        WORD("NONE", 0), SOON("CORE"), SOON("THREAD"), SOON("SHARED"), WORDS_END,
};

#define ATTR_OF struct topology_spec
static const struct attr topology_rows[] = {
        { "SOCKETS", U32(sockets), .lookup = LOOKUP_D, .min = 1, .max = MAX_VCPUS, .unit = "sockets",
          .lands = LANDS_ARGV,
          .doc = "Sockets that the guest sees. SOCKETS, CORES and THREADS go together; their product is VCPU_MAX, or "
                 "VCPU without one. All absent: one socket of as many cores; TOPOLOGY absent: as many sockets.",
          .source = "opennebula-semantics 3.5" },
        { "CORES", U32(cores), .lookup = LOOKUP_D, .min = 1, .max = MAX_VCPUS, .unit = "cores",
          .lands = LANDS_ARGV, .doc = "Cores of a socket.", .source = "opennebula-semantics 3.5" },
        { "THREADS", U32(threads), .lookup = LOOKUP_D, .min = 1, .max = MAX_VCPUS, .unit = "threads",
          .lands = LANDS_ARGV, .doc = "Threads of a core.", .source = "opennebula-semantics 3.5" },
        { "HUGEPAGE_SIZE", SIZE(hugepage_size, 1 << 20, "MiB"), .lookup = LOOKUP_D, .min = 1 << 16,
          .max = 1ull << 34, .lands = LANDS_ARGV,
          .doc = "Size of the huge pages that guest memory is made of: 2 or 1024 on x86. The host has to have enough of "
                 "them free. Memory of huge pages is neither ballooned nor merged. Absent: ordinary pages, unless "
                 "MEMORY_BACKING/HUGEPAGES asks for the host's usual size.",
          .source = "opennebula-semantics 3.5" },
        { "MEMORY_ACCESS", ENUM(memory_access, memory_access, access_words), .lookup = LOOKUP_D,
          .lands = LANDS_ARGV,
          .doc = "shared: other processes may map guest memory too, as virtiofsd and other vhost-user devices have to; "
                 "private: nobody else. Absent: private, and shared where a device needs it.",
          .source = "opennebula-semantics 3.5" },
        { "PIN_POLICY", TEXT(pin_policy), .lookup = LOOKUP_D, .words = pin_words, .dflt = "NONE",
          .lands = LANDS_RULE, .doc = "NONE: vCPUs run on any CPU of the host.",
          .source = "opennebula-semantics 3.5" },
        COMING("NODE_AFFINITY", "NUMA node of the host."),
};
#undef ATTR_OF

const struct attr_section attr_topology = {
        .name = "TOPOLOGY",
        .rows = topology_rows,
        .n_rows = ARRAY_SIZE(topology_rows),
        .doc = "Sockets, cores and threads of the guest, and what its memory is made of.",
        .source = "opennebula-semantics 3.5",
};

#define ATTR_OF struct numa_node_spec
static const struct attr numa_node_rows[] = {
        { "TOTAL_CPUS", U32(total_cpus), .lookup = LOOKUP_D, .dflt = "0", .max = MAX_VCPUS, .unit = "vCPUs",
          .lands = LANDS_ARGV,
          .doc = "vCPUs of the node, those that can be plugged in included; counted on from the node before. With MEMORY, "
                 "or neither: an empty node. The sum of all nodes is VCPU_MAX, or VCPU without one.",
          .source = "opennebula-semantics 3.5" },
        { "MEMORY", SIZE(memory, 1 << 20, "MiB"), .lookup = LOOKUP_D, .dflt = "0", .max = 1ull << 48,
          .lands = LANDS_ARGV,
          .doc = "Memory of the node. The sum of all nodes is the VM's MEMORY, or MEMORY_MAX where a balloon takes the rest.",
          .source = "opennebula-semantics 3.5" },
        { "DISTANCE", TEXT(distance), .lookup = LOOKUP_D, .chars = "0123456789-:, ", .max = 4096,
          .lands = LANDS_ARGV,
          .doc = "Distances to other nodes, NODE:DISTANCE or FIRST-LAST:DISTANCE, separated by commas: \"1:30,2-3:40\". 10 "
                 "is the node itself, 11 to 254 another one. The way back is the same unless the other node says its own. "
                 "Absent: 20.",
          .source = "opennebula-semantics 3.5" },
        COMING("CPUS", "Host CPUs, chosen by OpenNebula."),
        COMING("MEMORY_NODE_ID", "Host node, chosen by OpenNebula."),
        COMING("NODE_ID", "Host node, chosen by OpenNebula."),
};
#undef ATTR_OF

const struct attr_section attr_numa_node = {
        .name = "NUMA_NODE",
        .repeats = true,
        .rows = numa_node_rows,
        .n_rows = ARRAY_SIZE(numa_node_rows),
        .doc = "A NUMA node of the guest; one vector each, counted from 0.",
        .source = "opennebula-semantics 3.5",
};

#define ATTR_OF struct memory_backing_spec
static const struct attr memory_backing_rows[] = {
        { "HUGEPAGES", BOOL(hugepages), .lookup = LOOKUP_A, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "Guest memory of huge pages: of TOPOLOGY/HUGEPAGE_SIZE, or of the host's usual size.",
          .source = "DESIGN 5.3; libvirt-behaviour 4" },
        { "NOSHAREPAGES", BOOL(nosharepages), .lookup = LOOKUP_A, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "The host's kernel does not merge equal pages of this guest with those of others (KSM).",
          .source = "DESIGN 5.3; libvirt-behaviour 4" },
        { "LOCKED", BOOL(locked), .lookup = LOOKUP_A, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "All of QEMU's memory is locked: never swapped. MEMTUNE/HARD_LIMIT, when given, is the most that can be "
                 "locked.",
          .source = "DESIGN 5.3; libvirt-behaviour 4" },
        { "DUMP_CORE", BOOL(dump_core), .lookup = LOOKUP_A, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "Guest memory is part of QEMU's core dumps.", .source = "DESIGN 5.3; libvirt-behaviour 3" },
        { "THP", BOOL(thp), .lookup = LOOKUP_A, .dflt = "yes", .lands = LANDS_RULE,
          .doc = "Transparent huge pages for guest memory, as far as the host's kernel is set to give them.",
          .source = "DESIGN 5.3; prctl(2), PR_SET_THP_DISABLE" },
};
#undef ATTR_OF

const struct attr_section attr_memory_backing = {
        .name = "MEMORY_BACKING",
        .rows = memory_backing_rows,
        .n_rows = ARRAY_SIZE(memory_backing_rows),
        .doc = "Where guest memory comes from.",
        .source = "DESIGN 5.3",
};

static const struct attr_word encryption_words[] = {
        WORD("SEV", MEMORY_ENCRYPTION_SEV),
        WORD("SEV-ES", MEMORY_ENCRYPTION_SEV_ES),
        WORDS_END,
};

#define ATTR_OF struct memory_encryption_spec
static const struct attr memory_encryption_rows[] = {
        { "TYPE", ENUM(type, memory_encryption, encryption_words), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "SEV: AMD's encryption of guest memory; SEV-ES: of the vCPUs' registers too. Needs KVM and a host that "
                 "has it. Without MEMTUNE/HARD_LIMIT the VM is limited to MEMORY and MEMORY_TUNE_OFFSET.",
          .source = "opennebula-semantics 3.13" },
};
#undef ATTR_OF

const struct attr_section attr_memory_encryption = {
        .name = "MEMORY_ENCRYPTION",
        .rows = memory_encryption_rows,
        .n_rows = ARRAY_SIZE(memory_encryption_rows),
        .doc = "Guest memory that the host cannot read.",
        .source = "opennebula-semantics 3.13",
};

static const struct attr_word balloon_words[] = {
        WORD("virtio", BALLOON_MODEL_VIRTIO),
        WORD("none", BALLOON_MODEL_NONE),
        WORDS_END,
};

#define ATTR_OF struct balloon_spec
static const struct attr balloon_rows[] = {
        { "MODEL", ENUM(model, balloon_model, balloon_words), .lookup = LOOKUP_A, .dflt = "virtio",
          .lands = LANDS_ARGV,
          .doc = "virtio: a device through which the guest gives memory back and tells what it uses; none: no such "
                 "device. A guest with memory of huge pages has none.",
          .source = "opennebula-semantics 3.3; libvirt-behaviour 5.3" },
        { "STATS_PERIOD", U32(stats_period), .lookup = LOOKUP_A, .dflt = "0", .max = 86400, .unit = "seconds",
          .lands = LANDS_QMP, .doc = "How often the guest is asked for its memory statistics; 0: never.",
          .source = "libvirt-behaviour 10" },
        { "AUTODEFLATE", BOOL(autodeflate), .lookup = LOOKUP_A, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "The guest takes memory back out of the balloon before it kills a process for want of memory.",
          .source = "libvirt-behaviour 10" },
        { "FREE_PAGE_REPORTING", BOOL(free_page_reporting), .lookup = LOOKUP_A, .dflt = "no",
          .lands = LANDS_ARGV,
          .doc = "The guest tells which pages it does not use, and the host takes them back.",
          .source = "libvirt-behaviour 10" },
        { "PRESSURE_FLOOR", SIZE(pressure_floor, 1 << 20, "MiB"), .lookup = LOOKUP_A, .max = 1ull << 48,
          .lands = LANDS_RULE,
          .doc = "While tasks of the host wait for memory (/proc/pressure/memory, more than a tenth of the last 10 s) the "
                 "guest gives it memory through the balloon, in steps of an eighth of MEMORY and down to this; it gets "
                 "it back when that is over. 0: the balloon does not follow the host.",
          .source = "Documentation/accounting/psi.rst" },
};
#undef ATTR_OF

const struct attr_section attr_balloon = {
        .name = "BALLOON",
        .rows = balloon_rows,
        .n_rows = ARRAY_SIZE(balloon_rows),
        .doc = "The memory balloon.",
        .source = "opennebula-semantics 3.3",
};
