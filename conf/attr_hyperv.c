/* HYPERV: the enlightenments one by one, opennebula-semantics 3.8 and libvirt-behaviour 3.2. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

#define SOURCE_TEXT "opennebula-semantics 3.8; libvirt-behaviour 3.2; QEMU docs/system/i386/hyperv.rst"
#define FLAG(key, field, usual, text)                                                                        \
        {                                                                                                    \
                (key), BOOL(field), .lookup = LOOKUP_D, .dflt = (usual), .lands = LANDS_ARGV, .doc = (text), \
                                    .source = SOURCE_TEXT                                                    \
        }

#define ATTR_OF struct hyperv_spec
static const struct attr hyperv_rows[] = {
        FLAG("RELAXED", relaxed, "yes", "The guest's watchdogs bear being without a CPU for a while."),
        FLAG("VAPIC", vapic, "yes", "Fast access to the interrupt controller."),
        { "SPINLOCKS", U32(spinlocks), .lookup = LOOKUP_D, .dflt = "8191", .min = 0, .max = UINT32_MAX - 1,
          .unit = "retries", .lands = LANDS_ARGV,
          .doc = "How often a vCPU tries to get a lock before it tells the host: 4095 or more; 0: it never does.",
          .source = SOURCE_TEXT },
        FLAG("VPINDEX", vpindex, "yes",
             "vCPUs have a number the guest can read; SYNIC, TLBFLUSH and IPI need it."),
        FLAG("RUNTIME", runtime, "yes", "The guest can read how long a vCPU ran."),
        FLAG("SYNIC", synic, "yes", "Synthetic interrupt controller."),
        FLAG("STIMER", stimer, "yes", "Synthetic timers; needs SYNIC and the hypervclock TIMER."),
        FLAG("STIMER_DIRECT", stimer_direct, "no", "Synthetic timers that interrupt directly; needs STIMER."),
        FLAG("RESET", reset, "no", "The guest can reset the machine through it."),
        FLAG("FREQUENCIES", frequencies, "yes", "The guest can read the frequencies of TSC and APIC timer."),
        FLAG("REENLIGHTENMENT", reenlightenment, "no",
             "The guest is told when the TSC changes after a migration."),
        FLAG("TLBFLUSH", tlbflush, "yes", "TLBs of many vCPUs are flushed by one call."),
        FLAG("IPI", ipi, "yes", "Interrupts to many vCPUs are sent by one call."),
        FLAG("EVMCS", evmcs, "no", "Enlightened VMCS, for Hyper-V within the guest on Intel; needs VAPIC."),
        FLAG("AVIC", avic, "no", "The host may virtualise interrupts in hardware beside the others."),
        FLAG("PASSTHROUGH", passthrough, "no", "All that the host's KVM can do."),
        { "VENDOR_ID", TEXT(vendor_id), .lookup = LOOKUP_D, .max = 12,
          .chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-", .lands = LANDS_ARGV,
          .doc = "Name of the hypervisor that the guest reads, at most 12 characters. Absent: Microsoft Hv.",
          .source = SOURCE_TEXT },
};
#undef ATTR_OF

const struct attr_section attr_hyperv = {
        .name = "HYPERV",
        .rows = hyperv_rows,
        .n_rows = ARRAY_SIZE(hyperv_rows),
        .doc = "Hyper-V enlightenments one by one, for a VM with FEATURES/HYPERV. HYPERV_OPTIONS says the same as libvirt "
               "XML.",
        .source = SOURCE_TEXT,
};
