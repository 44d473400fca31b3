/*
 * offers - which values of an attribute this QEMU has. Pure.
 */
#pragma once

#include <jansson.h>

#include "launcher/host/qemu_facts.h"

/* Do the values of this attribute depend on QEMU? */
bool plan_has_offers(const char *full_name);
/*
 * full_name: "NIC/MODEL". An array of {"name", "what"}: the value, and the device type or what else it stands for ("" when
 * that is all). NULL: what values there are does not depend on QEMU. New reference.
 */
json_t *plan_offers(const char *full_name, const struct qemu_facts *qemu);
