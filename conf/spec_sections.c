#include "conf/spec_sections.h"

#include "conf/spec_blank.h"
#include "conf/spec_rules.h"

/* Always there: every key has a default or nothing follows from its absence. */
#define SINGLE(rows, field)                                                    \
        {                                                                      \
                .section = &(rows), .record = offsetof(struct vm_spec, field), \
                .size = sizeof(((struct vm_spec *)0)->field)                   \
        }
/* There when the vector is. */
#define OPTIONAL(rows, field)                                                  \
        {                                                                      \
                .section = &(rows), .record = offsetof(struct vm_spec, field), \
                .size = sizeof(((struct vm_spec *)0)->field),                  \
                .present = offsetof(struct vm_spec, field.present)             \
        }
#define REPEATED(rows, field, most, words)                                                                   \
        {                                                                                                    \
                .section = &(rows), .record = offsetof(struct vm_spec, field),                               \
                .count = offsetof(struct vm_spec, n_##field), .size = sizeof(*((struct vm_spec *)0)->field), \
                .max = (most), .plural = (words)                                                             \
        }

const struct spec_section spec_sections[SPEC_SECTIONS] = {
        SINGLE(attr_os, os),
        SINGLE(attr_features, features),
        SINGLE(attr_cpu_model, cpu_model),
        OPTIONAL(attr_hyperv, hyperv),
        OPTIONAL(attr_smbios, smbios),
        OPTIONAL(attr_topology, topology),
        REPEATED(attr_numa_node, numa_nodes, SPEC_MAX_NUMA_NODES, "NUMA nodes"),
        REPEATED(attr_dimm, dimms, SPEC_MAX_DIMMS, "memory modules"),
        OPTIONAL(attr_memory_backing, memory_backing),
        OPTIONAL(attr_memory_encryption, memory_encryption),
        OPTIONAL(attr_balloon, balloon),
        OPTIONAL(attr_clock, clock),
        OPTIONAL(attr_pm, pm),
        OPTIONAL(attr_iommu, iommu),
        REPEATED(attr_timer, timers, SPEC_MAX_TIMERS, "timers"),
        OPTIONAL(attr_panic, panic),
        OPTIONAL(attr_cputune, cputune),
        REPEATED(attr_numatune, numatunes, SPEC_MAX_NUMA_NODES + 1, "vectors"),
        OPTIONAL(attr_memtune, memtune),
        OPTIONAL(attr_blkiotune, blkiotune),
        OPTIONAL(attr_graphics, graphics),
        OPTIONAL(attr_video, video),
        OPTIONAL(attr_sound, sound),
        OPTIONAL(attr_rng, rng),
        OPTIONAL(attr_watchdog, watchdog),
        OPTIONAL(attr_tpm, tpm),
        OPTIONAL(attr_vsock, vsock),
        OPTIONAL(attr_smartcard, smartcard),
        REPEATED(attr_disk, disks, SPEC_MAX_DISKS, "disks"),
        REPEATED(attr_nic, nics, SPEC_MAX_NICS, "NICs"),
        REPEATED(attr_serial, serials, SPEC_MAX_SERIALS, "serial ports"),
        REPEATED(attr_parallel, parallels, SPEC_MAX_PARALLELS, "parallel ports"),
        REPEATED(attr_input, inputs, SPEC_MAX_INPUTS, "input devices"),
        REPEATED(attr_redirfilter, redirfilters, SPEC_MAX_REDIRFILTERS, "rules"),
        REPEATED(attr_console, consoles, SPEC_MAX_DEVICES, "consoles"),
        REPEATED(attr_channel, channels, SPEC_MAX_DEVICES, "channels"),
        REPEATED(attr_filesystem, filesystems, SPEC_MAX_DEVICES, "shared directories"),
        REPEATED(attr_shmem, shmems, SPEC_MAX_DEVICES, "shared memories"),
        REPEATED(attr_pci, pcis, SPEC_MAX_DEVICES, "PCI devices"),
        REPEATED(attr_usb, usbs, USB_ID_MAX + 1, "USB devices"),
        REPEATED(attr_raw, raws, SPEC_MAX_RAWS, "pieces"),
        { .section = NULL },
};

const struct spec_section *spec_section_find(const struct attr_section *section)
{
        /* Who asks for one key of a disk asks for all of them. */
        static const struct spec_section *last = spec_sections;

        if (last->section == section)
                return last;
        /* Or for one after the other. */
        if (last->section && last[1].section == section)
                return ++last;
        for (const struct spec_section *row = spec_sections; row->section; row++)
                if (row->section == section)
                        return last = row;
        return NULL;
}

size_t spec_section_count(const struct spec_section *row, const struct vm_spec *spec)
{
        return row->count ? *(const size_t *)((const char *)spec + row->count) : 1;
}

void *spec_section_record(const struct spec_section *row, const struct vm_spec *spec, size_t index)
{
        char *member = (char *)spec + row->record;

        if (index >= spec_section_count(row, spec))
                return NULL;
        return row->count ? *(char **)member + index * row->size : member;
}

bool spec_section_present(const struct spec_section *row, const struct vm_spec *spec)
{
        return !row->present || *(const bool *)((const char *)spec + row->present);
}

struct origin origin_of_default(const char *dflt)
{
        return (struct origin){ .layer = LAYER_DEFAULT, .text = dflt, .text_is_rows = true };
}

void origin_done(struct origin *origin)
{
        if (!origin->text_is_rows)
                free((char *)origin->text);
        *origin = (struct origin){ 0 };
}

void spec_section_done(const struct attr_section *rows, void *record)
{
        struct section *section = record;
        struct origin *origins = section->origins;

        if (section->blank)
                spec_blank_done(section->blank, record);
        for (size_t i = 0; origins && i < rows->n_rows; i++)
                if (origins[i].text && !origins[i].text_is_rows)
                        free((char *)origins[i].text);
        free(origins);
}
