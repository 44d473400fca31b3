/*
 * RAW of TYPE qemu: words behind all others. What an attribute stands for is said there, where it is checked, placed
 * and known to hotplug; what the supervisor lives by is nobody else's.
 */
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/plan/device.h"

#define BY_US(what) "vmlaunch needs it as it is: " what
#define FDS         BY_US("files are given by vmlaunch, and their numbers are its own")

static const struct {
        const char *options; /* separated by blanks */
        const char *instead;
} owned[] = {
        { "machine M", "OS/MACHINE and FEATURES say it" },
        { "cpu", "CPU_MODEL says it" },
        { "accel enable-kvm no-kvm", "ACCEL says it" },
        { "smp", "VCPU and TOPOLOGY say it" },
        { "m", "MEMORY says it" },
        { "numa", "NUMA_NODE says it" },
        { "mem-path mem-prealloc overcommit", "MEMORY_BACKING says it" },
        { "name uuid", "NAME and OS/UUID say it" },
        { "boot", "OS/BOOT says it" },
        { "kernel", "OS/KERNEL says it" },
        { "initrd", "OS/INITRD says it" },
        { "append", "OS/KERNEL_CMD says it" },
        { "bios pflash", "OS/FIRMWARE says it" },
        { "no-acpi", "FEATURES/ACPI says it" },
        { "no-hpet", "TIMER says it" },
        { "rtc localtime", "CLOCK says it" },
        { "hda hdb hdc hdd cdrom fda fdb sd mtdblock", "DISK says it" },
        { "snapshot", "DISK/PERSISTENT says it" },
        { "vnc spice k", "GRAPHICS says it" },
        { "vga", "VIDEO says it" },
        { "display nographic sdl curses", "GRAPHICS and VIDEO say it" },
        { "serial virtioconsole", "SERIAL and CONSOLE say it" },
        { "watchdog watchdog-action", "WATCHDOG says it" },
        { "soundhw", "SOUND says it" },
        { "action no-reboot no-shutdown no-panic",
          BY_US("the end of the VM is seen and dealt with; ON_CRASH, PANIC and WATCHDOG have choices") },
        { "qmp qmp-pretty mon monitor", BY_US("the supervisor speaks with QEMU (vmlaunch qmp)") },
        { "S preconfig", BY_US("the guest runs when everything is there") },
        { "incoming loadvm", BY_US("a VM starts from its disks") },
        { "sandbox runas user chroot run-with", BY_US("QEMU is confined") },
        { "daemonize pidfile", BY_US("QEMU is the supervisor's child") },
        { "add-fd", FDS },
        { "nodefaults no-user-config nodefconfig readconfig writeconfig",
          BY_US("nothing is configured but what the plan shows") },
        { "h help version audio-help", "QEMU would answer and end (vmlaunch describe --device)" },
        { "set", "it does not know devices that are given as JSON, as ours are (-global does)" },
};

/* Of the options that are not owned those that take no word; what follows one would be the name of a disk. */
#define LONELY                                                                                        \
        "usb portrait full-screen win2k-hack no-fd-bootchk singlestep s only-migratable semihosting " \
        "old-param async-teardown xen-attach enable-sync-profile perfmap jitdump alt-grab ctrl-grab no-quit"

static bool is_listed(const char *word, const char *list)
{
        size_t n = strlen(word);

        for (const char *found = list; *found; found += *found == ' ') {
                size_t length = strcspn(found, " ");

                if (length == n && strncmp(found, word, n) == 0)
                        return true;
                found += length;
        }
        return false;
}

/* The name of an option, NULL: it is none. */
static const char *option_name(const char *word)
{
        if (*word != '-')
                return NULL;
        return word + (word[1] == '-' ? 2 : 1);
}

static int check_device(struct build *build, const char *reference, const char *value, struct error **err)
{
        const char *name = value + (text_starts_with(value, "driver=") ? strlen("driver=") : 0);
        _cleanup_free_ char *type = xstrndup(name, strcspn(name, ","));

        if (*value == '{')
                return 0;
        /* QEMU makes all devices that are given as text before those that are given as JSON. */
        if (!strstr(value, ",addr="))
                build_note(
                        build, reference,
                        "-device %s: as text it is made before all devices of vmlaunch, and may take the place of one; "
                        "as JSON it comes after them",
                        type);
        return strchr(type, '=') ? 0 : build_need_device(build, reference, type, err);
}

/* A member fd, fds, vhostfd, ... of a list of members. */
static bool names_fd(const char *value)
{
        for (const char *member = value; member; member = strchr(member, ',')) {
                member += *member == ',';
                member += strspn(member, "abcdefghijklmnopqrstuvwxyz_-");
                if (*member == '=' && ((member - value >= 2 && strncmp(member - 2, "fd", 2) == 0) ||
                                       (member - value >= 3 && strncmp(member - 3, "fds", 3) == 0)))
                        return true;
        }
        return strstr(value, "/dev/fdset/") || strstr(value, "/proc/self/fd/");
}

static bool asks_for_help(const char *value)
{
        return strcmp(value, "help") == 0 || strcmp(value, "?") == 0 || text_ends_with(value, ",help") ||
               text_ends_with(value, ",?");
}

static int check_option(struct build *build, const char *reference, const char *name, struct error **err)
{
        _cleanup_free_ char *shown = text_printable(name);

        if (!*name)
                return build_error(build, err, ERROR_INVALID, reference, "a word is a '-' with no name");
        for (size_t i = 0; i < ARRAY_SIZE(owned); i++)
                if (is_listed(name, owned[i].options))
                        return build_error(build, err, ERROR_INVALID, reference, "-%s is not for RAW: %s",
                                           shown, owned[i].instead);
        return 0;
}

static int check_words(struct build *build, const struct raw_spec *raw, const char *reference,
                       struct error **err)
{
        const char *option = NULL;

        for (size_t i = 0; i < raw->n_words; i++) {
                const char *word = raw->words[i], *name = option_name(word);
                _cleanup_free_ char *shown = text_printable(word);

                if (build_check_utf8(build, reference, word, err) < 0)
                        return -1;
                if (name) {
                        if (check_option(build, reference, name, err) < 0)
                                return -1;
                        option = is_listed(name, LONELY) ? NULL : name;
                        continue;
                }
                if (!option)
                        return build_error(build, err, ERROR_INVALID, reference,
                                           "'%s' follows no option that takes a value", shown);
                if (asks_for_help(word))
                        return build_error(build, err, ERROR_INVALID, reference,
                                           "-%s %s: QEMU would answer and end (vmlaunch describe --device)",
                                           option, shown);
                if (names_fd(word))
                        return build_error(build, err, ERROR_INVALID, reference, "-%s %s: " FDS, option,
                                           shown);
                if (strcmp(option, "device") == 0 && check_device(build, reference, word, err) < 0)
                        return -1;
                option = NULL;
        }
        return 0;
}

int raw_check(struct build *build, struct error **err)
{
        for (size_t i = 0; i < build->spec->n_raws; i++) {
                _cleanup_free_ char *reference = xasprintf("RAW[%zu]/DATA", i);

                if (check_words(build, &build->spec->raws[i], reference, err) < 0 ||
                    build_check_utf8(build, reference, build->spec->raws[i].env, err) < 0)
                        return -1;
        }
        return 0;
}

void raw_args(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_raws; i++) {
                const struct raw_spec *raw = &build->spec->raws[i];
                _cleanup_free_ char *reference = xasprintf("RAW[%zu]/DATA", i);

                for (size_t v = 0; v < raw->n_variables; v++)
                        build_env(build, raw->variables[v]);
                for (size_t w = 0; w < raw->n_words; w++) {
                        const char *value = w + 1 < raw->n_words ? raw->words[w + 1] : NULL;

                        if (value && !option_name(value))
                                build_option(build, reference, raw->words[w++], "%s", value);
                        else
                                build_flag(build, reference, raw->words[w]);
                }
        }
}

/* The value of a member of option text, a comma in it is written twice; new string, NULL: there is none. */
static char *member_of(const char *text, const char *key)
{
        size_t n = strlen(key);

        while (*text) {
                bool is_it = strncmp(text, key, n) == 0 && text[n] == '=';
                _cleanup_text_ struct text value = TEXT_INIT;

                for (; *text && !(text[0] == ',' && text[1] != ','); text++) {
                        text += *text == ',';
                        text_add_bytes(&value, text, 1);
                }
                if (is_it)
                        return xstrdup(text_str(&value) + n + 1);
                text += *text == ',';
        }
        return NULL;
}

static char *id_of(const char *value, const char *key)
{
        json_auto_t *json = *value == '{' ? json_loads(value, 0, NULL) : NULL;

        return *value == '{' ? xstrdup_null(json_member_string(json, key)) : member_of(value, key);
}

void raw_each_named(const struct vm_spec *spec, void (*fn)(enum raw_named kind, const char *id, void *data),
                    void *data)
{
        static const struct {
                const char *option, *key;
                enum raw_named kind;
        } rows[] = { { "device", "id", RAW_DEVICE },
                     { "object", "id", RAW_OBJECT },
                     { "netdev", "id", RAW_NETDEV },
                     { "chardev", "id", RAW_CHARDEV },
                     { "blockdev", "node-name", RAW_NODE } };

        for (size_t i = 0; i < spec->n_raws; i++)
                for (size_t w = 0; w + 1 < spec->raws[i].n_words; w++) {
                        const char *name = option_name(spec->raws[i].words[w]);

                        for (size_t r = 0; name && r < ARRAY_SIZE(rows); r++) {
                                _cleanup_free_ char *id =
                                        strcmp(name, rows[r].option) == 0
                                                ? id_of(spec->raws[i].words[w + 1], rows[r].key)
                                                : NULL;

                                if (id)
                                        fn(rows[r].kind, id, data);
                        }
                }
}
