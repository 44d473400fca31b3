/* UEFI firmware: which code, whose variables, and the flash memory they are in. */
#include <string.h>

#include "launcher/plan/builder.h"

/* Node names of the two banks. */
#define CODE "pflash0"
#define VARS "pflash1"

static const char *qemu_arch(const struct build *build)
{
        return build->in->qemu->target;
}

static bool is_there(const struct build *build, const char *path)
{
        return path && firmware_file_exists(build->in->firmware, path);
}

static bool is_usable(const struct build *build, const struct firmware *firmware)
{
        return firmware_fits(firmware, qemu_arch(build), build->machine->name) &&
               is_there(build, firmware->code) && is_there(build, firmware->vars);
}

/* With Secure Boot the one whose variables have keys; without it one that has none, so that anything boots. */
static const struct firmware *find_descriptor(const struct build *build, const char *code, bool secure,
                                              bool keys)
{
        const struct firmware_list *list = build->in->firmware;

        for (size_t i = 0; i < list->n; i++) {
                const struct firmware *firmware = &list->items[i];

                if (is_usable(build, firmware) && (!code || strcmp(firmware->code, code) == 0) &&
                    (code || firmware->secure_boot == secure) && firmware->enrolled_keys == keys)
                        return firmware;
        }
        return NULL;
}

static int no_firmware(struct build *build, struct error **err)
{
        bool is_arm = build->kind == MACHINE_VIRT;

        build_error(build, err, ERROR_HOST, "OS/FIRMWARE",
                    "no UEFI firmware%s for a '%s' among QEMU's firmware descriptors "
                    "(/usr/share/qemu/firmware/*.json)",
                    build->spec->os.firmware_secure ? " with Secure Boot" : "", build->machine->name);
        return error_hint(err, "apt-get install %s", is_arm ? "qemu-efi-aarch64" : "ovmf");
}

static void take(struct build *build, const struct firmware *firmware)
{
        build->firmware.code = xstrdup(firmware->code);
        build->firmware.code_format = firmware->code_format;
        build->firmware.vars = xstrdup(firmware->vars);
        build->firmware.vars_format = firmware->vars_format;
        build->firmware.smm = firmware->requires_smm;
        build->firmware.keys = firmware->enrolled_keys;
}

static int choose(struct build *build, struct error **err)
{
        bool secure = build->spec->os.firmware_secure;
        const struct firmware *found = find_descriptor(build, NULL, secure, secure);

        /* Secure firmware without keys: enforces nothing before the guest enrols some, and boots anything. */
        if (!found)
                found = find_descriptor(build, NULL, true, false);
        if (!found)
                return no_firmware(build, err);
        take(build, found);
        return 0;
}

/* A file by name: its descriptor where there is one, else what its name says of it. */
static int choose_file(struct build *build, struct error **err)
{
        const struct os_spec *os = &build->spec->os;
        const char *code = os->firmware, *nvram = build->in->site->kvmrc.ovmf_nvram;
        bool secure = os->firmware_secure;
        const struct firmware *mine = find_descriptor(build, code, secure, secure);
        const struct firmware *other = find_descriptor(build, code, secure, !secure);
        _cleanup_free_ char *beside = firmware_vars_beside(code, secure),
                            *beside_other = firmware_vars_beside(code, !secure);
        const char *name = strrchr(code, '/');

        if (!mine && !other && !firmware_is_listed(build->spec->ovmf_uefis, code))
                return build_error(
                        build, err, ERROR_NOT_PERMITTED, "OS/FIRMWARE",
                        "'%s' is neither on the list OVMF_UEFIS nor in a firmware descriptor of QEMU", code);
        if (!is_there(build, code))
                return build_error(build, err, ERROR_INVALID, "OS/FIRMWARE", "there is no file '%s'", code);
        if (mine) {
                take(build, mine);
                return 0;
        }
        build->firmware.code = xstrdup(code);
        build->firmware.code_format = other ? other->code_format : DISK_FORMAT_RAW;
        build->firmware.vars_format = DISK_FORMAT_RAW;
        build->firmware.smm = other ? other->requires_smm : strstr(name, "secboot") != NULL;
        if (is_there(build, beside)) {
                build->firmware.vars = TAKE_PTR(beside);
                build->firmware.keys = secure;
        } else if (is_there(build, beside_other)) {
                build->firmware.vars = TAKE_PTR(beside_other);
                build->firmware.keys = !secure;
        } else if (is_there(build, nvram)) {
                build->firmware.vars = xstrdup(nvram);
                /* Whoever sets one for all of them knows what is in it. */
                build->firmware.keys = secure;
        } else {
                build_error(build, err, ERROR_HOST, "OS/FIRMWARE",
                            "no template of the variables that belong to '%s'", code);
                return error_hint(err, "OVMF_NVRAM in kvmrc names one, FIRMWARE = \"UEFI\" chooses a pair");
        }
        return 0;
}

int firmware_decide(struct build *build, struct error **err)
{
        const struct os_spec *os = &build->spec->os;

        if (os->firmware_kind == FIRMWARE_BIOS)
                return 0;
        if ((os->firmware_kind == FIRMWARE_FILE ? choose_file : choose)(build, err) < 0)
                return -1;
        build->firmware.present = true;
        build->firmware.smm = build->kind != MACHINE_VIRT && (build->firmware.smm || os->firmware_secure);
        if (build->firmware.smm && build->kind != MACHINE_Q35) {
                build_error(build, err, ERROR_INVALID, "OS/FIRMWARE",
                            "'%s' is built for SMM, which a '%s' does not have", build->firmware.code,
                            build->machine->name);
                return error_hint(err, "MACHINE = \"q35\", or firmware without Secure Boot");
        }
        if (os->firmware_secure && !build->firmware.keys)
                build_warn(build, "OS/FIRMWARE_SECURE",
                           "'%s' has no keys: Secure Boot is off until the guest enrols some",
                           build->firmware.vars);
        if (!os->firmware_secure && build->firmware.keys)
                build_warn(build, "OS/FIRMWARE",
                           "'%s' has the keys of Secure Boot in it: what is not signed does not boot",
                           build->firmware.vars);
        return 0;
}

void firmware_done(struct build *build)
{
        free(build->firmware.code);
        free(build->firmware.vars);
}

/* STATE/NAME/UUID_VARS.fd: by the UUID, so that a VM of the same name with another identity has its own. */
static char *vars_path(const struct build *build, enum disk_format format)
{
        return xasprintf("%s/%s/%s_VARS.%s", build->in->site->paths.state, build->spec->name,
                         build->spec->uuid_text, format == DISK_FORMAT_QCOW2 ? "qcow2" : "fd");
}

void firmware_number_fds(struct build *build)
{
        struct plan_firmware *firmware = &build->firmware;
        _cleanup_free_ char *code = NULL, *vars = NULL, *path = NULL;

        if (!firmware->present)
                return;
        path = vars_path(build, build->spec->os.firmware_format);
        code = xasprintf("image ro %s", firmware->code);
        vars = xasprintf("image rw %s", path);
        firmware->code_layer = (struct plan_layer){ .fd = build_fd(build, "image:" CODE "-file", code),
                                                    .set = build->next_set++ };
        firmware->vars_layer =
                (struct plan_layer){ .fd = build_fd(build, "nvram", vars), .set = build->next_set++ };
}

static void bank_args(struct build *build, const char *because, const char *bank,
                      const struct plan_layer *layer, enum disk_format format, bool readonly)
{
        _cleanup_free_ char *file = xasprintf("%s-file", bank), *node = xasprintf("%s-format", bank);
        _cleanup_text_ struct text add = TEXT_INIT;
        json_t *json;

        keyval_add(&add, "fd", "%d", layer->fd);
        keyval_add(&add, "set", "%u", layer->set);
        keyval_add(&add, "opaque", "%s", file);
        build_option(build, because, "-add-fd", "%s", text_str(&add));
        build_json(build, because, "-blockdev",
                   json_pack("{s:s, s:s, s:o, s:b}", "driver", "file", "node-name", file, "filename",
                             json_sprintf("/dev/fdset/%u", layer->set), "read-only", readonly));
        json = json_pack("{s:s, s:s, s:s, s:b}", "driver", disk_format_name(format), "node-name", node,
                         "file", file, "read-only", readonly);
        if (format == DISK_FORMAT_QCOW2)
                json_object_set_new(json, "backing", json_null());
        build_json(build, because, "-blockdev", json);
}

void firmware_args(struct build *build)
{
        const struct plan_firmware *firmware = &build->firmware;
        _cleanup_text_ struct text because = TEXT_INIT;

        if (!firmware->present)
                return;
        build_refer(build, &because, "OS/FIRMWARE");
        bank_args(build, text_str(&because), CODE, &firmware->code_layer, firmware->code_format, true);
        build_refer(build, &because, "OS/FIRMWARE_FORMAT");
        bank_args(build, text_str(&because), VARS, &firmware->vars_layer, build->spec->os.firmware_format,
                  false);
        /* Only the firmware's own code in SMM writes the variables. */
        if (firmware->smm)
                build_option(build, "OS/FIRMWARE_SECURE rule: firmware that is built for SMM", "-global",
                             "driver=cfi.pflash01,property=secure,value=on");
}

void firmware_machine_options(const struct build *build, struct text *value, struct text *because)
{
        if (!build->firmware.present)
                return;
        keyval_add(value, "pflash0", CODE "-format");
        keyval_add(value, "pflash1", VARS "-format");
        build_refer(build, because, "OS/FIRMWARE");
        if (build->firmware.smm) {
                keyval_add(value, "smm", "on");
                build_refer(build, because, "OS/FIRMWARE_SECURE");
        }
}

void firmware_steps(struct build *build)
{
        const struct plan_firmware *firmware = &build->firmware;
        enum disk_format format = build->spec->os.firmware_format;
        _cleanup_free_ char *path = NULL, *other = NULL;
        _cleanup_text_ struct text because = TEXT_INIT;

        if (!firmware->present)
                return;
        path = vars_path(build, format);
        other = vars_path(build, format == DISK_FORMAT_RAW ? DISK_FORMAT_QCOW2 : DISK_FORMAT_RAW);
        build_refer(build, &because, "OS/FIRMWARE");
        build_step(build, text_str(&because), EFFECT_IMAGE_OPEN,
                   json_pack("{s:s, s:s, s:s, s:s, s:b}", "path", firmware->code, "access", "ro", "lock",
                             "shared", "fd", "image:" CODE "-file", "direct", 0));
        build_refer(build, &because, "OS/FIRMWARE_FORMAT");
        build_refer(build, &because, "OS/FIRMWARE_SECURE");
        build_step(build, text_str(&because), EFFECT_NVRAM,
                   json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:s}", "path", path, "format",
                             disk_format_name(format), "other", other, "template", firmware->vars,
                             "template-format", disk_format_name(firmware->vars_format), "uid",
                             (json_int_t)build->uid, "fd", "nvram"));
}
