/* Limits of a disk (opennebula-semantics section 3.9.4): which of them count together. */
#include "conf/spec_disk.h"

/* QEMU's bound for the product of a burst and its length (util/throttle.c). */
#define BURST_MAX 1000000000000000ull

enum part { PART_BASE, PART_BURST, PART_LENGTH, PARTS };

static const struct attr *row_of(enum disk_limit limit, enum part part)
{
        static const char *const suffixes[PARTS] = { "_SEC", "_SEC_MAX", "_SEC_MAX_LENGTH" };
        _cleanup_free_ char *key = xasprintf("%s%s", disk_limit_name(limit), suffixes[part]);

        return attr_find(&attr_disk, key);
}

static const struct origin *origin_of(const struct disk_spec *disk, const struct attr *row)
{
        return &disk->section.origins[row - attr_disk.rows];
}

/* The strongest layer that says something of a limit. */
static enum layer layer_of(const struct disk_spec *disk, enum disk_limit limit)
{
        enum layer strongest = LAYER_NONE;

        if (disk->throttle.rates[limit].base || disk->throttle.rates[limit].burst)
                for (enum part part = 0; part < PARTS; part++) {
                        enum layer layer = origin_of(disk, row_of(limit, part))->layer;

                        strongest = layer > strongest ? layer : strongest;
                }
        return strongest;
}

static void forget(struct spec_builder *builder, struct disk_spec *disk, enum disk_limit limit,
                   enum disk_limit kept)
{
        for (enum part part = 0; part < PARTS; part++) {
                const struct attr *row = row_of(limit, part);
                const struct origin *origin = origin_of(disk, row);

                if (origin->layer == LAYER_TEMPLATE)
                        spec_warn(builder, &origin->pos, "DISK/%s: without effect beside %s_SEC", row->name,
                                  disk_limit_name(kept));
                spec_forget(&attr_disk, row, disk);
        }
}

/* QEMU takes the total or the parts. The total counts, but where a stronger layer has the parts. */
static void choose_family(struct spec_builder *builder, struct disk_spec *disk, enum disk_limit total)
{
        enum layer whole = layer_of(disk, total), parts = layer_of(disk, total + 1);

        if (layer_of(disk, total + 2) > parts)
                parts = layer_of(disk, total + 2);
        if (whole == LAYER_NONE || parts == LAYER_NONE)
                return;
        if (parts > whole) {
                forget(builder, disk, total, layer_of(disk, total + 1) == parts ? total + 1 : total + 2);
        } else {
                forget(builder, disk, total + 1, total);
                forget(builder, disk, total + 2, total);
        }
}

/* The value goes with another one that is not there: from a layer that is a default for those disks that have it. */
static void check_alone(struct spec_builder *builder, struct disk_spec *disk, const struct attr *row,
                        const char *needs)
{
        const struct origin *origin = origin_of(disk, row);

        if (origin->layer == LAYER_TEMPLATE)
                spec_fail(builder, &origin->pos, "DISK/%s: goes with %s, which is not given", row->name,
                          needs);
        spec_forget(&attr_disk, row, disk);
}

static void check_rate(struct spec_builder *builder, struct disk_spec *disk, enum disk_limit limit)
{
        const struct disk_rate *rate = &disk->throttle.rates[limit];
        const struct attr *base, *burst, *length;

        if (!rate->burst && !rate->length)
                return;
        base = row_of(limit, PART_BASE);
        burst = row_of(limit, PART_BURST);
        length = row_of(limit, PART_LENGTH);
        if (rate->burst && !rate->base)
                check_alone(builder, disk, burst, base->name);
        if (rate->length && !rate->burst)
                check_alone(builder, disk, length, burst->name);
        if (rate->burst && rate->burst < rate->base)
                spec_fail(builder, &origin_of(disk, burst)->pos, "DISK/%s: %llu is less than %s, %llu",
                          burst->name, (unsigned long long)rate->burst, base->name,
                          (unsigned long long)rate->base);
        if (rate->length > 1 && rate->burst > BURST_MAX / rate->length)
                spec_fail(builder, &origin_of(disk, length)->pos,
                          "DISK/%s: so long a burst of so much is out of range (%llu in all)", length->name,
                          BURST_MAX);
}

void spec_check_throttle(struct spec_builder *builder, struct disk_spec *disk)
{
        choose_family(builder, disk, DISK_TOTAL_BYTES);
        choose_family(builder, disk, DISK_TOTAL_IOPS);
        for (enum disk_limit limit = 0; limit < DISK_LIMITS; limit++)
                check_rate(builder, disk, limit);
        if (disk->throttle.iops_size && !disk->throttle.rates[DISK_TOTAL_IOPS].base &&
            !disk->throttle.rates[DISK_READ_IOPS].base && !disk->throttle.rates[DISK_WRITE_IOPS].base)
                check_alone(builder, disk, attr_find(&attr_disk, "SIZE_IOPS_SEC"), "a limit of operations");
        if (disk_is_throttled(disk) && disk->medium == DISK_MEDIUM_LUN)
                spec_fail(builder, &disk->section.pos, "DISK: the commands of a LUN cannot be limited");
}
