/*
 * prepare_parts - what the files that prepare a plan share; private to launcher/verb/prepare*.c.
 */
#pragma once

#include "conf/vm_spec.h"
#include "launcher/storage/image_chain.h"

/* The place of the attribute, so that what is missing is reported where it is asked for. */
void prepare_add_place(const struct vm_spec *spec, const char *reference, struct error **err);
/* That the files with the secrets of the template are there; a warning when everybody can read one. */
int prepare_look_at_secrets(struct vm_spec *spec, struct error **err);

struct looks;
/* A child begins to look at what is not known yet of the files of spec and, not NULL, also. *looks is made when NULL. */
int looks_begin(struct looks **looks, const struct vm_spec *spec, const struct vm_spec *also,
                struct error **err);
/* Its answers. A failure is that of the attribute that names the file, as far as it is one. */
int looks_end(struct looks *looks, const struct vm_spec *spec, const struct vm_spec *also,
              struct error **err);
/* What is known of a spec's files: chains (lent, until looks_free()), facts of kernel, initrd and shared directories. */
void looks_take(const struct looks *looks, const struct vm_spec *spec, struct image_chain **ret_chains,
                struct file_facts *ret_kernel, struct file_facts *ret_initrd,
                struct file_facts *ret_directories);
void looks_free(struct looks *looks);
