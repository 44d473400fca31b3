/*
 * hugepages - are there as many huge pages as a VM's memory takes, before anything is done for it?
 *
 * QEMU allocates them when it makes the memory, and says of too few no more than that it could not. Somebody else may take
 * those that were counted here: then those words are all there is.
 *
 * sys: where sysfs is, "/sys". Errors: ERROR_HOST with how many there are on which node, how many it takes, and how to get
 * more. What sysfs does not tell is not looked at.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "launcher/plan/launch_plan.h"

#define HUGEPAGES_SYS "/sys"

int hugepages_check_start(const struct launch_plan *plan, const char *sys, struct error **err);
/* fragment: of plan_change_build(), for a VM that runs by that plan. */
int hugepages_check_change(const struct launch_plan *plan, const json_t *fragment, const char *sys,
                           struct error **err);
