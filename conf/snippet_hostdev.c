/* <hostdev>: libvirt-behaviour sections 9 and 10. */
#include <string.h>

#include "base/text.h"
#include "conf/snippet_parts.h"

/* "0x3b" as the template has it, "3b". */
static const char *digits(const struct xml_attribute *attribute)
{
        const char *value = attribute ? attribute->value : "0";

        return text_starts_with(value, "0x") ? value + 2 : value;
}

/* What PCI/ADDRESS is made of: a part that is not said is 0. */
static void read_pci(struct snippet_unit *unit, struct xml_element *element, struct xml_element *source)
{
        static const struct {
                const char *name, *key;
        } parts[] = {
                { "domain", "DOMAIN" }, { "bus", "BUS" }, { "slot", "SLOT" }, { "function", "FUNCTION" }
        };
        struct xml_element *address = snippet_child(source, "address"),
                           *driver = snippet_child(element, "driver");
        const struct xml_attribute *managed = snippet_attribute(element, "managed");

        snippet_begin(unit, "PCI", &element->pos);
        if (!address) {
                snippet_refuse(unit, &source->pos, "<%s>: <source> has no <address>", unit->path);
                return;
        }
        snippet_demand(unit, address, "type", "pci");
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
                const struct xml_attribute *part = snippet_attribute(address, parts[i].name);

                snippet_set(unit, parts[i].key, digits(part), part ? &part->value_pos : &address->pos);
        }
        if (driver) {
                snippet_demand(unit, driver, "name", "vfio");
                snippet_demand(unit, driver, "iommufd", "no");
        }
        /* Binding to vfio-pci is the administrator's. */
        if (managed && strcmp(managed->value, "yes") == 0)
                snippet_note(unit, &managed->value_pos, "<devices/hostdev>/@managed");
        snippet_demand(unit, element, "managed", "yes no");
}

static void set_id(struct snippet_unit *unit, struct xml_element *source, const char *name, const char *key)
{
        struct xml_element *element = snippet_child(source, name);
        const struct xml_attribute *id = element ? snippet_attribute(element, "id") : NULL;

        if (id)
                snippet_set(unit, key, digits(id), &id->value_pos);
}

static void read_usb(struct snippet_unit *unit, struct xml_element *element, struct xml_element *source)
{
        static const struct snippet_row rows[] = {
                PART("address@bus", "BUS"),
                PART("address@device", "DEVICE"),
                PART("address@port", "PORT"),
                PARTS_END,
        };

        snippet_begin(unit, "USB", &element->pos);
        set_id(unit, source, "vendor", "VENDOR");
        set_id(unit, source, "product", "PRODUCT");
        snippet_rows(unit, source, rows);
        snippet_demand(unit, source, "startupPolicy", "mandatory");
        snippet_demand(unit, source, "guestReset", "on");
        snippet_demand(unit, element, "managed", "yes no");
}

static void read_mdev(struct snippet_unit *unit, struct xml_element *element, struct xml_element *source)
{
        static const struct snippet_row rows[] = { PART("address@uuid", "UUID"), PARTS_END };

        snippet_begin(unit, "PCI", &element->pos);
        snippet_demand(unit, element, "model", "vfio-pci");
        snippet_demand(unit, element, "managed", "no");
        snippet_demand(unit, element, "display", "off");
        snippet_demand(unit, element, "ramfb", "off");
        snippet_rows(unit, source, rows);
}

static void read_hostdev(struct snippet_unit *unit, struct xml_element *element)
{
        struct xml_element *source = snippet_child(element, "source");
        const char *type = snippet_value(element, "type");

        snippet_demand(unit, element, "mode", "subsystem");
        if (!source)
                snippet_refuse(unit, &element->pos, "<%s>: it has no <source>", unit->path);
        else if (strcmp(type, "pci") == 0)
                read_pci(unit, element, source);
        else if (strcmp(type, "usb") == 0)
                read_usb(unit, element, source);
        else if (strcmp(type, "mdev") == 0)
                read_mdev(unit, element, source);
        else
                snippet_refuse(unit, &element->pos, "<%s>: only types pci, usb and mdev have a counterpart",
                               unit->path);
}

const struct snippet_element snippet_hostdev[] = {
        ELEMENT("devices/hostdev", NULL, NULL, read_hostdev),
        ELEMENTS_END,
};
