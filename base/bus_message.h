/*
 * bus_message - D-Bus messages as bytes, for one who talks to the bus without a library and without waiting.
 *
 * Pure. What is written is what a client sends (D-Bus Specification, "Message Protocol"): method calls, in this machine's
 * order of bytes. What is read is the bus's reply, of either order; whatever it says about lengths is held against the
 * bytes that are there. Texts of a reply are lent by its bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* Longer messages than this are no reply to what is asked here. */
#define BUS_MESSAGE_MAX 65536u

/* Arguments of a call. */
struct bus_body {
        struct text bytes, signature;
};

#define BUS_BODY_INIT ((struct bus_body){ 0 })
void bus_body_done(struct bus_body *body);
#define _cleanup_bus_body_ _cleanup_(bus_body_done)
void bus_body_string(struct bus_body *body, const char *value);               /* "s" */
void bus_body_u32(struct bus_body *body, uint32_t value);                     /* "u" */
void bus_body_bytes(struct bus_body *body, const uint8_t *value, uint32_t n); /* "ay" */

struct bus_target {
        const char *destination, *path, *interface, *member;
};

/* "EXTERNAL" authentication as uid, all of it at once: the bus answers a line, "OK ...", and takes messages from then on. */
void bus_authenticate(struct text *out, unsigned uid);
/*
 * Adds a method call. serial: not 0, in its reply. Nobody is started for it. body NULL: no arguments; silent: no reply is
 * wanted.
 */
void bus_add_call(struct text *out, uint32_t serial, bool silent, const struct bus_target *target,
                  const struct bus_body *body);

struct bus_reply {
        uint32_t serial;   /* of the call; 0: it is no reply, but a signal */
        const char *error; /* "org.freedesktop.DBus.Error.ServiceUnknown"; NULL: none */
        const char *text;  /* the first value, when it is a text or a variant that holds one; else NULL */
};

/* One message from the start of data: how many bytes it has, 0: more have to come, -1: that is none of ours. */
int bus_reply_parse(const char *data, size_t n, struct bus_reply *ret);
