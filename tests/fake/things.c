/* What is added by id and removed again: devices, nodes, objects, fds; and what changes of them. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/fake/command.h"
#include "tests/fake/fake.h"

static json_t *add_to(json_t *table, const json_t *args, const char *key, struct refusal *refusal)
{
        const char *id = arg(args, key);

        if (!id || !*id)
                return refuse(refusal, "GenericError", xasprintf("Parameter '%s' is missing", key));
        if (json_object_get(table, id))
                return refuse(refusal, "GenericError", xasprintf("Duplicate ID '%s'", id));
        json_object_set(table, id, (json_t *)args);
        return json_object();
}

static json_t *remove_from(json_t *table, const json_t *args, const char *key, struct refusal *refusal)
{
        const char *id = arg(args, key);

        if (!id || json_object_del(table, id) < 0)
                return refuse(refusal, "GenericError", xasprintf("'%s' not found", id ? id : ""));
        return json_object();
}

json_t *cmd_device_add(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const char *node = arg(args, "drive"), *netdev = arg(args, "netdev");

        if (!arg(args, "driver"))
                return refuse(refusal, "GenericError", xstrdup("Parameter 'driver' is missing"));
        if (node && !json_object_get(fake->nodes, node))
                return refuse(
                        refusal, "GenericError",
                        xasprintf("Property '%s.drive' can't find value '%s'", arg(args, "driver"), node));
        if (netdev && !json_object_get(fake->netdevs, netdev))
                return refuse(
                        refusal, "GenericError",
                        xasprintf("Property '%s.netdev' can't find value '%s'", arg(args, "driver"), netdev));
        return add_to(fake->devices, args, "id", refusal);
}

static void device_gone(struct fake *fake, void *data)
{
        _cleanup_free_ char *id = data;
        _cleanup_free_ char *path = xasprintf("/machine/peripheral/%s", id);

        if (json_object_get(fake->devices, id) && fault_hit_kind(fake, UNPLUG_REFUSED, "device_del")) {
                emit(fake, "DEVICE_UNPLUG_GUEST_ERROR", json_pack("{s:s, s:s}", "device", id, "path", path));
                return;
        }
        if (is_cpu(json_object_get(fake->devices, id))) {
                cpu_gone(fake, id);
                return;
        }
        if (json_object_del(fake->devices, id) < 0)
                return;
        for (int i = fault_hit_kind(fake, DELETED_TWICE, "device_del") ? 2 : 1; i > 0; i--)
                emit(fake, "DEVICE_DELETED", json_pack("{s:s, s:s}", "device", id, "path", path));
}

json_t *cmd_device_del(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const char *id = arg(args, "id");
        const struct fault *late;

        if (!id || !json_object_get(fake->devices, id))
                return refuse(refusal, "DeviceNotFound", xasprintf("Device '%s' not found", id ? id : ""));
        if (fault_hit_kind(fake, DELETED_NEVER, "device_del"))
                return json_object();
        late = fault_hit_kind(fake, DELETED_LATE, "device_del");
        later(fake, late ? late->ms : GUEST_MS, device_gone, xstrdup(id));
        return json_object();
}

#define CHANGE(fn, command)                                                           \
        json_t *fn(struct fake *fake, const json_t *args, struct refusal *refusal)    \
        {                                                                             \
                return hotplug_command(fake, command, args)                           \
                               ? json_object()                                        \
                               : refuse(refusal, "GenericError",                      \
                                        xstrdup(command ": there is no such thing")); \
        }
CHANGE(cmd_qom_set, "qom-set")
CHANGE(cmd_block_resize, "block_resize")
CHANGE(cmd_open_tray, "blockdev-open-tray")
CHANGE(cmd_close_tray, "blockdev-close-tray")
CHANGE(cmd_remove_medium, "blockdev-remove-medium")
CHANGE(cmd_insert_medium, "blockdev-insert-medium")

json_t *cmd_netdev_add(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return add_to(fake->netdevs, args, "id", refusal);
}

json_t *cmd_netdev_del(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        json_t *done = remove_from(fake->netdevs, args, "id", refusal);

        if (!done)
                refusal->class = "DeviceNotFound";
        return done;
}

json_t *cmd_blockdev_add(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return add_to(fake->nodes, args, "node-name", refusal);
}

json_t *cmd_blockdev_del(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const char *node = arg(args, "node-name"), *id;
        json_t *device;

        json_object_foreach (fake->devices, id, device) {
                if (node && arg(device, "drive") && strcmp(arg(device, "drive"), node) == 0)
                        return refuse(refusal, "GenericError", xasprintf("Node %s is in use", node));
        }
        return remove_from(fake->nodes, args, "node-name", refusal);
}

json_t *cmd_object_add(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return add_to(fake->objects, args, "id", refusal);
}

json_t *cmd_object_del(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return remove_from(fake->objects, args, "id", refusal);
}

json_t *cmd_chardev_add(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return add_to(fake->chardevs, args, "id", refusal);
}

json_t *cmd_chardev_del(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return remove_from(fake->chardevs, args, "id", refusal);
}

/* fds: by name, and in sets. */

json_t *cmd_getfd(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const char *name = arg(args, "fdname");
        int fd = wire_take_fd(fake->qmp.wire);
        const json_t *old = name ? json_object_get(fake->fds, name) : NULL;

        if (fd < 0)
                return refuse(refusal, "GenericError", xstrdup("No file descriptor supplied via SCM_RIGHTS"));
        if (!name || (*name >= '0' && *name <= '9')) {
                close(fd);
                return refuse(refusal, "GenericError",
                              xstrdup("Parameter 'fdname' expects a name not starting with a digit"));
        }
        if (old)
                close((int)json_integer_value(old));
        json_object_set_new(fake->fds, name, json_integer(fd));
        return json_object();
}

json_t *cmd_closefd(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const char *name = arg(args, "fdname");
        const json_t *fd = name ? json_object_get(fake->fds, name) : NULL;

        if (!fd)
                return refuse(refusal, "GenericError",
                              xasprintf("File descriptor named '%s' not found", name ? name : ""));
        close((int)json_integer_value(fd));
        json_object_del(fake->fds, name);
        return json_object();
}

json_t *cmd_add_fd(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const json_t *given = json_object_get(args, "fdset-id");
        unsigned set = json_is_integer(given) ? (unsigned)json_integer_value(given) : fake->next_set;
        _cleanup_free_ char *name = xasprintf("%u", set);
        int fd = wire_take_fd(fake->qmp.wire);

        if (fd < 0)
                return refuse(refusal, "GenericError", xstrdup("No file descriptor supplied via SCM_RIGHTS"));
        if (set >= fake->next_set)
                fake->next_set = set + 1;
        if (!json_object_get(fake->fdsets, name))
                json_object_set_new(fake->fdsets, name, json_array());
        json_array_append_new(json_object_get(fake->fdsets, name),
                              json_pack("{s:i, s:O*}", "fd", fd, "opaque", json_object_get(args, "opaque")));
        return json_pack("{s:i, s:i}", "fdset-id", (int)set, "fd", fd);
}

json_t *cmd_remove_fd(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        _cleanup_free_ char *name =
                xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(args, "fdset-id")));
        json_t *list = json_object_get(fake->fdsets, name), *each;
        size_t i;

        if (!list)
                return refuse(refusal, "GenericError",
                              xasprintf("File descriptor named 'fdset-id:%s' not found", name));
        json_array_foreach (list, i, each) {
                close((int)json_integer_value(json_object_get(each, "fd")));
        }
        json_object_del(fake->fdsets, name);
        return json_object();
}

json_t *cmd_query_fdsets(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        json_t *list = json_array(), *set;
        const char *name;

        (void)args;
        (void)refusal;
        json_object_foreach (fake->fdsets, name, set) {
                json_array_append_new(list, json_pack("{s:i, s:O}", "fdset-id", atoi(name), "fds", set));
        }
        return list;
}
