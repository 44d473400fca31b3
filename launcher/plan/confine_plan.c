/* The VM's uid and groups. */
#include <string.h>

#include "launcher/plan/device.h"

static const char *claimant(const struct build *build, uid_t uid)
{
        const struct host_facts *host = build->in->host;

        for (size_t i = 0; i < host->n_claimed_uids; i++)
                if (host->claimed_uids[i].uid == uid &&
                    strcmp(host->claimed_uids[i].vm, build->spec->name) != 0)
                        return host->claimed_uids[i].vm;
        return NULL;
}

/* The UUID hashed into the range, the next free one when another VM's machine.lock has it. */
int confine_decide_uid(struct build *build, struct error **err)
{
        const struct machine_lock *lock = build->in->lock;
        uid_t first = build->in->site->uid_first, last = build->in->site->uid_last;
        uint64_t n = (uint64_t)last - first + 1, start = text_hash(build->spec->uuid, 16) % n;

        if (build->in->site->owner.user) {
                build->uid = build->in->site->owner.uid;
                build->gid = build->in->site->owner.gid;
                return 0;
        }
        if (lock && strcmp(lock->uuid, build->spec->uuid_text) == 0 && lock->uid >= first &&
            lock->uid <= last && !claimant(build, lock->uid)) {
                build->uid = build->gid = lock->uid;
                return 0;
        }
        for (uint64_t i = 0; i < n; i++) {
                uid_t uid = (uid_t)(first + (start + i) % n);

                if (!claimant(build, uid)) {
                        build->uid = build->gid = uid;
                        return 0;
                }
        }
        error_set(err, ERROR_HOST, "no free uid between %u and %u: each belongs to a VM", first, last);
        return error_hint(err, "widen UID_RANGE in host.conf");
}

bool confine_allows(const struct build *build, const struct file_facts *file, gid_t group, bool read,
                    bool write)
{
        const struct owner *owner = &build->in->site->owner;

        /* A user's VM has the user's groups, and cannot be given another. */
        if (owner->user)
                group = owner_has_group(owner, file->gid) ? file->gid : (gid_t)-1;
        return file_facts_allow(file, build->uid, build->gid, group, read, write);
}

/* name NULL: it has none. */
static void add_group(struct plan_confinement *confine, gid_t gid, const char *name)
{
        for (size_t i = 0; i < confine->n_groups; i++)
                if (confine->groups[i] == gid)
                        return;
        confine->groups[confine->n_groups] = gid;
        confine->group_names[confine->n_groups++] = name ? xstrdup(name) : xasprintf("%u", gid);
}

void confine_plan(struct build *build)
{
        const struct host_facts *host = build->in->host;
        struct plan_confinement *confine = &build->plan->confine;

        confine->uid = build->uid;
        confine->gid = build->gid;
        if (build->kvm_group)
                add_group(confine, host->kvm_node.gid, host->kvm_group);
        if (build->sev_group)
                add_group(confine, host->sev.node.gid, host->sev_group);
        memory_confine(build);
        hostdev_confine(build);
}
