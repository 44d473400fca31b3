/* The variables of UEFI firmware: a file that is made once and then the guest's. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/process.h"
#include "launcher/run/effects.h"
#include "launcher/state/lock_file.h"
#include "launcher/storage/image_chain.h"

/* The largest template is ARM's with 64 MiB, nearly all of it zeros. */
#define VARS_MAX   (256u << 20)
#define BLOCK      65536u
#define CONVERT_MS 60000

struct nvram {
        const char *path, *format, *other, *template, *template_format, *fd;
        json_int_t uid;
};

static int unpack(const json_t *args, struct nvram *ret, struct error **err)
{
        json_error_t why;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:s, s:s, s:s, s:s, s:I, s:s}", "path", &ret->path,
                           "format", &ret->format, "other", &ret->other, "template", &ret->template,
                           "template-format", &ret->template_format, "uid", &ret->uid, "fd", &ret->fd) < 0)
                return error_set(err, ERROR_FAILED, "step nvram: %s", why.text);
        if (ret->path[0] != '/' || !strrchr(ret->path, '/')[1])
                return error_set(err, ERROR_FAILED, "step nvram: path '%s'", ret->path);
        return 0;
}

static char *directory_of(const char *path)
{
        return xstrndup(path, (size_t)(strrchr(path, '/') - path));
}

static char *half_written(const char *path, pid_t writer)
{
        return xasprintf("%s.new.%d", path, (int)writer);
}

static bool exists(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0;
}

/* O_NOFOLLOW: these files are in a directory of ours, and no links. */
static int open_vars(const char *path, int access, int *ret_fd, struct error **err)
{
        _cleanup_close_ int fd = open(path, access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_os(err, errno, "open '%s'", path);
        if (!S_ISREG(st.st_mode))
                return error_set(err, ERROR_FAILED, "'%s' is not a regular file", path);
        if (st.st_size > VARS_MAX)
                return error_set(err, ERROR_FAILED, "'%s' is too large for UEFI variables", path);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static bool is_zero(const char *bytes, size_t n)
{
        return bytes[0] == '\0' && memcmp(bytes, bytes + 1, n - 1) == 0;
}

/* Zeros stay holes. */
static int copy_sparse(int from, int to, const char *what, struct error **err)
{
        char block[BLOCK];
        off_t at = 0;

        for (;;) {
                ssize_t n = pread(from, block, sizeof(block), at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_os(err, errno, "read '%s'", what);
                if (n == 0)
                        break;
                if (at + n > VARS_MAX)
                        return error_set(err, ERROR_FAILED, "'%s' is too large for UEFI variables", what);
                if (!is_zero(block, (size_t)n) && pwrite(to, block, (size_t)n, at) != n)
                        return error_os(err, errno ? errno : ENOSPC, "copy '%s'", what);
                at += n;
        }
        if (ftruncate(to, at) < 0)
                return error_os(err, errno, "copy '%s'", what);
        return 0;
}

/* A compromised QEMU may have written this qcow2: it must not name other files for us to read. */
static int check_qcow2(int fd, const char *path, struct error **err)
{
        _cleanup_free_ uint8_t *bytes = xcalloc(1, QCOW2_HEADER_BYTES);
        struct qcow2_header header = { 0 };
        ssize_t n = pread(fd, bytes, QCOW2_HEADER_BYTES, 0);
        bool has_backing;

        if (n < 0)
                return error_os(err, errno, "read '%s'", path);
        if (qcow2_header_parse(bytes, (size_t)n, &header, err) < 0)
                return error_wrap(err, "'%s'", path);
        has_backing = header.backing_file != NULL;
        free(header.backing_file);
        if (has_backing)
                return error_set(err, ERROR_FAILED,
                                 "'%s' names a backing file, which UEFI variables do not have", path);
        return 0;
}

static int convert(int fd, const char *source, const char *source_format, const char *format, const char *to,
                   struct error **err)
{
        json_auto_t *node =
                json_pack("{s:s, s:{s:s, s:o, s:b}, s:b}", "driver", source_format, "file", "driver", "file",
                          "filename", json_sprintf("/proc/self/fd/%d", fd), "read-only", 1, "read-only", 1);
        _cleanup_free_ char *text = NULL, *from = NULL;

        if (strcmp(source_format, "qcow2") == 0) {
                if (check_qcow2(fd, source, err) < 0)
                        return -1;
                json_object_set_new(node, "backing", json_null());
        }
        text = json_dumps(node, JSON_COMPACT);
        from = xasprintf("json:%s", text);
        const char *const argv[] = { "qemu-img", "convert", "-O", format, from, to, NULL };
        const struct process_options options = {
                .argv = argv, .deadline_ms = CONVERT_MS, .fds = &fd, .n_fds = 1
        };

        if (process_check(&options, NULL, err) < 0)
                return error_wrap(err, "convert '%s' to %s", source, format);
        return 0;
}

/* The file whole or not at all: written beside it, then renamed. */
static int make(const struct nvram *nvram, const char *source, const char *source_format, struct error **err)
{
        _cleanup_free_ char *half = half_written(nvram->path, getpid());
        _cleanup_close_ int from = -1, to = -1;

        if (open_vars(source, O_RDONLY, &from, err) < 0)
                return -1;
        to = open(half, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (to < 0)
                return error_os(err, errno, "create '%s'", half);
        if (strcmp(source_format, nvram->format) == 0
                    ? copy_sparse(from, to, source, err) < 0
                    : convert(from, source, source_format, nvram->format, half, err) < 0)
                goto failed;
        /* Lost variables are a guest that does not boot. */
        if (fsync(to) < 0 || rename(half, nvram->path) < 0) {
                error_os(err, errno, "write '%s'", nvram->path);
                goto failed;
        }
        return 0;
failed:
        unlink(half);
        return -1;
}

/* Templates are the distribution's, and may be links: OVMF_CODE_4M.ms.fd is one. */
static int make_of_template(struct effect_run *run, const struct nvram *nvram, struct error **err)
{
        _cleanup_free_ char *directory = directory_of(nvram->path), *real = realpath(nvram->template, NULL);
        bool made = !exists(directory);

        if (!real)
                return error_os(err, errno, "find '%s'", nvram->template);
        if (effect_learn(run, json_pack("{s:b, s:b}", "made", 1, "made-directory", made), err) < 0)
                return -1;
        if (fd_mkdir_p(AT_FDCWD, directory, 0755, err) < 0)
                return -1;
        if (make(nvram, real, nvram->template_format, err) == 0)
                return 0;
        if (made)
                rmdir(directory);
        return -1;
}

/* FIRMWARE_FORMAT is another one than at the last start: the same variables in it, and no old ones beside them. */
static int make_of_other(const struct nvram *nvram, struct error **err)
{
        const char *format = strcmp(nvram->format, "raw") == 0 ? "qcow2" : "raw";

        if (make(nvram, nvram->other, format, err) < 0)
                return -1;
        if (unlink(nvram->other) < 0)
                return error_os(err, errno, "remove '%s'", nvram->other);
        return 0;
}

int nvram_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        _cleanup_free_ char *lock = NULL, *what = NULL;
        _cleanup_close_ int fd = -1;
        struct nvram nvram;
        struct stat st;

        if (unpack(args, &nvram, err) < 0)
                return -1;
        if (exists(nvram.path)) {
                /* Of a conversion that did not come to its end. */
                if (exists(nvram.other) && unlink(nvram.other) < 0)
                        return error_os(err, errno, "remove '%s'", nvram.other);
        } else if (exists(nvram.other) ? make_of_other(&nvram, err) < 0
                                       : make_of_template(run, &nvram, err) < 0) {
                return -1;
        }
        if (open_vars(nvram.path, O_RDWR, &fd, err) < 0 || lock_file_image_name(fd, &lock, err) < 0)
                return -1;
        what = xasprintf("image '%s'", nvram.path);
        if (effect_learn(run, json_pack("{s:s}", "lock", lock), err) < 0 ||
            effect_take_lock(run, lock, what, false, err) < 0)
                return -1;
        if (fstat(fd, &st) < 0 || (geteuid() == 0 && st.st_uid != (uid_t)nvram.uid &&
                                   fchown(fd, (uid_t)nvram.uid, (gid_t)nvram.uid) < 0))
                return error_os(err, errno, "give '%s' to the VM's user", nvram.path);
        effect_keep_fd(run, nvram.fd, TAKE_FD(fd));
        return 0;
}

int nvram_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        const char *lock = json_member_string(learned, "lock");
        _cleanup_free_ char *half = NULL, *directory = NULL;
        struct nvram nvram;
        int removed = 0;

        if (unpack(args, &nvram, err) < 0)
                return -1;
        half = half_written(nvram.path, undo->executor);
        unlink(half);
        if (lock)
                lock_file_sweep(undo->run_dirfd, lock);
        /* A guest that has run has its variables in it; so has one that had run before. */
        if (undo->started || !json_member_is_true(learned, "made"))
                return lock != NULL;
        if (unlink(nvram.path) == 0)
                removed = 1;
        else if (errno != ENOENT)
                return error_os(err, errno, "remove '%s'", nvram.path);
        directory = directory_of(nvram.path);
        /* Not when something else is in it. */
        if (json_member_is_true(learned, "made-directory"))
                rmdir(directory);
        return removed || lock;
}
