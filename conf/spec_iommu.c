/* IOMMU: its options, and the machines it is for. */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/spec_rules.h"

#define AW_BITS_MIN 39
#define AW_BITS_MAX 64

/* opennebula-semantics 3.12 with QEMU's names. */
static const struct option_row {
        const char *key, *property;
        bool intel, amd, is_number;
} option_rows[] = {
        { "intremap", "intremap", .intel = true, .amd = true },
        { "caching_mode", "caching-mode", .intel = true },
        { "eim", "eim", .intel = true },
        { "iotlb", "device-iotlb", .intel = true, .amd = true },
        { "aw_bits", "aw-bits", .intel = true, .is_number = true },
        { "dma_translation", "dma-translation", .intel = true },
        { "passthrough", "pt", .intel = true, .amd = true },
        { "xtsup", "xtsup", .amd = true },
};

static const struct option_row *find_row(const char *key)
{
        for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++)
                if (strcasecmp(option_rows[i].key, key) == 0)
                        return &option_rows[i];
        return NULL;
}

static bool row_fits(const struct option_row *row, enum iommu_model model)
{
        return (row->intel && model == IOMMU_INTEL) || (row->amd && model == IOMMU_AMD);
}

static void add(struct iommu_spec *iommu, const char *property, const char *value, bool is_number)
{
        ARRAY_GROW(iommu->options, iommu->n_options);
        iommu->options[iommu->n_options++] = (struct iommu_option){ .property = property,
                                                                    .value = xstrdup(value),
                                                                    .is_number = is_number };
}

static bool has(const struct iommu_spec *iommu, const char *property)
{
        for (size_t i = 0; i < iommu->n_options; i++)
                if (strcmp(iommu->options[i].property, property) == 0)
                        return true;
        return false;
}

static void add_option(struct spec_builder *builder, const struct source_pos *pos, char *word)
{
        struct iommu_spec *iommu = &builder->spec->iommu;
        _cleanup_free_ char *shown = text_printable(word);
        char *equals = strchr(word, '=');
        const struct option_row *row;
        uint32_t number;
        bool on;

        if (equals)
                *equals = '\0';
        row = find_row(word);
        if (!equals || !row || !row_fits(row, iommu->model)) {
                spec_fail(builder, pos, "IOMMU/OPTIONS: '%s' is not an option of this MODEL (KEY=VALUE)",
                          shown);
        } else if (has(iommu, row->property)) {
                spec_fail(builder, pos, "IOMMU/OPTIONS: %s is given twice", row->key);
        } else if (row->is_number) {
                if (text_parse_u32(equals + 1, &number) && number >= AW_BITS_MIN && number <= AW_BITS_MAX)
                        add(iommu, row->property, equals + 1, true);
                else
                        spec_fail(builder, pos, "IOMMU/OPTIONS: '%s' is out of range (%d to %d)", shown,
                                  AW_BITS_MIN, AW_BITS_MAX);
        } else if (text_parse_bool(equals + 1, &on)) {
                add(iommu, row->property, on ? "on" : "off", false);
        } else {
                spec_fail(builder, pos, "IOMMU/OPTIONS: '%s' is neither on nor off", shown);
        }
}

/* QEMU has one of the others for the whole machine. */
static void check_mode(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct source_pos *pos = &spec_origin(&attr_iommu, &spec->iommu, "MODE")->pos;
        bool any = false;

        if (spec->iommu.mode != IOMMU_MODE_DEVICE)
                return;
        for (size_t i = 0; i < spec->n_pcis; i++)
                any = any || (spec->pcis[i].iommu && spec->pcis[i].root == PCI_ROOT_DEDICATED);
        if (spec->iommu.model != IOMMU_SMMUV3)
                spec_fail(builder, pos,
                          "IOMMU/MODE: device is of MODEL smmuv3, the others are of the machine");
        else if (!any)
                spec_fail(builder, pos,
                          "IOMMU/MODE: device goes with a PCI that has ROOT dedicated and IOMMU yes");
}

void spec_set_iommu(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        struct iommu_spec *iommu = &spec->iommu;
        const struct origin *model = spec_origin(&attr_iommu, iommu, "MODEL");
        bool is_arm = spec->os.arch && strcmp(spec->os.arch, "aarch64") == 0;

        if (!iommu->present)
                return;
        if (!iommu->model) {
                /* A word that is none has been said already. */
                if (!spec_is_given(&attr_iommu, iommu, "MODEL"))
                        spec_fail(builder, &iommu->section.pos,
                                  "IOMMU: MODEL has to be given (for example MODEL = \"intel\")");
                return;
        }
        if (!vm_spec_is_q35(spec))
                spec_fail(builder, &model->pos, "IOMMU/MODEL: needs MACHINE = \"q35\", a '%s' has no IOMMU",
                          spec->os.machine);
        else if (iommu->model == IOMMU_SMMUV3 && !is_arm)
                spec_fail(builder, &model->pos, "IOMMU/MODEL: smmuv3 is for ARM guests (ARCH = \"aarch64\")");
        else if ((iommu->model == IOMMU_INTEL || iommu->model == IOMMU_AMD) && is_arm)
                spec_fail(builder, &model->pos, "IOMMU/MODEL: an ARM guest has smmuv3 or virtio");
        check_mode(builder);
        for (const char *list = iommu->options_text; list && *list;) {
                size_t start = strspn(list, " \t\n"), n = strcspn(list + start, " \t\n");
                _cleanup_free_ char *word = xstrndup(list + start, n);

                if (*word)
                        add_option(builder, &spec_origin(&attr_iommu, iommu, "OPTIONS")->pos, word);
                list += start + n;
        }
        /* Interrupts of passed-through devices need the one, their memory the other. */
        if (iommu->model == IOMMU_INTEL && !has(iommu, "intremap"))
                add(iommu, "intremap", "on", false);
        if (iommu->model == IOMMU_INTEL && !has(iommu, "caching-mode"))
                add(iommu, "caching-mode", "on", false);
}
