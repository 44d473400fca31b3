#include "conf/owner.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void owner_done(struct owner *owner)
{
        free(owner->groups);
        free(owner->config);
        free(owner->data);
        free(owner->state);
        free(owner->cache);
        free(owner->runtime);
        free(owner->manager_group);
        free(owner->manager_controllers);
        *owner = (struct owner){ 0 };
}

void owner_copy(const struct owner *owner, struct owner *ret)
{
        *ret = *owner;
        ret->groups = xcalloc(owner->n_groups + 1, sizeof(*ret->groups));
        if (owner->n_groups)
                memcpy(ret->groups, owner->groups, owner->n_groups * sizeof(*ret->groups));
        ret->config = xstrdup_null(owner->config);
        ret->data = xstrdup_null(owner->data);
        ret->state = xstrdup_null(owner->state);
        ret->cache = xstrdup_null(owner->cache);
        ret->runtime = xstrdup_null(owner->runtime);
        ret->manager_group = xstrdup_null(owner->manager_group);
        ret->manager_controllers = xstrdup_null(owner->manager_controllers);
}

bool owner_has_group(const struct owner *owner, gid_t gid)
{
        for (size_t i = 0; i < owner->n_groups; i++)
                if (owner->groups[i] == gid)
                        return true;
        return gid == owner->gid;
}
