/*
 * host_helper_fds - what a host helper inherits; for its two sides only.
 *
 * 0 the request, 1 the answer (memory files), 2 /dev/null.
 */
#pragma once

#define HOST_HELPER_VM_DIR 3
#define HOST_HELPER_LOCK   4 /* the VM's */
#define HOST_HELPER_SOCKET 5 /* for "do": where the opened fds go */
#define HOST_HELPER_FDS    6
