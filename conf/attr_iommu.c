/* The virtual IOMMU. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

static const struct attr_word model_words[] = {
        WORD("intel", IOMMU_INTEL),
        WORD("amd", IOMMU_AMD),
        WORD("virtio", IOMMU_VIRTIO),
        WORD("smmuv3", IOMMU_SMMUV3),
        WORDS_END,
};
static const struct attr_word mode_words[] = {
        WORD("single", IOMMU_MODE_SINGLE),
        WORD("device", IOMMU_MODE_DEVICE),
        WORDS_END,
};

#define ATTR_OF struct iommu_spec
static const struct attr iommu_rows[] = {
        { "MODEL", ENUM(model, iommu_model, model_words), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Which IOMMU the machine has; has to be given. intel and amd are for a q35, virtio for a q35 and ARM, "
                 "smmuv3 for ARM.",
          .source = "opennebula-semantics 3.12" },
        { "MODE", ENUM(mode, iommu_mode, mode_words), .lookup = LOOKUP_D, .dflt = "single",
          .lands = LANDS_ARGV,
          .doc = "single: one for the whole machine; device: one for each PCI device with ROOT dedicated and IOMMU yes, "
                 "of MODEL smmuv3 (QEMU 10.2).",
          .source = "opennebula-semantics 3.12" },
        { "OPTIONS", TEXT(options_text), .lookup = LOOKUP_D, .max = 1024, .lands = LANDS_ARGV,
          .doc = "KEY=VALUE, separated by blanks. Of intel: intremap and caching_mode (both on when nothing is said), "
                 "eim, iotlb, aw_bits, dma_translation, passthrough; of amd: intremap, iotlb, passthrough, xtsup; the "
                 "others have none. Switches are on or off, aw_bits is a number.",
          .source = "opennebula-semantics 3.12" },
};
#undef ATTR_OF

const struct attr_section attr_iommu = {
        .name = "IOMMU",
        .rows = iommu_rows,
        .n_rows = ARRAY_SIZE(iommu_rows),
        .doc = "Virtual IOMMU: the guest decides which of its memory a device reaches.",
        .source = "opennebula-semantics 3.12",
};
