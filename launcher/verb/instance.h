/*
 * instance - whose VMs a command is about: the system's, or those of an ordinary user.
 */
#pragma once

#include "launcher/verb/verbs.h"

/* By --system, --user and the caller's uid: root's instance is the system's. */
int instance_load(const struct verb_context *context, struct site **ret, struct error **err);
/* ERROR_NOT_PERMITTED unless the caller may change the instance; what: "starting a VM". */
int instance_need_owner(const struct verb_context *context, const char *what, struct error **err);
bool instance_is_own(const struct site *site);
