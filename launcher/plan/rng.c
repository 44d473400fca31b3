/* The random number device: bytes of a character device that we open, or of QEMU's own generator. */
#include <strings.h>

#include "launcher/host/device_facts.h"
#include "launcher/plan/device.h"

#define SOURCE "RNG/SOURCE"

static bool is_builtin(const struct rng_spec *rng)
{
        return strcasecmp(rng->source, "builtin") == 0;
}

int rng_check(struct build *build, struct error **err)
{
        const struct rng_spec *rng = &build->spec->rng;
        struct file_facts file;

        if (!rng->present)
                return 0;
        if (build_need_device(build, "RNG/MODEL", "virtio-rng-pci", err) < 0)
                return -1;
        if (is_builtin(rng))
                return 0;
        file = device_facts_file(build->in->devices, rng->source);
        if (!file.exists)
                return build_error(build, err, ERROR_HOST, SOURCE, "there is no '%s' on this host",
                                   rng->source);
        /* Root opens it: a file would show the guest whatever is in it. */
        if (!S_ISCHR(file.mode))
                return build_error(build, err, ERROR_INVALID, SOURCE, "'%s' is not a character device",
                                   rng->source);
        return 0;
}

void rng_number_fds(struct build *build)
{
        const struct rng_spec *rng = &build->spec->rng;
        _cleanup_free_ char *text = NULL;

        if (!rng->present || is_builtin(rng))
                return;
        text = xasprintf("device %s", rng->source);
        build->devices->rng = build_fdset(build, "rng0", text);
}

json_t *rng_object(const struct rng_spec *rng, const char *filename)
{
        (void)rng;
        if (!filename)
                return json_pack("{s:s, s:s}", "qom-type", "rng-builtin", "id", "rng0-source");
        return json_pack("{s:s, s:s, s:s}", "qom-type", "rng-random", "id", "rng0-source", "filename",
                         filename);
}

json_t *rng_device(const struct rng_spec *rng, const char *address)
{
        json_t *device =
                json_pack("{s:s, s:s, s:s}", "driver", "virtio-rng-pci", "id", "rng0", "rng", "rng0-source");

        if (rng->rate_bytes) {
                json_object_set_new(device, "max-bytes", json_integer((json_int_t)rng->rate_bytes));
                json_object_set_new(device, "period", json_integer(rng->rate_period_ms));
        }
        build_set_address(device, address);
        return device;
}

void rng_args(struct build *build)
{
        const struct rng_spec *rng = &build->spec->rng;
        const struct plan_fdset *fdset = &build->devices->rng;
        const char *address = build_pci_address(build, "rng0");
        _cleanup_text_ struct text because = TEXT_INIT;
        _cleanup_free_ char *filename = NULL;

        if (!rng->present)
                return;
        if (fdset->set) {
                filename = xasprintf("/dev/fdset/%u", fdset->set);
                build_fdset_args(build, SOURCE, fdset, "rng0");
        }
        build_refer(build, &because, "RNG/MODEL");
        build_refer(build, &because, "RNG/RATE_BYTES");
        if (rng->rate_bytes)
                build_refer(build, &because, "RNG/RATE_PERIOD");
        build_json(build, SOURCE, "-object", rng_object(rng, filename));
        build_json(build, text_str(&because), "-device", rng_device(rng, address));
        build_device(build, json_pack("{s:s, s:s, s:s}", "id", "rng0", "kind", "rng", "address", address));
}

void rng_steps(struct build *build)
{
        if (build->devices->rng.set)
                build_step(build, SOURCE, EFFECT_DEVICE_OPEN,
                           json_pack("{s:s, s:[s], s:s}", "path", build->spec->rng.source, "fds", "rng0",
                                     "access", "ro"));
}
