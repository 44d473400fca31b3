/* The device that the guest has of a disk, CD or floppy. */
#include <string.h>

#include "base/json_text.h"
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
static void add_place(struct text *out, const struct disk_spec *disk, const char *address)
{
        const char *colon = strrchr(address, ':');
        _cleanup_free_ char *bus = xstrndup(address, (size_t)(colon - address));
        uint32_t number = 0;

        json_text_string(out, "bus", bus);
        if (disk->bus == DISK_BUS_VIRTIO) {
                json_text_string(out, "addr", colon + 1);
                return;
        }
        text_parse_u32(colon + 1, &number);
        if (disk->bus == DISK_BUS_SCSI) {
                json_text_integer(out, "channel", 0);
                json_text_integer(out, "scsi-id", number);
                json_text_integer(out, "lun", 0);
        } else {
                json_text_integer(out, "unit", number);
        }
}

static void add_text(struct text *out, const char *property, const char *value)
{
        if (value && *value)
                json_text_string(out, property, value);
}

static void add_number(struct text *out, const char *property, uint64_t value)
{
        if (value)
                json_text_integer(out, property, (json_int_t)value);
}

static void add_identity(struct text *out, const struct disk_spec *disk)
{
        add_text(out, "serial", disk->serial);
        if (disk->serial && *disk->serial && disk->bus == DISK_BUS_SCSI)
                add_text(out, "device_id", disk->serial);
        if (disk->wwn && *disk->wwn)
                add_number(out, "wwn", strtoull(disk->wwn, NULL, 16));
        add_text(out, "vendor", disk->vendor);
        add_text(out, "product", disk->product);
        add_number(out, "rotation_rate", disk->rotation_rate);
        add_number(out, "logical_block_size", disk->logical_block_size);
        /* QEMU's own is 512, whatever the logical one is, and refuses that. */
        add_number(out, "physical_block_size",
                   disk->physical_block_size        ? disk->physical_block_size
                   : disk->logical_block_size > 512 ? disk->logical_block_size
                                                    : 0);
}

/* libvirt's rules: reading follows writing, but reads have no "no space left". */
static void add_errors(struct text *out, const struct disk_spec *disk)
{
        enum disk_error_policy reading = disk->rerror_policy;

        if (disk->error_policy != DISK_ERRORS_NONE)
                add_text(out, "werror", error_names[disk->error_policy]);
        if (reading == DISK_ERRORS_NONE)
                reading =
                        disk->error_policy == DISK_ERRORS_ENOSPACE ? DISK_ERRORS_REPORT : disk->error_policy;
        if (reading != DISK_ERRORS_NONE)
                add_text(out, "rerror", error_names[reading]);
}

void disk_device(struct text *out, const struct disk_spec *disk, const struct disk_place *place)
{
        _cleanup_free_ char *id = xasprintf("disk%u", disk->id);

        json_text_string(out, "driver", disk_device_type(disk));
        json_text_string(out, "id", id);
        if (place->has_medium) {
                _cleanup_free_ char *node = disk_top_node(disk);

                json_text_string(out, "drive", node);
        }
        add_place(out, disk, place->address);
        if (disk->medium == DISK_MEDIUM_DISK)
                add_text(out, "write-cache", disk_write_cache(disk));
        if (place->iothread) {
                _cleanup_free_ char *thread = iothread_id(place->iothread);

                json_text_string(out, "iothread", thread);
        }
        add_number(out, "num-queues", place->queues);
        if (disk->shareable)
                json_text_bool(out, "share-rw", true);
        add_identity(out, disk);
        add_errors(out, disk);
        /* A floppy drive's is its controller's. */
        if (disk->bus != DISK_BUS_FLOPPY)
                add_number(out, "bootindex", place->bootindex);
}
