#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "launcher/run/effects.h"
#include "launcher/state/lock_file.h"

/* A kernel or an initrd that has to be copied for QEMU's uid is held in memory. */
#define FILE_COPY_MAX    (1u << 30)
#define MACHINE_LOCK_MAX (256u << 10)
#define LISTEN_BACKLOG   16

static int unpack_failed(const json_error_t *why, const char *effect, struct error **err)
{
        return error_set(err, ERROR_FAILED, "step %s: %s", effect, why->text);
}

char *uid_lock_name(unsigned uid)
{
        return xasprintf("uids/%u", uid);
}

int uid_claim_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        _cleanup_free_ char *name = NULL, *what = NULL;
        json_error_t why;
        json_int_t uid;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:I}", "uid", &uid) < 0)
                return unpack_failed(&why, "uid-claim", err);
        name = uid_lock_name((unsigned)uid);
        what = xasprintf("uid %u", (unsigned)uid);
        return effect_take_lock(run, name, what, false, err);
}

int uid_claim_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        _cleanup_free_ char *name = uid_lock_name((unsigned)json_member_integer(args, "uid"));

        (void)learned, (void)err;
        /* Held still: by our own supervisor, which removes it, or by the next VM. */
        lock_file_sweep(undo->run_dirfd, name);
        return 1;
}

/*
 * NFS with root_squash: root is nobody there, so the file's owner is asked. The kernel takes the file
 * capabilities away while fsuid is not 0 (capabilities(7)).
 */
static int open_as_owner(const char *path, int flags)
{
        struct stat st;
        int fd, saved;

        if (stat(path, &st) < 0 || st.st_uid == 0)
                return -1;
        setfsgid(st.st_gid);
        setfsuid(st.st_uid);
        fd = open(path, flags);
        saved = errno;
        setfsuid(geteuid());
        setfsgid(getegid());
        errno = saved;
        return fd;
}

int effect_open_path(const char *path, int access, struct error **err)
{
        /* O_NONBLOCK: a FIFO must not hold the start up; it means nothing to files and block devices. */
        int flags = access | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
        int fd = open(path, flags);
        int saved = errno;

        if (fd < 0 && (errno == EACCES || errno == EPERM) && geteuid() == 0)
                fd = open_as_owner(path, flags);
        if (fd < 0)
                return error_os(err, saved, "open '%s'", path);
        if (fcntl(fd, F_SETFL, 0) < 0) {
                error_os(err, errno, "open '%s'", path);
                close(fd);
                return -1;
        }
        return fd;
}

int image_open_fd(const json_t *args, int *ret_fd, char **ret_lock, struct error **err)
{
        const char *path, *access;
        _cleanup_close_ int fd = -1;
        json_error_t why;
        struct stat st;
        int direct = 0;
        bool rw;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:s, s?b}", "path", &path, "access", &access,
                           "direct", &direct) < 0)
                return unpack_failed(&why, "image-open", err);
        rw = strcmp(access, "rw") == 0;
        if (!rw && strcmp(access, "ro") != 0)
                return error_set(err, ERROR_FAILED, "step image-open: access '%s'", access);
        fd = effect_open_path(path, rw ? O_RDWR : O_RDONLY, err);
        if (fd < 0)
                return -1;
        if (fstat(fd, &st) < 0)
                return error_os(err, errno, "stat '%s'", path);
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return error_set(err, ERROR_FAILED, "'%s' is neither a file nor a block device", path);
        /* QEMU sets O_DIRECT itself; whether it can is known now. */
        if (direct && (fcntl(fd, F_SETFL, O_DIRECT) < 0 || fcntl(fd, F_SETFL, 0) < 0)) {
                error_os(err, errno, "open '%s' without the page cache", path);
                return error_hint(err, "its file system has no O_DIRECT: use CACHE=\"writeback\"");
        }
        if (lock_file_image_name(fd, ret_lock, err) < 0)
                return -1;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int image_open_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        const char *path, *lock, *fd_name;
        _cleanup_free_ char *lock_name = NULL, *what = NULL;
        _cleanup_close_ int fd = -1;
        json_error_t why;
        bool shared;
        int opened;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:s, s:s}", "path", &path, "lock", &lock, "fd",
                           &fd_name) < 0)
                return unpack_failed(&why, "image-open", err);
        shared = strcmp(lock, "shared") == 0;
        if (!shared && strcmp(lock, "exclusive") != 0)
                return error_set(err, ERROR_FAILED, "step image-open: lock '%s'", lock);
        opened = effect_opened(run, &lock_name, err);
        if (opened < 0 || (!opened && image_open_fd(args, &fd, &lock_name, err) < 0))
                return -1;
        what = xasprintf("image '%s'", path);
        if (effect_learn(run, json_pack("{s:s}", "lock", lock_name), err) < 0 ||
            effect_take_lock(run, lock_name, what, shared, err) < 0)
                return -1;
        if (opened)
                effect_keep_waiting(run, fd_name);
        else
                effect_keep_fd(run, fd_name, TAKE_FD(fd));
        return 0;
}

int image_open_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        const char *name = json_member_string(learned, "lock");

        (void)args, (void)err;
        if (!name)
                return 0;
        lock_file_sweep(undo->run_dirfd, name);
        return 1;
}

static int copy_to_memory(int fd, const char *path, const struct stat *st, uid_t uid, int *ret_fd,
                          struct error **err)
{
        _cleanup_close_ int memory = memfd_create("vmlaunch-file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        off_t left = st->st_size;

        if (memory < 0)
                return error_os(err, errno, "make a memory file for '%s'", path);
        if ((uintmax_t)st->st_size > FILE_COPY_MAX)
                return error_set(err, ERROR_FAILED, "'%s' is larger than 1 GiB, too large to be copied",
                                 path);
        while (left > 0) {
                ssize_t n = sendfile(memory, fd, NULL, (size_t)left);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_os(err, errno, "copy '%s'", path);
                if (n == 0)
                        return error_set(err, ERROR_FAILED, "'%s' became shorter while it was copied", path);
                left -= n;
        }
        if (fchmod(memory, 0400) < 0 || (uid != geteuid() && fchown(memory, uid, (gid_t)-1) < 0) ||
            fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
                return error_os(err, errno, "seal the copy of '%s'", path);
        *ret_fd = TAKE_FD(memory);
        return 0;
}

int file_open_fd(const json_t *args, int *ret_fd, struct error **err)
{
        _cleanup_close_ int fd = -1;
        json_int_t uid = -1;
        const char *path;
        json_error_t why;
        struct stat st;
        int copy = 0;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s?b, s?I}", "path", &path, "copy", &copy, "uid",
                           &uid) < 0)
                return unpack_failed(&why, "file-open", err);
        fd = effect_open_path(path, O_RDONLY, err);
        if (fd < 0)
                return -1;
        if (fstat(fd, &st) < 0)
                return error_os(err, errno, "stat '%s'", path);
        if (!S_ISREG(st.st_mode))
                return error_set(err, ERROR_FAILED, "'%s' is not a regular file", path);
        if (copy)
                return copy_to_memory(fd, path, &st, uid < 0 ? geteuid() : (uid_t)uid, ret_fd, err);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int file_open_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        return effect_carry_out_open(run, args, "file-open", file_open_fd, err);
}

static const char *path_in_run(const char *run_dir, const char *path, struct error **err)
{
        const char *below = effect_path_in_run(run_dir, path);

        if (!below)
                error_set(err, ERROR_FAILED, "'%s' is not below '%s'", path, run_dir);
        return below;
}

/* What is made until umask() is called with what this gives has exactly this mode. */
static mode_t umask_for(mode_t mode)
{
        return umask(0777 & ~mode);
}

/*
 * Gives away what we have just made, unless it is for ourselves (or -1): then it is ours already, but for the group in a
 * directory with the set-group-ID bit, which only matters to a mode that gives groups anything. 0 or -1 and errno.
 */
static int give_to(int dirfd, const char *path, uid_t uid, gid_t gid)
{
        if ((uid == (uid_t)-1 || uid == geteuid()) && (gid == (gid_t)-1 || gid == getegid()))
                return 0;
        return fchownat(dirfd, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

int directory_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        json_int_t mode, uid = -1, gid = -1;
        const char *path, *below;
        json_error_t why;
        mode_t umask_was;
        int made;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:I, s?I, s?I}", "path", &path, "mode", &mode,
                           "uid", &uid, "gid", &gid) < 0)
                return unpack_failed(&why, "directory", err);
        below = path_in_run(run->vm->path, path, err);
        if (!below)
                return -1;
        umask_was = umask_for((mode_t)mode);
        /* What is there already is of an earlier run: nobody may have left something in it. */
        while ((made = mkdirat(run->vm->fd, below, (mode_t)mode)) < 0 && errno == EEXIST)
                if (fd_remove_tree(run->vm->fd, below, err) < 0)
                        break;
        umask(umask_was);
        if (*err)
                return -1;
        if (made < 0)
                return error_os(err, errno, "create directory '%s'", path);
        if (give_to(run->vm->fd, below, (uid_t)uid, (gid_t)gid) < 0) {
                error_os(err, errno, "set the owner of '%s'", path);
                unlinkat(run->vm->fd, below, AT_REMOVEDIR);
                return -1;
        }
        return 0;
}

static int exists(int dirfd, const char *path)
{
        struct stat st;

        return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int directory_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        const char *path = json_member_string(args, "path");
        const char *below = path ? path_in_run(undo->run_dir, path, err) : NULL;

        (void)learned;
        if (!below)
                return *err ? -1 : error_set(err, ERROR_FAILED, "no path");
        if (!exists(undo->vm_dirfd, below))
                return 0;
        return fd_remove_tree(undo->vm_dirfd, below, err) < 0 ? -1 : 1;
}

/* The path as bind() takes it; by way of the directory's fd where the whole does not fit. */
static int socket_address(const struct effect_run *run, const char *path, const char *below,
                          struct sockaddr_un *ret, struct error **err)
{
        _cleanup_free_ char *by_fd = NULL;

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (strlen(path) >= sizeof(ret->sun_path)) {
                by_fd = xasprintf("/proc/self/fd/%d/%s", run->vm->fd, below);
                path = by_fd;
        }
        if (strlen(path) >= sizeof(ret->sun_path))
                return error_set(err, ERROR_FAILED, "socket path '%s' is too long", path);
        strcpy(ret->sun_path, path);
        return 0;
}

int listen_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        json_int_t mode, uid = -1, gid = -1;
        const char *path, *below, *fd_name;
        struct sockaddr_un address;
        json_error_t why;
        mode_t umask_was;
        int bound;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:I, s:s, s?I, s?I}", "path", &path, "mode", &mode,
                           "fd", &fd_name, "uid", &uid, "gid", &gid) < 0)
                return unpack_failed(&why, "listen", err);
        below = path_in_run(run->vm->path, path, err);
        if (!below || socket_address(run, path, below, &address, err) < 0)
                return -1;
        if (fd < 0)
                return error_os(err, errno, "make a socket for '%s'", path);
        /* Nobody connects before it has its owner: it does not listen yet. */
        umask_was = umask_for((mode_t)mode);
        while ((bound = bind(fd, (struct sockaddr *)&address, sizeof(address))) < 0 && errno == EADDRINUSE &&
               unlinkat(run->vm->fd, below, 0) == 0)
                ;
        umask(umask_was);
        if (bound < 0)
                return error_os(err, errno, "bind '%s'", path);
        if (give_to(run->vm->fd, below, (uid_t)uid, (gid_t)gid) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
                error_os(err, errno, "listen on '%s'", path);
                unlinkat(run->vm->fd, below, 0);
                return -1;
        }
        effect_keep_fd(run, fd_name, TAKE_FD(fd));
        return 0;
}

/* 1: removed, 0: was not there. */
static int remove_file(int dirfd, const char *path, struct error **err)
{
        if (unlinkat(dirfd, path, 0) == 0)
                return 1;
        return errno == ENOENT ? 0 : error_os(err, errno, "remove '%s'", path);
}

int listen_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        const char *path = json_member_string(args, "path");
        const char *below = path ? path_in_run(undo->run_dir, path, err) : NULL;

        (void)learned;
        if (!below)
                return *err ? -1 : error_set(err, ERROR_FAILED, "no path");
        return remove_file(undo->vm_dirfd, below, err);
}

/*
 * A file of exactly max bytes that can neither grow nor shrink. QEMU writes from offset 0; past the end
 * write() fails with EPERM (fcntl(2), F_SEAL_GROW). Only pages that are written take memory; the first NUL
 * ends the text.
 */
int stderr_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        _cleanup_close_ int fd = memfd_create("vmlaunch-stderr", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        const char *fd_name;
        json_error_t why;
        json_int_t max;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:I}", "fd", &fd_name, "max", &max) < 0)
                return unpack_failed(&why, "stderr", err);
        if (fd < 0 || ftruncate(fd, (off_t)max) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
                return error_os(err, errno, "make a memory file for QEMU's messages");
        effect_keep_fd(run, fd_name, TAKE_FD(fd));
        return 0;
}

/* fd_write_file_at() writes beside the file: what a crash between its two steps leaves. */
static void remove_half_written(int dirfd, const char *path, pid_t writer)
{
        _cleanup_free_ char *temporary = xasprintf("%s.new.%d", path, (int)writer);

        unlinkat(dirfd, temporary, 0);
}

/*
 * machine.lock is what the guest has seen and must see again, so it outlives the VM's run. A guest that never
 * ran has seen nothing: undo of a start that failed puts back what was there before.
 */
int machine_lock_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        _cleanup_free_ char *previous = NULL, *directory = NULL;
        json_auto_t *learned = json_object();
        const char *path, *text;
        json_error_t why;
        char *slash;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:s}", "path", &path, "text", &text) < 0)
                return unpack_failed(&why, "machine-lock", err);
        directory = xstrdup(path);
        slash = strrchr(directory, '/');
        if (!slash || slash == directory)
                return error_set(err, ERROR_FAILED, "step machine-lock: path '%s'", path);
        *slash = '\0';
        if (fd_read_file_at(AT_FDCWD, path, MACHINE_LOCK_MAX, &previous, NULL, err) < 0) {
                if ((*err)->os_errno != ENOENT)
                        return -1;
                error_free(*err);
                *err = NULL;
        }
        if (previous && strcmp(previous, text) == 0)
                return 0;
        json_object_set_new(learned, "previous", previous ? json_string(previous) : json_null());
        json_object_set_new(learned, "made-directory", json_boolean(!exists(AT_FDCWD, directory)));
        if (effect_learn(run, json_incref(learned), err) < 0)
                return -1;
        if (fd_mkdir_p(AT_FDCWD, directory, 0755, err) < 0 ||
            fd_write_file_at(AT_FDCWD, path, text, strlen(text), 0644, FD_WRITE_SYNC, err) < 0) {
                if (json_member_is_true(learned, "made-directory"))
                        rmdir(directory);
                return -1;
        }
        return 0;
}

int machine_lock_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        const char *path = json_member_string(args, "path");
        const json_t *previous = json_object_get(learned, "previous");
        _cleanup_free_ char *directory = NULL;
        int removed;

        if (!path)
                return error_set(err, ERROR_FAILED, "no path");
        remove_half_written(AT_FDCWD, path, undo->executor);
        if (undo->started || !previous)
                return 0;
        if (json_is_string(previous))
                return fd_write_file_at(AT_FDCWD, path, json_string_value(previous),
                                        json_string_length(previous), 0644, FD_WRITE_SYNC, err) < 0
                               ? -1
                               : 1;
        removed = remove_file(AT_FDCWD, path, err);
        if (removed < 0)
                return -1;
        directory = xstrndup(path, (size_t)(strrchr(path, '/') - path));
        /* Not when something else is in it. */
        if (json_member_is_true(learned, "made-directory"))
                rmdir(directory);
        return removed;
}

int live_template_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        const char *path, *text, *below;
        json_error_t why;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:s}", "path", &path, "text", &text) < 0)
                return unpack_failed(&why, "live-template", err);
        below = path_in_run(run->vm->path, path, err);
        if (!below)
                return -1;
        return fd_write_file_at(run->vm->fd, below, text, strlen(text), 0600, 0, err);
}

int live_template_undo(struct effect_undo *undo, const json_t *args, const json_t *learned,
                       struct error **err)
{
        const char *path = json_member_string(args, "path");
        const char *below = path ? path_in_run(undo->run_dir, path, err) : NULL;

        (void)learned;
        if (!below)
                return *err ? -1 : error_set(err, ERROR_FAILED, "no path");
        remove_half_written(undo->vm_dirfd, below, undo->executor);
        return remove_file(undo->vm_dirfd, below, err);
}
