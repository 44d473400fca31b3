#include "launcher/plan/chardev.h"

#include "launcher/plan/builder.h"

char *chardev_option(const char *id, int fd)
{
        struct text text = TEXT_INIT;

        keyval_add(&text, NULL, "socket");
        keyval_add(&text, "id", "%s", id);
        keyval_add(&text, "fd", "%d", fd);
        keyval_add(&text, "server", "on");
        keyval_add(&text, "wait", "off");
        return text_take(&text);
}
