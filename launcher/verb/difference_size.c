#include "launcher/verb/difference_size.h"

#include <stdlib.h>

#include "base/text.h"
#include "conf/spec_rules.h"

static void set_number(struct template *wanted, const char *name, uint64_t number)
{
        _cleanup_free_ char *value = xasprintf("%llu", (unsigned long long)number);

        template_set(wanted, name, value);
}

static void set_size(struct template *wanted, const char *name, uint64_t bytes)
{
        _cleanup_free_ char *value = bytes ? text_from_size(bytes) : xstrdup("0");

        template_set(wanted, name, value);
}

static void add_dimm(struct template *wanted, uint64_t bytes)
{
        struct template_attribute dimm = { .name = xstrdup("DIMM"), .is_vector = true };
        _cleanup_free_ char *size = text_from_size(bytes);

        template_set_pair(&dimm, "SIZE", size, &dimm.name_pos);
        ARRAY_GROW(wanted->attributes, wanted->n_attributes);
        wanted->attributes[wanted->n_attributes++] = dimm;
}

/* Whole modules are kept, so that what they have together is wanted; the last ones go. Can it be? */
static bool keep_dimms(const struct vm_spec *now, uint64_t bytes, bool *ret_goes)
{
        uint64_t left = vm_spec_dimms(now) - bytes;

        for (size_t i = now->n_dimms; i-- > 0;) {
                ret_goes[i] = now->dimms[i].size <= left;
                left -= ret_goes[i] ? now->dimms[i].size : 0;
        }
        return !left;
}

static void set_dimms(const struct vm_spec *now, uint64_t memory, struct template *wanted)
{
        _cleanup_free_ bool *goes = xcalloc(now->n_dimms + 1, sizeof(*goes));
        uint64_t has = now->memory + vm_spec_dimms(now), more = memory > has ? memory - has : 0;
        bool fits = memory >= now->memory && memory <= now->memory + vm_spec_memory_room(now) &&
                    (more ? more % DIMM_GRAIN == 0 && now->n_dimms < now->memory_slots
                          : keep_dimms(now, memory - now->memory, goes));

        for (size_t i = 0; i < now->n_dimms; i++)
                if (!fits || !goes[i])
                        add_dimm(wanted, now->dimms[i].size);
        if (!fits)
                return;
        if (more)
                add_dimm(wanted, more);
        set_size(wanted, "MEMORY", now->memory);
}

void difference_of_size(const struct change *change, const struct vm_spec *spec, struct template *wanted)
{
        const struct vm_spec *now = change->before.spec;
        uint32_t vcpus = spec->vcpu + spec->vcpu_plugged;
        uint64_t memory = spec->memory + spec->memory_plugged;

        if (vcpus >= now->vcpu && vcpus <= vm_spec_vcpu_max(now)) {
                set_number(wanted, "VCPU", now->vcpu);
                set_number(wanted, "VCPU_PLUGGED", vcpus - now->vcpu);
        }
        if (spec->memory_resize_mode != now->memory_resize_mode || spec->n_dimms)
                return;
        if (now->memory_resize_mode == MEMORY_HOTPLUG) {
                set_dimms(now, memory, wanted);
        } else if (now->memory_resize_mode == MEMORY_VIRTIO_MEM && memory >= now->memory &&
                   memory <= now->memory + vm_spec_memory_room(now) &&
                   (memory - now->memory) % VIRTIO_MEM_BLOCK == 0) {
                set_size(wanted, "MEMORY", now->memory);
                set_size(wanted, "MEMORY_PLUGGED", memory - now->memory);
        }
}
