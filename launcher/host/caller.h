/*
 * caller - who runs this program, as the owner of an instance.
 */
#pragma once

#include "base/error.h"
#include "conf/owner.h"

/*
 * The caller's own instance: reads ids, groups and the environment. below_root: --root was given, and no directory of
 * the user's is asked for. ERROR_HOST: there is no directory for what runs (XDG_RUNTIME_DIR). owner_done() frees it.
 */
int caller_read(bool below_root, struct owner *ret, struct error **err);

#define CALLER_VARIABLES 6
/*
 * What another program of ours needs to find the same directories: "HOME=...", those of the variables that are set, NULL
 * behind the last. Borrowed from the environment; none of the system's instance.
 */
void caller_environment(const struct owner *owner, char *ret[CALLER_VARIABLES + 1]);
