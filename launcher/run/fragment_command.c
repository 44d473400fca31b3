/* Which QMP commands a fragment may have. */
#include <string.h>

#include "launcher/run/fragment.h"

#define CREATE(n, o, i, u)                                                                              \
        {                                                                                               \
                .name = n, .role = ROLE_ADMIN, .action = ACTION_CREATE, .object = o, .id = i, .undo = u \
        }
#define CREATE_FD(n, o, i, u)                                                                            \
        {                                                                                                \
                .name = n, .role = ROLE_ADMIN, .action = ACTION_CREATE, .object = o, .id = i, .undo = u, \
                .takes_fd = true                                                                         \
        }
#define REMOVE(n, o, i)                                                                      \
        {                                                                                    \
                .name = n, .role = ROLE_ADMIN, .action = ACTION_REMOVE, .object = o, .id = i \
        }
#define SET(n)                                                                             \
        {                                                                                  \
                .name = n, .role = ROLE_ADMIN, .action = ACTION_SET, .object = OBJECT_NONE \
        }

/* All are an admin's: what an operator may change is planned by us (operator_change.h). */
static const struct fragment_command commands[] = {
        CREATE_FD("getfd", OBJECT_FD, "fdname", "closefd"),
        CREATE_FD("add-fd", OBJECT_FDSET, "fdset-id", "remove-fd"),
        CREATE("object-add", OBJECT_QOM, "id", "object-del"),
        CREATE("chardev-add", OBJECT_CHARDEV, "id", "chardev-remove"),
        CREATE("netdev_add", OBJECT_NETDEV, "id", "netdev_del"),
        CREATE("blockdev-add", OBJECT_NODE, "node-name", "blockdev-del"),
        CREATE("device_add", OBJECT_DEVICE, "id", "device_del"),

        REMOVE("closefd", OBJECT_FD, "fdname"),
        REMOVE("remove-fd", OBJECT_FDSET, "fdset-id"),
        REMOVE("object-del", OBJECT_QOM, "id"),
        REMOVE("chardev-remove", OBJECT_CHARDEV, "id"),
        REMOVE("netdev_del", OBJECT_NETDEV, "id"),
        REMOVE("blockdev-del", OBJECT_NODE, "node-name"),
        REMOVE("device_del", OBJECT_DEVICE, "id"),

        SET("set_link"),
        SET("block_set_io_throttle"),
        SET("balloon"),
        SET("qom-set"),
        SET("block_resize"),
        SET("blockdev-open-tray"),
        SET("blockdev-close-tray"),
        SET("blockdev-insert-medium"),
        SET("blockdev-remove-medium"),
};

const struct fragment_command *fragment_command_at(size_t n)
{
        return n < ARRAY_SIZE(commands) ? &commands[n] : NULL;
}

const struct fragment_command *fragment_command_find(const char *name)
{
        const struct fragment_command *row;

        for (size_t i = 0; (row = fragment_command_at(i)); i++)
                if (strcmp(row->name, name) == 0)
                        return row;
        return NULL;
}
