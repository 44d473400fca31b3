/* The memory balloon: the device, and what it is told before the guest starts. */

#include "launcher/plan/builder.h"

#define BALLOON "balloon0"

int balloon_check(struct build *build, struct error **err)
{
        if (build->spec->balloon.model == BALLOON_MODEL_NONE ||
            qemu_has_device(build->in->qemu, "virtio-balloon-pci"))
                return 0;
        build_need_device(build, "BALLOON/MODEL", "virtio-balloon-pci", err);
        return error_hint(err, "BALLOON = [ MODEL = \"none\" ] does without");
}

void balloon_args(struct build *build)
{
        const struct balloon_spec *balloon = &build->spec->balloon;
        _cleanup_text_ struct text because = TEXT_INIT;
        json_t *device;

        if (build->spec->balloon.model == BALLOON_MODEL_NONE)
                return;
        device = json_pack("{s:s, s:s}", "driver", "virtio-balloon-pci", "id", BALLOON);
        build_refer(build, &because, "BALLOON/MODEL");
        if (balloon->autodeflate) {
                json_object_set_new(device, "deflate-on-oom", json_true());
                build_refer(build, &because, "BALLOON/AUTODEFLATE");
        }
        if (balloon->free_page_reporting) {
                json_object_set_new(device, "free-page-reporting", json_true());
                build_refer(build, &because, "BALLOON/FREE_PAGE_REPORTING");
        }
        build_set_address(device, build_pci_address(build, BALLOON));
        build_json(build, text_str(&because), "-device", device);
        build_device(build, json_pack("{s:s, s:s}", "id", BALLOON, "kind", "balloon"));
}

void balloon_steps(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        if (spec->balloon.model == BALLOON_MODEL_NONE)
                return;
        if (spec->memory_max && spec->memory_resize_mode == MEMORY_BALLOONING)
                build_step(build, "MEMORY MEMORY_MAX MEMORY_RESIZE_MODE", EFFECT_QMP,
                           json_pack("{s:s, s:{s:I}}", "execute", "balloon", "arguments", "value",
                                     (json_int_t)spec->memory));
        if (spec->balloon.stats_period)
                build_step(build, "BALLOON/STATS_PERIOD", EFFECT_QMP,
                           json_pack("{s:s, s:{s:s, s:s, s:I}}", "execute", "qom-set", "arguments", "path",
                                     "/machine/peripheral/" BALLOON, "property",
                                     "guest-stats-polling-interval", "value",
                                     (json_int_t)spec->balloon.stats_period));
}
