/*
 * display - screen, input, sound and USB of the guest as QEMU's JSON, and the server that shows them.
 *
 * Builders of JSON (input_device(), ...) are of use for -device as for device_add; they return new references.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "conf/vm_spec.h"

/* The device type of an enum video_type, enum sound_model; NULL: none. */
const char *video_type_device(int type);
const char *sound_model_device(int model);
/* NULL: there is none. */
const char *video_device_type(const struct vm_spec *spec);
json_t *video_device(const struct video_spec *video, const char *address);

/* NULL: it is built into every PC, there is nothing to add. port: on the USB bus, from 1; 0: it is no USB device. */
const char *input_device_type(const struct input_spec *input);
json_t *input_device(const struct input_spec *input, const char *id, const char *address, unsigned port);

/* The controller of the VM's USB devices; NULL: it has none. */
const char *usb_controller_type(const struct vm_spec *spec);

/* Each device with an id and its type, and each chardev (type NULL): for whoever compares. */
typedef void display_device_fn(const char *id, const char *type, void *data);
void display_each_device(const struct vm_spec *spec, display_device_fn *fn, void *data);
/* One of the guest's virtio-serial users is here: the channel to SPICE's agent. */
bool display_needs_virtio_serial(const struct vm_spec *spec);
/* Conventional PCI cards among them want the bridge of a q35 machine. */
bool display_needs_bridge(const struct vm_spec *spec);
/* The id of the object that has its password; NULL: none. */
const char *graphics_password_object(const struct vm_spec *spec);
/* The controller is there, for the guest agent or for SPICE's (agent.c). */
bool virtio_serial_is_needed(const struct vm_spec *spec);
