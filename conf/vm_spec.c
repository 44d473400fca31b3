#include "conf/vm_spec.h"

#include <string.h>

#include "base/text.h"
#include "conf/attr.h"
#include "conf/spec_blank.h"
#include "conf/spec_sections.h"

void vm_spec_free(struct vm_spec *spec)
{
        if (!spec)
                return;
        spec_section_done(&attr_vm, spec);
        for (const struct spec_section *row = spec_sections; row->section; row++) {
                size_t n = spec_section_count(row, spec);

                for (size_t i = 0; i < n; i++)
                        spec_section_done(row->section, spec_section_record(row, spec, i));
        }
        for (size_t i = 0; i < spec->n_disks; i++)
                spec_disk_done(&spec->disks[i]);
        for (size_t i = 0; i < spec->n_numa_nodes; i++)
                free(spec->numa_nodes[i].distances);
        for (size_t i = 0; i < spec->n_raws; i++) {
                const struct raw_spec *raw = &spec->raws[i];

                for (size_t w = 0; w < raw->n_words; w++)
                        free(raw->words[w]);
                for (size_t w = 0; w < raw->n_variables; w++)
                        free(raw->variables[w]);
                free(raw->words);
                free(raw->variables);
        }
        for (size_t i = 0; i < spec->cputune.vcpus.n; i++)
                free(spec->cputune.vcpus.items[i].cpus);
        free(spec->cputune.vcpus.items);
        for (size_t i = 0; i < spec->cputune.iothreads.n; i++)
                free(spec->cputune.iothreads.items[i].cpus);
        free(spec->cputune.iothreads.items);
        free(spec->memory_shared_by);
        for (const struct spec_section *row = spec_sections; row->section; row++)
                if (row->count)
                        free(*(void **)((char *)spec + row->record));
        free(spec->os.boot_order);
        for (size_t i = 0; i < spec->cpu_model.n_flags; i++)
                free(spec->cpu_model.flags[i].name);
        free(spec->cpu_model.flags);
        for (size_t i = 0; i < spec->iommu.n_options; i++)
                free(spec->iommu.options[i].value);
        free(spec->iommu.options);
        for (size_t i = 0; i < spec->n_files; i++)
                free(spec->files[i]);
        free(spec->files);
        free(spec->template_file);
        error_free(spec->warnings);
        free(spec);
}

bool vm_spec_is_q35(const struct vm_spec *spec)
{
        return spec->os.machine && (strstr(spec->os.machine, "q35") || strstr(spec->os.machine, "virt"));
}

uint32_t vm_spec_vcpu_max(const struct vm_spec *spec)
{
        return spec->vcpu_max > spec->vcpu ? spec->vcpu_max : spec->vcpu;
}

struct smp vm_spec_smp(const struct vm_spec *spec)
{
        const struct topology_spec *topology = &spec->topology;
        uint32_t max = vm_spec_vcpu_max(spec);

        if (topology->sockets && topology->cores && topology->threads)
                return (struct smp){ topology->sockets, topology->cores, topology->threads };
        return topology->present ? (struct smp){ 1, max, 1 } : (struct smp){ max, 1, 1 };
}

uint64_t vm_spec_ram(const struct vm_spec *spec)
{
        bool balloons = spec->memory_resize_mode == MEMORY_BALLOONING && spec->memory_max > spec->memory;

        return balloons ? spec->memory_max : spec->memory;
}

uint64_t vm_spec_memory_room(const struct vm_spec *spec)
{
        uint64_t ram = vm_spec_ram(spec);

        return spec->memory_max > ram ? spec->memory_max - ram : 0;
}

uint64_t vm_spec_dimms(const struct vm_spec *spec)
{
        uint64_t all = 0;

        for (size_t i = 0; i < spec->n_dimms; i++)
                all += spec->dimms[i].size;
        return all;
}

bool vm_spec_has_hugepages(const struct vm_spec *spec)
{
        return spec->memory_backing.hugepages || spec->topology.hugepage_size;
}

bool vm_spec_is_virt(const struct vm_spec *spec)
{
        return spec->os.machine && text_starts_with(spec->os.machine, "virt");
}

const struct timer_spec *vm_spec_timer(const struct vm_spec *spec, enum timer_name name)
{
        for (size_t i = 0; i < spec->n_timers; i++)
                if (spec->timers[i].name == name)
                        return &spec->timers[i];
        return NULL;
}

/* The section whose name is the first n bytes. */
static const struct spec_section *section_named(const char *name, size_t n)
{
        for (const struct spec_section *row = spec_sections; row->section; row++)
                if (strncmp(row->section->name, name, n) == 0 && !row->section->name[n])
                        return row;
        return NULL;
}

/* "[12]" in front of a '/', or nothing: the index, or 0. */
static bool read_index(const char *text, const char *slash, uint32_t *ret)
{
        uint64_t index = 0;

        *ret = 0;
        if (text == slash)
                return true;
        if (slash - text < 3 || *text != '[' || slash[-1] != ']')
                return false;
        for (text++; text < slash - 1; text++) {
                if (*text < '0' || *text > '9' || index > UINT32_MAX)
                        return false;
                index = index * 10 + (uint64_t)(*text - '0');
        }
        *ret = (uint32_t)index;
        return index <= UINT32_MAX;
}

/* Asked of each word that a plan says: it allocates nothing. */
const struct origin *vm_spec_origin(const struct vm_spec *spec, const char *reference)
{
        const struct attr_section *section = &attr_vm;
        const void *record = spec;
        const char *slash = strchr(reference, '/'), *key = slash ? slash + 1 : reference;
        const struct section *origins;
        const struct attr *row;

        if (slash) {
                size_t n = strcspn(reference, "[/");
                const struct spec_section *member = section_named(reference, n);
                uint32_t index;

                record = member && read_index(reference + n, slash, &index)
                                 ? spec_section_record(member, spec, index)
                                 : NULL;
                if (!record)
                        return NULL;
                section = member->section;
        }
        origins = record;
        if (!origins->blank)
                return NULL;
        row = attr_find(section, key);
        return row && row->state == ATTR_HERE ? spec_row_origin(section, record, row) : NULL;
}

const char *layer_name(enum layer layer)
{
        static const char *const names[] = {
                [LAYER_NONE] = "nothing",
                [LAYER_DEFAULT] = "default",
                [LAYER_DRIVER] = "vmm_exec_kvm.conf",
                [LAYER_CLUSTER] = "cluster.conf",
                [LAYER_HOST] = "host.conf",
                [LAYER_TEMPLATE] = "template",
                [LAYER_RULE] = "rule",
        };

        return names[layer];
}
