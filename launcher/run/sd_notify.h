/*
 * sd_notify - tells the service manager how this service is, and keeps fds with it, without its library (sd_notify(3),
 * sd_listen_fds(3)).
 *
 * Without a NOTIFY_SOCKET, or with nobody there, nothing happens.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* "READY=1", "STOPPING=1", "STATUS=...", several in lines. */
void sd_notify(const char *state);
/* Supervisors store QEMU's pidfd and the listener of the control socket. */
#define SD_FDS_MAX 2
/* The same, and the service's next main process gets copies of these fds (borrowed, at most SD_FDS_MAX), should this one
 * die; not polled. */
void sd_notify_store(const char *state, const int *fds, size_t n);
void sd_notify_forget(void);

/* Has a process before this one stored any? */
bool sd_has_stored(void);
/* An fd that was stored by a process before this one, a socket or another; -1: none. It is the caller's, once. */
int sd_stored_fd(bool is_socket);
/* How often "WATCHDOG=1" is expected, in milliseconds; 0: it is not. */
unsigned sd_watchdog_ms(void);
