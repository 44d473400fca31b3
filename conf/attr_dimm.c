/* DIMM: memory modules that were plugged into a running VM; live.tmpl has them. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/spec_rules.h"
#include "conf/vm_spec.h"

#define ATTR_OF struct dimm_spec
static const struct attr dimm_rows[] = {
        { "SIZE", SIZE(size, 1 << 20, "MiB"), .lookup = LOOKUP_D, .min = DIMM_GRAIN, .max = 1ull << 48,
          .lands = LANDS_ARGV, .live = true,
          .doc = "Size of the module, a multiple of 128 MiB; has to be given.",
          .source = "DESIGN 1, idea 5; Linux, memory_block_size_bytes()" },
        { "DIMM_ID", U32(id), .lookup = LOOKUP_D, .max = SPEC_MAX_DIMMS - 1, .lands = LANDS_ARGV,
          .doc = "Slot of the module; absent: the first one that is free, from 0.",
          .source = "DESIGN 1, idea 5" },
};
#undef ATTR_OF

const struct attr_section attr_dimm = {
        .name = "DIMM",
        .repeats = true,
        .rows = dimm_rows,
        .n_rows = ARRAY_SIZE(dimm_rows),
        .doc = "A memory module that is plugged in, with MEMORY_RESIZE_MODE HOTPLUG; for live.tmpl, where 'resize' keeps it.",
        .source = "DESIGN 1, idea 5",
};
