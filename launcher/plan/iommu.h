/*
 * iommu - the device of a virtual IOMMU.
 */
#pragma once

#include "conf/vm_spec.h"

/* "intel-iommu"; NULL: it is no device, but a part of the machine. */
const char *iommu_device_type(enum iommu_model model);
/* Of MODE device: behind a root of its own. */
#define IOMMU_SMMUV3_DEVICE "arm-smmuv3"
/* Is there one for this device alone? */
bool iommu_is_of(const struct vm_spec *spec, const struct pci_spec *pci);
/* Its number, that of the root: "iommu0"; new string, NULL: there is none for this device alone. */
char *iommu_id_of(const struct vm_spec *spec, const struct pci_spec *pci);
