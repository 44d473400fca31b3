/*
 * nic - network backends and cards as QEMU's JSON, for the command line and for netdev_add and device_add.
 *
 * New references, owned by the caller.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "conf/vm_spec.h"

/* fds: a tap fd per queue, in QEMU; n_fds 0: user-mode networking. */
json_t *nic_netdev(const struct nic_spec *nic, const int *fds, size_t n_fds);
/* address: "rp3:0x0"; bootindex 0: none, and then no boot rom either. */
json_t *nic_device(const struct nic_spec *nic, const char *address, unsigned bootindex);
/* The device type of a MODEL, NULL: no such model. */
const char *nic_device_type(const char *model);
/* Conventional PCI cards want a conventional bus (docs/pcie.txt of QEMU). */
bool nic_is_legacy(const struct nic_spec *nic);
