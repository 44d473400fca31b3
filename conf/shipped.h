/*
 * shipped - the configuration files as they are shipped in dist/etc: every setting, its default and what it does, all of
 * it commented out.
 *
 * Pure; made of the tables. New string, ends with a newline.
 */
#pragma once

#include "conf/vm_spec.h"

/* layer: LAYER_DRIVER, LAYER_CLUSTER or LAYER_HOST. */
char *shipped_conf(enum layer layer);
char *shipped_kvmrc(void);
