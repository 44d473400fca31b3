#include "launcher/run/control_role.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/group.h"
#include "base/mem.h"

/* NGROUPS_MAX of the kernel. */
#define GROUPS_MAX 65536

const char *control_role_name(enum control_role role)
{
        static const char *const names[] = { "none", "monitor", "operator", "admin" };

        return names[role];
}

void control_roles_init(struct control_roles *roles, uid_t vm_uid)
{
        _cleanup_free_ char *text = group_file_read();
        char *rest = text;
        const char *name;
        uint32_t gid;

        *roles = (struct control_roles){ .own_uid = geteuid(),
                                         .vm_uid = vm_uid,
                                         .operator_gid = GROUP_ABSENT,
                                         .monitor_gid = GROUP_ABSENT };
        /* Of two lines with one name the first counts. */
        while (group_next(&rest, &name, &gid)) {
                if (roles->operator_gid == GROUP_ABSENT && strcmp(name, CONTROL_OPERATOR_GROUP) == 0)
                        roles->operator_gid = gid;
                if (roles->monitor_gid == GROUP_ABSENT && strcmp(name, CONTROL_MONITOR_GROUP) == 0)
                        roles->monitor_gid = gid;
        }
}

static bool has_group(gid_t wanted, gid_t gid, const gid_t *groups, size_t n_groups)
{
        if (wanted == GROUP_ABSENT)
                return false;
        if (gid == wanted)
                return true;
        for (size_t i = 0; i < n_groups; i++)
                if (groups[i] == wanted)
                        return true;
        return false;
}

enum control_role control_role_of(const struct control_roles *roles, uid_t uid, gid_t gid,
                                  const gid_t *groups, size_t n_groups)
{
        if (uid == 0 || uid == roles->own_uid)
                return ROLE_ADMIN;
        if (uid == roles->vm_uid)
                return ROLE_NONE;
        if (has_group(roles->operator_gid, gid, groups, n_groups))
                return ROLE_OPERATOR;
        if (has_group(roles->monitor_gid, gid, groups, n_groups))
                return ROLE_MONITOR;
        return ROLE_NONE;
}

enum control_role control_role_of_peer(const struct control_roles *roles, int fd, uid_t *ret_uid,
                                       pid_t *ret_pid)
{
        struct ucred cred = { .uid = (uid_t)-1, .gid = GROUP_ABSENT };
        _cleanup_free_ gid_t *groups = NULL;
        socklen_t length = sizeof(cred);

        *ret_uid = (uid_t)-1;
        *ret_pid = 0;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) < 0)
                return ROLE_NONE;
        *ret_uid = cred.uid;
        *ret_pid = cred.pid;
        /* Linux 4.13; without it only the primary group counts. */
        length = 64 * sizeof(gid_t);
        groups = xmalloc(length);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0) {
                if (errno != ERANGE || length > GROUPS_MAX * sizeof(gid_t))
                        length = 0;
                groups = xrealloc(groups, length + 1);
                if (length && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0)
                        length = 0;
        }
        return control_role_of(roles, cred.uid, cred.gid, groups, length / sizeof(gid_t));
}
