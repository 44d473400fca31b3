/*
 * sd_notify - tells the service manager how this service is, without its library (sd_notify(3)).
 */
#pragma once

/* "READY=1", "STOPPING=1", "STATUS=...". No NOTIFY_SOCKET, or nobody there: nothing happens. */
void sd_notify(const char *state);
