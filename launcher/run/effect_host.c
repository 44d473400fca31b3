#include <errno.h>
#include <string.h>

#include "base/json_member.h"
#include "base/process.h"
#include "launcher/run/effects.h"
#include "launcher/run/generation.h"
#include "net/net_apply.h"

/* How long the end of what is left in a group is waited for. */
#define CGROUP_REMOVE_MS 5000
#define SCRIPT_MS        30000

/* Only a tap of this run is moved, and its undo moves it back. */
static int learn_bridge(struct effect_run *run, const struct net_op *op, const char *owner,
                        struct error **err)
{
        char bridge[IFNAMSIZ];
        bool in_ovs;

        return net_bridge_of(run->nl, op->ifname, owner, bridge, &in_ovs, err) < 0
                       ? -1
                       : effect_learn(run, json_pack("{s:s, s:b}", "previous", bridge, "in-ovs", in_ovs),
                                      err);
}

int net_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        _cleanup_free_ char *owner = generation_mark(run->vm->name, run->generation);
        struct net_op op;
        int fds[NET_QUEUES_MAX];

        if (net_op_from_json(args, &op, err) < 0 || effect_netlink(&run->nl, err) < 0 ||
            (op.kind == NET_BRIDGE_MOVE && learn_bridge(run, &op, owner, err) < 0) ||
            net_op_do(run->nl, &op, owner, fds, err) < 0)
                return -1;
        for (unsigned i = 0; op.kind == NET_TAP_CREATE && i < op.tap.queues; i++) {
                _cleanup_free_ char *name = xasprintf("tap:%s:%u", op.ifname, i);

                effect_keep_fd(run, name, fds[i]);
        }
        return 0;
}

int net_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        _cleanup_free_ char *owner = generation_mark(undo->name, undo->generation);
        const char *previous = json_member_string(learned, "previous");
        struct net_op op;

        if (net_op_from_json(args, &op, err) < 0 || effect_netlink(&undo->nl, err) < 0 ||
            (previous && net_bridge_back(undo->nl, &op, owner, previous,
                                         json_member_is_true(learned, "in-ovs"), err) < 0) ||
            net_op_undo(undo->nl, &op, owner, &undo->switch_is_mute, err) < 0)
                return -1;
        return 1;
}

int script_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        const char *path, *ifname;
        json_error_t why;

        (void)run;
        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:s}", "path", &path, "ifname", &ifname) < 0)
                return error_set(err, ERROR_FAILED, "step script: %s", why.text);
        return process_check(&(struct process_options){ .argv = (const char *const[]){ path, ifname, NULL },
                                                        .deadline_ms = SCRIPT_MS },
                             NULL, err);
}

int cgroup_create_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        _cleanup_free_ char *mark = generation_mark(run->vm->name, run->generation);
        const char *path, *controller = NULL;
        int below = 0, made;
        json_error_t why;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s?b, s?s}", "path", &path, "below", &below,
                           "controller", &controller) < 0)
                return error_set(err, ERROR_FAILED, "step cgroup-create: %s", why.text);
        if (below)
                made = cgroup_create_below(run->cgroup, path, err);
        else if (controller)
                made = cgroup_create_in(run->cgroup, path, controller, err);
        else
                made = cgroup_create(run->cgroup, path, NULL, err);
        if (made < 0)
                return -1;
        cgroup_mark(run->cgroup, path, mark);
        /* QEMU enters later: only a group that is known to be ours can have processes of ours. */
        if (effect_learn(run, json_pack("{s:b}", "made", 1), err) < 0) {
                _cleanup_error_ struct error *ignored = NULL;

                cgroup_remove_empty(run->cgroup, path, &ignored);
                return -1;
        }
        return 0;
}

int cgroup_create_undo(struct effect_undo *undo, const json_t *args, const json_t *learned,
                       struct error **err)
{
        _cleanup_free_ char *mark = generation_mark(undo->name, undo->generation);
        const char *path = json_member_string(args, "path");
        _cleanup_(cgroup_found_done) struct cgroup_found found = { 0 };
        int exists;

        if (!path)
                return error_set(err, ERROR_FAILED, "no path");
        exists = cgroup_look(undo->cgroup, path, &found, err);
        if (exists <= 0)
                return exists;
        /* Ours was empty once, and another instance's VM of this name has taken its place. */
        if (found.marked_twice || (found.mark && strcmp(found.mark, mark) != 0))
                return 0;
        /* The executor died before it knew: another instance's group, which it would have found taken, or its own,
         * which nobody has entered. */
        if (!json_member_is_true(learned, "made"))
                return cgroup_remove_empty(undo->cgroup, path, err);
        return cgroup_remove(undo->cgroup, path, CGROUP_REMOVE_MS, err) < 0 ? -1 : 1;
}

int cgroup_write_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        /* Null on v2, which has one hierarchy. */
        const char *controller = json_member_string(args, "controller");
        const char *path, *file, *value;
        json_error_t why;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:s, s:s}", "path", &path, "file", &file, "value",
                           &value) < 0)
                return error_set(err, ERROR_FAILED, "step cgroup-write: %s", why.text);
        if (run->restores) {
                _cleanup_free_ char *previous = NULL;

                if (cgroup_read(run->cgroup, path, controller, file, &previous, err) < 0 ||
                    effect_learn(run, json_pack("{s:s}", "previous", previous), err) < 0)
                        return -1;
        }
        return cgroup_write(run->cgroup, path, controller, file, value, err);
}

int cgroup_write_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        const char *controller = json_member_string(args, "controller");
        const char *path = json_member_string(args, "path");
        const char *file = json_member_string(args, "file");
        const char *previous = json_member_string(learned, "previous");

        /* Written at the start, or not written yet: it goes with the group. */
        if (!path || !file || !previous)
                return 0;
        if (cgroup_write(undo->cgroup, path, controller, file, previous, err) == 0)
                return 1;
        if ((*err)->code != ERROR_OS || (*err)->os_errno != ENOENT)
                return -1;
        error_free(TAKE_PTR(*err));
        return 0;
}
