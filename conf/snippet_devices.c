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

/* The two that have attributes of their own. */
static void read_channel(struct snippet_unit *unit, struct xml_element *element)
{
        const char *type = snippet_value(element, "type");
        struct xml_element *target = snippet_child(element, "target"), *source;
        const struct xml_attribute *name = target ? snippet_attribute(target, "name") : NULL;
        const char *word = name ? name->value : "";

        if (target && strcmp(snippet_value(target, "type"), "virtio") == 0 && strcmp(type, "spicevmc") == 0 &&
            strcmp(word, "com.redhat.spice.0") == 0) {
                snippet_begin(unit, "GRAPHICS", &element->pos);
                snippet_set(unit, "VDAGENT", "yes", &element->pos);
        } else if (target && strcmp(snippet_value(target, "type"), "virtio") == 0 &&
                   strcmp(type, "unix") == 0 && strcmp(word, "org.qemu.guest_agent.0") == 0) {
                source = snippet_child(element, "source");
                if (source) {
                        /* Whoever speaks to the agent does so through the VM's supervisor. */
                        snippet_attribute(source, "mode");
                        snippet_attribute(source, "path");
                        snippet_note(unit, &source->pos, "<devices/channel>/source");
                }
                snippet_begin(unit, "FEATURES", &element->pos);
                snippet_set(unit, "GUEST_AGENT", "yes", &element->pos);
        } else {
                snippet_refuse(
                        unit, &element->pos,
                        "<devices/channel>: a channel that is neither the guest agent's (unix, "
                        "org.qemu.guest_agent.0) nor SPICE's (spicevmc, com.redhat.spice.0) has no counterpart");
        }
}

const struct snippet_element snippet_devices[] = {
        ELEMENT("devices/panic", "PANIC", NULL, read_panic),
        ELEMENT("devices/channel", NULL, NULL, read_channel),
        ELEMENT("devices/memballoon", "BALLOON", balloon_rows, NULL),
        ELEMENTS_END,
};
