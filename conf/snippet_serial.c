/* <serial>, <parallel>, <console>, <channel> and <smartcard>: libvirt-behaviour section 10. */
#include <string.h>

#include "base/text.h"
#include "conf/snippet_parts.h"

static void note_part(struct snippet_unit *unit, const struct xml_attribute *attribute, const char *part)
{
        _cleanup_free_ char *what = attribute ? xasprintf("<%s>/%s", unit->path, part) : NULL;

        if (attribute)
                snippet_note(unit, &attribute->value_pos, what);
}

/*
 * Where a line ends: libvirt's kinds that have a counterpart, of which kinds has those that are allowed here. port: the
 * name of SPICE's.
 */
static void read_end(struct snippet_unit *unit, struct xml_element *element, const char *kinds,
                     const char *port)
{
        const struct xml_attribute *type = snippet_attribute(element, "type"), *path, *mode;
        const char *word = type ? type->value : "pty", *ours = word;
        struct xml_element *source = snippet_child(element, "source");

        if (!snippet_is(word, kinds)) {
                struct xml_element *protocol = snippet_child(element, "protocol");

                snippet_demand(unit, element, "type", kinds);
                if (!type)
                        snippet_refuse(unit, &element->pos, "<%s>: a type has to be given", unit->path);
                if (source)
                        snippet_ignore(source);
                if (protocol)
                        snippet_ignore(protocol);
                return;
        }
        path = source ? snippet_attribute(source, "path") : NULL;
        mode = source ? snippet_attribute(source, "mode") : NULL;
        if (mode && strcmp(word, "unix") == 0 && strcmp(mode->value, "connect") == 0)
                ours = "connect";
        else if (strcmp(word, "unix") == 0)
                ours = "socket";
        else if (snippet_is(word, "spiceport spicevmc"))
                ours = "spice";
        snippet_set(unit, "TYPE", ours, type ? &type->value_pos : &element->pos);
        if (!source)
                return;
        if (path && snippet_is(ours, "file connect"))
                snippet_set(unit, "PATH", path->value, &path->value_pos);
        else
                /* The socket is in the VM's own directory, a terminal's number is the kernel's to give. */
                note_part(unit, path, "source@path");
        if (strcmp(ours, "file") == 0)
                snippet_demand(unit, source, "append", "on");
        else if (strcmp(ours, "connect") != 0)
                snippet_demand(unit, source, "mode", "bind");
        if (strcmp(word, "spiceport") == 0)
                snippet_demand(unit, source, "channel", port);
}

#define KINDS "pty unix file null spiceport"

static void read_line(struct snippet_unit *unit, struct xml_element *element, const char *port)
{
        struct xml_element *log = snippet_child(element, "log");

        read_end(unit, element, KINDS, port);
        if (!log)
                return;
        snippet_set(unit, "LOG", "yes", &log->pos);
        snippet_demand(unit, log, "append", "on");
        note_part(unit, snippet_attribute(log, "file"), "log@file");
}

/* A port of the chip set. */
static void read_port(struct snippet_unit *unit, struct xml_element *element)
{
        bool is_serial = strcmp(element->name, "serial") == 0;
        struct xml_element *target = snippet_child(element, "target");
        struct xml_element *model = target && is_serial ? snippet_child(target, "model") : NULL;
        const struct xml_attribute *port = target ? snippet_attribute(target, "port") : NULL;

        read_line(unit, element, is_serial ? "org.qemu.console.serial.0" : "org.qemu.console.parallel.0");
        if (target && is_serial)
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

        read_line(unit, element, "org.qemu.console.console.0");
        note_part(unit, snippet_attribute(element, "tty"), "@tty");
        if (type)
                snippet_set(unit, "TARGET", type->value, &type->value_pos);
        /* They are numbered as they come. */
        if (target)
                snippet_attribute(target, "port");
}

/* Two have attributes of their own. */
static void read_channel(struct snippet_unit *unit, struct xml_element *element)
{
        const char *type = snippet_value(element, "type");
        struct xml_element *target = snippet_child(element, "target"), *source;
        const struct xml_attribute *name = target ? snippet_attribute(target, "name") : NULL;
        const char *word = name ? name->value : "";

        if (!target || strcmp(snippet_value(target, "type"), "virtio") != 0) {
                if (target)
                        snippet_ignore(target);
                snippet_refuse(
                        unit, target ? &target->pos : &element->pos,
                        "<devices/channel>: of a <target> other than type='virtio' has no counterpart");
                return;
        }
        /* Of a guest that runs, as virsh shows it. */
        snippet_attribute(target, "state");
        if (strcmp(type, "spicevmc") == 0) {
                snippet_demand(unit, target, "name", "com.redhat.spice.0");
                snippet_begin(unit, "GRAPHICS", &element->pos);
                snippet_set(unit, "VDAGENT", "yes", &element->pos);
        } else if (strcmp(type, "unix") == 0 && strcmp(word, "org.qemu.guest_agent.0") == 0) {
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
                snippet_begin(unit, "CHANNEL", &element->pos);
                if (name)
                        snippet_set(unit, "NAME", word, &name->value_pos);
                read_line(unit, element, word);
        }
}

/* Three names, of which libvirt wants all. */
static void read_certificates(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row rows[] = { PART("database", "PATH"), PARTS_END };
        _cleanup_text_ struct text names = TEXT_INIT;

        for (struct xml_element *one; (one = snippet_child(element, "certificate"));) {
                _cleanup_free_ char *name = snippet_text(one);

                text_addf(&names, "%s%s", names.length ? "," : "", name);
        }
        snippet_set(unit, "TYPE", "certificates", &element->pos);
        snippet_set(unit, "CERTIFICATES", text_str(&names), &element->pos);
        snippet_rows(unit, element, rows);
}

static void read_smartcard(struct snippet_unit *unit, struct xml_element *element)
{
        const char *mode = snippet_value(element, "mode");

        snippet_demand(unit, element, "mode", "host host-certificates passthrough");
        if (strcmp(mode, "host") == 0)
                snippet_set(unit, "TYPE", "host", &element->pos);
        else if (strcmp(mode, "host-certificates") == 0)
                read_certificates(unit, element);
        else
                read_end(unit, element, "spicevmc unix", "");
}

const struct snippet_element snippet_serial[] = {
        ELEMENT("devices/serial", "SERIAL", NULL, read_port),
        ELEMENT("devices/parallel", "PARALLEL", NULL, read_port),
        ELEMENT("devices/console", "CONSOLE", NULL, read_console),
        ELEMENT("devices/channel", NULL, NULL, read_channel),
        ELEMENT("devices/smartcard", "SMARTCARD", NULL, read_smartcard),
        ELEMENTS_END,
};
