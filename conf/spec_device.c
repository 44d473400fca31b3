/* What the rows of RNG, WATCHDOG, TPM, VSOCK and FILESYSTEM leave open, and their rules. */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/spec_rules.h"

/* 0 is the hypervisor, 1 the local loop, 2 the host, and all ones any (vsock(7)). */
#define CID_FIRST 3u
#define CID_LAST  4294967294u
/* libvirt's. */
#define RATE_PERIOD_MS 1000

static const struct source_pos *place(const struct attr_section *section, const void *record, const char *key)
{
        const struct source_pos *pos = &spec_origin(section, record, key)->pos;

        return pos->file ? pos : &((const struct section *)record)->pos;
}

static void set_rng(struct spec_builder *builder)
{
        struct rng_spec *rng = &builder->spec->rng;
        const struct origin *period = spec_origin(&attr_rng, rng, "RATE_PERIOD");

        if (!rng->present)
                return;
        if (rng->source && *rng->source != '/' && strcasecmp(rng->source, "builtin") != 0) {
                _cleanup_free_ char *shown = text_printable(rng->source);

                spec_fail(builder, place(&attr_rng, rng, "SOURCE"),
                          "RNG/SOURCE: '%s' is neither the path of a device nor builtin (try /dev/urandom)",
                          shown);
        }
        if (!spec_is_given(&attr_rng, rng, "RATE_PERIOD"))
                rng->rate_period_ms = RATE_PERIOD_MS;
        else if (!spec_is_given(&attr_rng, rng, "RATE_BYTES"))
                spec_fail(builder, &period->pos, "RNG/RATE_PERIOD: goes with RATE_BYTES, which is not given");
}

static void set_watchdog(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct watchdog_spec *watchdog = &spec->watchdog;

        if (watchdog->present && watchdog->model == WATCHDOG_ITCO && !vm_spec_is_q35(spec))
                spec_fail(builder, place(&attr_watchdog, watchdog, "MODEL"),
                          "WATCHDOG/MODEL: itco is part of q35, and OS/MACHINE is '%s' (try i6300esb)",
                          spec->os.machine);
}

/* A layer's MODEL is as good as the vector. */
static void set_tpm(struct spec_builder *builder)
{
        struct tpm_spec *tpm = &builder->spec->tpm;

        if (spec_is_given(&attr_tpm, tpm, "MODEL"))
                tpm->present = true;
        else if (tpm->present)
                spec_fail(builder, place(&attr_tpm, tpm, "MODEL"),
                          "TPM/MODEL: has to be given (tpm-crb or tpm-tis)");
}

static void set_vsock(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        struct vsock_spec *vsock = &spec->vsock;
        uint64_t number;

        if (!vsock->present)
                return;
        if (!vsock->cid_text || strcasecmp(vsock->cid_text, "auto") == 0) {
                vsock->cid = CID_FIRST + (uint32_t)(text_hash(spec->uuid, 16) % (CID_LAST - CID_FIRST + 1));
        } else if (text_parse_u64(vsock->cid_text, &number) && number >= CID_FIRST && number <= CID_LAST) {
                vsock->cid = (uint32_t)number;
        } else {
                _cleanup_free_ char *shown = text_printable(vsock->cid_text);

                spec_fail(builder, place(&attr_vsock, vsock, "CID"),
                          "VSOCK/CID: '%s' is neither auto nor %u to %u (0 to 2 are the host's own)", shown,
                          CID_FIRST, CID_LAST);
        }
}

static void check_access(struct spec_builder *builder, const struct filesystem_spec *fs)
{
        const struct source_pos *access = place(&attr_filesystem, fs, "ACCESSMODE");

        if (fs->driver == FILESYSTEM_9P && fs->access == FILESYSTEM_PASSTHROUGH)
                spec_fail(
                        builder, access,
                        "FILESYSTEM/ACCESSMODE: passthrough over 9p would need a QEMU that runs as root (try DRIVER = "
                        "\"virtiofs\")");
        if (fs->driver == FILESYSTEM_VIRTIOFS && fs->access == FILESYSTEM_SQUASH)
                spec_fail(
                        builder, access,
                        "FILESYSTEM/ACCESSMODE: squash is of DRIVER 9p; virtiofs has mapped and passthrough");
        if (fs->driver == FILESYSTEM_9P && fs->cache != FILESYSTEM_CACHE_AUTO)
                spec_fail(
                        builder, place(&attr_filesystem, fs, "CACHE"),
                        "FILESYSTEM/CACHE: is of DRIVER virtiofs; over 9p the guest's mount option cache= says it");
}

static void check_tag(struct spec_builder *builder, const struct filesystem_spec *fs)
{
        const struct vm_spec *spec = builder->spec;

        if (!spec_is_given(&attr_filesystem, fs, "TARGET")) {
                spec_fail(builder, place(&attr_filesystem, fs, "TARGET"),
                          "FILESYSTEM/TARGET: has to be given, the name that the guest mounts");
                return;
        }
        for (const char *c = fs->target; c && *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f) {
                        spec_fail(builder, place(&attr_filesystem, fs, "TARGET"),
                                  "FILESYSTEM/TARGET: holds a control character");
                        return;
                }
        for (const struct filesystem_spec *other = spec->filesystems; other < fs; other++)
                if (fs->target && other->target && strcmp(other->target, fs->target) == 0) {
                        _cleanup_free_ char *shown = text_printable(fs->target);

                        spec_fail_twice(builder, place(&attr_filesystem, fs, "TARGET"), &other->section.pos,
                                        "FILESYSTEM/TARGET: '%s' is also the name of the one of", shown);
                }
}

/* DISK/UID_MAP and GID_MAP of the configuration, upstream's words. */
static void set_map(struct spec_builder *builder, struct filesystem_spec *fs, const char *key, uint32_t *map)
{
        const struct origin *origin = spec_origin(&attr_filesystem, fs, key);
        const struct attr *row = attr_find(&attr_disk, key);
        struct spec_value found;
        struct error *error = NULL;
        uint32_t number;

        if (origin->layer > LAYER_DEFAULT || !spec_look_up(builder, &attr_disk, key, &found))
                return;
        if (attr_set(&attr_disk, row, found.text, &found.pos, NULL, &error) < 0) {
                if (fs == builder->spec->filesystems)
                        spec_report(builder, error);
                else
                        error_free(error); /* said already */
        } else if (text_parse_u32(found.text, &number)) {
                *map = number;
                spec_set_origin(builder->spec, spec_own_origin(&attr_filesystem, fs, key), found.layer,
                                found.text, &found.pos);
        }
}

static void set_filesystem(struct spec_builder *builder, struct filesystem_spec *fs, const char *base_dir)
{
        const struct origin *driver = spec_origin(&attr_filesystem, fs, "DRIVER");
        _cleanup_free_ char *source = TAKE_PTR(fs->source);

        if (!spec_is_given(&attr_filesystem, fs, "SOURCE"))
                spec_fail(builder, place(&attr_filesystem, fs, "SOURCE"),
                          "FILESYSTEM/SOURCE: has to be given, a directory of the host");
        else if (source)
                fs->source = spec_resolve_path(builder, "FILESYSTEM/SOURCE",
                                               spec_origin(&attr_filesystem, fs, "SOURCE"), base_dir, source);
        if (fs->access == FILESYSTEM_PASSTHROUGH && driver->layer <= LAYER_DEFAULT) {
                fs->driver = FILESYSTEM_VIRTIOFS;
                spec_set_origin(builder->spec, spec_own_origin(&attr_filesystem, fs, "DRIVER"), LAYER_RULE,
                                "virtiofs", NULL);
        }
        set_map(builder, fs, "UID_MAP", &fs->uid_map);
        set_map(builder, fs, "GID_MAP", &fs->gid_map);
        check_access(builder, fs);
        check_tag(builder, fs);
}

void spec_set_devices(struct spec_builder *builder, const char *base_dir)
{
        struct vm_spec *spec = builder->spec;

        set_rng(builder);
        set_watchdog(builder);
        set_tpm(builder);
        set_vsock(builder);
        for (size_t i = 0; i < spec->n_filesystems; i++) {
                struct filesystem_spec *fs = &spec->filesystems[i];
                _cleanup_free_ char *driver = xasprintf("FILESYSTEM[%zu]/DRIVER", i);

                set_filesystem(builder, fs, base_dir);
                if (fs->driver == FILESYSTEM_VIRTIOFS)
                        spec_share_memory(builder, driver, place(&attr_filesystem, fs, "DRIVER"));
        }
        spec_set_serials(builder, base_dir);
        spec_set_shmems(builder, base_dir);
        spec_set_hostdevs(builder);
        spec_set_raws(builder);
}
