/*
 * unit - vmlaunch as a unit of systemd: names, and which unit a process is in.
 *
 * What systemd is told and asked goes by sd_notify.h (this process's own state) and effect_unit.c (steps of a plan).
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "conf/site.h"

/* "vmlaunch@web.service", of the system's instance; new string. */
char *unit_service_name(const char *vm);
/* "vmlaunch-web.scope", with --root "vmlaunch:HASH:web.scope", as instances may have VMs of one name; new string. */
char *unit_scope_name(const struct paths *paths, const char *vm);

/* Is the process in this unit's group, or below it? */
bool unit_has_process(const char *unit, pid_t pid);
/*
 * Is this process the main one of a service, which systemd has started itself? Then its name and its group, below the
 * hierarchies' mounts; new strings.
 */
bool unit_is_own(char **ret_unit, char **ret_group);
