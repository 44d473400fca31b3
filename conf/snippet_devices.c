/* The small devices of <devices>: libvirt-behaviour section 10. */
#include <string.h>

#include "base/text.h"
#include "conf/snippet_parts.h"

/* Without a model a PC has the ISA device. */
static void read_panic(struct snippet_unit *unit, struct xml_element *element)
{
        const struct xml_attribute *model = snippet_attribute(element, "model");
        const char *name = model ? model->value : "isa";
        const struct source_pos *pos = model ? &model->value_pos : &element->pos;

        if (snippet_is(name, "isa pvpanic"))
                snippet_set(unit, "MODEL", strcmp(name, "isa") == 0 ? "isa" : "pci", pos);
        else
                snippet_set(unit, "MODEL", name, pos);
}

static const struct snippet_row balloon_rows[] = {
        PART("@model", "MODEL"),
        PART("@autodeflate", "AUTODEFLATE"),
        PART("@freePageReporting", "FREE_PAGE_REPORTING"),
        PART("stats@period", "STATS_PERIOD"),
        PARTS_END,
};

/* Of the model there is only virtio's, of a transitional one the guest sees no difference. */
static void read_rng(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row rows[] = {
                PART("@model", "MODEL"),
                PART("rate@bytes", "RATE_BYTES"),
                PART("rate@period", "RATE_PERIOD"),
                PARTS_END,
        };
        struct xml_element *backend = snippet_child(element, "backend");
        _cleanup_free_ char *source = backend ? snippet_text(backend) : NULL;

        snippet_rows(unit, element, rows);
        if (!backend)
                return;
        snippet_demand(unit, backend, "model", "random builtin");
        if (strcmp(snippet_value(backend, "model"), "builtin") == 0)
                snippet_set(unit, "SOURCE", "builtin", &backend->pos);
        else if (*source)
                snippet_set(unit, "SOURCE", source, &backend->text_pos);
}

static const struct snippet_row watchdog_rows[] = {
        PART("@model", "MODEL"),
        PART_WORDS("@action", "ACTION", "dump="),
        PARTS_END,
};

/* Without a model libvirt's is the one that every guest knows. */
static void read_tpm(struct snippet_unit *unit, struct xml_element *element)
{
        const struct xml_attribute *model = snippet_attribute(element, "model");
        struct xml_element *backend = snippet_child(element, "backend");

        snippet_set(unit, "MODEL", model ? model->value : "tpm-tis",
                    model ? &model->value_pos : &element->pos);
        if (!backend)
                return;
        snippet_demand(unit, backend, "type", "emulator");
        snippet_demand(unit, backend, "version", "2.0");
}

static void read_vsock(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row model[] = { PART("@model", "MODEL"), PARTS_END };
        struct xml_element *cid = snippet_child(element, "cid");
        const struct xml_attribute *address = cid ? snippet_attribute(cid, "address") : NULL;

        snippet_rows(unit, element, model);
        if (!cid)
                return;
        snippet_demand(unit, cid, "auto", "yes no");
        /* With auto the address is what it was the last time. */
        if (address && strcmp(snippet_value(cid, "auto"), "yes") != 0)
                snippet_set(unit, "CID", address->value, &address->value_pos);
}

static void read_virtiofs(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row rows[] = { PART("binary/cache@mode", "CACHE"), PARTS_END };
        struct xml_element *binary = snippet_find(element, "binary");

        snippet_demand(unit, element, "accessmode", "passthrough");
        snippet_set(unit, "ACCESSMODE", "passthrough", &element->pos);
        snippet_rows(unit, element, rows);
        if (!binary)
                return;
        /* Which program serves it is the host's affair. */
        binary->taken = true;
        if (snippet_attribute(binary, "path"))
                snippet_note(unit, &binary->pos, "<devices/filesystem>/binary@path");
        snippet_demand(unit, binary, "xattr", "on off");
}

/* libvirt's passthrough lets QEMU set owners as far as it may, and QEMU is not root: what squash does. */
static void read_9p(struct snippet_unit *unit, struct xml_element *element)
{
        const struct xml_attribute *access = snippet_attribute(element, "accessmode");

        if (access && strcmp(access->value, "passthrough") == 0)
                snippet_refuse(
                        unit, &access->value_pos,
                        "<devices/filesystem>: passthrough over 9p would need a QEMU that runs as root "
                        "(try <driver type='virtiofs'/>, or accessmode='mapped')");
        else
                snippet_set(unit, "ACCESSMODE", access ? access->value : "squash",
                            access ? &access->value_pos : &element->pos);
}

static void read_filesystem(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row rows[] = {
                PART("source@dir", "SOURCE"),
                PART("target@dir", "TARGET"),
                PARTS_END,
        };
        struct xml_element *driver = snippet_child(element, "driver"), *readonly;
        const char *type = driver ? snippet_value(driver, "type") : "path";

        snippet_demand(unit, element, "type", "mount");
        if (driver)
                snippet_demand(unit, driver, "type", "path virtiofs");
        snippet_rows(unit, element, rows);
        if (strcmp(type, "virtiofs") == 0) {
                snippet_set(unit, "DRIVER", "virtiofs", &driver->pos);
                read_virtiofs(unit, element);
        } else {
                snippet_set(unit, "DRIVER", "9p", &element->pos);
                read_9p(unit, element);
        }
        readonly = snippet_child(element, "readonly");
        if (readonly)
                snippet_set(unit, "READONLY", "yes", &readonly->pos);
}

/* What is not said is off there; remapped interrupts are what every machine with an IOMMU has. */
static void read_iommu(struct snippet_unit *unit, struct xml_element *element)
{
        static const char *const names[] = { "intremap", "caching_mode",    "eim",         "iotlb",
                                             "aw_bits",  "dma_translation", "passthrough", "xtsup" };
        const struct xml_attribute *model = snippet_attribute(element, "model"), *option;
        struct xml_element *driver = snippet_child(element, "driver");
        _cleanup_text_ struct text options = TEXT_INIT;

        if (model)
                snippet_set(unit, "MODEL", model->value, &model->value_pos);
        for (size_t i = 0; driver && i < ARRAY_SIZE(names); i++)
                if ((option = snippet_attribute(driver, names[i])))
                        text_addf(&options, "%s%s=%s", options.length ? " " : "", names[i], option->value);
        if (model && strcmp(model->value, "intel") == 0 &&
            (!driver || !snippet_attribute(driver, "caching_mode")))
                text_addf(&options, "%scaching_mode=off", options.length ? " " : "");
        if (options.length)
                snippet_set(unit, "OPTIONS", text_str(&options), driver ? &driver->pos : &element->pos);
}

static void read_shmem(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row rows[] = {
                PART("@name", "NAME"),       PART("@role", "ROLE"),          PART("model@type", "MODEL"),
                PART("server@path", "PATH"), PART("msi@vectors", "VECTORS"), PARTS_END,
        };
        static const struct snippet_row size_rows[] = { PART_SIZE("size", "SIZE"), PARTS_END };
        struct xml_element *msi = snippet_find(element, "msi"), *size = snippet_find(element, "size");
        struct xml_element *model = snippet_find(element, "model");

        /* Of a server's the size is the server's to say. */
        if (size && model && strcmp(snippet_value(model, "type"), "ivshmem-doorbell") == 0) {
                snippet_ignore(size);
                snippet_note(unit, &size->pos, "<devices/shmem>/size of this model");
        } else {
                snippet_rows(unit, element, size_rows);
        }
        snippet_rows(unit, element, rows);
        if (msi) {
                snippet_demand(unit, msi, "enabled", "on");
                snippet_demand(unit, msi, "ioeventfd", "on");
        }
}

/* No device, though it is among them. */
static void read_emulator(struct snippet_unit *unit, struct xml_element *element)
{
        _cleanup_free_ char *path = snippet_text(element);

        snippet_begin(unit, "", &element->pos);
        snippet_set(unit, "EMULATOR", path, &element->text_pos);
}

const struct snippet_element snippet_devices[] = {
        ELEMENT("devices/emulator", NULL, NULL, read_emulator),
        ELEMENT("devices/panic", "PANIC", NULL, read_panic),
        ELEMENT("devices/memballoon", "BALLOON", balloon_rows, NULL),
        ELEMENT("devices/rng", "RNG", NULL, read_rng),
        ELEMENT("devices/watchdog", "WATCHDOG", watchdog_rows, NULL),
        ELEMENT("devices/tpm", "TPM", NULL, read_tpm),
        ELEMENT("devices/vsock", "VSOCK", NULL, read_vsock),
        ELEMENT("devices/filesystem", "FILESYSTEM", NULL, read_filesystem),
        ELEMENT("devices/shmem", "SHMEM", NULL, read_shmem),
        ELEMENT("devices/iommu", "IOMMU", NULL, read_iommu),
        ELEMENTS_END,
};
