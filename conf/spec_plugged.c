/* vCPUs and memory that were plugged into a running VM (live.tmpl): within what it has room for. */
#include "base/text.h"
#include "conf/spec_rules.h"

static const struct source_pos *place(const struct attr_section *section, const void *record, const char *key)
{
        return &spec_origin(section, record, key)->pos;
}

static void check_dimms(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        uint64_t room = vm_spec_memory_room(spec);

        for (size_t i = 0; i < spec->n_dimms; i++) {
                const struct dimm_spec *dimm = &spec->dimms[i];
                _cleanup_free_ char *size = text_from_size(dimm->size);

                if (!spec_is_given(&attr_dimm, dimm, "SIZE"))
                        spec_fail(builder, &dimm->section.pos, "DIMM: SIZE has to be given");
                else if (dimm->size % DIMM_GRAIN)
                        spec_fail(
                                builder, place(&attr_dimm, dimm, "SIZE"),
                                "DIMM/SIZE: %s is no multiple of 128 MiB, of which guests use memory modules",
                                size);
                if (spec->memory_resize_mode != MEMORY_HOTPLUG || !room)
                        spec_fail(builder, &dimm->section.pos,
                                  "DIMM: needs MEMORY_RESIZE_MODE = \"HOTPLUG\" and MEMORY_MAX above MEMORY");
                else if (dimm->id >= spec->memory_slots)
                        spec_fail(builder, &dimm->section.pos, "DIMM: there are %u slots (MEMORY_SLOTS)",
                                  spec->memory_slots);
        }
        if (spec->n_dimms && room && vm_spec_dimms(spec) > room) {
                _cleanup_free_ char *all = text_from_size(vm_spec_dimms(spec)), *left = text_from_size(room);

                spec_fail(builder, &spec->dimms[spec->n_dimms - 1].section.pos,
                          "DIMM: %s together are more than the %s between MEMORY and MEMORY_MAX", all, left);
        }
}

void spec_check_plugged(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        _cleanup_free_ char *plugged = text_from_size(spec->memory_plugged);

        if (spec->vcpu + spec->vcpu_plugged > vm_spec_vcpu_max(spec))
                spec_fail(builder, place(&attr_vm, spec, "VCPU_PLUGGED"),
                          "VCPU_PLUGGED: with %u there are %u vCPUs, and there are places for %u (VCPU_MAX)",
                          spec->vcpu_plugged, spec->vcpu + spec->vcpu_plugged, vm_spec_vcpu_max(spec));
        if (spec->memory_plugged && spec->memory_resize_mode != MEMORY_VIRTIO_MEM)
                spec_fail(builder, place(&attr_vm, spec, "MEMORY_PLUGGED"),
                          "MEMORY_PLUGGED: needs MEMORY_RESIZE_MODE = \"VIRTIO_MEM\"");
        else if (spec->memory_plugged > vm_spec_memory_room(spec)) {
                _cleanup_free_ char *room = text_from_size(vm_spec_memory_room(spec));

                spec_fail(builder, place(&attr_vm, spec, "MEMORY_PLUGGED"),
                          "MEMORY_PLUGGED: %s is more than the %s between MEMORY and MEMORY_MAX", plugged,
                          room);
        } else if (spec->memory_plugged % VIRTIO_MEM_BLOCK)
                spec_fail(builder, place(&attr_vm, spec, "MEMORY_PLUGGED"),
                          "MEMORY_PLUGGED: %s is no multiple of 2 MiB", plugged);
        check_dimms(builder);
}
