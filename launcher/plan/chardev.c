#include "launcher/plan/chardev.h"

#include "launcher/plan/builder.h"

static const char *const backends[] = {
        [CHARDEV_LISTEN] = "socket",
        [CHARDEV_CONNECTED] = "socket",
        [CHARDEV_PTY] = "pty",
        [CHARDEV_FILE] = "file",
        [CHARDEV_NULL] = "null",
        [CHARDEV_SPICE_CHANNEL] = "spicevmc",
        [CHARDEV_SPICE_PORT] = "spiceport",
};

char *chardev_text(const struct chardev *chardev)
{
        struct text text = TEXT_INIT;

        keyval_add(&text, NULL, "%s", backends[chardev->kind]);
        keyval_add(&text, "id", "%s", chardev->id);
        switch (chardev->kind) {
        case CHARDEV_LISTEN:
                keyval_add(&text, "fd", "%d", chardev->fd);
                keyval_add(&text, "server", "on");
                keyval_add(&text, "wait", "off");
                break;
        case CHARDEV_CONNECTED:
                keyval_add(&text, "fd", "%d", chardev->fd);
                break;
        case CHARDEV_FILE:
                keyval_add(&text, "path", "/dev/fdset/%u", chardev->set);
                keyval_add(&text, "append", "on");
                break;
        case CHARDEV_SPICE_CHANNEL:
        case CHARDEV_SPICE_PORT:
                keyval_add(&text, "name", "%s", chardev->name);
                break;
        case CHARDEV_PTY:
        case CHARDEV_NULL:
                break;
        }
        if (chardev->log_set) {
                keyval_add(&text, "logfile", "/dev/fdset/%u", chardev->log_set);
                keyval_add(&text, "logappend", "on");
        }
        return text_take(&text);
}

char *chardev_option(const char *id, int fd)
{
        const struct chardev chardev = { .id = id, .kind = CHARDEV_LISTEN, .fd = fd };

        return chardev_text(&chardev);
}
