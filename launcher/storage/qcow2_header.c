/*
 * The first bytes of a qcow2 image: QEMU's docs/interop/qcow2.txt. Everything is checked before it is used,
 * and what we do not know is refused: the guest must not see an image other than the one the plan shows.
 */
#include <endian.h>
#include <string.h>

#include "base/text.h"
#include "launcher/storage/image_chain.h"

#define QCOW2_MAGIC 0x514649fbu /* "QFI\xfb" */

#define V2_HEADER_BYTES  72
#define V3_HEADER_BYTES  104
#define MIN_CLUSTER_BITS 9
#define MAX_CLUSTER_BITS 21
#define MAX_BACKING_NAME 1023

#define CRYPT_NONE 0u
#define CRYPT_AES  1u
#define CRYPT_LUKS 2u

#define INCOMPATIBLE_DIRTY         (1ull << 0)
#define INCOMPATIBLE_CORRUPT       (1ull << 1)
#define INCOMPATIBLE_EXTERNAL_DATA (1ull << 2)
#define INCOMPATIBLE_COMPRESSION   (1ull << 3)
#define INCOMPATIBLE_EXTENDED_L2   (1ull << 4)
#define INCOMPATIBLE_KNOWN         (INCOMPATIBLE_DIRTY | INCOMPATIBLE_COMPRESSION | INCOMPATIBLE_EXTENDED_L2)

#define EXTENSION_END            0u
#define EXTENSION_BACKING_FORMAT 0xe2792acau
#define EXTENSION_DATA_FILE      0x44415441u
/* More than any writer makes; the area is bounded by the bytes read anyway. */
#define MAX_EXTENSIONS 64

struct bytes {
        const uint8_t *p;
        size_t n;
};

/* Offsets are checked by the callers: fixed ones against the header's length, others where they are read. */
static uint32_t u32_at(struct bytes bytes, size_t offset)
{
        uint32_t value;

        memcpy(&value, bytes.p + offset, sizeof(value));
        return be32toh(value);
}

static uint64_t u64_at(struct bytes bytes, size_t offset)
{
        uint64_t value;

        memcpy(&value, bytes.p + offset, sizeof(value));
        return be64toh(value);
}

static int bad(struct error **err, const char *why)
{
        return error_set(err, ERROR_INVALID, "the qcow2 header is damaged: %s", why);
}

static int check_features(uint64_t features, struct error **err)
{
        if (features & INCOMPATIBLE_CORRUPT) {
                error_set(err, ERROR_INVALID, "the image is marked as corrupt");
                return error_hint(err, "look at it with: qemu-img check");
        }
        if (features & INCOMPATIBLE_EXTERNAL_DATA)
                return error_set(err, ERROR_INVALID,
                                 "the image keeps its data in an external file, which is "
                                 "not supported");
        if (features & ~INCOMPATIBLE_KNOWN)
                return error_set(err, ERROR_INVALID, "the image uses unknown features (0x%llx)",
                                 (unsigned long long)(features & ~INCOMPATIBLE_KNOWN));
        return 0;
}

static int read_backing_format(struct bytes data, enum disk_format *ret, struct error **err)
{
        _cleanup_free_ char *name = xstrndup((const char *)data.p, data.n), *printable = text_printable(name);

        if (*ret != DISK_FORMAT_NONE)
                return bad(err, "two backing formats");
        if (strcmp(name, "qcow2") == 0)
                *ret = DISK_FORMAT_QCOW2;
        else if (strcmp(name, "raw") == 0)
                *ret = DISK_FORMAT_RAW;
        else
                return error_set(err, ERROR_INVALID,
                                 "its backing file has the format '%s'; only raw and qcow2 "
                                 "can be used",
                                 printable);
        return 0;
}

static int read_extensions(struct bytes bytes, size_t at, size_t end, enum disk_format *ret_backing_format,
                           struct error **err)
{
        for (unsigned i = 0; i < MAX_EXTENSIONS; i++) {
                uint32_t type, length;
                size_t padded;

                if (at == end)
                        return 0; /* QEMU ends there too: the backing name follows at once */
                if (end - at < 8)
                        return bad(err, "a header extension does not fit");
                type = u32_at(bytes, at);
                length = u32_at(bytes, at + 4);
                at += 8;
                if (type == EXTENSION_END)
                        return 0;
                if (length > end - at)
                        return bad(err, "a header extension does not fit");
                if (type == EXTENSION_DATA_FILE)
                        return error_set(err, ERROR_INVALID,
                                         "the image names an external data file, which is "
                                         "not supported");
                if (type == EXTENSION_BACKING_FORMAT &&
                    read_backing_format((struct bytes){ bytes.p + at, length }, ret_backing_format, err) < 0)
                        return -1;
                /* Padded to eight bytes; the last one's padding may be cut by the end. */
                padded = ((size_t)length + 7) & ~(size_t)7;
                at += padded > end - at ? end - at : padded;
        }
        return bad(err, "too many header extensions");
}

static int read_backing_name(struct bytes bytes, uint64_t offset, uint32_t length, char **ret,
                             struct error **err)
{
        if (length > MAX_BACKING_NAME)
                return bad(err, "the backing file name is longer than 1023 bytes");
        if (offset > bytes.n || length > bytes.n - offset)
                return bad(err, "the backing file name is outside the first cluster");
        if (memchr(bytes.p + offset, '\0', length))
                return bad(err, "there is a NUL byte in the backing file name");
        *ret = xstrndup((const char *)bytes.p + offset, length);
        return 0;
}

int qcow2_header_parse(const uint8_t *p, size_t n, struct qcow2_header *ret, struct error **err)
{
        struct bytes bytes = { p, n };
        struct qcow2_header header = { 0 };
        uint64_t backing_offset, features = 0;
        uint32_t backing_length, cluster_bits, crypt, header_length = V2_HEADER_BYTES;
        size_t cluster, end;

        if (n < 8 || u32_at(bytes, 0) != QCOW2_MAGIC)
                return error_set(err, ERROR_INVALID, "it is not a qcow2 image");
        header.version = u32_at(bytes, 4);
        if (header.version != 2 && header.version != 3)
                return error_set(err, ERROR_INVALID, "qcow version %u is not supported", header.version);
        if (n < (header.version == 2 ? V2_HEADER_BYTES : V3_HEADER_BYTES))
                return bad(err, "it is cut short");
        backing_offset = u64_at(bytes, 8);
        backing_length = u32_at(bytes, 16);
        cluster_bits = u32_at(bytes, 20);
        header.virtual_size = u64_at(bytes, 24);
        crypt = u32_at(bytes, 32);
        if (header.version == 3) {
                features = u64_at(bytes, 72);
                header_length = u32_at(bytes, 100);
        }
        if (cluster_bits < MIN_CLUSTER_BITS || cluster_bits > MAX_CLUSTER_BITS)
                return bad(err, "the cluster size is out of range");
        cluster = (size_t)1 << cluster_bits;
        if (bytes.n > cluster)
                bytes.n = cluster;
        if (header.virtual_size > INT64_MAX)
                return bad(err, "the size is out of range");
        if (header.version == 3 && (header_length < V3_HEADER_BYTES || header_length % 8))
                return bad(err, "the header's length is wrong");
        if (header_length > bytes.n)
                return bad(err, "it is cut short");
        if (check_features(features, err) < 0)
                return -1;
        if (crypt == CRYPT_AES)
                return error_set(err, ERROR_INVALID,
                                 "the image is encrypted in the old way, which QEMU does not run");
        if (crypt != CRYPT_NONE && crypt != CRYPT_LUKS)
                return bad(err, "the encryption is unknown");
        header.encrypted = crypt == CRYPT_LUKS;
        if (backing_offset && backing_offset < header_length)
                return bad(err, "the backing file name overlaps the header");
        if (backing_offset > bytes.n)
                return bad(err, "the backing file name is outside the first cluster");
        end = backing_offset ? (size_t)backing_offset : bytes.n;
        if (read_extensions(bytes, header_length, end, &header.backing_format, err) < 0)
                return -1;
        if (backing_offset && backing_length &&
            read_backing_name(bytes, backing_offset, backing_length, &header.backing_file, err) < 0)
                return -1;
        *ret = header;
        return 0;
}
