#include "launcher/plan/pci.h"

#include <string.h>

#include "base/text.h"

/* pcie.0 has slots 2 to 0x1e for root ports (0x1: first video card, 0x1f: ICH9), 8 functions each. */
#define PORTS_FIRST_SLOT 2
#define PORTS_MAX        (29 * 8)
#define PC_FIRST_SLOT    3
#define PC_SLOTS         29
#define BRIDGE_SLOTS     31

enum bus { BUS_PORTS, BUS_PC, BUS_BRIDGE, BUSES };

struct place {
        bool taken;
        const char *had; /* id of the device that machine.lock has here */
};

struct map {
        struct place *places[BUSES];
        unsigned n[BUSES];
};

static char *place_name(enum bus bus, unsigned index)
{
        switch (bus) {
        case BUS_PORTS:
                return xasprintf("rp%u:0x0", index + 1);
        case BUS_PC:
                return xasprintf("pci.0:0x%x", index + PC_FIRST_SLOT);
        default:
                return xasprintf("%s:0x%x", PCI_BRIDGE, index + 1);
        }
}

/* The index of an address on this bus (n places), or -1. Each place has one spelling. */
static int place_find(enum bus bus, unsigned n, const char *address)
{
        static const char *const starts[BUSES] = {
                [BUS_PORTS] = "rp",
                [BUS_PC] = "pci.0:",
                [BUS_BRIDGE] = PCI_BRIDGE ":",
        };
        static const unsigned firsts[BUSES] = { [BUS_PORTS] = 1, [BUS_PC] = PC_FIRST_SLOT, [BUS_BRIDGE] = 1 };
        _cleanup_free_ char *number = NULL, *name = NULL;
        uint32_t value;

        if (!text_starts_with(address, starts[bus]))
                return -1;
        number = xstrdup(address + strlen(starts[bus]));
        if (bus == BUS_PORTS)
                number[strcspn(number, ":")] = '\0';
        if (!text_parse_u32(number, &value) || value < firsts[bus] || value - firsts[bus] >= n)
                return -1;
        name = place_name(bus, value - firsts[bus]);
        return strcmp(name, address) == 0 ? (int)(value - firsts[bus]) : -1;
}

static const char *locked_address(const struct machine_lock *lock, const char *id)
{
        for (size_t i = 0; lock && i < lock->n_addresses; i++)
                if (strcmp(lock->addresses[i].device, id) == 0)
                        return lock->addresses[i].address;
        return NULL;
}

static enum bus device_bus(bool is_q35, const struct pci_device *device)
{
        if (!is_q35)
                return BUS_PC;
        return device->is_legacy ? BUS_BRIDGE : BUS_PORTS;
}

static int no_place_left(bool is_q35, enum bus bus, unsigned n_places, const char *id, struct error **err)
{
        const char *what = bus == BUS_PORTS ? "root ports" : "PCI slots for devices";

        error_set(err, ERROR_INVALID, "no place for device '%s': this machine has %u %s", id, n_places, what);
        return is_q35 ? -1 : error_hint(err, "use MACHINE = \"q35\", or disks with TARGET sda, sdb, ...");
}

static void map_init(struct map *map, bool is_q35, unsigned root_ports, const struct machine_lock *lock,
                     const struct pci_device *devices, size_t n)
{
        unsigned on_ports = 0;

        for (size_t i = 0; i < n; i++)
                on_ports += !devices[i].address && device_bus(is_q35, &devices[i]) == BUS_PORTS;
        if (is_q35) {
                map->n[BUS_PORTS] =
                        on_ports + PCI_FREE_PORTS > root_ports ? on_ports + PCI_FREE_PORTS : root_ports;
                map->n[BUS_BRIDGE] = BRIDGE_SLOTS;
                /* A device far out keeps its port, so the ports up to it stay. */
                for (size_t i = 0; i < n; i++) {
                        const char *address =
                                devices[i].wanted ? devices[i].wanted : locked_address(lock, devices[i].id);
                        int index = address && !devices[i].address ? place_find(BUS_PORTS, PORTS_MAX, address)
                                                                   : -1;

                        if (index >= (int)map->n[BUS_PORTS])
                                map->n[BUS_PORTS] = (unsigned)index + 1;
                }
                if (map->n[BUS_PORTS] > PORTS_MAX)
                        map->n[BUS_PORTS] = PORTS_MAX;
        } else {
                map->n[BUS_PC] = PC_SLOTS;
        }
        for (int bus = 0; bus < BUSES; bus++)
                map->places[bus] = xcalloc(map->n[bus] + 1, sizeof(struct place));
        for (size_t i = 0; lock && i < lock->n_addresses; i++)
                for (int bus = 0; bus < BUSES; bus++) {
                        int index = place_find(bus, map->n[bus], lock->addresses[i].address);

                        if (index >= 0 && !map->places[bus][index].had)
                                map->places[bus][index].had = lock->addresses[i].device;
                }
}

static void map_done(struct map *map)
{
        for (int bus = 0; bus < BUSES; bus++)
                free(map->places[bus]);
}

static void take(struct map *map, enum bus bus, unsigned index, struct pci_device *device)
{
        map->places[bus][index].taken = true;
        device->address = place_name(bus, index);
}

static int place_wanted(struct map *map, bool is_q35, struct pci_device *device, struct error **err)
{
        enum bus bus = device_bus(is_q35, device);
        int index = place_find(bus, map->n[bus], device->wanted);

        if (index < 0)
                return error_set(err, ERROR_INVALID, "device '%s': this machine has no PCI address '%s'",
                                 device->id, device->wanted);
        if (map->places[bus][index].taken)
                return error_set(err, ERROR_INVALID, "device '%s': PCI address '%s' is taken", device->id,
                                 device->wanted);
        take(map, bus, (unsigned)index, device);
        return 0;
}

/* The first place that is free and that no other device had; else the first free one. */
static int place_anywhere(struct map *map, bool is_q35, struct pci_device *device, struct pci_layout *layout,
                          struct error **err)
{
        enum bus bus = device_bus(is_q35, device);

        for (int pass = 0; pass < 2; pass++)
                for (unsigned i = 0; i < map->n[bus]; i++) {
                        struct place *place = &map->places[bus][i];

                        if (place->taken || (pass == 0 && place->had))
                                continue;
                        if (place->had) {
                                layout->forgotten = xreallocarray(layout->forgotten, layout->n_forgotten + 1,
                                                                  sizeof(char *));
                                layout->forgotten[layout->n_forgotten++] = xstrdup(place->had);
                        }
                        take(map, bus, i, device);
                        return 0;
                }
        return no_place_left(is_q35, bus, map->n[bus], device->id, err);
}

int pci_place(bool is_q35, unsigned root_ports, const struct machine_lock *lock, struct pci_device *devices,
              size_t n, struct pci_layout *ret, struct error **err)
{
        struct pci_layout layout = { 0 };
        struct map map = { 0 };
        int result = -1;

        map_init(&map, is_q35, root_ports, lock, devices, n);
        for (size_t i = 0; i < n; i++)
                if (devices[i].wanted && place_wanted(&map, is_q35, &devices[i], err) < 0)
                        goto out;
        for (size_t i = 0; i < n; i++) {
                const char *address = devices[i].address ? NULL : locked_address(lock, devices[i].id);
                enum bus bus = device_bus(is_q35, &devices[i]);
                int index = address ? place_find(bus, map.n[bus], address) : -1;

                if (index >= 0 && !map.places[bus][index].taken)
                        take(&map, bus, (unsigned)index, &devices[i]);
        }
        for (size_t i = 0; i < n; i++)
                if (!devices[i].address && place_anywhere(&map, is_q35, &devices[i], &layout, err) < 0)
                        goto out;
        layout.n_ports = map.n[BUS_PORTS];
        *ret = layout;
        layout = (struct pci_layout){ 0 };
        result = 0;
out:
        pci_layout_done(&layout);
        map_done(&map);
        return result;
}

void pci_layout_done(struct pci_layout *layout)
{
        for (size_t i = 0; i < layout->n_forgotten; i++)
                free(layout->forgotten[i]);
        free(layout->forgotten);
}

void pci_root_port_place(unsigned n, unsigned *ret_slot, unsigned *ret_function)
{
        *ret_slot = PORTS_FIRST_SLOT + (n - 1) / 8;
        *ret_function = (n - 1) % 8;
}
