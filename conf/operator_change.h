/*
 * operator_change - what an operator may change of a running VM: attributes of a device whose row says so (attr.h,
 * .operators).
 *
 * Pure. A change is data that a client sends, and all that it can say:
 *
 *   {"vector":"DISK","which":"vda","set":[{"attribute":"TOTAL_IOPS_SEC","value":"300"}],"force":false}
 *
 * which: a device's id, TARGET or MAC. What comes of it is planned by us (docs/control-socket.md), so that no text of the
 * client's is a step, a path or a part of live.tmpl but a value that its row has checked. SOURCE is the medium of a drive:
 * empty, or one of the drive's own MEDIA.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

#define OPERATOR_CHANGES 32 /* attributes of one change */

/* ERROR_NOT_PERMITTED: the attribute is an admin's; ERROR_INVALID: no such value. */
int operator_change_check(const json_t *change, struct error **err);
/* May this medium be put into a drive whose MEDIA is this (NULL: none)? Empty: it is taken out. */
int operator_change_check_medium(const char *media, const char *path, struct error **err);
/* "DISK vda: TOTAL_IOPS_SEC, ..." of one that was checked, for the story, which everybody may read; new string. */
char *operator_change_text(const json_t *change);
