/*
 * memory - guest memory: its backends as a spec has them, whatever the host.
 */
#pragma once

#include "conf/vm_spec.h"

/* Of the objects that are made for it: a memfd where pages are huge or another process maps them too. */
const char *memory_backend_type(const struct vm_spec *spec);
/* node: that it belongs to, or NULL. size: bytes. */
typedef void memory_object_fn(const char *id, const struct numa_node_spec *node, uint64_t size, void *data);
/* Calls fn for each: "ram0" and, of further NUMA nodes, "ram1" and so on; "ram-vmem0" of a virtio-mem device. */
void memory_objects(const struct vm_spec *spec, memory_object_fn *fn, void *data);
/* The machine has a device, vmem0, that memory is plugged through. */
bool memory_has_virtio_mem(const struct vm_spec *spec);
