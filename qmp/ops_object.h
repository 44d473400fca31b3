/*
 * ops_object - what objects QEMU has: devices, nodes, fd sets and so on, each by its id.
 *
 * Nobody else spells these names. Callbacks come from the supervisor's loop.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "qmp/qmp_client.h"

/* Kinds of ids; a netdev's and the name of an fd cannot be asked for. */
enum qemu_objects { QEMU_DEVICES, QEMU_QOM_OBJECTS, QEMU_NODES, QEMU_CHARDEVS, QEMU_FDSETS };

void ops_query_objects(struct qmp_client *client, enum qemu_objects kind, qmp_reply_fn *fn, void *data);
/* Does the reply of that query show this id? */
bool ops_objects_have(enum qemu_objects kind, const json_t *reply, const char *id);
