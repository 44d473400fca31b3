/*
 * hyperv_spec - which of Hyper-V's interfaces a Windows guest finds: part of struct vm_spec, counts with FEATURES/HYPERV.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf/origin.h"

struct hyperv_spec {
        struct section section;
        bool present; /* FEATURES/HYPERV is on */
        bool relaxed, vapic, vpindex, runtime, synic, stimer, stimer_direct, reset, frequencies;
        bool reenlightenment, tlbflush, ipi, evmcs, avic, passthrough;
        uint32_t spinlocks; /* retries; 0: none */
        char *vendor_id;    /* NULL: QEMU's */
};
