/*
 * spec_rules - what the files that make a spec share (spec_build.c and the spec_*.c beside it); private to them.
 */
#pragma once

#include "conf/attr.h"
#include "conf/site.h"
#include "conf/spec_build.h"
#include "conf/vm_spec.h"

#define SPEC_MAX_DISKS        256
#define SPEC_MAX_NICS         256
#define SPEC_MAX_SERIALS      4 /* of a PC */
#define SPEC_MAX_PARALLELS    3
#define SPEC_MAX_INPUTS       (INPUT_LAST_ID + 1)
#define SPEC_MAX_REDIRFILTERS 64
#define SPEC_MAX_TIMERS       6
#define SPEC_MAX_DIMMS        256 /* QEMU, ACPI_MAX_RAM_SLOTS */
/* Linux uses no smaller piece of a memory module; a virtio-mem device plugs blocks (qemu-lab 6). */
#define DIMM_GRAIN       (128ull << 20)
#define VIRTIO_MEM_BLOCK (2ull << 20)
#define SPEC_MAX_DEVICES 16 /* of other kinds that repeat */
#define SPEC_MAX_RAWS    64

struct spec_builder {
        const struct template *template;
        const struct site *site;
        struct vm_spec *spec;
        struct error *errors;
        unsigned n_errors;
        size_t n_snippet_items; /* elements and attributes of snippets (snippet.c) */
        const struct template_attribute
                *defaults[4]; /* NIC_DEFAULT and its like that were given; ends with NULL */
};

/* Takes the error, gives it its excerpt and keeps it, up to twenty. */
void spec_report(struct spec_builder *builder, struct error *error);
void spec_fail(struct spec_builder *builder, const struct source_pos *pos, const char *format, ...)
        __attribute__((cold, format(printf, 3, 4)));
/* The same of what stands at another place too: the message ends with it. */
void spec_fail_twice(struct spec_builder *builder, const struct source_pos *pos,
                     const struct source_pos *other, const char *format, ...)
        __attribute__((cold, format(printf, 4, 5)));
void spec_warn(struct spec_builder *builder, const struct source_pos *pos, const char *format, ...)
        __attribute__((cold, format(printf, 3, 4)));
/* The origin of KEY in a section that has been filled; KEY must be a row of it. */
const struct origin *spec_origin(const struct attr_section *section, const void *record, const char *key);
/* The same to be changed, for spec_set_origin(); one that spec_origin() has lent before is not it. */
struct origin *spec_own_origin(const struct attr_section *section, void *record, const char *key);
/* As if nobody had given the value: a layer's default that this VM has no use for. The field stays. */
void spec_drop_origin(const struct attr_section *section, void *record, const char *key);
/* A value was given, by whatever layer, and is not empty. */
bool spec_is_given(const struct attr_section *section, const void *record, const char *key);

/* It was not given, or its text could be read: the field holds what was meant. */
bool spec_is_read(const struct attr_section *section, const void *record, const char *key);
/* The value as if nobody had given one: the row's default is not filled in. */
void spec_forget(const struct attr_section *section, const struct attr *row, void *record);

bool spec_text_is_empty(const char *s);

/* A value of a text, before anything is known of it. */
struct spec_value {
        enum layer layer;
        const char *text; /* lent by the tree */
        struct source_pos pos;
};

/*
 * The first layer that has a value for the row, which a text that is present and empty ends and an empty switch or
 * number does not. given: the value of the template's vector (NULL: there is none, or the row is top-level).
 */
bool spec_look_up_in(const struct spec_builder *builder, const struct attr_section *section,
                     const struct template_value *given, const struct attr *row, struct spec_value *ret);
/* Whether there is nothing to look up in but the template's own attribute: no layer, no NIC_DEFAULT and its like. */
bool spec_is_only_given(const struct spec_builder *builder);
/* Which value of a vector (may be NULL) is of which row of its section: the first one. ret: n_rows pointers, all NULL. */
void spec_sort_values(const struct attr_section *section, const struct template_attribute *vector,
                      const struct template_value **ret);
/* Of the top level, or of the first vector of a section. */
bool spec_look_up(const struct spec_builder *builder, const struct attr_section *section, const char *key,
                  struct spec_value *ret);
/* NIC_DEFAULT and its like, once for all devices: before any look-up. */
void spec_find_defaults(struct spec_builder *builder);
/* text and pos (NULL: none) are copied. */
void spec_set_origin(struct vm_spec *spec, struct origin *origin, enum layer layer, const char *text,
                     const struct source_pos *pos);
/* Makes a path of any layer absolute; only a VM template has a directory that it can start from. New string. */
char *spec_resolve_path(struct spec_builder *builder, const char *full_name, const struct origin *origin,
                        const char *base_dir, const char *path);

/* DISK_ID, NIC_ID: who has none gets the first free number. */
void spec_number(struct spec_builder *builder);
/* VCPU_PLUGGED, MEMORY_PLUGGED and DIMM: within what there is room for. */
void spec_check_plugged(struct spec_builder *builder);
/* One more record of a section that repeats, with the layers' values and defaults; NULL is never returned. */
void *spec_add_record(struct spec_builder *builder, const struct attr_section *section);

/* What the attributes leave open, a section each; in this order. */
void spec_set_identity(struct spec_builder *builder, const char *default_name);
void spec_set_machine(struct spec_builder *builder, const char *base_dir);
void spec_set_capacity(struct spec_builder *builder);
void spec_set_numa(struct spec_builder *builder);
/* CPUs and memory nodes of the host: those of CPUTUNE, and NUMATUNE. */
void spec_set_pins(struct spec_builder *builder);
/* The part of it about firmware and architecture, about the CPU model, and about the clock. */
void spec_set_firmware(struct spec_builder *builder, const char *base_dir);
void spec_set_cpu(struct spec_builder *builder);
void spec_set_clock(struct spec_builder *builder);
void spec_set_iommu(struct spec_builder *builder);
void spec_set_disks(struct spec_builder *builder, const char *base_dir);
void spec_set_nics(struct spec_builder *builder);
void spec_set_display(struct spec_builder *builder);
void spec_set_boot_order(struct spec_builder *builder);
void spec_set_devices(struct spec_builder *builder, const char *base_dir);
void spec_set_serials(struct spec_builder *builder, const char *base_dir);
void spec_set_shmems(struct spec_builder *builder, const char *base_dir);
void spec_set_raws(struct spec_builder *builder);
void spec_set_hostdevs(struct spec_builder *builder);
/* The part of it about places in the guest. */
void spec_set_hostdev_places(struct spec_builder *builder);
struct spec_pci_address {
        unsigned domain, bus, slot, function;
};
/* "0000:3b:00.0", with a colon in the end as OpenNebula's monitoring has it, or without the domain. */
bool spec_read_pci_address(const char *text, bool has_domain, struct spec_pci_address *ret);

/* Rules that span attributes; nothing is changed but values that count only with others. */
void spec_check(struct spec_builder *builder);
/* The parts of it about disks, NICs, limits, processors and memory. */
void spec_check_disks(struct spec_builder *builder);
void spec_check_nics(struct spec_builder *builder);
void spec_check_display(struct spec_builder *builder);
void spec_check_limits(struct spec_builder *builder);
/* About SMBIOS, and enlightenments. */
void spec_check_board(struct spec_builder *builder);
void spec_check_hyperv(struct spec_builder *builder);
void spec_check_capacity(struct spec_builder *builder);

/*
 * A helper process maps guest memory too (virtiofsd, another vhost-user backend): reference is what asks for it,
 * "FILESYSTEM[0]/DRIVER", with its place. Fails when MEMORY_ACCESS says private. For spec_set_*() functions.
 */
void spec_share_memory(struct spec_builder *builder, const char *reference, const struct source_pos *pos);
void spec_check_firmware(struct spec_builder *builder);
