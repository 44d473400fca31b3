/* What changes while the machine runs: properties, media, sizes, and vCPUs with the events that KVM has for them. */
#include <string.h>

#include "tests/fake/command.h"
#include "tests/fake/fake.h"

#define PERIPHERAL "/machine/peripheral/"
#define OBJECTS    "/objects/"
#define DISK_SIZE  ((json_int_t)1 << 20)

bool is_cpu(const json_t *device)
{
        const char *driver = arg(device, "driver");
        size_t n = driver ? strlen(driver) : 0;

        return n > 4 && strcmp(driver + n - 4, "-cpu") == 0;
}

static bool set_property(struct fake *fake, const json_t *args)
{
        const char *path = arg(args, "path") ?: "", *property = arg(args, "property");
        json_t *thing = NULL;

        if (strncmp(path, PERIPHERAL, strlen(PERIPHERAL)) == 0)
                thing = json_object_get(fake->devices, path + strlen(PERIPHERAL));
        else if (strncmp(path, OBJECTS, strlen(OBJECTS)) == 0)
                thing = json_object_get(fake->objects, path + strlen(OBJECTS));
        if (!thing || !property)
                return false;
        json_object_set(thing, property, json_object_get(args, "value"));
        return true;
}

/* The device whose medium is meant has it as its drive. */
static bool change_medium(struct fake *fake, const char *name, const json_t *args)
{
        json_t *device = json_object_get(fake->devices, arg(args, "id") ?: "");

        if (!device)
                return false;
        if (strcmp(name, "blockdev-remove-medium") == 0)
                json_object_del(device, "drive");
        else if (strcmp(name, "blockdev-insert-medium") == 0)
                json_object_set(device, "drive", json_object_get(args, "node-name"));
        return true;
}

static bool resize_node(struct fake *fake, const json_t *args)
{
        json_t *node = json_object_get(fake->nodes, arg(args, "node-name") ?: "");

        if (node)
                json_object_set(node, "size", json_object_get(args, "size"));
        return node != NULL;
}

json_int_t node_size(const json_t *node)
{
        const json_t *size = json_object_get(node, "size");

        return json_is_integer(size) ? json_integer_value(size) : DISK_SIZE;
}

bool hotplug_command(struct fake *fake, const char *name, const json_t *args)
{
        if (strcmp(name, "qom-set") == 0)
                return set_property(fake, args);
        if (strcmp(name, "block_resize") == 0)
                return resize_node(fake, args);
        return change_medium(fake, name, args);
}

uint64_t plugged_memory(const struct fake *fake)
{
        uint64_t bytes = 0;
        const char *id;
        json_t *device;

        json_object_foreach (fake->devices, id, device) {
                const char *driver = arg(device, "driver") ?: "";
                const json_t *memory = json_object_get(fake->objects, arg(device, "memdev") ?: "");

                if (strcmp(driver, "pc-dimm") == 0)
                        bytes += (uint64_t)json_integer_value(json_object_get(memory, "size"));
                else if (strcmp(driver, "virtio-mem-pci") == 0)
                        bytes += (uint64_t)json_integer_value(json_object_get(device, "requested-size"));
        }
        return bytes;
}

static void ost(struct fake *fake, const char *device, const json_t *slot, int status)
{
        emit(fake, "ACPI_DEVICE_OST",
             json_pack("{s:{s:s*, s:s, s:o, s:i, s:i}}", "info", "device", device, "slot-type", "CPU", "slot",
                       json_sprintf("%d", (int)json_integer_value(slot)), "source", 3, "status", status));
}

void cpu_gone(struct fake *fake, const char *id)
{
        _cleanup_free_ char *path = xasprintf(PERIPHERAL "%s", id), *lapic = xasprintf("%s/lapic", path);
        json_t *slot = json_incref(json_object_get(json_object_get(fake->devices, id), "socket-id"));

        ost(fake, id, slot, 132);
        json_object_del(fake->devices, id);
        emit(fake, "DEVICE_DELETED", json_pack("{s:s}", "path", lapic));
        emit(fake, "DEVICE_DELETED", json_pack("{s:s, s:s}", "device", id, "path", path));
        ost(fake, NULL, slot, 0);
        json_decref(slot);
}
