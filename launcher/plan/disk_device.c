/* The device that the guest has of a disk, CD or floppy. */
#include <string.h>

#include "launcher/plan/disk_parts.h"

static const char *const error_names[] = {
        [DISK_ERRORS_STOP] = "stop",
        [DISK_ERRORS_REPORT] = "report",
        [DISK_ERRORS_IGNORE] = "ignore",
        [DISK_ERRORS_ENOSPACE] = "enospc",
};

const char *disk_device_type(const struct disk_spec *disk)
{
        bool is_cd = disk->medium == DISK_MEDIUM_CDROM;

        if (disk->medium == DISK_MEDIUM_LUN)
                return "scsi-block";
        switch (disk->bus) {
        case DISK_BUS_VIRTIO:
                return "virtio-blk-pci";
        case DISK_BUS_SCSI:
                return is_cd ? "scsi-cd" : "scsi-hd";
        case DISK_BUS_FLOPPY:
                return "floppy";
        case DISK_BUS_SATA:
        case DISK_BUS_IDE:
                break;
        }
        return is_cd ? "ide-cd" : "ide-hd";
}

char *iothread_id(unsigned number)
{
        return xasprintf("iothread%u", number);
}

/* "rp3:0x0", "scsi0.0:2", "ide.1:0", "fdc0.0:1" */
static void set_place(json_t *device, const struct disk_spec *disk, const char *address)
{
        const char *colon = strrchr(address, ':');
        uint32_t number = 0;

        json_object_set_new(device, "bus", json_stringn(address, (size_t)(colon - address)));
        if (disk->bus == DISK_BUS_VIRTIO) {
                json_object_set_new(device, "addr", json_string(colon + 1));
                return;
        }
        text_parse_u32(colon + 1, &number);
        if (disk->bus == DISK_BUS_SCSI) {
                json_object_set_new(device, "channel", json_integer(0));
                json_object_set_new(device, "scsi-id", json_integer(number));
                json_object_set_new(device, "lun", json_integer(0));
        } else {
                json_object_set_new(device, "unit", json_integer(number));
        }
}

static void set_text(json_t *device, const char *property, const char *value)
{
        if (value && *value)
                json_object_set_new(device, property, json_string(value));
}

static void set_number(json_t *device, const char *property, uint64_t value)
{
        if (value)
                json_object_set_new(device, property, json_integer((json_int_t)value));
}

static void set_identity(json_t *device, const struct disk_spec *disk)
{
        set_text(device, "serial", disk->serial);
        if (disk->serial && *disk->serial && disk->bus == DISK_BUS_SCSI)
                set_text(device, "device_id", disk->serial);
        if (disk->wwn && *disk->wwn)
                set_number(device, "wwn", strtoull(disk->wwn, NULL, 16));
        set_text(device, "vendor", disk->vendor);
        set_text(device, "product", disk->product);
        set_number(device, "rotation_rate", disk->rotation_rate);
        set_number(device, "logical_block_size", disk->logical_block_size);
        set_number(device, "physical_block_size", disk->physical_block_size);
}

/* libvirt's rules: reading follows writing, but reads have no "no space left". */
static void set_errors(json_t *device, const struct disk_spec *disk)
{
        enum disk_error_policy reading = disk->rerror_policy;

        if (disk->error_policy != DISK_ERRORS_NONE)
                set_text(device, "werror", error_names[disk->error_policy]);
        if (reading == DISK_ERRORS_NONE)
                reading =
                        disk->error_policy == DISK_ERRORS_ENOSPACE ? DISK_ERRORS_REPORT : disk->error_policy;
        if (reading != DISK_ERRORS_NONE)
                set_text(device, "rerror", error_names[reading]);
}

json_t *disk_device(const struct disk_spec *disk, const struct disk_place *place)
{
        json_t *device = json_pack("{s:s, s:o}", "driver", disk_device_type(disk), "id",
                                   json_sprintf("disk%u", disk->id));

        if (place->has_medium) {
                _cleanup_free_ char *node = disk_top_node(disk);

                json_object_set_new(device, "drive", json_string(node));
        }
        set_place(device, disk, place->address);
        if (disk->medium == DISK_MEDIUM_DISK)
                set_text(device, "write-cache", disk_write_cache(disk));
        if (place->iothread) {
                _cleanup_free_ char *thread = iothread_id(place->iothread);

                json_object_set_new(device, "iothread", json_string(thread));
        }
        set_number(device, "num-queues", place->queues);
        if (disk->shareable)
                json_object_set_new(device, "share-rw", json_true());
        set_identity(device, disk);
        set_errors(device, disk);
        /* A floppy drive's is its controller's. */
        if (disk->bus != DISK_BUS_FLOPPY)
                set_number(device, "bootindex", place->bootindex);
        return device;
}
