/* Ports of the guest that end on the host: the first one with a socket is console.sock. */
#include <string.h>

#include "launcher/plan/device.h"

#define READER "ccid0"

static const struct {
        const char *section, *prefix, *device;
} kinds[] = {
        [LINES_SERIAL] = { "SERIAL", "serial", "isa-serial" },
        [LINES_CONSOLE] = { "CONSOLE", "console", "virtconsole" },
        [LINES_PARALLEL] = { "PARALLEL", "parallel", "isa-parallel" },
        [LINES_CHANNEL] = { "CHANNEL", "channel", "virtserialport" },
        [LINES_SMARTCARD] = { "SMARTCARD", "smartcard", "ccid-card-passthru" },
};

struct lines {
        const struct line_spec *specs;
        size_t n;
};

static struct lines lines_of(const struct vm_spec *spec, enum line_kind kind)
{
        const struct lines all[] = {
                [LINES_SERIAL] = { spec->serials, spec->n_serials },
                [LINES_CONSOLE] = { spec->consoles, spec->n_consoles },
                [LINES_PARALLEL] = { spec->parallels, spec->n_parallels },
                [LINES_CHANNEL] = { spec->channels, spec->n_channels },
                [LINES_SMARTCARD] = { &spec->smartcard, spec->smartcard.present },
        };

        return all[kind];
}

/* "SERIAL[0]/TYPE"; new string. */
static char *reference(enum line_kind kind, size_t index, const char *key)
{
        return kind == LINES_SMARTCARD ? xasprintf("%s/%s", kinds[kind].section, key)
                                       : xasprintf("%s[%zu]/%s", kinds[kind].section, index, key);
}

/* A console that is the first serial port is none of its own. */
static bool is_line(enum line_kind kind, const struct line_spec *line)
{
        return kind != LINES_CONSOLE || line->target == CONSOLE_VIRTIO;
}

static bool has_chardev(const struct line_spec *line)
{
        return line->type != LINE_HOST && line->type != LINE_CERTIFICATES;
}

static const char *device_of(enum line_kind kind, const struct line_spec *line)
{
        return has_chardev(line) ? kinds[kind].device : "ccid-card-emulated";
}

void serial_each(const struct vm_spec *spec,
                 void (*fn)(const char *id, const char *type, bool has_chardev, void *data), void *data)
{
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
                const struct lines lines = lines_of(spec, k);

                for (size_t i = 0; i < lines.n; i++) {
                        _cleanup_free_ char *id = xasprintf("%s%zu", kinds[k].prefix, i);
                        bool is_built_in = k == LINES_SERIAL && vm_spec_is_virt(spec);

                        if (is_line(k, &lines.specs[i]))
                                fn(id, is_built_in ? NULL : device_of(k, &lines.specs[i]),
                                   has_chardev(&lines.specs[i]), data);
                }
        }
        if (spec->smartcard.present)
                fn(READER, "usb-ccid", false, data);
}

int serial_check(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;

        if (build->kind == MACHINE_VIRT &&
            (spec->n_serials > 1 || (spec->n_serials && spec->serials[0].port)))
                return build_error(build, err, ERROR_INVALID,
                                   spec->n_serials > 1 ? "SERIAL[1]/TYPE" : "SERIAL[0]/PORT",
                                   "a '%s' has one serial port", build->machine->name);
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
                const struct lines lines = lines_of(spec, k);

                for (size_t i = 0; i < lines.n; i++) {
                        _cleanup_free_ char *key = reference(k, i, k == LINES_CONSOLE ? "TARGET" : "TYPE");

                        if (!is_line(k, &lines.specs[i]) ||
                            (k == LINES_SERIAL && build->kind == MACHINE_VIRT))
                                continue;
                        if (build_need_device(build, key, device_of(k, &lines.specs[i]), err) < 0 ||
                            ((k == LINES_CONSOLE || k == LINES_CHANNEL) &&
                             build_need_device(build, key, "virtio-serial-pci", err) < 0) ||
                            (k == LINES_SMARTCARD && build_need_device(build, key, "usb-ccid", err) < 0))
                                return -1;
                }
        }
        return 0;
}

static struct plan_fdset log_fdset(struct build *build, struct plan_line *line, char *path_consume)
{
        _cleanup_free_ char *source = xasprintf("log:%s", line->id);
        _cleanup_free_ char *text = xasprintf("log %s", path_consume);

        line->log = path_consume;
        return build_fdset(build, source, text);
}

/* Beside the VM's log: NAME-serial0.log. */
static char *own_log(const struct build *build, const char *id)
{
        const char *log = build->plan->log_path;

        return xasprintf("%.*s-%s.log", (int)(strlen(log) - strlen(".log")), log, id);
}

static void number_socket(struct build *build, struct plan_line *line, unsigned *n_consoles)
{
        _cleanup_free_ char *source = NULL, *text = NULL;

        if (line->kind > LINES_CONSOLE) {
                line->socket = xstrdup(line->id);
        } else {
                line->socket = *n_consoles ? xasprintf("console%u", *n_consoles) : xstrdup("console");
                (*n_consoles)++;
        }
        source = xasprintf("listen:%s", line->socket);
        text = xasprintf("socket %s.sock", line->socket);
        line->chardev.fd = build_fd(build, source, text);
}

static void number_line(struct build *build, struct plan_line *line, unsigned *n_consoles)
{
        static const enum chardev_kind chardevs[] = {
                [LINE_SOCKET] = CHARDEV_LISTEN,     [LINE_CONNECT] = CHARDEV_CONNECTED,
                [LINE_PTY] = CHARDEV_PTY,           [LINE_FILE] = CHARDEV_FILE,
                [LINE_LOG] = CHARDEV_FILE,          [LINE_SPICE] = CHARDEV_SPICE_PORT,
                [LINE_NULL] = CHARDEV_NULL,         [LINE_HOST] = CHARDEV_NULL,
                [LINE_CERTIFICATES] = CHARDEV_NULL,
        };
        const struct line_spec *spec = line->spec;

        line->id = xasprintf("%s%zu", kinds[line->kind].prefix, line->index);
        line->chardev = (struct chardev){ .id = line->id, .kind = chardevs[spec->type] };
        if (spec->type == LINE_SOCKET) {
                number_socket(build, line, n_consoles);
        } else if (spec->type == LINE_CONNECT) {
                _cleanup_free_ char *source = xasprintf("connect:%s", line->id);
                _cleanup_free_ char *text = xasprintf("connection to %s", spec->path);

                line->chardev.fd = build_fd(build, source, text);
        } else if (spec->type == LINE_SPICE) {
                /* Names of its ports that clients know (spice-protocol). */
                line->name = line->kind == LINES_SMARTCARD ? xstrdup("smartcard")
                             : line->kind == LINES_CHANNEL ? xstrdup(spec->name)
                                                           : xasprintf("org.qemu.console.%s.%zu",
                                                                       kinds[line->kind].prefix, line->index);
                line->chardev.name = line->name;
                if (line->kind == LINES_SMARTCARD)
                        line->chardev.kind = CHARDEV_SPICE_CHANNEL;
        }
        if (spec->type == LINE_FILE || spec->type == LINE_LOG)
                line->fdset =
                        log_fdset(build, line,
                                  spec->type == LINE_FILE ? xstrdup(spec->path) : own_log(build, line->id));
        else if (spec->log)
                line->fdset = log_fdset(build, line, own_log(build, line->id));
        if (line->chardev.kind == CHARDEV_FILE)
                line->chardev.set = line->fdset.set;
        else
                line->chardev.log_set = line->fdset.set;
}

void serial_number_fds(struct build *build)
{
        struct device_plan *devices = build->devices;
        unsigned n_consoles = 0;

        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
                const struct lines lines = lines_of(build->spec, k);

                for (size_t i = 0; i < lines.n; i++) {
                        if (!is_line(k, &lines.specs[i]))
                                continue;
                        ARRAY_GROW(devices->lines, devices->n_lines);
                        devices->lines[devices->n_lines] =
                                (struct plan_line){ .spec = &lines.specs[i], .kind = k, .index = i };
                        number_line(build, &devices->lines[devices->n_lines++], &n_consoles);
                }
        }
}

/* What of the line's keys made it. */
static char *because_of(const struct build *build, const struct plan_line *line, const char *const *keys)
{
        struct text because = TEXT_INIT;

        for (; *keys; keys++) {
                _cleanup_free_ char *key = reference(line->kind, line->index, *keys);

                build_refer(build, &because, "%s", key);
        }
        return text_take(&because);
}

static const char *const end_keys[] = { "TYPE", "PATH", "LOG", NULL };

static void chardev_args(struct build *build, const struct plan_line *line)
{
        _cleanup_free_ char *option = chardev_text(&line->chardev), *because = NULL;

        if (!has_chardev(line->spec))
                return;
        because = because_of(build, line, end_keys);
        if (line->fdset.set)
                build_fdset_args(build, because, &line->fdset, line->id);
        build_option(build, because, "-chardev", "%s", option);
}

static void add_device(struct build *build, const struct plan_line *line)
{
        json_t *device = json_pack("{s:s, s:s}", "id", line->id, "kind", kinds[line->kind].prefix);

        if (line->socket)
                json_object_set_new(device, "socket", json_sprintf("%s.sock", line->socket));
        if (line->chardev.kind == CHARDEV_PTY)
                json_object_set_new(device, "pty", json_null());
        if (line->log)
                json_object_set_new(device, "log", json_string(line->log));
        build_device(build, device);
}

/* The device with its chardev. */
static json_t *device_json(const struct plan_line *line)
{
        json_t *device = json_pack("{s:s, s:s}", "driver", device_of(line->kind, line->spec), "id", line->id);
        bool is_virtio = line->kind == LINES_CONSOLE || line->kind == LINES_CHANNEL;

        if (is_virtio)
                json_object_set_new(device, "bus", json_string("vser0.0"));
        if (line->kind == LINES_SMARTCARD)
                json_object_set_new(device, "bus", json_string(READER ".0"));
        if (has_chardev(line->spec))
                json_object_set_new(device, "chardev", json_string(line->id));
        if (line->kind == LINES_SERIAL || line->kind == LINES_PARALLEL)
                json_object_set_new(device, "index", json_integer(line->spec->port));
        if (line->kind == LINES_CHANNEL)
                json_object_set_new(device, "name", json_string(line->spec->name));
        return device;
}

static void line_args(struct build *build, enum line_kind kind)
{
        static const char *const keys[][3] = {
                [LINES_SERIAL] = { "TYPE", "PORT" },   [LINES_CONSOLE] = { "TARGET" },
                [LINES_PARALLEL] = { "TYPE", "PORT" }, [LINES_CHANNEL] = { "NAME" },
                [LINES_SMARTCARD] = { "TYPE" },
        };

        for (size_t i = 0; i < build->devices->n_lines; i++) {
                const struct plan_line *line = &build->devices->lines[i];
                _cleanup_free_ char *because = NULL;

                if (line->kind != kind)
                        continue;
                chardev_args(build, line);
                because = because_of(build, line, keys[kind]);
                /* The virt machine's is a part of it. */
                if (kind == LINES_SERIAL && build->kind == MACHINE_VIRT)
                        build_option(build, because, "-serial", "chardev:%s", line->id);
                else
                        build_json(build, because, "-device", device_json(line));
                add_device(build, line);
        }
}

void serial_args(struct build *build)
{
        line_args(build, LINES_SERIAL);
        line_args(build, LINES_PARALLEL);
}

void console_args(struct build *build)
{
        line_args(build, LINES_CONSOLE);
        line_args(build, LINES_CHANNEL);
}

/* cert1, cert2 and cert3 of the list, as spec_serial.c has counted them. */
static void add_certificates(json_t *card, const struct line_spec *spec)
{
        const char *list = spec->name;

        for (unsigned i = 1; i <= 3; i++) {
                size_t n = strcspn(list, ",");
                char key[] = { 'c', 'e', 'r', 't', (char)('0' + i), '\0' };

                json_object_set_new(card, key, json_stringn(list, n));
                list += n + (list[n] == ',');
        }
        json_object_set_new(card, "db", json_string(spec->path));
}

void smartcard_args(struct build *build, unsigned port)
{
        const struct line_spec *spec = &build->spec->smartcard;
        const struct plan_line *line = &build->devices->lines[build->devices->n_lines - 1];
        static const char *const keys[] = { "TYPE", "PATH", "CERTIFICATES", NULL };
        _cleanup_free_ char *because = NULL;
        json_t *card;

        if (!spec->present)
                return;
        build_json(build, "rule: the reader that the smart card is in", "-device",
                   json_pack("{s:s, s:s, s:s, s:o}", "driver", "usb-ccid", "id", READER, "bus", "usb0.0",
                             "port", json_sprintf("%u", port)));
        if (has_chardev(spec)) {
                line_args(build, LINES_SMARTCARD);
                return;
        }
        card = device_json(line);
        json_object_set_new(card, "backend",
                            json_string(spec->type == LINE_HOST ? "nss-emulated" : "certificates"));
        if (spec->type == LINE_CERTIFICATES)
                add_certificates(card, spec);
        because = because_of(build, line, keys);
        build_json(build, because, "-device", card);
        add_device(build, line);
}

void serial_steps(struct build *build)
{
        for (size_t i = 0; i < build->devices->n_lines; i++) {
                const struct plan_line *line = &build->devices->lines[i];
                _cleanup_free_ char *because = because_of(build, line, end_keys);

                if (line->socket)
                        build_listen_step(build, "rule: serial ports are sockets", line->socket);
                if (line->spec->type == LINE_CONNECT)
                        build_step(build, because, EFFECT_CONNECT,
                                   json_pack("{s:s, s:s+}", "path", line->spec->path, "fd",
                                             "connect:", line->id));
                if (line->log)
                        build_step(build, because, EFFECT_LOG_OPEN,
                                   json_pack("{s:s, s:s+, s:b}", "path", line->log, "fd", "log:", line->id,
                                             "own", line->spec->type != LINE_FILE));
        }
}
