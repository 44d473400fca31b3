/*
 * chardev - a character device of QEMU on a listening socket that it inherits.
 *
 * The one builder of chardevs. -chardev takes no JSON, so this prints option text.
 */
#pragma once

/* "socket,id=mon0,fd=10,server=on,wait=off"; new string. */
char *chardev_option(const char *id, int fd);
