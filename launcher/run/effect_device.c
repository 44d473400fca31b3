/* What devices need of the host: nodes, logs, sockets to helper processes, directories that stay. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "launcher/run/effects.h"

#define LOG_MODE 0640
/* Within the VM's private directory; it has this name for a moment only. */
#define PAIR_SOCKET "private/pair.sock"

static int unpack_failed(const json_error_t *why, const char *effect, struct error **err)
{
        return error_set(err, ERROR_FAILED, "step %s: %s", effect, why->text);
}

/* Its device descriptor is what a USB device's node gives first (usbfs; USB 2.0, 9.6.1). */
static int check_usb(int fd, const char *path, const char *ids, struct error **err)
{
        unsigned char descriptor[18];
        _cleanup_free_ char *is = NULL;

        if (pread(fd, descriptor, sizeof(descriptor), 0) != (ssize_t)sizeof(descriptor))
                return error_set(err, ERROR_HOST, "'%s' is no USB device", path);
        is = xasprintf("%02x%02x:%02x%02x", descriptor[9], descriptor[8], descriptor[11], descriptor[10]);
        if (strcmp(is, ids) == 0)
                return 0;
        error_set(err, ERROR_HOST, "'%s' is the USB device %s by now, not %s", path, is, ids);
        return error_hint(err, "another one was plugged in meanwhile: try again");
}

int device_open_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        json_t *names = json_object_get(args, "fds"), *name;
        const char *path = json_member_string(args, "path");
        const char *access = json_member_string(args, "access");
        const char *usb = json_member_string(args, "usb");
        size_t i;

        if (!path || !json_is_array(names))
                return error_set(err, ERROR_FAILED, "step device-open: path or fds is missing");
        json_array_foreach (names, i, name) {
                bool readonly = access && strcmp(access, "ro") == 0;
                int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
                struct stat st;

                if (fd < 0 || fstat(fd, &st) < 0) {
                        error_os(err, errno, "open '%s'", path);
                        fd_close(&fd);
                        return -1;
                }
                effect_keep_fd(run, json_string_value(name), fd);
                if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
                        return error_set(err, ERROR_HOST, "'%s' is no device", path);
                if (usb && check_usb(fd, path, usb, err) < 0)
                        return -1;
        }
        return 0;
}

static int make_log_directory(const char *path, struct error **err)
{
        _cleanup_free_ char *copy = xstrdup(path);

        return fd_mkdir_p(AT_FDCWD, dirname(copy), 0755, err);
}

int log_open_fd(const json_t *args, int *ret_fd, struct error **err)
{
        _cleanup_close_ int fd = -1;
        const char *path;
        json_error_t why;
        struct stat st;
        int own = 0;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s?b}", "path", &path, "own", &own) < 0)
                return unpack_failed(&why, "log-open", err);
        if (own && make_log_directory(path, err) < 0)
                return -1;
        /* O_NONBLOCK: a FIFO in its place must not hold the start up. */
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK,
                  LOG_MODE);
        if (fd < 0)
                return error_os(err, errno, "open '%s'", path);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_set(err, ERROR_FAILED, "'%s' is not a regular file", path);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int log_open_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        return effect_carry_out_open(run, args, "log-open", log_open_fd, err);
}

/* A socket that listens, and a connection to it that waits in its queue. Nobody else can find it: its directory is
 * root's, and its name is gone at once. */
static int make_listener(const struct effect_run *run, int *ret_listener, int *ret_peer, struct error **err)
{
        _cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_close_ int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (listener < 0 || peer < 0)
                return error_os(err, errno, "make a socket");
        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" PAIR_SOCKET, run->vm->fd);
        unlinkat(run->vm->fd, PAIR_SOCKET, 0);
        if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 1) < 0) {
                error_os(err, errno, "bind '%s/" PAIR_SOCKET "'", run->vm->path);
                unlinkat(run->vm->fd, PAIR_SOCKET, 0);
                return -1;
        }
        /* waits: not at all, the queue is empty */
        if (connect(peer, (struct sockaddr *)&address, sizeof(address)) < 0)
                error_os(err, errno, "connect to '%s/" PAIR_SOCKET "'", run->vm->path);
        unlinkat(run->vm->fd, PAIR_SOCKET, 0);
        if (*err)
                return -1;
        fcntl(peer, F_SETFL, 0);
        *ret_listener = TAKE_FD(listener);
        *ret_peer = TAKE_FD(peer);
        return 0;
}

int socket_pair_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        int fds[2] = { -1, -1 }, listens = 0;
        const char *name, *peer_name;
        json_error_t why;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:s, s?b}", "fd", &name, "peer", &peer_name,
                           "listens", &listens) < 0)
                return unpack_failed(&why, "socket-pair", err);
        if (listens) {
                if (make_listener(run, &fds[0], &fds[1], err) < 0)
                        return -1;
        } else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
                return error_os(err, errno, "make a pair of sockets");
        }
        effect_keep_fd(run, name, fds[0]);
        effect_keep_fd(run, peer_name, fds[1]);
        return 0;
}

/* A link can be to anybody's file. former: whose the directory was, and may have what it likes. */
static int give_file(int dirfd, const char *name, const char *path, uid_t former, uid_t uid, gid_t gid,
                     struct error **err)
{
        _cleanup_close_ int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_os(err, errno, "look at '%s/%s'", path, name);
        if (!S_ISDIR(st.st_mode) && st.st_nlink > 1 && st.st_uid != former && st.st_uid != uid)
                return error_set(err, ERROR_HOST, "'%s/%s' is a link to a file of uid %u", path, name,
                                 (unsigned)st.st_uid);
        if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
                return error_os(err, errno, "give '%s/%s' to uid %u", path, name, (unsigned)uid);
        return 0;
}

static int give_files(int fd, const char *path, uid_t former, uid_t uid, gid_t gid, struct error **err)
{
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        DIR *dir = copy < 0 ? NULL : fdopendir(copy);

        if (!dir) {
                fd_close(&copy);
                return error_os(err, errno, "read '%s'", path);
        }
        for (struct dirent *entry; !*err && (entry = readdir(dir));)
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        give_file(fd, entry->d_name, path, former, uid, gid, err);
        closedir(dir);
        return *err ? -1 : 0;
}

/* What is in it belongs to whoever the VM runs as, also when that is another one than last time. */
static int give_directory(int fd, const char *path, mode_t mode, uid_t uid, gid_t gid, struct error **err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_os(err, errno, "look at '%s'", path);
        if ((st.st_uid != uid || st.st_gid != gid) && give_files(fd, path, st.st_uid, uid, gid, err) < 0)
                return -1;
        if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)
                return error_os(err, errno, "set owner and mode of '%s'", path);
        return 0;
}

static bool exists(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0;
}

int state_directory_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        _cleanup_free_ char *copy = NULL, *parent = NULL;
        json_int_t mode, uid = -1, gid = -1;
        _cleanup_close_ int fd = -1;
        const char *path;
        json_error_t why;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:I, s?I, s?I}", "path", &path, "mode", &mode,
                           "uid", &uid, "gid", &gid) < 0)
                return unpack_failed(&why, "state-directory", err);
        copy = xstrdup(path);
        parent = xstrdup(dirname(copy));
        if (effect_learn(run, json_pack("{s:b, s:b}", "made", !exists(path), "made-parent", !exists(parent)),
                         err) < 0 ||
            fd_mkdir_p(AT_FDCWD, parent, 0755, err) < 0)
                return -1;
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_os(err, errno, "create directory '%s'", path);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_os(err, errno, "open directory '%s'", path);
        return give_directory(fd, path, (mode_t)mode, (uid_t)uid, (gid_t)gid, err);
}

/* What a guest has kept there stays; one that never ran has kept nothing. */
int state_directory_undo(struct effect_undo *undo, const json_t *args, const json_t *learned,
                         struct error **err)
{
        const char *path = json_member_string(args, "path");
        _cleanup_free_ char *copy = NULL;

        if (!path)
                return error_set(err, ERROR_FAILED, "no path");
        if (undo->started || !json_member_is_true(learned, "made") || !exists(path))
                return 0;
        if (fd_remove_tree(AT_FDCWD, path, err) < 0)
                return -1;
        copy = xstrdup(path);
        /* Not when something else is in it. */
        if (json_member_is_true(learned, "made-parent"))
                rmdir(dirname(copy));
        return 1;
}
