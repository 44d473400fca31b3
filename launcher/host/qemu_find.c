#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/text.h"
#include "conf/vm_spec.h"
#include "launcher/host/program.h"
#include "launcher/host/qemu_facts.h"

/* Debian's packages; other architectures are in qemu-system-misc. */
static const struct {
        const char *arch, *package;
} packages[] = {
        { "x86_64", "qemu-system-x86" }, { "i386", "qemu-system-x86" },    { "aarch64", "qemu-system-arm" },
        { "arm", "qemu-system-arm" },    { "ppc64", "qemu-system-ppc" },   { "ppc", "qemu-system-ppc" },
        { "mips", "qemu-system-mips" },  { "sparc", "qemu-system-sparc" },
};

static const char *package_of(const char *arch)
{
        for (size_t i = 0; i < ARRAY_SIZE(packages); i++)
                if (strcmp(packages[i].arch, arch) == 0)
                        return packages[i].package;
        return "qemu-system-misc";
}

static int unusable(const char *given, const char *why, struct error **err)
{
        _cleanup_free_ char *shown = text_printable(given);

        return error_set(err, ERROR_HOST, "EMULATOR '%s' %s", shown, why);
}

static int check_given(const char *given, const char *path, struct error **err)
{
        _cleanup_free_ char *shown = NULL;
        struct stat st;
        int why;

        if (stat(path, &st) < 0) {
                why = errno;
                if (why == ENOENT || why == ENOTDIR)
                        return unusable(given, "does not exist", err);
                shown = text_printable(given);
                return error_os(err, why, "look at EMULATOR '%s'", shown);
        }
        if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
                return unusable(given, "is not a program", err);
        return 0;
}

static int find_given(const struct vm_spec *spec, char **ret, struct error **err)
{
        const char *given = spec->emulator;
        _cleanup_free_ char *path = given[0] == '/' ? xstrdup(given) : program_find(given);

        if (!path)
                return unusable(given, "is not on this host", err);
        if (check_given(given, path, err) < 0)
                return -1;
        *ret = TAKE_PTR(path);
        return 0;
}

int qemu_find(const struct vm_spec *spec, char **ret_path, struct error **err)
{
        const char *given = spec->os.arch ? spec->os.arch : "x86_64";
        const char *arch = strcmp(given, "i686") == 0 ? "i386" : given; /* QEMU's word for it */
        _cleanup_free_ char *system = xasprintf("qemu-system-%s", arch);
        const char *const names[] = { "qemu-kvm-one", "qemu-kvm", "/usr/libexec/qemu-kvm", system };
        _cleanup_text_ struct text tried = TEXT_INIT;
        struct utsname uts;

        if (spec->emulator)
                return find_given(spec, ret_path, err);
        if (uname(&uts) < 0)
                return error_os(err, errno, "uname");
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                _cleanup_free_ char *path = NULL;

                /* The names without architecture are for the host's own. */
                if (names[i] != system && strcmp(uts.machine, given) != 0)
                        continue;
                if (names[i][0] != '/')
                        path = program_find(names[i]);
                else if (program_is(names[i]))
                        path = xstrdup(names[i]);
                if (path) {
                        *ret_path = TAKE_PTR(path);
                        return 0;
                }
                text_addf(&tried, "%s%s", tried.length ? ", " : "", names[i]);
        }
        error_set(err, ERROR_HOST, "no QEMU for %s on this host (looked for %s)", arch, text_str(&tried));
        return error_hint(err, "apt-get install %s", package_of(arch));
}
