/*
 * pending - what of a VM's template is not in force yet, and whether it is started at boot.
 */
#pragma once

#include <jansson.h>

#include "conf/site.h"

/* Names of attributes (conf/spec_pending.h): an array, or null for a VM without a template that can be read, or that does
 * not run. New reference. *ret_fault, a new string: what is wrong with the template of one that runs. */
json_t *pending_changes(const struct site *site, const json_t *record, char **ret_fault);
/* By its unit, or by a link in ETC/autostart. */
bool is_autostarted(const struct paths *paths, const char *name);
