/*
 * identity - the UUID and MAC addresses that a VM gets when its template names none.
 *
 * Pure functions of the name, so that a plan is repeatable and the same template gives the same machine on every
 * host (DESIGN section 5.4).
 */
#pragma once

#include <stdint.h>

/* A version 8 UUID (RFC 9562 section 5.8: vendor-specific) made of two FNV-1a hashes of the name. */
void identity_uuid(const char *name, uint8_t ret[16]);
/* 52:54:00 (QEMU's and libvirt's prefix) and 24 bits of a hash of UUID and NIC number. */
void identity_mac(const uint8_t uuid[16], uint32_t nic, uint8_t ret[6]);
