/*
 * sd_notify - tells the service manager how this service is, and keeps fds with it, without its library (sd_notify(3),
 * sd_listen_fds(3)).
 *
 * Without a NOTIFY_SOCKET, or with nobody there, nothing happens.
 */
#pragma once

#include <stdbool.h>

/* "READY=1", "STOPPING=1", "STATUS=...", several in lines. */
void sd_notify(const char *state);
/* The service's next main process gets a copy of this fd, under this name, should this one die; not polled. */
void sd_notify_store(int fd, const char *name);
void sd_notify_forget(const char *name);

/* What supervisors store: QEMU's pidfd, and the listener of the control socket. */
#define SD_QEMU    "qemu"
#define SD_CONTROL "control"

/* Has a process before this one stored any? */
bool sd_has_stored(void);
/* An fd that was stored under this name by a process before this one; -1: none. It is the caller's, once. */
int sd_stored_fd(const char *name);
/* How often "WATCHDOG=1" is expected, in milliseconds; 0: it is not. */
unsigned sd_watchdog_ms(void);
