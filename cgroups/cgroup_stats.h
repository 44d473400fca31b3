/*
 * cgroup_stats - what a group's control files say: the limits in force.
 *
 * Reading costs some tens of microseconds and waits for nothing; files and groups that are not there are passed over.
 */
#pragma once

#include <jansson.h>

#include "cgroups/cgroup_host.h"

/* {file: value} for the CPU share and every limit that is set; empty without a group. New reference. */
json_t *cgroup_limits_read(const struct cgroup_host *host, const char *path);
