/* Serial ports and virtio consoles: the first one with a socket is console.sock. */
#include <string.h>

#include "launcher/plan/device.h"

/* Where a line ends; what SERIAL and CONSOLE have in common. */
struct end {
        const char *section; /* "SERIAL" */
        size_t index;
        enum serial_type type;
        const char *path;
        bool log;
};

static struct end serial_end(const struct vm_spec *spec, size_t i)
{
        const struct serial_spec *serial = &spec->serials[i];

        return (struct end){ "SERIAL", i, serial->type, serial->path, serial->log };
}

static struct end console_end(const struct vm_spec *spec, size_t i)
{
        const struct console_spec *console = &spec->consoles[i];

        return (struct end){ "CONSOLE", i, console->type, console->path, console->log };
}

static bool is_virtio(const struct vm_spec *spec, size_t i)
{
        return spec->consoles[i].target == CONSOLE_VIRTIO;
}

bool console_is_virtio(const struct vm_spec *spec)
{
        for (size_t i = 0; i < spec->n_consoles; i++)
                if (is_virtio(spec, i))
                        return true;
        return false;
}

int serial_check(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;

        if (build->kind == MACHINE_VIRT &&
            (spec->n_serials > 1 || (spec->n_serials && spec->serials[0].port)))
                return build_error(build, err, ERROR_INVALID,
                                   spec->n_serials > 1 ? "SERIAL[1]/TYPE" : "SERIAL[0]/PORT",
                                   "a '%s' has one serial port", build->machine->name);
        if (spec->n_serials && build->kind != MACHINE_VIRT &&
            build_need_device(build, "SERIAL[0]/TYPE", "isa-serial", err) < 0)
                return -1;
        for (size_t i = 0; i < spec->n_consoles; i++) {
                _cleanup_free_ char *target = xasprintf("CONSOLE[%zu]/TARGET", i);

                if (is_virtio(spec, i) && (build_need_device(build, target, "virtconsole", err) < 0 ||
                                           build_need_device(build, target, "virtio-serial-pci", err) < 0))
                        return -1;
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

static void number_line(struct build *build, struct plan_line *line, const struct end *end,
                        unsigned *n_sockets)
{
        static const enum chardev_kind kinds[] = {
                [SERIAL_SOCKET] = CHARDEV_LISTEN, [SERIAL_PTY] = CHARDEV_PTY,   [SERIAL_FILE] = CHARDEV_FILE,
                [SERIAL_LOG] = CHARDEV_FILE,      [SERIAL_NULL] = CHARDEV_NULL,
        };

        line->chardev = (struct chardev){ .id = line->id, .kind = kinds[end->type] };
        if (end->type == SERIAL_SOCKET) {
                _cleanup_free_ char *source = NULL, *text = NULL;

                line->socket = *n_sockets ? xasprintf("console%u", *n_sockets) : xstrdup("console");
                (*n_sockets)++;
                source = xasprintf("listen:%s", line->socket);
                text = xasprintf("socket %s.sock", line->socket);
                line->chardev.fd = build_fd(build, source, text);
        }
        if (end->type == SERIAL_FILE || end->type == SERIAL_LOG)
                line->fdset =
                        log_fdset(build, line,
                                  end->type == SERIAL_FILE ? xstrdup(end->path) : own_log(build, line->id));
        else if (end->log)
                line->fdset = log_fdset(build, line, own_log(build, line->id));
        if (line->chardev.kind == CHARDEV_FILE)
                line->chardev.set = line->fdset.set;
        else
                line->chardev.log_set = line->fdset.set;
}

void serial_number_fds(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        unsigned n_sockets = 0;

        for (size_t i = 0; i < spec->n_serials; i++) {
                const struct end end = serial_end(spec, i);

                build->devices->serials[i].id = xasprintf("serial%zu", i);
                number_line(build, &build->devices->serials[i], &end, &n_sockets);
        }
        for (size_t i = 0; i < spec->n_consoles; i++) {
                const struct end end = console_end(spec, i);

                if (!is_virtio(spec, i))
                        continue;
                build->devices->consoles[i].id = xasprintf("console%zu", i);
                number_line(build, &build->devices->consoles[i], &end, &n_sockets);
        }
}

/* What made the line end where it does. */
static char *because_of(const struct build *build, const struct end *end)
{
        static const char *const keys[] = { "TYPE", "PATH", "LOG" };
        struct text because = TEXT_INIT;

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                build_refer(build, &because, "%s[%zu]/%s", end->section, end->index, keys[i]);
        return text_take(&because);
}

static void chardev_args(struct build *build, const char *because, const struct plan_line *line)
{
        _cleanup_free_ char *option = chardev_text(&line->chardev);

        if (line->fdset.set)
                build_fdset_args(build, because, &line->fdset, line->id);
        build_option(build, because, "-chardev", "%s", option);
}

static void add_device(struct build *build, const struct plan_line *line, const char *kind)
{
        json_t *device = json_pack("{s:s, s:s}", "id", line->id, "kind", kind);

        if (line->socket)
                json_object_set_new(device, "socket", json_sprintf("%s.sock", line->socket));
        if (line->chardev.kind == CHARDEV_PTY)
                json_object_set_new(device, "pty", json_null());
        if (line->log)
                json_object_set_new(device, "log", json_string(line->log));
        build_device(build, device);
}

void serial_args(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_serials; i++) {
                const struct plan_line *line = &build->devices->serials[i];
                const struct end end = serial_end(spec, i);
                _cleanup_free_ char *because = because_of(build, &end);
                _cleanup_text_ struct text device = TEXT_INIT;

                build_refer(build, &device, "SERIAL[%zu]/TYPE", i);
                build_refer(build, &device, "SERIAL[%zu]/PORT", i);
                chardev_args(build, because, line);
                /* The virt machine's is a part of it. */
                if (build->kind == MACHINE_VIRT)
                        build_option(build, text_str(&device), "-serial", "chardev:%s", line->id);
                else
                        build_json(build, text_str(&device), "-device",
                                   json_pack("{s:s, s:s, s:s, s:i}", "driver", "isa-serial", "id", line->id,
                                             "chardev", line->id, "index", (int)spec->serials[i].port));
                add_device(build, line, "serial");
        }
}

void console_args(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_consoles; i++) {
                const struct plan_line *line = &build->devices->consoles[i];
                const struct end end = console_end(spec, i);
                _cleanup_free_ char *because = NULL, *target = NULL;

                if (!is_virtio(spec, i))
                        continue;
                because = because_of(build, &end);
                target = xasprintf("CONSOLE[%zu]/TARGET", i);
                chardev_args(build, because, line);
                build_json(build, target, "-device",
                           json_pack("{s:s, s:s, s:s, s:s}", "driver", "virtconsole", "id", line->id, "bus",
                                     "vser0.0", "chardev", line->id));
                add_device(build, line, "console");
        }
}

static void line_steps(struct build *build, const struct plan_line *line, const struct end *end)
{
        _cleanup_free_ char *because = because_of(build, end);

        if (line->socket)
                build_listen_step(build, "rule: serial ports are sockets", line->socket);
        if (line->log)
                build_step(build, because, EFFECT_LOG_OPEN,
                           json_pack("{s:s, s:s+, s:b}", "path", line->log, "fd", "log:", line->id, "own",
                                     end->type != SERIAL_FILE));
}

void serial_steps(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_serials; i++) {
                const struct end end = serial_end(spec, i);

                line_steps(build, &build->devices->serials[i], &end);
        }
        for (size_t i = 0; i < spec->n_consoles; i++) {
                const struct end end = console_end(spec, i);

                if (is_virtio(spec, i))
                        line_steps(build, &build->devices->consoles[i], &end);
        }
}
