/*
 * nic - network backends and cards as QEMU's JSON, for the command line and for netdev_add and device_add.
 *
 * New references, owned by the caller.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "conf/vm_spec.h"

/*
 * fds: one of the tap per queue, separated by colons, as numbers (argv) or as the names that getfd gave them (QMP), or that
 * of passt's socket; NULL: slirp. vhost_fds: as many of /dev/vhost-net; NULL: QEMU moves the packets.
 */
json_t *nic_netdev(const struct nic_spec *nic, const char *fds, const char *vhost_fds);
/* address: "rp3:0x0"; bootindex 0: none, and then no boot rom either. */
json_t *nic_device(const struct nic_spec *nic, const char *address, unsigned bootindex);
/* The device type of a MODEL, NULL: no such model. */
const char *nic_device_type(const char *model);
/* The models there are, whether this QEMU has them or not; NULL behind the last one. */
const char *nic_model_name(size_t i);
/* Has queues, may use vhost, and tells the guest an MTU. */
bool nic_is_virtio(const struct nic_spec *nic);
/* Conventional PCI cards want a conventional bus (docs/pcie.txt of QEMU). */
bool nic_is_legacy(const struct nic_spec *nic);
