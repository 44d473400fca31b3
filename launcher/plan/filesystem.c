/* Shared directories: 9p, which QEMU serves itself, and virtiofs, which a virtiofsd serves. */
#include <string.h>

#include "launcher/host/device_facts.h"
#include "launcher/plan/device.h"

/* Of the ids in a guest that is not told otherwise: 16 bits of them (opennebula-semantics 3.9.6). */
#define MAPPED_IDS 65536u
/* All of them but (uid_t)-1, which is none (user_namespaces(7)). */
#define ALL_IDS 4294967295u
/* opennebula-semantics 3.9.6, and libvirt's default. */
#define QUEUE_SIZE 1024

const char *filesystem_device_type(const struct filesystem_spec *fs)
{
        return fs->driver == FILESYSTEM_9P ? "virtio-9p-pci" : "vhost-user-fs-pci";
}

char *filesystem_id(const struct filesystem_spec *fs)
{
        return xasprintf("fs%u", fs->id);
}

/* Whose rights count when the guest opens something. */
static uid_t acting_uid(const struct build *build, const struct filesystem_spec *fs)
{
        if (fs->driver == FILESYSTEM_9P)
                return build->uid;
        return fs->access == FILESYSTEM_PASSTHROUGH ? 0 : fs->uid_map;
}

static gid_t acting_gid(const struct build *build, const struct filesystem_spec *fs)
{
        if (fs->driver == FILESYSTEM_9P)
                return build->gid;
        return fs->access == FILESYSTEM_PASSTHROUGH ? 0 : fs->gid_map;
}

static bool serves(const struct build *build, const struct filesystem_spec *fs, const struct file_facts *file,
                   bool read, bool write)
{
        return fs->driver == FILESYSTEM_9P ? confine_allows(build, file, (gid_t)-1, read, write)
                                           : file_facts_allow(file, acting_uid(build, fs),
                                                              acting_gid(build, fs), (gid_t)-1, read, write);
}

static int check_directory(struct build *build, size_t i, struct error **err)
{
        const struct filesystem_spec *fs = &build->spec->filesystems[i];
        const struct file_facts *file = &build->in->devices->directories[i];
        _cleanup_free_ char *reference = xasprintf("FILESYSTEM[%zu]/SOURCE", i);
        uid_t uid = acting_uid(build, fs);
        gid_t gid = acting_gid(build, fs);

        if (!file->exists)
                return build_error(build, err, ERROR_HOST, reference, "there is no directory '%s'",
                                   fs->source);
        if (!S_ISDIR(file->mode))
                return build_error(build, err, ERROR_INVALID, reference, "'%s' is not a directory",
                                   fs->source);
        if (uid == 0)
                return 0;
        if (!serves(build, fs, file, true, false)) {
                build_error(build, err, ERROR_HOST, reference,
                            "user %u, as which it is served, may not read '%s'", (unsigned)uid, fs->source);
                return error_hint(err, "chown %u:%u it, or give ACCESSMODE = \"passthrough\"", (unsigned)uid,
                                  (unsigned)gid);
        }
        if (!fs->readonly && !serves(build, fs, file, true, true))
                build_warn(build, reference,
                           "the guest can only read it: user %u, as which it is served, may not write",
                           (unsigned)uid);
        return 0;
}

int filesystem_check_all(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_filesystems; i++) {
                const struct filesystem_spec *fs = &spec->filesystems[i];
                _cleanup_free_ char *driver = xasprintf("FILESYSTEM[%zu]/DRIVER", i);

                if (build_need_device(build, driver, filesystem_device_type(fs), err) < 0)
                        return -1;
                if (fs->driver == FILESYSTEM_VIRTIOFS && !build->in->devices->virtiofsd) {
                        build_error(build, err, ERROR_HOST, driver, "there is no virtiofsd on this host");
                        return error_hint(err, "apt-get install qemu-system-common or virtiofsd; kvmrc's "
                                               "VIRTIOFSD_BINARY_PATH says where it is looked for");
                }
                if (fs->driver == FILESYSTEM_VIRTIOFS && build->in->site->owner.user) {
                        build_error(build, err, ERROR_HOST, driver,
                                    "virtiofsd needs ids that an ordinary user does not have");
                        return error_hint(err, "DRIVER = \"9p\" is served by QEMU, with your own rights");
                }
                if (check_directory(build, i, err) < 0)
                        return -1;
        }
        return 0;
}

void filesystem_number_fds(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_filesystems; i++) {
                const struct filesystem_spec *fs = &spec->filesystems[i];
                _cleanup_free_ char *id = filesystem_id(fs);
                _cleanup_free_ char *text = xasprintf("socket to the virtiofsd of %s", fs->source);

                build->devices->filesystem_fds[i] =
                        fs->driver == FILESYSTEM_VIRTIOFS ? helper_number_fd(build, id, text) : -1;
        }
}

static char *fsdev_text(const struct filesystem_spec *fs, const char *id)
{
        struct text text = TEXT_INIT;

        keyval_add(&text, NULL, "local");
        keyval_add(&text, "id", "%s-source", id);
        keyval_add(&text, "path", "%s", fs->source);
        keyval_add(&text, "security_model", "%s", fs->access == FILESYSTEM_SQUASH ? "none" : "mapped-xattr");
        /* Two file systems below it may have the same inode numbers. */
        keyval_add(&text, "multidevs", "remap");
        if (fs->readonly)
                keyval_add(&text, "readonly", "on");
        return text_take(&text);
}

json_t *filesystem_device(const struct filesystem_spec *fs, const char *address)
{
        _cleanup_free_ char *id = filesystem_id(fs);
        json_t *device;

        if (fs->driver == FILESYSTEM_9P)
                device = json_pack("{s:s, s:s, s:s+, s:s}", "driver", filesystem_device_type(fs), "id", id,
                                   "fsdev", id, "-source", "mount_tag", fs->target);
        else
                device = json_pack("{s:s, s:s, s:s+, s:s, s:i}", "driver", filesystem_device_type(fs), "id",
                                   id, "chardev", id, "-socket", "tag", fs->target, "queue-size", QUEUE_SIZE);
        build_set_address(device, address);
        return device;
}

static void refer(const struct build *build, struct text *because, size_t i, const char *key)
{
        build_refer(build, because, "FILESYSTEM[%zu]/%s", i, key);
}

static void backend_args(struct build *build, size_t i, const char *id)
{
        const struct filesystem_spec *fs = &build->spec->filesystems[i];
        _cleanup_free_ char *socket = xasprintf("%s-socket", id);
        const struct chardev chardev = { .id = socket,
                                         .kind = CHARDEV_CONNECTED,
                                         .fd = build->devices->filesystem_fds[i] };
        _cleanup_free_ char *value =
                fs->driver == FILESYSTEM_9P ? fsdev_text(fs, id) : chardev_text(&chardev);
        _cleanup_text_ struct text because = TEXT_INIT;

        refer(build, &because, i, "DRIVER");
        if (fs->driver == FILESYSTEM_9P) {
                refer(build, &because, i, "SOURCE");
                refer(build, &because, i, "ACCESSMODE");
                refer(build, &because, i, "READONLY");
        }
        build_option(build, text_str(&because), fs->driver == FILESYSTEM_9P ? "-fsdev" : "-chardev", "%s",
                     value);
}

void filesystem_args(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_filesystems; i++) {
                const struct filesystem_spec *fs = &spec->filesystems[i];
                _cleanup_free_ char *id = filesystem_id(fs);
                const char *address = build_pci_address(build, id);
                _cleanup_text_ struct text because = TEXT_INIT;

                backend_args(build, i, id);
                refer(build, &because, i, "DRIVER");
                refer(build, &because, i, "TARGET");
                refer(build, &because, i, "FS_ID");
                refer(build, &because, i, "ADDRESS");
                build_json(build, text_str(&because), "-device", filesystem_device(fs, address));
                build_device(build,
                             json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "id", id, "kind", "filesystem",
                                       "target", fs->target, "source", fs->source, "driver",
                                       fs->driver == FILESYSTEM_9P ? "9p" : "virtiofs", "address", address));
        }
}

static const char *cache_name(enum filesystem_cache cache)
{
        static const char *const names[] = {
                [FILESYSTEM_CACHE_NONE] = "none",
                [FILESYSTEM_CACHE_AUTO] = "auto",
                [FILESYSTEM_CACHE_ALWAYS] = "always",
        };

        return names[cache];
}

/*
 * virtiofsd drops what its user namespace gives it to the few capabilities it needs, filters its own system calls and is
 * confined to its directory by chroot(), which it calls itself: the mount, network and IPC namespaces are ours.
 */
void filesystem_helper_steps(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        for (size_t i = 0; i < spec->n_filesystems; i++) {
                const struct filesystem_spec *fs = &spec->filesystems[i];
                _cleanup_free_ char *id = filesystem_id(fs);
                _cleanup_text_ struct text because = TEXT_INIT;
                struct helper helper = { .id = id,
                                         .uid = acting_uid(build, fs),
                                         .gid = acting_gid(build, fs),
                                         .ids = fs->access == FILESYSTEM_PASSTHROUGH ? ALL_IDS : MAPPED_IDS,
                                         .listens = true,
                                         .directory = fs->source,
                                         .readonly = fs->readonly };

                if (fs->driver != FILESYSTEM_VIRTIOFS)
                        continue;
                refer(build, &because, i, "SOURCE");
                refer(build, &because, i, "ACCESSMODE");
                refer(build, &because, i, "CACHE");
                refer(build, &because, i, "READONLY");
                if (fs->access == FILESYSTEM_MAPPED) {
                        refer(build, &because, i, "UID_MAP");
                        refer(build, &because, i, "GID_MAP");
                }
                helper.because = text_str(&because);
                /* The options of the C program, which the Rust one takes too. The dot: neither takes a link, and its own
                 * directory is / by the time it looks. */
                helper.argv = json_pack("[s, s, s, s, s, s, s, s+, s, s, s]", build->in->devices->virtiofsd,
                                        "--fd=3", "-o", "source=/proc/self/fd/4/.", "-o", "sandbox=chroot",
                                        "-o", "cache=", cache_name(fs->cache), "-o", "xattr", "-f");
                helper_steps(build, &helper);
        }
}
