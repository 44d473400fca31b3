/*
 * chardev - character devices of QEMU: where a port of the guest ends on the host.
 *
 * The one builder of chardevs. -chardev takes no JSON, so this prints option text.
 */
#pragma once

enum chardev_kind {
        CHARDEV_LISTEN,    /* a listening socket that QEMU inherits as fd */
        CHARDEV_CONNECTED, /* a connected one */
        CHARDEV_PTY,       /* a pseudo terminal that QEMU makes */
        CHARDEV_FILE,      /* what is written goes to /dev/fdset/SET */
        CHARDEV_NULL,
        CHARDEV_SPICE_CHANNEL, /* of the SPICE server: one of those that clients know by kind */
        CHARDEV_SPICE_PORT,    /* and one that they know by name */
};

struct chardev {
        const char *id;
        const char *name; /* of the SPICE server's */
        enum chardev_kind kind;
        int fd;
        unsigned set;
        unsigned log_set; /* what is written goes to /dev/fdset/LOG_SET as well; 0: not */
};

/* "socket,id=mon0,fd=10,server=on,wait=off"; new string. */
char *chardev_text(const struct chardev *chardev);
/* The same for a listening socket. */
char *chardev_option(const char *id, int fd);
