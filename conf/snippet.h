/*
 * snippet - libvirt XML inside a template, as the attributes that mean the same (libvirt-behaviour).
 *
 * RAW of TYPE kvm, single RAW of the configuration files, HYPERV_OPTIONS, HYPERV_TIMERS and SPICE_OPTIONS. A snippet
 * becomes vectors and keys of the tree, with their places in the snippet, before any row is looked up: so the rows
 * check its values, the same builders make the plan, explain names the line, and live.tmpl has plain attributes.
 * What no attribute can carry is an error that names it, or with VALIDATE no a warning.
 */
#pragma once

#include "conf/spec_rules.h"

/*
 * The builder's template with what its snippets mean, a new tree; NULL when there are none. Errors and warnings are
 * reported to the builder.
 */
struct template *snippets_expand(struct spec_builder *builder);
