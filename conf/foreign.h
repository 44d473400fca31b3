/*
 * foreign - names of other worlds that people bring along, and what says the same here.
 *
 * Another hypervisor's elements, OpenStack's and OpenNebula's own configuration. Pure; the answers are static.
 */
#pragma once

/* What a single attribute or vector of that name belongs to, and what is right: "is of OpenStack (nova.conf): ..."; NULL. */
const char *foreign_attribute(const char *name);
/* The same for an element of libvirt, by its path below <domain>: "bootloader", "devices/controller". */
const char *foreign_element(const char *path);
