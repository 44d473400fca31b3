/* The VNC or SPICE server: its port, its password, and what QEMU is told of them. */
#include <string.h>

#include "launcher/plan/builder.h"
#include "launcher/plan/display.h"

#define PASSWORD_ID     "graphics0-password"
#define LISTENER        "listen:vnc"
#define VNC_FD_NAME     "vnc0"
#define SPICE_DIRECTORY "spice"
#define SOCKET_PATH_MAX 107 /* sun_path without its NUL */

static bool is_unix(const struct graphics_spec *graphics)
{
        return strcmp(graphics->listen, GRAPHICS_UNIX) == 0;
}

/* The socket of LISTEN unix, below the VM's directory. */
static const char *socket_name(const struct graphics_spec *graphics)
{
        return graphics->type == GRAPHICS_SPICE ? SPICE_DIRECTORY "/spice.sock" : "vnc.sock";
}

static bool is_every_address(const char *address)
{
        return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

static int check_address(struct build *build, struct error **err)
{
        const struct host_facts *host = build->in->host;
        const char *address = build->spec->graphics.listen;
        _cleanup_text_ struct text known = TEXT_INIT;

        if (is_unix(&build->spec->graphics) || is_every_address(address))
                return 0;
        for (size_t i = 0; i < host->n_addresses; i++) {
                if (address_equal(host->addresses[i], address))
                        return 0;
                text_addf(&known, "%s%s", known.length ? ", " : "", host->addresses[i]);
        }
        build_error(build, err, ERROR_HOST, "GRAPHICS/LISTEN", "this host has no address %s", address);
        return error_hint(err, "it has %s; 0.0.0.0 and :: are all of them", text_str(&known));
}

/* Another VM's machine.lock has it. */
static const char *port_holder(const struct build *build, unsigned port)
{
        const struct host_facts *host = build->in->host;

        for (size_t i = 0; i < host->n_claimed_uids; i++)
                if (host->claimed_uids[i].port == port &&
                    strcmp(host->claimed_uids[i].vm, build->spec->name) != 0)
                        return host->claimed_uids[i].vm;
        return NULL;
}

/* OpenNebula's rule: 5900 and the VM's number. One that has none gets one of its UUID. */
static unsigned first_port(const struct build *build, unsigned n)
{
        const struct origin *number = vm_spec_origin(build->spec, "VMID");
        bool is_given = number && number->layer != LAYER_NONE;

        return (unsigned)((is_given ? build->spec->vmid : text_hash(build->spec->uuid, 16)) % n);
}

/* The port that it had, else the rule's, the next free one when that is taken. */
static int decide_port(struct build *build, struct error **err)
{
        const struct graphics_spec *graphics = &build->spec->graphics;
        unsigned n = GRAPHICS_LAST_PORT - GRAPHICS_FIRST_PORT + 1;
        unsigned first = first_port(build, n);
        const struct machine_lock *lock = build->lock;

        if (is_unix(graphics))
                return 0;
        build->graphics_port = graphics->port;
        if (!build->graphics_port && lock && lock->port && !port_holder(build, lock->port))
                build->graphics_port = lock->port;
        for (unsigned i = 0; i < n && !build->graphics_port; i++) {
                unsigned port = GRAPHICS_FIRST_PORT + (first + i) % n;

                if (!port_holder(build, port))
                        build->graphics_port = port;
        }
        if (build->graphics_port)
                return 0;
        return build_error(build, err, ERROR_HOST, "GRAPHICS/TYPE",
                           "no free port between %d and %d: each belongs to a VM", GRAPHICS_FIRST_PORT,
                           GRAPHICS_LAST_PORT);
}

static int check_password(struct build *build, struct error **err)
{
        const char *password = build->spec->graphics.passwd;
        json_auto_t *utf8 = json_string(password ? password : "");

        if (!utf8)
                return build_error(build, err, ERROR_INVALID, "GRAPHICS/PASSWD",
                                   "it has bytes that are not UTF-8, which QEMU does not take");
        return 0;
}

int graphics_check(struct build *build, struct error **err)
{
        const struct graphics_spec *graphics = &build->spec->graphics;
        const struct qemu_facts *qemu = build->in->qemu;
        bool is_spice = graphics->type == GRAPHICS_SPICE;
        _cleanup_free_ char *socket = NULL;

        if (!graphics->present)
                return 0;
        if (is_spice ? !qemu->has_spice : !qemu->has_vnc) {
                build_error(build, err, ERROR_HOST, "GRAPHICS/TYPE",
                            "%s is built without %s, or its module is not installed", qemu->path,
                            is_spice ? "SPICE" : "VNC");
                return error_hint(err, "use TYPE = \"%s\"", is_spice ? "vnc" : "spice");
        }
        socket = xasprintf("%s/%s", build->plan->run_dir, socket_name(graphics));
        if (is_unix(graphics) && strlen(socket) > SOCKET_PATH_MAX)
                return build_error(build, err, ERROR_HOST, "GRAPHICS/LISTEN",
                                   "'%s' is longer than the %d bytes of a socket's name", socket,
                                   SOCKET_PATH_MAX);
        if (check_address(build, err) < 0 || check_password(build, err) < 0)
                return -1;
        return decide_port(build, err);
}

static const char *password_id(const struct graphics_spec *graphics)
{
        return (graphics->passwd && *graphics->passwd) || graphics->random_passwd ? PASSWORD_ID : NULL;
}

const char *graphics_password_object(const struct vm_spec *spec)
{
        return spec->graphics.present ? password_id(&spec->graphics) : NULL;
}

void graphics_number_fds(struct build *build)
{
        const struct graphics_spec *graphics = &build->spec->graphics;
        _cleanup_free_ char *keep = xasprintf("%s/private/graphics.password", build->plan->run_dir);

        if (!graphics->present)
                return;
        if (graphics->passwd && *graphics->passwd)
                secret_add(build, PASSWORD_ID, "GRAPHICS/PASSWD", graphics->passwd, false);
        else if (graphics->random_passwd)
                secret_add_random(build, PASSWORD_ID, "GRAPHICS/RANDOM_PASSWD", GRAPHICS_VNC_PASSWORD, keep);
}

static void vnc_args(struct build *build, const char *because)
{
        const struct graphics_spec *graphics = &build->spec->graphics;
        _cleanup_text_ struct text server = TEXT_INIT;

        /* It listens at nothing until it gets the socket that is ours (graphics_qmp_steps()). */
        keyval_add(&server, NULL, "none");
        if (password_id(graphics))
                keyval_add(&server, "password-secret", "%s", password_id(graphics));
        if (build->spec->sound.model != SOUND_NONE)
                keyval_add(&server, "audiodev", "audio0");
        build_option(build, because, "-vnc", "%s", text_str(&server));
        if (graphics->keymap)
                build_option(build, "GRAPHICS/KEYMAP", "-k", "%s", graphics->keymap);
}

static void spice_args(struct build *build, const char *because)
{
        const struct graphics_spec *graphics = &build->spec->graphics;
        _cleanup_text_ struct text server = TEXT_INIT;

        if (is_unix(graphics)) {
                keyval_add(&server, "unix", "on");
                keyval_add(&server, "addr", "%s/%s", build->plan->run_dir, socket_name(graphics));
        } else {
                keyval_add(&server, "port", "%u", build->graphics_port);
                keyval_add(&server, "addr", "%s", graphics->listen);
        }
        if (password_id(graphics))
                keyval_add(&server, "password-secret", "%s", password_id(graphics));
        else
                keyval_add(&server, "disable-ticketing", "on");
        keyval_add(&server, "seamless-migration", "on");
        build_option(build, because, "-spice", "%s", text_str(&server));
}

void graphics_args(struct build *build)
{
        const struct graphics_spec *graphics = &build->spec->graphics;
        bool is_spice = graphics->type == GRAPHICS_SPICE;
        _cleanup_text_ struct text because = TEXT_INIT;

        if (!graphics->present)
                return;
        build_refer(build, &because, "GRAPHICS/TYPE");
        build_refer(build, &because, "GRAPHICS/LISTEN");
        build_refer(build, &because, "GRAPHICS/PORT");
        build_refer(build, &because, "GRAPHICS/PASSWD");
        build_refer(build, &because, "GRAPHICS/RANDOM_PASSWD");
        if (is_spice)
                spice_args(build, text_str(&because));
        else
                vnc_args(build, text_str(&because));
        build_device(build, json_pack("{s:s, s:s, s:s, s:s*, s:o*, s:s*, s:s}", "id", "graphics0", "kind",
                                      "graphics", "type", is_spice ? "spice" : "vnc", "listen",
                                      is_unix(graphics) ? NULL : graphics->listen, "port",
                                      build->graphics_port ? json_integer(build->graphics_port) : NULL,
                                      "socket", is_unix(graphics) ? socket_name(graphics) : NULL, "password",
                                      graphics->passwd && *graphics->passwd ? "given"
                                      : graphics->random_passwd             ? "random"
                                                                            : "none"));
}

/* SPICE binds its port itself: that nobody has it is looked at, and that no other VM takes it is locked. */
void graphics_file_steps(struct build *build)
{
        const struct graphics_spec *graphics = &build->spec->graphics;
        bool is_spice = graphics->type == GRAPHICS_SPICE;
        _cleanup_text_ struct text because = TEXT_INIT;

        if (!graphics->present)
                return;
        build_refer(build, &because, "GRAPHICS/LISTEN");
        build_refer(build, &because, graphics->port ? "GRAPHICS/PORT" : "VMID");
        if (is_unix(graphics) && is_spice)
                build_step(build, text_str(&because), EFFECT_DIRECTORY,
                           json_pack("{s:o, s:i, s:I, s:I}", "path",
                                     json_sprintf("%s/" SPICE_DIRECTORY, build->plan->run_dir), "mode", 0700,
                                     "uid", (json_int_t)build->uid, "gid", (json_int_t)build->gid));
        else if (is_unix(graphics))
                build_step(build, text_str(&because), EFFECT_LISTEN,
                           json_pack("{s:o, s:i, s:I, s:I, s:s}", "path",
                                     json_sprintf("%s/%s", build->plan->run_dir, socket_name(graphics)),
                                     "mode", 0600, "uid", (json_int_t)build->in->site->owner.uid, "gid",
                                     (json_int_t)build->in->site->owner.gid, "fd", LISTENER));
        else
                build_step(build, text_str(&because), EFFECT_PORT,
                           json_pack("{s:i, s:s, s:s*}", "port", (int)build->graphics_port, "address",
                                     graphics->listen, "fd", is_spice ? NULL : LISTENER));
}

void graphics_qmp_steps(struct build *build)
{
        const struct graphics_spec *graphics = &build->spec->graphics;

        if (!graphics->present || graphics->type == GRAPHICS_SPICE)
                return;
        build_step(build, "GRAPHICS/LISTEN", EFFECT_QMP,
                   json_pack("{s:s, s:{s:s}, s:s}", "execute", "getfd", "arguments", "fdname", VNC_FD_NAME,
                             "fd", LISTENER));
        build_step(build, "GRAPHICS/LISTEN", EFFECT_QMP,
                   json_pack("{s:s, s:{s:s, s:[{s:s, s:s}]}}", "execute", "display-update", "arguments",
                             "type", "vnc", "addresses", "type", "fd", "str", VNC_FD_NAME));
}
