#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/text.h"

#define CLOSE_BY_HAND_MAX 65536

void fd_close(int *fd)
{
        int saved = errno;

        if (*fd >= 0)
                close(*fd);
        *fd = -1;
        errno = saved;
}

int fd_read_all(int fd, const char *what, size_t max, char **ret_text, size_t *ret_length, struct error **err)
{
        _cleanup_text_ struct text text = TEXT_INIT;
        /* Most files are smaller, and each page of the stack is faulted in, after a fork once more. */
        char buffer[4096];

        for (;;) {
                ssize_t n = read(fd, buffer, sizeof(buffer));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_os(err, errno, "read '%s'", what);
                if (n == 0)
                        break;
                if (text.length + (size_t)n > max)
                        return error_set(err, ERROR_FAILED, "'%s' is larger than %zu bytes", what, max);
                text_add_bytes(&text, buffer, (size_t)n);
        }
        if (ret_length)
                *ret_length = text.length;
        *ret_text = text_take(&text);
        return 0;
}

int fd_read_file_at(int dirfd, const char *path, size_t max, char **ret_text, size_t *ret_length,
                    struct error **err)
{
        _cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

        if (fd < 0)
                return error_os(err, errno, "open '%s'", path);
        return fd_read_all(fd, path, max, ret_text, ret_length, err);
}

int fd_write_all(int fd, const char *what, const void *bytes, size_t n, struct error **err)
{
        const char *p = bytes;

        while (n) {
                ssize_t written = write(fd, p, n);

                if (written < 0 && errno == EINTR)
                        continue;
                if (written < 0)
                        return error_os(err, errno, "write '%s'", what);
                p += written;
                n -= (size_t)written;
        }
        return 0;
}

static int sync_directory_of(int dirfd, const char *path, struct error **err)
{
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *dir =
                slash ? xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : xstrdup(".");
        _cleanup_close_ int fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
                return error_os(err, errno, "sync directory '%s'", dir);
        return 0;
}

int fd_write_file_at(int dirfd, const char *path, const char *bytes, size_t n, mode_t mode, unsigned flags,
                     struct error **err)
{
        _cleanup_free_ char *temporary = xasprintf("%s.new.%d", path, (int)getpid());
        _cleanup_close_ int fd =
                openat(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

        if (fd < 0)
                return error_os(err, errno, "create '%s'", path);
        /* The mode is meant as given, whatever umask the caller has. */
        if (fchmod(fd, mode) < 0)
                error_os(err, errno, "set the mode of '%s'", path);
        else if (fd_write_all(fd, path, bytes, n, err) == 0) {
                if ((flags & FD_WRITE_SYNC) && fsync(fd) < 0)
                        error_os(err, errno, "sync '%s'", path);
                else if (renameat(dirfd, temporary, dirfd, path) < 0)
                        error_os(err, errno, "rename to '%s'", path);
        }
        if (*err) {
                unlinkat(dirfd, temporary, 0);
                return -1;
        }
        return flags & FD_WRITE_SYNC ? sync_directory_of(dirfd, path, err) : 0;
}

int fd_write_existing_at(int dirfd, const char *path, const char *value, struct error **err)
{
        _cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        size_t length = strlen(value);
        ssize_t n;

        if (fd < 0)
                return error_os(err, errno, "open '%s'", path);
        n = write(fd, value, length);
        if (n != (ssize_t)length)
                return error_os(err, n < 0 ? errno : EIO, "write '%s' to '%s'", value, path);
        return 0;
}

int fd_mkdir_p(int dirfd, const char *path, mode_t mode, struct error **err)
{
        _cleanup_free_ char *part = NULL;

        /* Mostly it is there, or only its last part is missing. */
        if (!*path || mkdirat(dirfd, path, mode) == 0 || errno == EEXIST)
                return 0;
        part = xstrdup(path);
        for (char *at = part + 1;; at++) {
                char end = *at;

                if (end != '/' && end != '\0')
                        continue;
                *at = '\0';
                if (mkdirat(dirfd, part, mode) < 0 && errno != EEXIST)
                        return error_os(err, errno, "create directory '%s'", part);
                *at = end;
                if (end == '\0')
                        return 0;
        }
}

/* depth bounds the recursion: our own directories are three deep. */
static int remove_tree(int parent, const char *path, unsigned depth, struct error **err)
{
        _cleanup_close_ int fd = -1;
        DIR *dir;

        if (unlinkat(parent, path, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return error_os(err, errno, "remove '%s'", path);
        fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_os(err, errno, "open directory '%s'", path);
        if (depth == 0)
                return error_set(err, ERROR_FAILED, "'%s' is too deep to remove", path);
        dir = fdopendir(fd);
        if (!dir)
                return error_os(err, errno, "read directory '%s'", path);
        fd = -1;
        for (struct dirent *entry; !*err && (entry = readdir(dir));)
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        remove_tree(dirfd(dir), entry->d_name, depth - 1, err);
        closedir(dir);
        if (*err)
                return error_wrap(err, "remove '%s'", path);
        if (unlinkat(parent, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return error_os(err, errno, "remove directory '%s'", path);
        return 0;
}

int fd_remove_tree(int dirfd, const char *path, struct error **err)
{
        return remove_tree(dirfd, path, 16, err);
}

int fd_send(int sock, const void *bytes, size_t n, const int *fds, size_t n_fds, struct error **err)
{
        union {
                char bytes[CMSG_SPACE(sizeof(int) * FD_MAX_PASSED)];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec iov = { .iov_base = (void *)bytes, .iov_len = n };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t sent;

        if (n_fds > FD_MAX_PASSED)
                return error_set(err, ERROR_FAILED, "cannot pass %zu fds at once", n_fds);
        if (n_fds) {
                struct cmsghdr *header;

                message.msg_control = control.bytes;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                header = CMSG_FIRSTHDR(&message);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(header), fds, sizeof(int) * n_fds);
        }
        do
                /* waits: only in a child that somebody gives up, else the socket does not block */
                sent = sendmsg(sock, &message, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent != (ssize_t)n)
                return error_os(err, sent < 0 ? errno : EIO, "send %zu bytes and %zu fds", n, n_fds);
        return 0;
}

void fd_close_from(int first)
{
        /* Before Linux 5.9 there is no such call. */
        if (syscall(SYS_close_range, (unsigned)first, ~0u, 0) < 0)
                for (int fd = first; fd < CLOSE_BY_HAND_MAX; fd++)
                        close(fd);
}

int fd_pidfd_open(pid_t pid)
{
        int fd = (int)syscall(SYS_pidfd_open, pid, 0);

        /* pidfds are close-on-exec from birth (pidfd_open(2)). */
        return fd;
}

int fd_pidfd_send_signal(int pidfd, int sig)
{
        return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

int fd_pidfd_check(int pidfd)
{
        int ended = fd_wait(pidfd, POLLIN, fd_now_ms());

        return ended == 0 ? 0 : (errno = ended > 0 ? ESRCH : errno, -1);
}

char *fd_read_link(int dirfd, const char *path)
{
        char target[PATH_MAX];
        ssize_t n = readlinkat(dirfd, path, target, sizeof(target));

        return n > 0 && (size_t)n < sizeof(target) ? xstrndup(target, (size_t)n) : NULL;
}

long long fd_now_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int fd_wait(int fd, short events, long long deadline_ms)
{
        for (;;) {
                struct pollfd p = { .fd = fd, .events = events };
                long long left = deadline_ms - fd_now_ms();
                int n = poll(&p, 1, left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left);

                if (n >= 0 || errno != EINTR)
                        return n;
        }
}
