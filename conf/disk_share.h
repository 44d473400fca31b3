/*
 * disk_share - DISK of TYPE filesystem, a shared directory in OpenNebula's words (opennebula-semantics 3.9.6).
 *
 * Before any row is looked up such a vector becomes the FILESYSTEM that means the same, with its places, so that the same
 * rows check it, the same builders plan it, and live.tmpl has a FILESYSTEM. The disks behind it keep the numbers that
 * OpenNebula counts, which has it among them.
 */
#pragma once

#include "conf/spec_rules.h"

/* tree: the builder's own copy of its template, NULL: there is none yet, and one is made when it is needed. Errors and
 * warnings are reported to the builder. */
void disk_shares_expand(struct spec_builder *builder, struct template **tree);
