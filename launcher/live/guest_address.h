/*
 * guest_address - where a guest can be reached, and whether something answers there.
 *
 * What a guest says of itself is hostile: its words are read as addresses or left out, at most 64 of them.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Those of a guest-network-get-interfaces' reply that others can use: no loopback, no link-local, no multicast. Array of
 * strings as inet_ntop() writes them; new reference.
 */
json_t *guest_addresses_read(const json_t *interfaces);
/* Those that the template gave its NICs (IP, IP6), of the record's devices. The same. */
json_t *guest_addresses_planned(const json_t *devices);
/*
 * Can a TCP connection be made to one of them, by deadline_ms (fd_now_ms())? 1: yes, and *ret_address is which (lent from
 * addresses); 0: no.
 */
int guest_port_answers(const json_t *addresses, uint16_t port, long long deadline_ms,
                       const char **ret_address);
