/* <serial>, <console> and <channel>: libvirt-behaviour section 10. */
#include <string.h>

#include "base/text.h"
#include "conf/snippet_parts.h"

static void note_part(struct snippet_unit *unit, const struct xml_attribute *attribute, const char *part)
{
        _cleanup_free_ char *what = attribute ? xasprintf("<%s>/%s", unit->path, part) : NULL;

        if (attribute)
                snippet_note(unit, &attribute->value_pos, what);
}

/* Where a line ends: libvirt's kinds that have a counterpart. */
static void read_line(struct snippet_unit *unit, struct xml_element *element)
{
        const struct xml_attribute *type = snippet_attribute(element, "type"), *path;
        struct xml_element *source = snippet_child(element, "source"), *log = snippet_child(element, "log");
        const char *word = type ? type->value : "pty";

        snippet_demand(unit, element, "type", "pty unix file null");
        if (snippet_is(word, "pty unix file null"))
                snippet_set(unit, "TYPE", strcmp(word, "unix") == 0 ? "socket" : word,
                            type ? &type->value_pos : &element->pos);
        path = source ? snippet_attribute(source, "path") : NULL;
        if (source && strcmp(word, "file") == 0) {
                if (path)
                        snippet_set(unit, "PATH", path->value, &path->value_pos);
                snippet_demand(unit, source, "append", "on");
        } else if (source) {
                snippet_demand(unit, source, "mode", "bind");
                /* The socket is in the VM's own directory, a terminal's number is the kernel's to give. */
                note_part(unit, path, "source@path");
        }
        if (!log)
                return;
        snippet_set(unit, "LOG", "yes", &log->pos);
        snippet_demand(unit, log, "append", "on");
        note_part(unit, snippet_attribute(log, "file"), "log@file");
}

static void read_serial(struct snippet_unit *unit, struct xml_element *element)
{
        struct xml_element *target = snippet_child(element, "target");
        struct xml_element *model = target ? snippet_child(target, "model") : NULL;
        const struct xml_attribute *port = target ? snippet_attribute(target, "port") : NULL;

        read_line(unit, element);
        if (target)
                snippet_demand(unit, target, "type", "isa-serial system-serial");
        if (model)
                snippet_demand(unit, model, "name", "isa-serial pl011");
        if (port)
                snippet_set(unit, "PORT", port->value, &port->value_pos);
}

static void read_console(struct snippet_unit *unit, struct xml_element *element)
{
        struct xml_element *target = snippet_child(element, "target");
        const struct xml_attribute *type = target ? snippet_attribute(target, "type") : NULL;

        read_line(unit, element);
        note_part(unit, snippet_attribute(element, "tty"), "@tty");
        if (type)
                snippet_set(unit, "TARGET", type->value, &type->value_pos);
        /* They are numbered as they come. */
        if (target)
                snippet_attribute(target, "port");
}

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

const struct snippet_element snippet_serial[] = {
        ELEMENT("devices/serial", "SERIAL", NULL, read_serial),
        ELEMENT("devices/console", "CONSOLE", NULL, read_console),
        ELEMENT("devices/channel", NULL, NULL, read_channel),
        ELEMENTS_END,
};
