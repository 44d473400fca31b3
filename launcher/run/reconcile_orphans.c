#include "launcher/run/reconcile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "cgroups/cgroup_plan.h"
#include "launcher/run/orphan.h"
#include "launcher/run/reconcile_parts.h"
#include "launcher/run/survey.h"
#include "launcher/state/crash_point.h"
#include "launcher/state/lock_file.h"
#include "net/net_apply.h"
#include "net/openvswitch.h"

/* Under the VM's lock, and only while it is what was seen: no run of ours makes it anew meanwhile. */
static int remove_group(const struct cgroup_host *host, const struct cgroup_found *seen, struct error **err)
{
        _cleanup_(cgroup_found_done) struct cgroup_found now = { 0 };

        if (cgroup_look(host, seen->path, &now, err) <= 0)
                return *err ? -1 : 0;
        if (!now.mark || strcmp(now.mark, seen->mark) != 0 || now.n_pids)
                return 0;
        crash_point(CRASH_ORPHAN_REMOVE);
        return cgroup_remove_empty(host, seen->path, err);
}

/* Under the VM's lock: no run of it makes the file anew meanwhile. One that owes an undo has it done there. */
static int remove_image(const struct site *site, const struct vm_dir *vm, const struct survey_image *image,
                        struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s/overlays/%s", site->paths.state, image->vm, image->file);

        if (!journal_is_empty(vm->fd))
                return 0;
        crash_point(CRASH_ORPHAN_REMOVE);
        if (unlink(path) == 0)
                return 1;
        return errno == ENOENT ? 0 : error_os(err, errno, "remove '%s'", path);
}

/* 1: removed; 0: not what it was any more; -1: *err. locked: the caller has the lock of its VM. */
static int remove_orphan(const struct site *site, const struct cgroup_host *cgroup,
                         const struct survey *survey, const struct orphan *orphan, bool locked,
                         struct error **err)
{
        _cleanup_locked_vm_dir_ struct vm_dir *vm = NULL;
        _cleanup_netlink_ struct netlink *nl = NULL;
        _cleanup_close_ int run = -1;
        const struct survey_tap *tap;

        crash_point(CRASH_ORPHAN_REMOVE);
        switch (orphan->kind) {
        case ORPHAN_TAP:
        case ORPHAN_PORT:
                tap = &survey->taps[orphan->at];
                if (orphan->kind == ORPHAN_PORT)
                        return ovs_port_remove(OVS_SOCKET, tap->ifname, tap->alias, err) < 0 ? -1 : 1;
                nl = netlink_open(err);
                return nl ? net_remove_tap(nl, tap->index, tap->alias, err) : -1;
        case ORPHAN_CGROUP:
        case ORPHAN_IMAGE:
                if (!locked && vm_dir_lock_briefly(&site->paths, orphan->vm, &vm, err) < 0) {
                        if ((*err)->code != ERROR_BUSY)
                                return -1;
                        /* Its start takes care of it. */
                        error_free(TAKE_PTR(*err));
                        return 0;
                }
                if (orphan->kind == ORPHAN_IMAGE)
                        return vm ? remove_image(site, vm, &survey->images[orphan->at], err) : 0;
                return remove_group(cgroup, &survey->groups[orphan->at], err);
        case ORPHAN_DIRECTORY:
                /* Who began it may be at it still: both remove the same. */
                return run_dir_open(&site->paths, &run, err) < 0 || fd_remove_tree(run, orphan->what, err) < 0
                               ? -1
                               : 1;
        case ORPHAN_LOCK:
                if (run_dir_open(&site->paths, &run, err) < 0)
                        return -1;
                /* Its run took it away while it was looked at. */
                if (faccessat(run, orphan->what, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                        return 0;
                lock_file_sweep(run, orphan->what);
                return faccessat(run, orphan->what, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
        case ORPHAN_QEMU:
        case ORPHAN_KINDS:
                break;
        }
        return 0;
}

static void tell_orphan(const struct orphan *orphan, const char *what, struct teller teller)
{
        _cleanup_free_ char *line = orphan_text(orphan);

        teller.vm = orphan->vm;
        teller.what = what;
        teller_line(line, &teller);
}

void orphans_done(struct orphans *orphans)
{
        orphans_free(orphans->items, orphans->n);
        survey_done(&orphans->survey);
}

int orphans_look_for(const struct survey_options *options, struct orphans *ret, struct error **err)
{
        if (survey_host(options, &ret->survey, err) < 0)
                return error_wrap(err, "look for what no journal names");
        orphans_find(&ret->survey, &ret->items, &ret->n);
        return 0;
}

/* Its run went on when the group was seen, and ended before its VM was. */
static bool has_gone_meanwhile(const struct cgroup_host *cgroup, const struct survey *survey,
                               const struct orphan *orphan)
{
        _cleanup_(cgroup_found_done) struct cgroup_found now = { 0 };
        _cleanup_error_ struct error *unknown = NULL;
        const struct cgroup_found *seen;
        int found;

        if (!orphan->kept || orphan->kind != ORPHAN_CGROUP)
                return false;
        seen = &survey->groups[orphan->at];
        found = cgroup_look(cgroup, seen->path, &now, &unknown);
        return found == 0 || (found > 0 && (!now.n_pids || !now.mark || strcmp(now.mark, seen->mark) != 0));
}

int reconcile_orphans(const struct reconcile_request *request, struct teller teller, size_t *ret_n,
                      struct error **err)
{
        const struct survey_options options = { .site = request->site,
                                                .cgroup = request->cgroup,
                                                .vm = request->name };
        _cleanup_orphans_ struct orphans orphans = { 0 };

        if (orphans_look_for(&options, &orphans, err) < 0)
                return -1;
        *ret_n = orphans.n;
        for (size_t i = 0; i < orphans.n; i++) {
                const struct orphan *orphan = &orphans.items[i];
                struct error *error = NULL;
                int removed = !orphan->kept;

                if (has_gone_meanwhile(request->cgroup, &orphans.survey, orphan)) {
                        --*ret_n;
                        continue;
                }
                if (removed && !request->dry_run)
                        removed = remove_orphan(request->site, request->cgroup, &orphans.survey, orphan,
                                                false, &error);
                if (removed < 0) {
                        _cleanup_free_ char *text = orphan_text(orphan);

                        error_wrap(&error, "remove %s", text);
                        error_append(err, error);
                        continue;
                }
                if (!removed && !orphan->kept)
                        continue;
                tell_orphan(orphan,
                            orphan->kept       ? ""
                            : request->dry_run ? "would remove: "
                                               : "removed: ",
                            teller);
                if (request->orphan)
                        request->orphan(orphan, removed, request->data);
        }
        return *err ? -1 : 0;
}

/* Is there anything of an earlier run to look at? */
static int start_meets_something(const struct cgroup_host *cgroup, const struct launch_plan *plan,
                                 struct error **err)
{
        _cleanup_(cgroup_found_done) struct cgroup_found group = { 0 };
        _cleanup_netlink_ struct netlink *nl = NULL;
        struct net_link link;
        int found = 0;

        /* Without groups nothing but a look at all processes tells. */
        if (!plan->qemu_group)
                return 1;
        if (cgroup_look(cgroup, plan->qemu_group, &group, err) < 0)
                return -1;
        /* An empty one is made anew by the start itself. */
        if (group.n_pids)
                return 1;
        for (size_t i = 0; i < plan->n_steps && !found; i++) {
                const struct plan_step *step = &plan->steps[i];
                const char *ifname = json_member_string(step->args, "ifname");

                if (step->effect != EFFECT_NET || !ifname)
                        continue;
                if (!nl && !(nl = netlink_open(err)))
                        return -1;
                found = netlink_link_get(nl, ifname, &link, err);
        }
        return found;
}

int reconcile_for_start(const struct site *site, const struct cgroup_host *cgroup,
                        const struct launch_plan *plan, undo_line_fn *line, void *data, struct error **err)
{
        const struct survey_options options = {
                .site = site, .cgroup = cgroup, .vm = plan->name, .locked = true
        };
        _cleanup_orphans_ struct orphans orphans = { 0 };
        int found = start_meets_something(cgroup, plan, err);

        if (found <= 0 || orphans_look_for(&options, &orphans, err) < 0)
                return *err ? -1 : 0;
        for (size_t i = 0; i < orphans.n; i++) {
                const struct orphan *orphan = &orphans.items[i];
                _cleanup_free_ char *text = orphan_text(orphan);

                if (orphan->kept)
                        return error_set(err, ERROR_BUSY, "'%s' runs already: %s", plan->name, text);
                /* Locks and directories are in nobody's way. */
                if (orphan->kind != ORPHAN_TAP && orphan->kind != ORPHAN_PORT &&
                    orphan->kind != ORPHAN_CGROUP)
                        continue;
                if (remove_orphan(site, cgroup, &orphans.survey, orphan, true, err) < 0)
                        return error_wrap(err, "remove %s", text);
                line(text, data);
        }
        return 0;
}
