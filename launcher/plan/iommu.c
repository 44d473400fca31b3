/* The virtual IOMMU: before all devices, so that it sees them come. */
#include <stdio.h>
#include <string.h>

#include "launcher/plan/builder.h"
#include "launcher/plan/iommu.h"

/* The last slot of pcie.0 before the chipset's own, which beside amd the screen has; root ports fill the slots from 2 on. */
#define VIRTIO_ADDR "0x1e"
#define PORTS_BELOW 224

const char *iommu_device_type(enum iommu_model model)
{
        switch (model) {
        case IOMMU_INTEL:
                return "intel-iommu";
        case IOMMU_AMD:
                return "amd-iommu";
        case IOMMU_VIRTIO:
                return "virtio-iommu-pci";
        case IOMMU_NONE:
        case IOMMU_SMMUV3:
                break;
        }
        return NULL;
}

bool iommu_is_of(const struct vm_spec *spec, const struct pci_spec *pci)
{
        return spec->iommu.present && spec->iommu.mode == IOMMU_MODE_DEVICE && pci->iommu &&
               pci->root == PCI_ROOT_DEDICATED;
}

char *iommu_id_of(const struct vm_spec *spec, const struct pci_spec *pci)
{
        unsigned number;

        if (!iommu_is_of(spec, pci) || !pci->vm_address ||
            sscanf(pci->vm_address, "root%3up1:", &number) != 1)
                return NULL;
        return xasprintf("iommu%u", number);
}

int iommu_check(struct build *build, struct error **err)
{
        const struct iommu_spec *iommu = &build->spec->iommu;
        const char *type = iommu_device_type(iommu->model);

        if (!iommu->present || !type)
                return 0;
        return build_need_device(build, "IOMMU/MODEL", type, err);
}

int iommu_check_place(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;
        bool is_last = spec->iommu.model == IOMMU_VIRTIO ||
                       (spec->iommu.model == IOMMU_AMD && spec->video.type != VIDEO_NONE);

        if (is_last && build->pci.n_ports > PORTS_BELOW)
                return build_error(build, err, ERROR_INVALID, "IOMMU/MODEL",
                                   "has no place beside more than %d root ports", PORTS_BELOW);
        return 0;
}

void iommu_machine_options(const struct build *build, struct text *value, struct text *because)
{
        enum iommu_model model = build->spec->iommu.model;

        if (model == IOMMU_SMMUV3 && build->spec->iommu.mode == IOMMU_MODE_DEVICE)
                return; /* expander.c */
        if (model == IOMMU_SMMUV3)
                keyval_add(value, "iommu", "smmuv3");
        else if ((model == IOMMU_INTEL || model == IOMMU_AMD) && build->accel == ACCEL_KVM)
                /* Interrupts are remapped in QEMU, not in the kernel. */
                keyval_add(value, "kernel_irqchip", "split");
        else
                return;
        build_refer(build, because, "IOMMU/MODEL");
}

/* QEMU tells a switch from one that may be auto, also in JSON. */
static bool is_on_off_auto(const char *property)
{
        return strcmp(property, "intremap") == 0 || strcmp(property, "eim") == 0;
}

void iommu_args(struct build *build)
{
        const struct iommu_spec *iommu = &build->spec->iommu;
        const char *type = iommu_device_type(iommu->model);
        _cleanup_text_ struct text because = TEXT_INIT;
        json_t *device;

        if (!iommu->present || !type)
                return;
        device = json_pack("{s:s, s:s}", "driver", type, "id", "iommu0");
        if (iommu->model == IOMMU_VIRTIO) {
                json_object_set_new(device, "bus", json_string("pcie.0"));
                json_object_set_new(device, "addr", json_string(VIRTIO_ADDR));
        }
        for (size_t i = 0; i < iommu->n_options; i++) {
                const struct iommu_option *option = &iommu->options[i];
                uint32_t number = 0;

                if (option->is_number && text_parse_u32(option->value, &number))
                        json_object_set_new(device, option->property, json_integer(number));
                else if (is_on_off_auto(option->property))
                        json_object_set_new(device, option->property, json_string(option->value));
                else
                        json_object_set_new(device, option->property,
                                            json_boolean(strcmp(option->value, "on") == 0));
        }
        build_refer(build, &because, "IOMMU/MODEL");
        build_refer(build, &because, "IOMMU/OPTIONS");
        build_json(build, text_str(&because), "-device", device);
        build_device(build, json_pack("{s:s, s:s, s:s}", "id", "iommu0", "kind", "iommu", "model", type));
}
