/*
 * control_role - what a peer of the control socket may do.
 *
 * By SO_PEERCRED (uid, primary group) and SO_PEERGROUPS (the supplementary ones only): uid 0 and this process's own uid
 * are admin; group "vmlaunch" operator; group "vmlaunch-monitor" monitor; the VM's own uid nothing at all, whatever
 * its groups. Deny by default.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CONTROL_OPERATOR_GROUP "vmlaunch"
#define CONTROL_MONITOR_GROUP  "vmlaunch-monitor"

enum control_role { ROLE_NONE, ROLE_MONITOR, ROLE_OPERATOR, ROLE_ADMIN };
const char *control_role_name(enum control_role role);

/* A group that this host has not got is GROUP_ABSENT. */
#define GROUP_ABSENT ((gid_t)-1)
struct control_roles {
        uid_t own_uid;
        uid_t vm_uid; /* QEMU's and its helpers'; own_uid or 0 refuses nobody: they could do all by themselves */
        gid_t operator_gid, monitor_gid;
};

/* Reads the group file, which may block: at start, not on the loop. */
void control_roles_init(struct control_roles *roles, uid_t vm_uid);
/* Pure. groups: the supplementary ones. */
enum control_role control_role_of(const struct control_roles *roles, uid_t uid, gid_t gid,
                                  const gid_t *groups, size_t n_groups);
/* Of who made the connection fd. */
enum control_role control_role_of_peer(const struct control_roles *roles, int fd, uid_t *ret_uid,
                                       pid_t *ret_pid);
