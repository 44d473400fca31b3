/*
 * tap - a tap interface made by opening /dev/net/tun, one fd per queue.
 *
 * Non-persistent: the interface lives as long as one of its fds is open anywhere, so a tap never outlives
 * its QEMU. The fds are O_NONBLOCK and close-on-exec. May block for the kernel's rtnl lock.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/*
 * Makes tap ifname with queues queues and writes that many fds to ret_fds. An interface that exists already
 * is ERROR_BUSY: it is named, and its VM when its alias says so. No permission: ERROR_OS with EPERM.
 * No tun driver: ERROR_HOST.
 */
int tap_open(const char *ifname, unsigned queues, bool vnet_hdr, int *ret_fds, struct error **err);
