#include "launcher/verb/instance.h"

#include <unistd.h>

#include "launcher/host/caller.h"

int instance_load(const struct verb_context *context, struct site **ret, struct error **err)
{
        bool user = context->user || (!context->system && geteuid() != 0);
        struct owner owner = { 0 };
        int result;

        if (context->user && context->system)
                return error_set(err, ERROR_USAGE, "--system and --user are two instances");
        if (user && geteuid() == 0) {
                error_set(err, ERROR_USAGE, "--user: root's instance is the system's");
                return error_hint(err, "run it as that user");
        }
        if (user && caller_read(context->root && *context->root, &owner, err) < 0)
                return -1;
        result = site_load(context->root, &owner, ret, err);
        owner_done(&owner);
        return result;
}

bool instance_is_own(const struct site *site)
{
        return site->owner.user || geteuid() == 0;
}

int instance_need_owner(const struct verb_context *context, const char *what, struct error **err)
{
        if (instance_is_own(context->site))
                return 0;
        error_set(err, ERROR_NOT_PERMITTED, "%s of the system's instance needs root", what);
        return error_hint(err, "run it as root, or without --system for a VM of your own");
}
