/* Graphics, video, sound, input and USB redirection: libvirt-behaviour section 9. */
#include <string.h>

#include "conf/snippet_parts.h"

/* How many elements of this name there are beside it, it included, and whether it is the first of them. */
static unsigned count_alike(const struct xml_element *element, bool *ret_is_first)
{
        unsigned n = 0;

        for (const struct xml_element *other = element->parent->children; other; other = other->next) {
                if (strcmp(other->name, element->name) != 0)
                        continue;
                if (n++ == 0)
                        *ret_is_first = other == element;
        }
        return n;
}

static void read_graphics(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row rows[] = {
                PART("@type", "TYPE"),
                PART("@passwd", "PASSWD"),
                PART("@keymap", "KEYMAP"),
                PARTS_END,
        };
        const struct xml_attribute *port = snippet_attribute(element, "port"),
                                   *listen = snippet_attribute(element, "listen"), *address;
        struct xml_element *child;

        snippet_rows(unit, element, rows);
        /* A port that nobody gives is found by a rule, libvirt's -1 is the same. */
        if (port && strcmp(port->value, "-1") != 0)
                snippet_set(unit, "PORT", port->value, &port->value_pos);
        snippet_demand(unit, element, "autoport", port && strcmp(port->value, "-1") != 0 ? "no" : "yes");
        snippet_demand(unit, element, "tlsPort", "-1");
        child = snippet_child(element, "listen");
        if (child) {
                snippet_demand(unit, child, "type", "address");
                address = snippet_attribute(child, "address");
                listen = listen ? listen : address;
        }
        if (listen)
                snippet_set(unit, "LISTEN", listen->value, &listen->value_pos);
}

/* What libvirt writes for qxl when nobody says anything. */
static const struct {
        const char *key, *value;
} qxl_defaults[] = { { "ram", "65536" }, { "vram", "65536" }, { "vgamem", "16384" } };

static void read_video(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row driver[] = {
                PART("driver@iommu", "IOMMU"),
                PART("driver@ats", "ATS"),
                PARTS_END,
        };
        struct xml_element *model = snippet_child(element, "model"), *resolution;
        const struct xml_attribute *type = model ? snippet_attribute(model, "type") : NULL, *vram;

        if (!type) {
                snippet_refuse(unit, &element->pos, "<%s>: a <model type='...'> has to be in it", unit->path);
                return;
        }
        snippet_set(unit, "TYPE", type->value, &type->value_pos);
        snippet_demand(unit, model, "heads", "1");
        snippet_demand(unit, model, "primary", "yes");
        if (strcmp(type->value, "qxl") == 0)
                for (size_t i = 0; i < ARRAY_SIZE(qxl_defaults); i++)
                        snippet_demand(unit, model, qxl_defaults[i].key, qxl_defaults[i].value);
        vram = snippet_attribute(model, "vram");
        if (vram && snippet_is(type->value, "cirrus virtio"))
                snippet_note(unit, &vram->name_pos, "<devices/video>/model@vram of this type");
        else if (vram && strcmp(type->value, "qxl") != 0)
                snippet_setf(unit, "VRAM", &vram->value_pos, "%s KiB", vram->value);
        resolution = snippet_child(model, "resolution");
        if (resolution) {
                const char *x = snippet_value(resolution, "x"), *y = snippet_value(resolution, "y");

                snippet_setf(unit, "RESOLUTION", &resolution->pos, "%sx%s", x, y);
        }
        snippet_rows(unit, element, driver);
}

static const struct snippet_row sound_rows[] = {
        PART("@model", "MODEL"),
        PART("codec@type", "CODEC"),
        PART_IDLE("audio@id"),
        PARTS_END,
};

static const struct snippet_row input_rows[] = {
        PART("@type", "TYPE"),
        PART("@bus", "BUS"),
        PARTS_END,
};

/* As many channels as there are elements. */
static void read_redirdev(struct snippet_unit *unit, struct xml_element *element)
{
        bool is_first = false;
        unsigned n = count_alike(element, &is_first);

        snippet_begin(unit, "GRAPHICS", &element->pos);
        snippet_demand(unit, element, "bus", "usb");
        snippet_demand(unit, element, "type", "spicevmc");
        if (is_first)
                snippet_setf(unit, "USB_REDIRECTIONS", &element->pos, "%u", n);
}

static void read_redirfilter(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct {
                const char *name, *key;
        } parts[] = { { "class", "CLASS" },
                      { "vendor", "VENDOR" },
                      { "product", "PRODUCT" },
                      { "version", "VERSION" },
                      { "allow", "ALLOW" } };

        for (struct xml_element *rule; (rule = snippet_child(element, "usbdev"));) {
                snippet_begin(unit, "REDIRFILTER", &rule->pos);
                for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
                        const struct xml_attribute *part = snippet_attribute(rule, parts[i].name);

                        /* -1 is any. */
                        if (part && strcmp(part->value, "-1") != 0)
                                snippet_set(unit, parts[i].key, part->value, &part->value_pos);
                }
        }
}

const struct snippet_element snippet_display[] = {
        ELEMENT("devices/graphics", "GRAPHICS", NULL, read_graphics),
        ELEMENT("devices/video", "VIDEO", NULL, read_video),
        ELEMENT("devices/sound", "SOUND", sound_rows, NULL),
        ELEMENT("devices/input", "INPUT", input_rows, NULL),
        ELEMENT("devices/redirdev", NULL, NULL, read_redirdev),
        ELEMENT("devices/redirfilter", NULL, NULL, read_redirfilter),
        ELEMENTS_END,
};
