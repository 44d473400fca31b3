/*
 * prepare_parts - what the files that prepare a plan share; private to launcher/verb/prepare*.c.
 */
#pragma once

#include "conf/vm_spec.h"

/* The place of the attribute, so that what is missing is reported where it is asked for. */
void prepare_add_place(const struct vm_spec *spec, const char *reference, struct error **err);
/* That the files with the secrets of the template are there; a warning when everybody can read one. */
int prepare_look_at_secrets(struct vm_spec *spec, struct error **err);
