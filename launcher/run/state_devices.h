/*
 * state_devices - what QEMU has to have for a template's smaller devices; for state_expected().
 */
#pragma once

#include <jansson.h>

#include "conf/vm_spec.h"

/* Adds to objects of id and type (true where the id is enough). */
void state_expect_devices(const struct vm_spec *spec, json_t *devices, json_t *objects, json_t *chardevs);
/* And what RAW names. */
void state_expect_raw(const struct vm_spec *spec, json_t *devices, json_t *objects, json_t *netdevs,
                      json_t *chardevs, json_t *nodes);
