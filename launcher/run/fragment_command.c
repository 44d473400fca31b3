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
#define SET(n, r)                                                                 \
        {                                                                         \
                .name = n, .role = r, .action = ACTION_SET, .object = OBJECT_NONE \
        }

/* An operator's are those that give the guest nothing it has not got: DESIGN section 6. */
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

        SET("set_link", ROLE_OPERATOR),
        SET("block_set_io_throttle", ROLE_OPERATOR),
        SET("balloon", ROLE_ADMIN),
        SET("qom-set", ROLE_ADMIN),
        SET("block_resize", ROLE_ADMIN),
        SET("blockdev-open-tray", ROLE_ADMIN),
        SET("blockdev-close-tray", ROLE_ADMIN),
        SET("blockdev-insert-medium", ROLE_ADMIN),
        SET("blockdev-remove-medium", ROLE_ADMIN),
};

const struct fragment_command *fragment_command_at(size_t n)
{
        return n < ARRAY_SIZE(commands) ? &commands[n] : NULL;
}

const struct fragment_command *fragment_command_find(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                if (strcmp(commands[i].name, name) == 0)
                        return &commands[i];
        return NULL;
}
