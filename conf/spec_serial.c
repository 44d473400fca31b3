/* Serial ports and consoles: which there are, and where they end. */
#include <string.h>

#include "base/text.h"
#include "conf/spec_rules.h"

#define PORTS 4
/* Of a virtio-serial controller, but the first. */
#define CHANNELS     30
#define NSS_DATABASE "/etc/pki/nssdb"

static const char *type_name(const struct attr_section *section, enum line_type type)
{
        const struct attr_word *word = attr_find(section, "TYPE")->words;

        while (word->value != (int)type)
                word++;
        return word->text;
}

static const struct source_pos *place(const struct attr_section *section, const struct line_spec *line,
                                      const char *key)
{
        const struct source_pos *pos = &spec_origin(section, line, key)->pos;

        return pos->file ? pos : &line->section.pos;
}

/* Which types have a PATH, and which of them need it. */
static bool has_path(enum line_type type)
{
        return type == LINE_FILE || type == LINE_CONNECT || type == LINE_CERTIFICATES;
}

static void set_line(struct spec_builder *builder, const struct attr_section *section, struct line_spec *line,
                     const char *base_dir)
{
        const struct graphics_spec *graphics = &builder->spec->graphics;
        const char *name = section->name, *type = type_name(section, line->type);
        _cleanup_free_ char *path = TAKE_PTR(line->path), *full = xasprintf("%s/PATH", name);

        /* A word that is none has been said already. */
        if (!spec_is_read(section, line, "TYPE"))
                return;
        if (path && *path && !has_path(line->type))
                spec_fail(builder, place(section, line, "PATH"), "%s: is not of TYPE %s", full, type);
        else if (path && *path)
                line->path =
                        spec_resolve_path(builder, full, spec_origin(section, line, "PATH"), base_dir, path);
        else if (line->type == LINE_CERTIFICATES)
                line->path = xstrdup(NSS_DATABASE);
        else if (has_path(line->type))
                spec_fail(builder, place(section, line, "PATH"), "%s: has to be given for TYPE %s", full,
                          type);
        if (line->log && (line->type == LINE_FILE || line->type == LINE_LOG || line->type == LINE_NULL))
                spec_fail(builder, place(section, line, "LOG"), "%s/LOG: is not of TYPE %s", name, type);
        if (line->type == LINE_SPICE && !(graphics->present && graphics->type == GRAPHICS_SPICE))
                spec_fail(builder, place(section, line, "TYPE"),
                          "%s/TYPE: spice goes with GRAPHICS = [ TYPE = \"spice\" ]", name);
}

/* The first console of TARGET serial; NULL: none. */
static struct line_spec *serial_console(struct vm_spec *spec)
{
        for (size_t i = 0; i < spec->n_consoles; i++)
                if (spec->consoles[i].target == CONSOLE_SERIAL)
                        return &spec->consoles[i];
        return NULL;
}

/* A port that no SERIAL asked for: the console's, or the one that every VM has. */
static void add_serial(struct spec_builder *builder, const struct line_spec *console)
{
        struct line_spec *serial = spec_add_record(builder, &attr_serial);
        const struct origin *type = console ? spec_origin(&attr_console, console, "TYPE") : NULL;

        spec_set_origin(builder->spec, spec_own_origin(&attr_serial, serial, "TYPE"), LAYER_RULE,
                        console ? type_name(&attr_console, console->type) : "socket",
                        type ? &type->pos : NULL);
        if (!console)
                return;
        serial->section.pos = console->section.pos;
        serial->type = console->type;
        serial->log = console->log;
        serial->path = xstrdup_null(console->path);
        if (console->path)
                spec_set_origin(builder->spec, spec_own_origin(&attr_serial, serial, "PATH"), LAYER_RULE,
                                console->path, NULL);
        if (console->log)
                spec_set_origin(builder->spec, spec_own_origin(&attr_serial, serial, "LOG"), LAYER_RULE,
                                "yes", NULL);
}

/* It is the same port: what it says of it has to be the same. */
static void check_same(struct spec_builder *builder, struct line_spec *console,
                       const struct line_spec *serial)
{
        bool same_path = !console->path || (serial->path && strcmp(console->path, serial->path) == 0);
        const struct origin *type = spec_origin(&attr_console, console, "TYPE");

        if (type->layer <= LAYER_DEFAULT && !console->path) {
                console->type = serial->type;
                console->path = xstrdup_null(serial->path);
        }
        if (console->type != serial->type || !same_path || (console->log && !serial->log))
                spec_fail(
                        builder, &console->section.pos,
                        "CONSOLE: TARGET serial is the first serial port, which the SERIAL of line %u describes "
                        "otherwise (try TARGET = \"virtio\")",
                        serial->section.pos.line);
}

static void set_ports(struct spec_builder *builder, const struct attr_section *section,
                      struct line_spec *lines, size_t n, unsigned ports)
{
        unsigned taken = 0;

        for (size_t i = 0; i < n; i++) {
                const struct source_pos *pos = &spec_origin(section, &lines[i], "PORT")->pos;

                if (!spec_is_given(section, &lines[i], "PORT") || lines[i].port >= PORTS)
                        continue;
                if (lines[i].port >= ports)
                        spec_fail(builder, pos, "%s/PORT: %u is out of range (0 to %u)", section->name,
                                  lines[i].port, ports - 1);
                if (taken & 1u << lines[i].port)
                        spec_fail(builder, pos, "%s/PORT: %u is taken by another %s", section->name,
                                  lines[i].port, section->name);
                taken |= 1u << lines[i].port;
        }
        for (size_t i = 0; i < n; i++) {
                if (spec_is_given(section, &lines[i], "PORT"))
                        continue;
                while (lines[i].port < ports - 1 && taken & 1u << lines[i].port)
                        lines[i].port++;
                taken |= 1u << lines[i].port;
        }
}

/* The name is the guest's way to it. */
static void check_channels(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;

        for (size_t i = 0; i < spec->n_channels; i++) {
                const struct line_spec *channel = &spec->channels[i], *other = spec->channels;
                const struct source_pos *pos = place(&attr_channel, channel, "NAME");
                const char *name = channel->name ? channel->name : "";

                while (other < channel && strcmp(other->name ? other->name : "", name) != 0)
                        other++;
                if (!spec_is_given(&attr_channel, channel, "NAME"))
                        spec_fail(builder, pos, "CHANNEL/NAME: has to be given");
                else if (*name && other < channel)
                        spec_fail_twice(builder, pos, &other->section.pos,
                                        "CHANNEL/NAME: '%s' is also the name of the one of", name);
                else if (strcmp(name, "org.qemu.guest_agent.0") == 0)
                        spec_fail(builder, pos,
                                  "CHANNEL/NAME: the guest agent's is FEATURES = [ GUEST_AGENT = \"yes\" ]");
                else if (strcmp(name, "com.redhat.spice.0") == 0)
                        spec_fail(builder, pos,
                                  "CHANNEL/NAME: the SPICE agent's is GRAPHICS = [ VDAGENT = \"yes\" ]");
        }
        if (spec->n_channels && spec->n_channels + spec->n_consoles + 2 > CHANNELS)
                spec_fail(builder, &spec->channels[0].section.pos,
                          "CHANNEL: %zu channels and consoles are too many for a controller",
                          spec->n_channels + spec->n_consoles);
}

static void set_smartcard(struct spec_builder *builder, struct line_spec *card)
{
        const char *names = card->name ? card->name : "";
        unsigned n = 1;

        for (const char *c = names; *c; c++)
                n += *c == ',';
        if (!spec_is_read(&attr_smartcard, card, "TYPE"))
                return;
        if ((card->type == LINE_CERTIFICATES) != (*names && n == 3))
                spec_fail(builder, place(&attr_smartcard, card, "CERTIFICATES"),
                          "SMARTCARD/CERTIFICATES: three names, separated by commas, go with TYPE "
                          "certificates");
}

static void set_lines(struct spec_builder *builder, const struct attr_section *section,
                      struct line_spec *lines, size_t n, const char *base_dir)
{
        for (size_t i = 0; i < n; i++)
                set_line(builder, section, &lines[i], base_dir);
}

void spec_set_serials(struct spec_builder *builder, const char *base_dir)
{
        struct vm_spec *spec = builder->spec;
        struct line_spec *console = serial_console(spec);

        set_lines(builder, &attr_serial, spec->serials, spec->n_serials, base_dir);
        set_lines(builder, &attr_console, spec->consoles, spec->n_consoles, base_dir);
        set_lines(builder, &attr_parallel, spec->parallels, spec->n_parallels, base_dir);
        set_lines(builder, &attr_channel, spec->channels, spec->n_channels, base_dir);
        for (size_t i = 0; i < spec->n_consoles; i++)
                if (spec->consoles[i].target == CONSOLE_SERIAL && &spec->consoles[i] != console)
                        spec_fail(
                                builder, &spec->consoles[i].section.pos,
                                "CONSOLE: TARGET serial is the first serial port, as line %u says already (try TARGET = "
                                "\"virtio\")",
                                console->section.pos.line);
        if (!spec->n_serials && (console || !spec->n_consoles))
                add_serial(builder, console);
        else if (spec->n_serials && console)
                check_same(builder, console, &spec->serials[0]);
        set_ports(builder, &attr_serial, spec->serials, spec->n_serials, PORTS);
        set_ports(builder, &attr_parallel, spec->parallels, spec->n_parallels, SPEC_MAX_PARALLELS);
        check_channels(builder);
        if (spec->smartcard.present) {
                set_line(builder, &attr_smartcard, &spec->smartcard, base_dir);
                set_smartcard(builder, &spec->smartcard);
        }
}
