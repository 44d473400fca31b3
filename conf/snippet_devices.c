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

const struct snippet_element snippet_devices[] = {
        ELEMENT("devices/panic", "PANIC", NULL, read_panic),
        ELEMENT("devices/memballoon", "BALLOON", balloon_rows, NULL),
        ELEMENTS_END,
};
