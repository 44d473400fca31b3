/* Processors and memory: what follows from what, and what does not go together. */
#include <string.h>

#include "base/text.h"
#include "conf/spec_rules.h"

static const struct source_pos *place(const struct attr_section *section, const void *record, const char *key)
{
        return &spec_origin(section, record, key)->pos;
}

bool spec_is_read(const struct attr_section *section, const void *record, const char *key)
{
        return !spec_origin(section, record, key)->is_wrong;
}

static uint64_t whole_grains(uint64_t bytes)
{
        return (bytes + MEMORY_GRAIN - 1) / MEMORY_GRAIN * MEMORY_GRAIN;
}

/* A layer's value is a default for every VM; what it cannot be for this one is said and left. */
static bool is_of_template(const struct origin *origin)
{
        return origin->layer == LAYER_TEMPLATE;
}

static void set_vcpus(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        const struct origin *vcpu = spec_origin(&attr_vm, spec, "VCPU"),
                            *max = spec_origin(&attr_vm, spec, "VCPU_MAX");

        if (!spec->vcpu_max || !spec->vcpu)
                return;
        if (vcpu->layer <= LAYER_DEFAULT) {
                _cleanup_free_ char *text = xasprintf("%u", spec->vcpu_max);

                spec->vcpu = spec->vcpu_max;
                spec_set_origin(spec, spec_own_origin(&attr_vm, spec, "VCPU"), LAYER_RULE, text, NULL);
        } else if (spec->vcpu_max < spec->vcpu && is_of_template(max)) {
                spec_fail(builder, &max->pos, "VCPU_MAX: %u is less than VCPU of %u", spec->vcpu_max,
                          spec->vcpu);
        } else if (spec->vcpu_max < spec->vcpu) {
                spec_warn(builder, &max->pos,
                          "VCPU_MAX: %u is less than the VM's VCPU of %u, which has no places for more",
                          spec->vcpu_max, spec->vcpu);
                spec->vcpu_max = 0;
                spec_drop_origin(&attr_vm, spec, "VCPU_MAX");
        }
}

static bool any_is_given(const struct attr_section *section, const void *record)
{
        for (size_t i = 0; i < section->n_rows; i++)
                if (section->rows[i].has_field && spec_is_given(section, record, section->rows[i].name))
                        return true;
        return false;
}

void spec_share_memory(struct spec_builder *builder, const char *reference, const struct source_pos *pos)
{
        struct vm_spec *spec = builder->spec;

        spec->memory_shared = true;
        if (!spec->memory_shared_by)
                spec->memory_shared_by = xstrdup(reference);
        if (spec->topology.memory_access == MEMORY_ACCESS_PRIVATE)
                spec_fail(builder, pos,
                          "%s: needs shared memory, and TOPOLOGY/MEMORY_ACCESS of line %u says private",
                          reference, place(&attr_topology, &spec->topology, "MEMORY_ACCESS")->line);
}

/* What an encrypted guest uses is locked: without a limit it could take all memory of the host. */
static void set_encrypted_limit(struct vm_spec *spec)
{
        const struct origin *limit = spec_origin(&attr_memtune, &spec->memtune, "HARD_LIMIT");
        _cleanup_free_ char *text = NULL;

        if (spec->memory_encryption.type == MEMORY_ENCRYPTION_NONE || limit->layer != LAYER_NONE)
                return;
        spec->memtune.present = true;
        spec->memtune.hard_limit = vm_spec_ram(spec) + vm_spec_memory_room(spec) + spec->memory_tune_offset;
        text = text_from_size(spec->memtune.hard_limit);
        spec_set_origin(spec, spec_own_origin(&attr_memtune, &spec->memtune, "HARD_LIMIT"), LAYER_RULE, text,
                        NULL);
}

/* Of memory of huge pages the host can neither merge any nor take any back, unless a template says that it shall. */
static void set_hugepages(struct vm_spec *spec)
{
        struct memory_backing_spec *backing = &spec->memory_backing;
        const struct origin *hugepages = spec_origin(&attr_memory_backing, backing, "HUGEPAGES"),
                            *merge = spec_origin(&attr_memory_backing, backing, "NOSHAREPAGES"),
                            *model = spec_origin(&attr_balloon, &spec->balloon, "MODEL");

        if (!vm_spec_has_hugepages(spec))
                return;
        if (!is_of_template(hugepages) && !backing->hugepages) {
                backing->hugepages = true;
                spec_set_origin(spec, spec_own_origin(&attr_memory_backing, backing, "HUGEPAGES"), LAYER_RULE,
                                "yes", NULL);
        }
        if (!is_of_template(merge) && !backing->nosharepages) {
                backing->nosharepages = true;
                spec_set_origin(spec, spec_own_origin(&attr_memory_backing, backing, "NOSHAREPAGES"),
                                LAYER_RULE, "yes", NULL);
        }
        if (!is_of_template(model) && spec->balloon.model != BALLOON_MODEL_NONE) {
                spec->balloon.model = BALLOON_MODEL_NONE;
                spec_set_origin(spec, spec_own_origin(&attr_balloon, &spec->balloon, "MODEL"), LAYER_RULE,
                                "none", NULL);
        }
}

void spec_set_capacity(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        spec->memory = whole_grains(spec->memory);
        spec->memory_max = whole_grains(spec->memory_max);
        set_vcpus(builder);
        if (spec->topology.memory_access == MEMORY_ACCESS_SHARED)
                spec_share_memory(builder, "TOPOLOGY/MEMORY_ACCESS",
                                  place(&attr_topology, &spec->topology, "MEMORY_ACCESS"));
        set_hugepages(spec);
        set_encrypted_limit(spec);
        /* What a layer says is in force without the vector, so live.tmpl has to have it. */
        spec->memory_backing.present |= any_is_given(&attr_memory_backing, &spec->memory_backing);
        spec->balloon.present |= any_is_given(&attr_balloon, &spec->balloon);
}

static void check_topology(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct topology_spec *topology = &spec->topology;
        static const char *const keys[] = { "SOCKETS", "CORES", "THREADS" };
        const char *max_name = vm_spec_vcpu_max(spec) > spec->vcpu ? "VCPU_MAX" : "VCPU";
        unsigned given = 0;
        bool readable = true;
        uint64_t product;

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                given += spec_is_given(&attr_topology, topology, keys[i]);
                readable = readable && spec_is_read(&attr_topology, topology, keys[i]);
        }
        if (given && given < ARRAY_SIZE(keys)) {
                spec_fail(builder, &topology->section.pos,
                          "TOPOLOGY: SOCKETS, CORES and THREADS go together, all three or none");
                return;
        }
        if (!given || !readable || !spec->vcpu)
                return;
        product = (uint64_t)topology->sockets * topology->cores * topology->threads;
        if (product != vm_spec_vcpu_max(spec))
                spec_fail(builder, place(&attr_topology, topology, "SOCKETS"),
                          "TOPOLOGY: %u sockets of %u cores of %u threads are %llu vCPUs, and %s is %u",
                          topology->sockets, topology->cores, topology->threads, (unsigned long long)product,
                          max_name, vm_spec_vcpu_max(spec));
}

static void check_growth(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct origin *max = spec_origin(&attr_vm, spec, "MEMORY_MAX"),
                            *mode = spec_origin(&attr_vm, spec, "MEMORY_RESIZE_MODE"),
                            *slots = spec_origin(&attr_vm, spec, "MEMORY_SLOTS");
        _cleanup_free_ char *memory = text_from_size(spec->memory), *most = text_from_size(spec->memory_max);
        bool grows = spec->memory_max > spec->memory;

        if (!spec->memory || !spec_is_read(&attr_vm, spec, "MEMORY_MAX"))
                return;
        if (spec->memory_max && spec->memory_max < spec->memory)
                spec_fail(builder, &max->pos, "MEMORY_MAX: %s is less than MEMORY of %s", most, memory);
        else if (!grows && is_of_template(mode) && spec->memory_resize_mode != MEMORY_BALLOONING)
                spec_warn(builder, &mode->pos,
                          "MEMORY_RESIZE_MODE: without effect, there is no MEMORY_MAX above MEMORY");
        else if (grows && spec->memory_resize_mode == MEMORY_VIRTIO_MEM &&
                 (spec->memory_max - spec->memory) % VIRTIO_MEM_BLOCK)
                spec_fail(
                        builder, &max->pos,
                        "MEMORY_MAX: %s is not MEMORY of %s and a multiple of 2 MiB, in which VIRTIO_MEM counts",
                        most, memory);
        if (is_of_template(slots) && !(grows && spec->memory_resize_mode == MEMORY_HOTPLUG))
                spec_warn(
                        builder, &slots->pos,
                        "MEMORY_SLOTS: without effect, counts with MEMORY_MAX and MEMORY_RESIZE_MODE = \"HOTPLUG\"");
}

static void fail_without_balloon(struct spec_builder *builder, const char *key)
{
        spec_fail(builder, place(&attr_balloon, &builder->spec->balloon, key),
                  "BALLOON/%s: the VM has no balloon%s", key,
                  vm_spec_has_hugepages(builder->spec) ? ", its memory is of huge pages" : "");
}

/* A balloon that is asked for, by name or by what it has to do. */
static void check_balloon(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct balloon_spec *balloon = &spec->balloon;
        bool is_needed = vm_spec_ram(spec) > spec->memory;

        if (balloon->pressure_floor > spec->memory)
                spec_fail(builder, place(&attr_balloon, balloon, "PRESSURE_FLOOR"),
                          "BALLOON/PRESSURE_FLOOR: it is above MEMORY, so there is nothing to give");
        if (balloon->model == BALLOON_MODEL_VIRTIO) {
                if (vm_spec_has_hugepages(spec))
                        spec_fail(builder, place(&attr_balloon, balloon, "MODEL"),
                                  "BALLOON/MODEL: memory of huge pages is not ballooned");
                return;
        }
        if (is_needed && vm_spec_has_hugepages(spec))
                spec_fail(
                        builder, place(&attr_vm, spec, "MEMORY_MAX"),
                        "MEMORY_MAX: memory of huge pages is not ballooned (try MEMORY_RESIZE_MODE = \"HOTPLUG\")");
        else if (is_needed)
                spec_fail(
                        builder, place(&attr_vm, spec, "MEMORY_MAX"),
                        "MEMORY_MAX: MEMORY_RESIZE_MODE BALLOONING needs a balloon, and BALLOON/MODEL is none");
        if (balloon->stats_period && is_of_template(spec_origin(&attr_balloon, balloon, "STATS_PERIOD")))
                fail_without_balloon(builder, "STATS_PERIOD");
        if (balloon->autodeflate && is_of_template(spec_origin(&attr_balloon, balloon, "AUTODEFLATE")))
                fail_without_balloon(builder, "AUTODEFLATE");
        if (balloon->free_page_reporting &&
            is_of_template(spec_origin(&attr_balloon, balloon, "FREE_PAGE_REPORTING")))
                fail_without_balloon(builder, "FREE_PAGE_REPORTING");
        if (balloon->pressure_floor && is_of_template(spec_origin(&attr_balloon, balloon, "PRESSURE_FLOOR")))
                fail_without_balloon(builder, "PRESSURE_FLOOR");
}

static void check_hugepages(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct memory_backing_spec *backing = &spec->memory_backing;
        const struct origin *hugepages = spec_origin(&attr_memory_backing, backing, "HUGEPAGES");
        uint64_t size = spec->topology.hugepage_size;

        if (size & (size - 1))
                spec_fail(builder, place(&attr_topology, &spec->topology, "HUGEPAGE_SIZE"),
                          "TOPOLOGY/HUGEPAGE_SIZE: no processor has pages of this size (try 2 or 1024)");
        if (size && !backing->hugepages && is_of_template(hugepages))
                spec_fail(builder, &hugepages->pos,
                          "MEMORY_BACKING/HUGEPAGES: TOPOLOGY/HUGEPAGE_SIZE of line %u asks for them",
                          place(&attr_topology, &spec->topology, "HUGEPAGE_SIZE")->line);
        if (vm_spec_has_hugepages(spec) && !backing->nosharepages)
                spec_fail(
                        builder, place(&attr_memory_backing, backing, "NOSHAREPAGES"),
                        "MEMORY_BACKING/NOSHAREPAGES: huge pages are never merged with those of other guests");
}

static void check_encryption(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct memory_encryption_spec *encryption = &spec->memory_encryption;
        const struct origin *offset = spec_origin(&attr_vm, spec, "MEMORY_TUNE_OFFSET");

        if (encryption->present && !spec_is_given(&attr_memory_encryption, encryption, "TYPE"))
                spec_fail(builder, &encryption->section.pos,
                          "MEMORY_ENCRYPTION/TYPE: has to be given (TYPE = \"SEV\")");
        if (encryption->type != MEMORY_ENCRYPTION_NONE && spec->os.firmware_kind == FIRMWARE_BIOS)
                spec_fail(
                        builder, place(&attr_memory_encryption, encryption, "TYPE"),
                        "MEMORY_ENCRYPTION/TYPE: no BIOS runs in encrypted memory (try OS = [ FIRMWARE = \"UEFI\" ])");
        if (!encryption->present && is_of_template(offset))
                spec_warn(builder, &offset->pos,
                          "MEMORY_TUNE_OFFSET: without effect, counts with MEMORY_ENCRYPTION");
}

void spec_check_capacity(struct spec_builder *builder)
{
        check_topology(builder);
        check_growth(builder);
        check_balloon(builder);
        check_hugepages(builder);
        check_encryption(builder);
}
