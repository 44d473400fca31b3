/* Block nodes of a disk whose bytes are on this host, and the filters over any. */
#include <string.h>

#include "base/json_text.h"
#include "launcher/plan/disk_parts.h"

/* opennebula-semantics section 3.9.3: what each CACHE means on the nodes and on the device. */
static const struct cache_row {
        bool nodes; /* a cache member at all */
        bool direct, no_flush;
        const char *write_cache;
} cache_rows[] = {
        [DISK_CACHE_DEFAULT] = { false, false, false, NULL },
        [DISK_CACHE_NONE] = { true, true, false, "on" },
        [DISK_CACHE_WRITETHROUGH] = { true, false, false, "off" },
        [DISK_CACHE_WRITEBACK] = { true, false, false, "on" },
        [DISK_CACHE_DIRECTSYNC] = { true, true, false, "off" },
        [DISK_CACHE_UNSAFE] = { true, false, true, "on" },
};

static const char *const aio_names[] = {
        [DISK_IO_THREADS] = "threads",
        [DISK_IO_NATIVE] = "native",
        [DISK_IO_URING] = "io_uring",
};

static const char *const zeroes_names[] = {
        [DISK_ZEROES_OFF] = "off",
        [DISK_ZEROES_ON] = "on",
        [DISK_ZEROES_UNMAP] = "unmap",
};

/* QEMU's words of struct disk_throttle's rates. */
static const char *const limit_names[DISK_LIMITS] = {
        [DISK_TOTAL_BYTES] = "bps-total", [DISK_READ_BYTES] = "bps-read", [DISK_WRITE_BYTES] = "bps-write",
        [DISK_TOTAL_IOPS] = "iops-total", [DISK_READ_IOPS] = "iops-read", [DISK_WRITE_IOPS] = "iops-write",
};

bool disk_cache_is_direct(const struct disk_spec *disk)
{
        return cache_rows[disk->cache].direct;
}

const char *disk_write_cache(const struct disk_spec *disk)
{
        return cache_rows[disk->cache].write_cache;
}

char *disk_node_name(const struct disk_spec *disk, size_t layer, const char *kind)
{
        struct text name = TEXT_INIT;

        text_add(&name, "disk");
        text_add_u64(&name, disk->id);
        if (layer) {
                text_add(&name, "-base");
                text_add_u64(&name, layer);
        }
        text_add(&name, "-");
        text_add(&name, kind);
        return text_take(&name);
}

char *disk_top_node(const struct disk_spec *disk)
{
        return disk_node_name(disk, 0,
                              disk_is_throttled(disk) ? "throttle"
                              : disk->copy_on_read    ? "cor"
                                                      : "format");
}

char *disk_throttle_id(const struct disk_spec *disk)
{
        return xasprintf("disk%u-limits", disk->id);
}

char *disk_secret_id(const struct disk_spec *disk, const char *kind)
{
        return xasprintf("disk%u-%s", disk->id, kind);
}

void disk_set_cache(json_t *node, const struct disk_spec *disk)
{
        const struct cache_row *row = &cache_rows[disk->cache];

        if (row->nodes)
                json_object_set_new(
                        node, "cache",
                        json_pack("{s:b, s:b}", "direct", row->direct, "no-flush", row->no_flush));
}

static void add_cache(struct text *out, const struct disk_spec *disk)
{
        const struct cache_row *row = &cache_rows[disk->cache];

        if (!row->nodes)
                return;
        json_text_begin(out, "cache");
        json_text_bool(out, "direct", row->direct);
        json_text_bool(out, "no-flush", row->no_flush);
        json_text_end(out);
}

void disk_file_blockdev(struct text *out, const struct disk_spec *disk, const struct disk_layer *layers,
                        size_t layer)
{
        _cleanup_free_ char *name = disk_node_name(disk, layer, "file");
        _cleanup_free_ char *filename = xasprintf("/dev/fdset/%u", layers[layer].set);

        json_text_string(out, "driver", layers[layer].is_block ? "host_device" : "file");
        json_text_string(out, "node-name", name);
        json_text_string(out, "filename", filename);
        json_text_bool(out, "read-only", layers[layer].readonly);
        if (disk->io != DISK_IO_NONE)
                json_text_string(out, "aio", aio_names[disk->io]);
        add_cache(out, disk);
        /* The format node decides what becomes of a guest's discard; what it lets through reaches the file. */
        json_text_string(out, "discard", "unmap");
}

/* Enough for all of it: an entry of 8 bytes for each cluster of 64 KiB (qemu docs/qcow2-cache.txt). */
static uint64_t l2_cache_size(const struct disk_spec *disk, uint64_t virtual_size)
{
        return disk->l2_cache_size == SPEC_AUTO_U64 ? virtual_size / 8192 : disk->l2_cache_size;
}

static void add_secret(struct text *out, const struct disk_spec *disk, const struct disk_layer *layer)
{
        _cleanup_free_ char *secret = layer->encrypted ? disk_secret_id(disk, "luks") : NULL;
        bool is_within = secret && layer->format != DISK_FORMAT_LUKS;

        if (is_within) {
                json_text_begin(out, "encrypt");
                json_text_string(out, "format", "luks");
        }
        json_text_string(out, "key-secret", secret);
        if (is_within)
                json_text_end(out);
}

void disk_format_blockdev(struct text *out, const struct disk_spec *disk, const struct disk_layer *layers,
                          size_t n, size_t layer)
{
        _cleanup_free_ char *name = disk_node_name(disk, layer, "format");
        _cleanup_free_ char *file = disk_node_name(disk, layer, "file");
        enum disk_format format = layers[layer].format;
        uint64_t l2 = l2_cache_size(disk, layers[layer].virtual_size);

        json_text_string(out, "driver", disk_format_name(format));
        json_text_string(out, "node-name", name);
        json_text_string(out, "file", file);
        json_text_bool(out, "read-only", layers[layer].readonly);
        add_cache(out, disk);
        if (disk->discard != DISK_DISCARD_NONE)
                json_text_string(out, "discard", disk->discard == DISK_DISCARD_UNMAP ? "unmap" : "ignore");
        if (layer == 0 && disk->detect_zeroes != DISK_ZEROES_NONE)
                json_text_string(out, "detect-zeroes", zeroes_names[disk->detect_zeroes]);
        if (format == DISK_FORMAT_QCOW2 && l2)
                json_text_integer(out, "l2-cache-size", (json_int_t)l2);
        add_secret(out, disk, &layers[layer]);
        if (layer + 1 < n) {
                _cleanup_free_ char *backing = disk_node_name(disk, layer + 1, "format");

                json_text_string(out, "backing", backing);
        } else if (format == DISK_FORMAT_QCOW2 || format == DISK_FORMAT_VMDK) {
                json_text_null(out, "backing");
        }
}

json_t *disk_copy_on_read_blockdev(const struct disk_spec *disk)
{
        _cleanup_free_ char *name = disk_node_name(disk, 0, "cor"), *file = disk_node_name(disk, 0, "format");

        if (!disk->copy_on_read)
                return NULL;
        return json_pack("{s:s, s:s, s:s}", "driver", "copy-on-read", "node-name", name, "file", file);
}

json_t *disk_throttle_blockdev(const struct disk_spec *disk)
{
        _cleanup_free_ char *name = disk_node_name(disk, 0, "throttle"), *group = disk_throttle_id(disk);
        _cleanup_free_ char *file = disk_node_name(disk, 0, disk->copy_on_read ? "cor" : "format");

        if (!disk_is_throttled(disk))
                return NULL;
        return json_pack("{s:s, s:s, s:s, s:s, s:b}", "driver", "throttle", "node-name", name,
                         "throttle-group", group, "file", file, "read-only", disk_is_readonly(disk));
}

static void set_number(json_t *limits, const char *name, uint64_t value)
{
        if (value)
                json_object_set_new(limits, name, json_integer((json_int_t)value));
}

static json_t *limits_of(const struct disk_throttle *throttle)
{
        json_t *limits = json_object();

        for (int i = 0; i < DISK_LIMITS; i++) {
                const struct disk_rate *rate = &throttle->rates[i];
                _cleanup_free_ char *burst = xasprintf("%s-max", limit_names[i]);
                _cleanup_free_ char *length = xasprintf("%s-max-length", limit_names[i]);

                set_number(limits, limit_names[i], rate->base);
                set_number(limits, burst, rate->burst);
                set_number(limits, length, rate->length);
        }
        set_number(limits, "iops-size", throttle->iops_size);
        return limits;
}

json_t *disk_throttle_object(const struct disk_spec *disk)
{
        _cleanup_free_ char *id = disk_throttle_id(disk);

        if (!disk_is_throttled(disk))
                return NULL;
        return json_pack("{s:s, s:s, s:o}", "qom-type", "throttle-group", "id", id, "limits",
                         limits_of(&disk->throttle));
}
