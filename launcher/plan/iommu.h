/*
 * iommu - the device of a virtual IOMMU.
 */
#pragma once

#include "conf/vm_spec.h"

/* "intel-iommu"; NULL: it is no device, but a part of the machine. */
const char *iommu_device_type(enum iommu_model model);
