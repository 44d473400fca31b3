/*
 * The first bytes of images that are neither raw nor qcow2, as far as QEMU would do with them what a plan does not
 * show: open other files (VMDK extents and parents) or go without a parent (VHD, VDI). Sources: QEMU's block/vmdk.c,
 * vdi.c, vpc.c, vhdx.c and crypto/block-luks-priv.h, whose structures these offsets are of.
 */
#include <endian.h>
#include <string.h>

#include "launcher/storage/image_chain.h"

#define SECTOR      512u
#define VMDK_HEADER 79
#define VDI_HEADER  0x1c8
#define VPC_FIXED   2
#define VPC_DYNAMIC 3
#define VDI_DYNAMIC 1
#define VDI_STATIC  2
#define LUKS_HEADER 592
#define VIRTUAL_MAX ((uint64_t)INT64_MAX)

/* Offsets are within what the callers have checked. */
static uint16_t be16_at(const uint8_t *p)
{
        return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32_at(const uint8_t *p)
{
        return (uint32_t)be16_at(p) << 16 | be16_at(p + 2);
}

static uint64_t be64_at(const uint8_t *p)
{
        return (uint64_t)be32_at(p) << 32 | be32_at(p + 4);
}

static uint32_t le32_at(const uint8_t *p)
{
        return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static uint64_t le64_at(const uint8_t *p)
{
        return (uint64_t)le32_at(p + 4) << 32 | le32_at(p);
}

static bool is_zero(const uint8_t *p, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (p[i])
                        return false;
        return true;
}

static bool starts_with(const struct image_bytes *bytes, const char *magic, size_t n)
{
        return bytes->n >= n && memcmp(bytes->head, magic, n) == 0;
}

static int is_not(const char *what, struct error **err)
{
        return error_set(err, ERROR_INVALID, "it is not a %s image", what);
}

static int has_parent(struct error **err)
{
        error_set(err, ERROR_INVALID, "it needs a parent image, which is not supported");
        return error_hint(err, "make it one image: qemu-img convert -O qcow2");
}

static int check_vmdk(const struct image_bytes *bytes, uint64_t *ret_size, struct error **err)
{
        uint64_t sectors;

        if (starts_with(bytes, "# Disk DescriptorFile", 21) || starts_with(bytes, "COWD", 4)) {
                error_set(err, ERROR_INVALID,
                          "it names the files that hold its data, which is not supported");
                return error_hint(err, "make it one image: qemu-img convert -O qcow2");
        }
        if (!starts_with(bytes, "KDMV", 4) || bytes->n < VMDK_HEADER)
                return is_not("VMDK", err);
        sectors = le64_at(bytes->head + 12);
        if (sectors == 0) {
                /* QEMU goes on to a descriptor that names other files. */
                error_set(err, ERROR_INVALID,
                          "it names the files that hold its data, which is not supported");
                return error_hint(err, "make it one image: qemu-img convert -O qcow2");
        }
        if (sectors > VIRTUAL_MAX / SECTOR)
                return error_set(err, ERROR_INVALID, "the VMDK header is damaged: the size is out of range");
        if (memmem(bytes->head, bytes->n, "parentFileNameHint", 18))
                return has_parent(err);
        *ret_size = sectors * SECTOR;
        return 0;
}

static int check_vdi(const struct image_bytes *bytes, uint64_t *ret_size, struct error **err)
{
        const uint8_t *head = bytes->head;
        uint32_t type;

        if (bytes->n < VDI_HEADER || memcmp(head + 64, "\x7f\x10\xda\xbe", 4) != 0)
                return is_not("VDI", err);
        type = le32_at(head + 0x4c);
        if ((type != VDI_DYNAMIC && type != VDI_STATIC) || !is_zero(head + 0x1a8, 32))
                return has_parent(err);
        *ret_size = le64_at(head + 0x170);
        if (*ret_size > VIRTUAL_MAX)
                return error_set(err, ERROR_INVALID, "the VDI header is damaged: the size is out of range");
        return 0;
}

static int check_vpc(const struct image_bytes *bytes, uint64_t *ret_size, struct error **err)
{
        const uint8_t *footer =
                starts_with(bytes, "conectix", 8) && bytes->n >= SECTOR ? bytes->head : bytes->tail;
        bool is_at_end = footer == bytes->tail;
        uint32_t type;

        if (is_at_end && (bytes->n_tail < SECTOR || memcmp(footer, "conectix", 8) != 0))
                return is_not("VPC", err);
        type = be32_at(footer + 60);
        if (type != (is_at_end ? VPC_FIXED : VPC_DYNAMIC))
                return has_parent(err);
        *ret_size = be64_at(footer + 48);
        if (*ret_size > VIRTUAL_MAX)
                return error_set(err, ERROR_INVALID, "the VPC header is damaged: the size is out of range");
        return 0;
}

static int check_luks(const struct image_bytes *bytes, uint64_t *ret_size, struct error **err)
{
        uint64_t payload;

        if (!starts_with(bytes, "LUKS\xba\xbe", 6) || bytes->n < LUKS_HEADER)
                return is_not("LUKS", err);
        if (be16_at(bytes->head + 6) != 1)
                return error_set(err, ERROR_INVALID, "it has LUKS version %u, and QEMU knows version 1 only",
                                 be16_at(bytes->head + 6));
        payload = (uint64_t)be32_at(bytes->head + 104) * SECTOR;
        *ret_size = bytes->file_size > payload ? bytes->file_size - payload : 0;
        return 0;
}

int image_foreign_check(enum disk_format format, const struct image_bytes *bytes, uint64_t *ret_size,
                        struct error **err)
{
        *ret_size = 0;
        switch (format) {
        case DISK_FORMAT_VMDK:
                return check_vmdk(bytes, ret_size, err);
        case DISK_FORMAT_VDI:
                return check_vdi(bytes, ret_size, err);
        case DISK_FORMAT_VPC:
                return check_vpc(bytes, ret_size, err);
        case DISK_FORMAT_VHDX:
                /* Its size is deep inside; a parent QEMU refuses itself. */
                return starts_with(bytes, "vhdxfile", 8) ? 0 : is_not("VHDX", err);
        case DISK_FORMAT_LUKS:
                return check_luks(bytes, ret_size, err);
        case DISK_FORMAT_NONE:
        case DISK_FORMAT_RAW:
        case DISK_FORMAT_QCOW2:
                break;
        }
        return 0;
}
