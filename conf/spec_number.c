/* Numbers of devices: what their ids in QEMU are made of, so they stay when another one goes (live.tmpl). */
#include <stdio.h>

#include "conf/spec_rules.h"

/* The fields of one section's records. */
struct numbered {
        const struct attr_section *section;
        const struct attr *row;
        char *records;
        size_t n, stride, offset;
};

static uint32_t *number_of(const struct numbered *list, size_t i)
{
        return (uint32_t *)(list->records + i * list->stride + list->offset);
}

static struct origin *origin_of(const struct numbered *list, size_t i)
{
        const struct section *head = (const struct section *)(list->records + i * list->stride);

        return &head->origins[list->row - list->section->rows];
}

static bool is_numbered(const struct numbered *list, size_t i)
{
        return origin_of(list, i)->layer != LAYER_NONE;
}

static bool is_taken(const struct numbered *list, uint32_t number, size_t *ret)
{
        for (size_t i = 0; i < list->n; i++)
                if (is_numbered(list, i) && *number_of(list, i) == number) {
                        *ret = i;
                        return true;
                }
        return false;
}

static void number(struct spec_builder *builder, const struct numbered *list)
{
        /* Of those given, the ones that can be in the way: with them and the others 2n numbers are more than enough. */
        _cleanup_free_ bool *given = xcalloc(2 * list->n, sizeof(bool));
        uint32_t next = 0;
        size_t other = 0;

        for (size_t i = 0; i < list->n; i++)
                if (is_numbered(list, i) && is_taken(list, *number_of(list, i), &other) && other < i)
                        spec_fail_twice(builder, &origin_of(list, i)->pos, &origin_of(list, other)->pos,
                                        "%s/%s: %u is also that of", list->section->name, list->row->name,
                                        *number_of(list, i));
        for (size_t i = 0; i < list->n; i++)
                if (is_numbered(list, i) && *number_of(list, i) < 2 * list->n)
                        given[*number_of(list, i)] = true;
        for (size_t i = 0; i < list->n; i++) {
                char text[16];

                if (is_numbered(list, i))
                        continue;
                while (given[next])
                        next++;
                *number_of(list, i) = next++;
                snprintf(text, sizeof(text), "%u", *number_of(list, i));
                spec_set_origin(builder->spec, origin_of(list, i), LAYER_RULE, text, NULL);
        }
}

void spec_number(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        const struct numbered lists[] = {
                { &attr_disk, attr_find(&attr_disk, "DISK_ID"), (char *)spec->disks, spec->n_disks,
                  sizeof(*spec->disks), offsetof(struct disk_spec, id) },
                { &attr_dimm, attr_find(&attr_dimm, "DIMM_ID"), (char *)spec->dimms, spec->n_dimms,
                  sizeof(*spec->dimms), offsetof(struct dimm_spec, id) },
                { &attr_nic, attr_find(&attr_nic, "NIC_ID"), (char *)spec->nics, spec->n_nics,
                  sizeof(*spec->nics), offsetof(struct nic_spec, id) },
                { &attr_filesystem, attr_find(&attr_filesystem, "FS_ID"), (char *)spec->filesystems,
                  spec->n_filesystems, sizeof(*spec->filesystems), offsetof(struct filesystem_spec, id) },
                { &attr_input, attr_find(&attr_input, "INPUT_ID"), (char *)spec->inputs, spec->n_inputs,
                  sizeof(*spec->inputs), offsetof(struct input_spec, id) },
                { &attr_pci, attr_find(&attr_pci, "PCI_ID"), (char *)spec->pcis, spec->n_pcis,
                  sizeof(*spec->pcis), offsetof(struct pci_spec, id) },
                { &attr_usb, attr_find(&attr_usb, "USB_ID"), (char *)spec->usbs, spec->n_usbs,
                  sizeof(*spec->usbs), offsetof(struct usb_spec, id) },
        };

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                if (lists[i].n)
                        number(builder, &lists[i]);
}
