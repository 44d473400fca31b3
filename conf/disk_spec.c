#include "conf/disk_spec.h"

#include <string.h>

static const char *const format_names[] = {
        [DISK_FORMAT_NONE] = "none", [DISK_FORMAT_RAW] = "raw",   [DISK_FORMAT_QCOW2] = "qcow2",
        [DISK_FORMAT_VMDK] = "vmdk", [DISK_FORMAT_VDI] = "vdi",   [DISK_FORMAT_VPC] = "vpc",
        [DISK_FORMAT_VHDX] = "vhdx", [DISK_FORMAT_LUKS] = "luks",
};

const char *disk_format_name(enum disk_format format)
{
        return format_names[format];
}

enum disk_format disk_format_by_name(const char *name)
{
        for (int format = DISK_FORMAT_RAW; format <= DISK_FORMAT_LUKS; format++)
                if (strcmp(format_names[format], name) == 0)
                        return (enum disk_format)format;
        return DISK_FORMAT_NONE;
}

const char *disk_bus_name(enum disk_bus bus)
{
        static const char *const names[] = {
                [DISK_BUS_VIRTIO] = "virtio", [DISK_BUS_SCSI] = "scsi",     [DISK_BUS_SATA] = "sata",
                [DISK_BUS_IDE] = "ide",       [DISK_BUS_FLOPPY] = "floppy",
        };

        return names[bus];
}

const char *disk_medium_name(enum disk_medium medium)
{
        static const char *const names[] = {
                [DISK_MEDIUM_DISK] = "disk",
                [DISK_MEDIUM_LUN] = "lun",
                [DISK_MEDIUM_CDROM] = "cdrom",
                [DISK_MEDIUM_FLOPPY] = "floppy",
        };

        return names[medium];
}

const char *disk_limit_name(enum disk_limit limit)
{
        static const char *const names[] = {
                [DISK_TOTAL_BYTES] = "TOTAL_BYTES", [DISK_READ_BYTES] = "READ_BYTES",
                [DISK_WRITE_BYTES] = "WRITE_BYTES", [DISK_TOTAL_IOPS] = "TOTAL_IOPS",
                [DISK_READ_IOPS] = "READ_IOPS",     [DISK_WRITE_IOPS] = "WRITE_IOPS",
        };

        return names[limit];
}

bool disk_has_medium(const struct disk_spec *disk)
{
        return disk->store > DISK_STORE_BLOCK || (disk->path && *disk->path);
}

bool disk_is_readonly(const struct disk_spec *disk)
{
        return disk->readonly || disk->medium == DISK_MEDIUM_CDROM;
}

bool disk_is_made(const struct disk_spec *disk)
{
        return disk->is_clone || disk->store == DISK_STORE_VOLATILE;
}

enum disk_format disk_top_format(const struct disk_spec *disk)
{
        return disk->is_clone ? DISK_FORMAT_QCOW2 : disk->format;
}

bool disk_is_throttled(const struct disk_spec *disk)
{
        for (int i = 0; i < DISK_LIMITS && disk_has_medium(disk); i++)
                if (disk->throttle.rates[i].base)
                        return true;
        return false;
}
