/*
 * spec_build - attribute tree + tables + site layers -> vm_spec.
 *
 * Pure: resolves paths as text only. Goes on after an error and reports up to twenty as a list; spec_check.c
 * holds the rules that span attributes.
 */
#pragma once

#include "conf/site.h"
#include "conf/template.h"
#include "conf/vm_spec.h"

/*
 * base_dir: absolute directory that relative SOURCE, KERNEL and INITRD paths start from (the template's own).
 * default_name: NAME when the template has none (the file's name without suffix).
 */
int spec_build(const struct template *template, const struct site *site, const char *base_dir,
               const char *default_name, struct vm_spec **ret, struct error **err);

/*
 * The spec as template text that gives the same spec again: what live.tmpl holds. Every attribute in force is
 * written, defaults too, with absolute paths and the addresses given (address may be NULL or return NULL).
 */
char *spec_to_template(const struct vm_spec *spec);
/* A VM name: 1 to 128 bytes of letters, digits, '.', '_', '-', not starting with '.' or '-'. */
bool spec_name_is_valid(const char *name);
/* Is it one of vmlaunch's own directories, which lie beside those of the VMs? */
bool spec_name_is_reserved(const char *name);
