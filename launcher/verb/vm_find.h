/*
 * vm_find - which VM an argument means: its name, its UUID, or its OpenNebula id (N is one-N).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "conf/site.h"

/*
 * The name, owned by the caller. ERROR_NOT_RUNNING: only defined, in ETC/vms; *ret_name is it then, too.
 * ERROR_NO_SUCH_VM with the nearest name as hint.
 */
int vm_find(const struct paths *paths, const char *argument, char **ret_name, struct error **err);
/* The record of a VM that runs or has run; ERROR_NO_SUCH_VM otherwise. New reference. */
int vm_record(const struct paths *paths, const char *name, json_t **ret, struct error **err);
/* live.tmpl of one that runs, owned by the caller; ERROR_NOT_PERMITTED for all but root. */
int vm_live_template(const struct paths *paths, const char *name, char **ret, struct error **err);
/* Is there ETC/vms/NAME.tmpl; its path, owned by the caller. */
bool vm_is_defined(const struct paths *paths, const char *name, char **ret_path);
