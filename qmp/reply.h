/*
 * reply - what replies of QEMU and of the guest agent have in common.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"

/*
 * ERROR_QMP "command: class: desc" from the "error" object of a reply. What the peer wrote is made one line of
 * bounded length: it may come from a guest.
 */
int reply_error(struct error **err, const char *command, const json_t *error_object);
