/* Serial ports and consoles: which there are, and where they end. */
#include <string.h>

#include "base/text.h"
#include "conf/spec_rules.h"

#define PORTS 4

static const char *serial_type_name(enum serial_type type)
{
        static const char *const names[] = {
                [SERIAL_SOCKET] = "socket", [SERIAL_PTY] = "pty",   [SERIAL_FILE] = "file",
                [SERIAL_LOG] = "log",       [SERIAL_NULL] = "null",
        };

        return names[type];
}

/* What SERIAL and CONSOLE have in common. */
struct line {
        const struct attr_section *section;
        const void *record;
        enum serial_type type;
        char **path;
        bool log;
};

static const struct source_pos *place(const struct line *line, const char *key)
{
        const struct source_pos *pos = &spec_origin(line->section, line->record, key)->pos;

        return pos->file ? pos : &((const struct section *)line->record)->pos;
}

static void set_line(struct spec_builder *builder, const struct line *line, const char *base_dir)
{
        const char *name = line->section->name;
        _cleanup_free_ char *path = TAKE_PTR(*line->path), *full = xasprintf("%s/PATH", name);

        if (line->type == SERIAL_FILE && (!path || !*path))
                spec_fail(builder, place(line, "PATH"), "%s: has to be given for TYPE file", full);
        else if (line->type == SERIAL_FILE)
                *line->path = spec_resolve_path(
                        builder, full, spec_origin(line->section, line->record, "PATH"), base_dir, path);
        else if (path && *path)
                spec_fail(builder, place(line, "PATH"), "%s: is of TYPE file, and TYPE is %s", full,
                          serial_type_name(line->type));
        if (line->log && line->type != SERIAL_SOCKET && line->type != SERIAL_PTY)
                spec_fail(builder, place(line, "LOG"), "%s/LOG: is of TYPE socket and pty, and TYPE is %s",
                          name, serial_type_name(line->type));
}

static struct line serial_line(struct serial_spec *serial)
{
        return (struct line){ &attr_serial, serial, serial->type, &serial->path, serial->log };
}

/* The first console of TARGET serial; NULL: none. */
static struct console_spec *serial_console(struct vm_spec *spec)
{
        for (size_t i = 0; i < spec->n_consoles; i++)
                if (spec->consoles[i].target == CONSOLE_SERIAL)
                        return &spec->consoles[i];
        return NULL;
}

/* A port that no SERIAL asked for: the console's, or the one that every VM has. */
static void add_serial(struct spec_builder *builder, const struct console_spec *console)
{
        struct serial_spec *serial = spec_add_record(builder, &attr_serial);
        const struct origin *type = console ? spec_origin(&attr_console, console, "TYPE") : NULL;

        spec_set_origin(builder->spec, spec_origin(&attr_serial, serial, "TYPE"), LAYER_RULE,
                        console ? serial_type_name(console->type) : "socket", type ? &type->pos : NULL);
        if (!console)
                return;
        serial->section.pos = console->section.pos;
        serial->type = console->type;
        serial->log = console->log;
        serial->path = xstrdup_null(console->path);
        if (console->path)
                spec_set_origin(builder->spec, spec_origin(&attr_serial, serial, "PATH"), LAYER_RULE,
                                console->path, NULL);
        if (console->log)
                spec_set_origin(builder->spec, spec_origin(&attr_serial, serial, "LOG"), LAYER_RULE, "yes",
                                NULL);
}

/* It is the same port: what it says of it has to be the same. */
static void check_same(struct spec_builder *builder, const struct console_spec *console,
                       const struct serial_spec *serial)
{
        bool same_path = !console->path || (serial->path && strcmp(console->path, serial->path) == 0);
        const struct origin *type = spec_origin(&attr_console, console, "TYPE");

        if (type->layer <= LAYER_DEFAULT && !console->path)
                return;
        if (console->type != serial->type || !same_path)
                spec_fail(
                        builder, &console->section.pos,
                        "CONSOLE: TARGET serial is the first serial port, which the SERIAL of line %u describes "
                        "otherwise (try TARGET = \"virtio\")",
                        serial->section.pos.line);
}

static void set_ports(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        unsigned taken = 0;

        for (size_t i = 0; i < spec->n_serials; i++) {
                const struct serial_spec *serial = &spec->serials[i];
                const struct origin *port = spec_origin(&attr_serial, serial, "PORT");

                if (!spec_is_given(&attr_serial, serial, "PORT") || serial->port >= PORTS)
                        continue;
                if (taken & 1u << serial->port)
                        spec_fail(builder, &port->pos, "SERIAL/PORT: %u is taken by another SERIAL",
                                  serial->port);
                taken |= 1u << serial->port;
        }
        for (size_t i = 0; i < spec->n_serials; i++) {
                struct serial_spec *serial = &spec->serials[i];

                if (spec_is_given(&attr_serial, serial, "PORT"))
                        continue;
                while (serial->port < PORTS - 1 && taken & 1u << serial->port)
                        serial->port++;
                taken |= 1u << serial->port;
        }
}

void spec_set_serials(struct spec_builder *builder, const char *base_dir)
{
        struct vm_spec *spec = builder->spec;
        struct console_spec *console = serial_console(spec);

        for (size_t i = 0; i < spec->n_serials; i++) {
                const struct line line = serial_line(&spec->serials[i]);

                set_line(builder, &line, base_dir);
        }
        for (size_t i = 0; i < spec->n_consoles; i++) {
                struct console_spec *one = &spec->consoles[i];
                const struct line line = { &attr_console, one, one->type, &one->path, one->log };

                set_line(builder, &line, base_dir);
                if (one->target == CONSOLE_SERIAL && one != console)
                        spec_fail(
                                builder, &one->section.pos,
                                "CONSOLE: TARGET serial is the first serial port, as line %u says already (try TARGET = "
                                "\"virtio\")",
                                console->section.pos.line);
        }
        if (!spec->n_serials && (console || !spec->n_consoles))
                add_serial(builder, console);
        else if (spec->n_serials && console)
                check_same(builder, console, &spec->serials[0]);
        set_ports(builder);
}
