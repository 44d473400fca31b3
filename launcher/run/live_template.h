/*
 * live_template - live.tmpl with a fragment's changes.
 *
 * Pure. A change sets or removes one vector, or sets one attribute:
 *
 *   set:     {"vector":"NIC","attributes":{"BRIDGE":"br0","TARGET":"web-1",...}}        a further one
 *            {"vector":"NIC","match":{"TARGET":"web-1"},"attributes":{...}}            in place of the one that matches
 *                                                        ("match":{}: of the only one)
 *            {"attribute":"CPU","value":"2"}
 *   remove:  {"vector":"NIC","match":{"TARGET":"web-1"}}
 *
 * What comes out is a template without errors, written as the start writes it; what is known of no attribute is an
 * error as in any template.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "conf/site.h"

/* name: the VM's. New string, or NULL and *err. */
char *live_template_change(const char *text, const json_t *live, const struct site *site, const char *name,
                           struct error **err);
