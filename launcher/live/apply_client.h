/*
 * apply_client - a fragment on its way to the supervisor (vmlaunch-apply, docs/control-socket.md).
 *
 * Owns the fds that were added and the fragment. A change that was begun with apply_client_begin() lasts only when it is
 * committed; freeing the connection undoes it.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "launcher/live/control_client.h"

struct apply_client;

/* fragment is stolen; its "fds" is filled in here. */
struct apply_client *apply_client_new(struct control_client *control, json_t *fragment);
void apply_client_free(struct apply_client *client);
DEFINE_FREEP(struct apply_client, apply_client_free)

/* name: as the fragment's steps have it. */
void apply_client_add_fd(struct apply_client *client, const char *name, int fd_consume);

/* All of it, or nothing and *err; whose code is the supervisor's. */
int apply_client_send(struct apply_client *client, struct error **err);
/* The same up to the commit, which has to follow within commit_s seconds. */
int apply_client_begin(struct apply_client *client, unsigned commit_s, struct error **err);
int apply_client_commit(struct apply_client *client, struct error **err);
/* 0: it is undone. */
int apply_client_abort(struct apply_client *client, struct error **err);
