/*
 * limits - what a VM's template asks of its control group. Pure.
 */
#pragma once

#include "cgroups/cgroup_plan.h"
#include "conf/vm_spec.h"

struct cgroup_limits limits_of(const struct vm_spec *spec);
