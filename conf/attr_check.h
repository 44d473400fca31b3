/*
 * attr_check - every name and key of a tree that has no effect is an error, or is named in a warning.
 *
 * Pure. Appends to both lists (at most twenty errors), with places and excerpts. Values are not looked at.
 */
#pragma once

#include "conf/template.h"
#include "conf/vm_spec.h"

void attr_check_names(const struct template *template, enum layer layer, struct error **errors,
                      struct error **warnings);
