/* Images that a start makes: overlays and volatile disks, below STATE/NAME/overlays. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/process.h"
#include "base/text.h"
#include "launcher/run/effects.h"
#include "launcher/state/lock_file.h"
#include "launcher/storage/image_chain.h"

/* Making an image is writing its tables: seconds on any storage. What fails in it says so in its first lines. */
#define MAKE_DEADLINE_MS 60000
#define MAKE_MEMORY_MAX  (1ull << 30)

struct making {
        const char *path, *format, *fs, *backing, *backing_format, *fd;
        json_int_t size;
        int keep, direct;
};

static int unpack(const json_t *args, struct making *ret, struct error **err)
{
        json_error_t why;

        *ret = (struct making){ 0 };
        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:s, s:I, s:b, s:s, s?b, s?s, s?s, s?s}", "path",
                           &ret->path, "format", &ret->format, "size", &ret->size, "keep", &ret->keep, "fd",
                           &ret->fd, "direct", &ret->direct, "fs", &ret->fs, "backing", &ret->backing,
                           "backing-format", &ret->backing_format) < 0)
                return error_set(err, ERROR_FAILED, "step image-create: %s", why.text);
        return 0;
}

/* The directory of a file STATE/NAME/overlays/FILE; new string. NULL: it is not one of this VM's. */
static char *overlays_of(const char *path, const char *vm)
{
        _cleanup_free_ char *end = xasprintf("/%s/overlays", vm);
        const char *slash = strrchr(path, '/');
        char *directory = slash && slash[1] ? xstrndup(path, (size_t)(slash - path)) : NULL;

        if (directory && *directory == '/' && text_ends_with(directory, end) && strcmp(slash, "/..") != 0 &&
            !strstr(directory, "/../"))
                return directory;
        free(directory);
        return NULL;
}

static int run_program(const char *const *argv, struct error **err)
{
        const struct process_options options = { .argv = argv,
                                                 .deadline_ms = MAKE_DEADLINE_MS,
                                                 .memory_max = MAKE_MEMORY_MAX };

        return process_check(&options, NULL, err);
}

static int make_raw(const char *path, uint64_t size, struct error **err)
{
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
                return error_os(err, errno, "make '%s'", path);
        return 0;
}

static int make_qcow2(const struct making *making, const char *path, struct error **err)
{
        _cleanup_free_ char *size = xasprintf("%lld", (long long)making->size);
        /* -u: the image below is not opened, its size is known. */
        const char *const over[] = { "qemu-img", "create",        "-q", "-u",
                                     "-f",       "qcow2",         "-F", making->backing_format,
                                     "-b",       making->backing, path, size,
                                     NULL };
        const char *const plain[] = { "qemu-img", "create", "-q", "-f", "qcow2", path, size, NULL };

        return run_program(making->backing ? over : plain, err);
}

static int make_file_system(const char *path, const char *fs, struct error **err)
{
        _cleanup_free_ char *program = strcmp(fs, "swap") == 0 ? xstrdup("mkswap") : xasprintf("mkfs.%s", fs);
        static const struct {
                const char *fs, *options[4];
        } rows[] = {
                { "ext2", { "-q", "-F" } },       { "ext3", { "-q", "-F" } },  { "ext4", { "-q", "-F" } },
                { "xfs", { "-q", "-f" } },        { "btrfs", { "-q", "-f" } }, { "f2fs", { "-q", "-f" } },
                { "ntfs", { "-q", "-F", "-Q" } },
        };
        const char *argv[8] = { program };
        size_t n = 1;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                for (size_t k = 0; strcmp(rows[i].fs, fs) == 0 && rows[i].options[k]; k++)
                        argv[n++] = rows[i].options[k];
        argv[n] = path;
        return run_program(argv, err);
}

/* The whole image at temporary; what it leaves there when it fails the caller removes. */
static int make(const struct making *making, const char *temporary, struct error **err)
{
        bool is_raw = strcmp(making->format, "raw") == 0;
        _cleanup_free_ char *raw = is_raw ? xstrdup(temporary) : xasprintf("%s.raw", temporary);
        const char *const convert[] = { "qemu-img", "convert", "-q", "-f",      "raw",
                                        "-O",       "qcow2",   raw,  temporary, NULL };
        int result;

        if (!is_raw && !making->fs)
                return make_qcow2(making, temporary, err);
        result = make_raw(raw, (uint64_t)making->size, err);
        if (result == 0 && making->fs)
                result = make_file_system(raw, making->fs, err);
        if (result == 0 && !is_raw)
                result = run_program(convert, err);
        if (!is_raw)
                unlink(raw);
        return result;
}

static char *temporary_name(const char *path, pid_t writer)
{
        return xasprintf("%s.new.%d", path, (int)writer);
}

static int sync_path(const char *path, int flags, struct error **err)
{
        _cleanup_close_ int fd = open(path, flags | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
                return error_os(err, errno, "write '%s' to its storage", path);
        return 0;
}

static int make_anew(const struct making *making, const char *directory, struct error **err)
{
        _cleanup_free_ char *temporary = temporary_name(making->path, getpid());

        if (fd_mkdir_p(AT_FDCWD, directory, 0755, err) < 0)
                return -1;
        if (chmod(directory, 0700) < 0)
                return error_os(err, errno, "set the mode of '%s'", directory);
        unlink(temporary);
        if (make(making, temporary, err) < 0 || (making->keep && sync_path(temporary, O_RDONLY, err) < 0)) {
                unlink(temporary);
                return error_wrap(err, "make the image '%s'", making->path);
        }
        if (chmod(temporary, 0600) < 0 || rename(temporary, making->path) < 0) {
                error_os(err, errno, "make the image '%s'", making->path);
                unlink(temporary);
                return -1;
        }
        return making->keep ? sync_path(directory, O_RDONLY | O_DIRECTORY, err) : 0;
}

/* An overlay that was made over another image than this run's shows the guest neither. */
static int check_kept(const struct making *making, struct error **err)
{
        _cleanup_close_ int fd = open(making->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_free_ uint8_t *bytes = xmalloc(QCOW2_HEADER_BYTES);
        struct qcow2_header header = { 0 };
        ssize_t n;
        bool same;

        if (!making->backing)
                return 0;
        n = fd < 0 ? -1 : pread(fd, bytes, QCOW2_HEADER_BYTES, 0);
        if (n < 0)
                return error_os(err, errno, "read '%s'", making->path);
        if (qcow2_header_parse(bytes, (size_t)n, &header, err) < 0)
                return error_wrap(err, "image '%s'", making->path);
        same = header.backing_file && strcmp(header.backing_file, making->backing) == 0;
        if (!same) {
                _cleanup_free_ char *shown =
                        header.backing_file ? text_printable(header.backing_file) : xstrdup("nothing");

                error_set(err, ERROR_FAILED, "the clone '%s' was made over '%s', not over '%s'", making->path,
                          shown, making->backing);
                error_hint(err, "remove it to begin anew, or give the image that it was made over");
        }
        free(header.backing_file);
        return same ? 0 : -1;
}

/* Not when something else is in them. */
static void remove_empty(char *directory)
{
        if (rmdir(directory) == 0) {
                *strrchr(directory, '/') = '\0';
                rmdir(directory);
        }
}

int image_create_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        _cleanup_free_ char *directory = NULL, *lock = NULL, *what = NULL;
        json_auto_t *opening = NULL;
        _cleanup_close_ int fd = -1;
        struct making making;
        struct stat st;

        if (unpack(args, &making, err) < 0)
                return -1;
        directory = overlays_of(making.path, run->plan->name ? run->plan->name : run->vm->name);
        if (!directory)
                return error_set(err, ERROR_FAILED, "step image-create: '%s' is not below overlays",
                                 making.path);
        if (making.keep && lstat(making.path, &st) == 0) {
                if (check_kept(&making, err) < 0)
                        return -1;
        } else if (effect_learn(run, json_pack("{s:b, s:i}", "fresh", 1, "writer", (int)getpid()), err) < 0 ||
                   make_anew(&making, directory, err) < 0) {
                remove_empty(directory);
                return -1;
        }
        opening = json_pack("{s:s, s:s, s:b}", "path", making.path, "access", "rw", "direct", making.direct);
        if (image_open_fd(opening, &fd, &lock, err) < 0)
                return -1;
        what = xasprintf("image '%s'", making.path);
        if (effect_learn(run, json_pack("{s:s}", "lock", lock), err) < 0 ||
            effect_take_lock(run, lock, what, false, err) < 0)
                return -1;
        effect_keep_fd(run, making.fd, TAKE_FD(fd));
        return 0;
}

int image_create_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        bool fresh = json_member_is_true(learned, "fresh");
        /* What was made for a change that came to nothing no guest has kept anything in. */
        bool drop = fresh && (!undo->started || undo->uncommitted);
        const json_t *writer = json_object_get(learned, "writer");
        const char *lock = json_member_string(learned, "lock");
        _cleanup_free_ char *directory = NULL, *temporary = NULL, *raw = NULL;
        struct making making;
        int removed = 0;

        if (unpack(args, &making, err) < 0)
                return -1;
        directory = overlays_of(making.path, undo->name);
        if (!directory)
                return error_set(err, ERROR_FAILED, "step image-create: '%s' is not below overlays",
                                 making.path);
        if (lock)
                lock_file_sweep(undo->run_dirfd, lock);
        temporary = temporary_name(making.path, writer ? (pid_t)json_integer_value(writer) : undo->executor);
        raw = xasprintf("%s.raw", temporary);
        unlink(raw);
        unlink(temporary);
        if (!making.keep || drop) {
                removed = unlink(making.path) == 0;
                if (!removed && errno != ENOENT)
                        return error_os(err, errno, "remove '%s'", making.path);
        }
        remove_empty(directory);
        return removed || lock ? 1 : 0;
}
