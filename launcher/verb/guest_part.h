/*
 * guest_part - what is left for the guest to do once it was given something: to bring vCPUs and memory online, to look for
 * devices. Told as hints, and done through the guest agent when asked (--online).
 *
 * Kernels bring memory online as they were told to (auto_online_blocks), vCPUs not at all without a rule of udev, and find
 * PCI devices by themselves unless hotplug is switched off in them (qemu-lab 1, 5, 6).
 */
#pragma once

#include <jansson.h>

#include "conf/vm_spec.h"
#include "launcher/live/control_client.h"

struct guest_part {
        uint32_t vcpus;  /* that it is to have online; 0: nothing came */
        uint64_t memory; /* bytes, likewise */
        bool pci;        /* a device on PCI came */
};

/* A line each of what its administrator can do there by hand; new array. */
json_t *guest_part_hints(const struct guest_part *part);
/*
 * Asks the agent until all is so. ERROR_GUEST: no agent, it refuses, or the guest has not got so far in wait_ms. A rescan
 * needs guest-exec in AGENT_ALLOW (ERROR_NOT_PERMITTED).
 */
int guest_part_do(struct control_client *control, const struct guest_part *part, unsigned wait_ms,
                  struct error **err);
/* As many vCPUs of those it has are online as count, the first ones; the machine keeps all of them. */
int guest_set_vcpus(struct control_client *control, uint32_t count, unsigned wait_ms, struct error **err);
