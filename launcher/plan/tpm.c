/* The TPM: swtpm, on a socket of its own to QEMU, with what it keeps in the VM's state directory. */
#include "launcher/host/device_facts.h"
#include "launcher/plan/device.h"

#define MODEL "TPM/MODEL"

const char *tpm_device_type(const struct tpm_spec *tpm)
{
        return tpm->model == TPM_CRB ? "tpm-crb" : "tpm-tis";
}

static char *state_directory(const struct build *build)
{
        return xasprintf("%s/%s/tpm", build->in->site->paths.state, build->spec->name);
}

int tpm_check(struct build *build, struct error **err)
{
        const struct tpm_spec *tpm = &build->spec->tpm;

        if (!tpm->present)
                return 0;
        if (build_need_device(build, MODEL, tpm_device_type(tpm), err) < 0)
                return -1;
        if (!build->in->devices->swtpm) {
                build_error(build, err, ERROR_HOST, MODEL, "there is no swtpm on this host");
                return error_hint(err, "apt-get install swtpm");
        }
        return 0;
}

void tpm_number_fds(struct build *build)
{
        if (build->spec->tpm.present)
                build->devices->tpm_fd = helper_number_fd(build, "tpm0", "socket to the TPM's swtpm");
}

void tpm_args(struct build *build)
{
        const struct chardev chardev = { .id = "tpm0-socket",
                                         .kind = CHARDEV_CONNECTED,
                                         .fd = build->devices->tpm_fd };
        _cleanup_free_ char *option = chardev_text(&chardev);
        _cleanup_text_ struct text tpmdev = TEXT_INIT;

        if (!build->spec->tpm.present)
                return;
        keyval_add(&tpmdev, NULL, "emulator");
        keyval_add(&tpmdev, "id", "tpm0-emulator");
        keyval_add(&tpmdev, "chardev", "tpm0-socket");
        build_option(build, MODEL, "-chardev", "%s", option);
        build_option(build, MODEL, "-tpmdev", "%s", text_str(&tpmdev));
        build_json(build, MODEL, "-device",
                   json_pack("{s:s, s:s, s:s}", "driver", tpm_device_type(&build->spec->tpm), "id", "tpm0",
                             "tpmdev", "tpm0-emulator"));
        build_device(build, json_pack("{s:s, s:s}", "id", "tpm0", "kind", "tpm"));
}

void tpm_file_steps(struct build *build)
{
        _cleanup_free_ char *directory = NULL;

        if (!build->spec->tpm.present)
                return;
        directory = state_directory(build);
        build_step(build, MODEL, EFFECT_STATE_DIRECTORY,
                   json_pack("{s:s, s:i, s:I, s:I}", "path", directory, "mode", 0700, "uid",
                             (json_int_t)build->uid, "gid", (json_int_t)build->gid));
}

void tpm_helper_steps(struct build *build)
{
        _cleanup_text_ struct text state = TEXT_INIT;
        _cleanup_free_ char *directory = NULL;
        struct helper helper = { .id = "tpm0", .because = MODEL, .uid = build->uid, .gid = build->gid };

        if (!build->spec->tpm.present)
                return;
        directory = state_directory(build);
        /* No commas: swtpm takes none in it, and tpm_check() would be the place to say so if a VM's name could have one. */
        text_addf(&state, "dir=%s,mode=0600", directory);
        helper.argv =
                json_pack("[s, s, s, s, s, s, s, s]", build->in->devices->swtpm, "socket", "--tpm2",
                          "--tpmstate", text_str(&state), "--ctrl", "type=unixio,clientfd=3", "--terminate");
        helper_steps(build, &helper);
}
