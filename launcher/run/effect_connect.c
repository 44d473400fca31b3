/* Connections to servers of this host, made for QEMU: it may not reach their sockets itself. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "launcher/run/effects.h"

/* The path as connect() takes it; by way of its directory (*dirfd) where the whole does not fit. */
static int make_address(const char *path, int *dirfd, struct sockaddr_un *ret, struct error **err)
{
        _cleanup_free_ char *directory = NULL, *by_fd = NULL;
        const char *slash = strrchr(path, '/');

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (slash && strlen(path) >= sizeof(ret->sun_path)) {
                directory = xstrndup(path, (size_t)(slash - path));
                *dirfd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (*dirfd < 0)
                        return error_os(err, errno, "open '%s'", directory);
                by_fd = xasprintf("/proc/self/fd/%d%s", *dirfd, slash);
                path = by_fd;
        }
        if (strlen(path) >= sizeof(ret->sun_path))
                return error_set(err, ERROR_FAILED, "socket path '%s' is too long", path);
        strcpy(ret->sun_path, path);
        return 0;
}

int connect_open_fd(const char *path, int *ret_fd, struct error **err)
{
        /* A server that does not accept must not hold its client up. */
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        _cleanup_close_ int dirfd = -1;
        struct sockaddr_un address;

        if (fd < 0)
                return error_os(err, errno, "make a socket for '%s'", path);
        if (make_address(path, &dirfd, &address, err) < 0)
                return -1;
        /* waits: not at all, the socket does not block */
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return error_os(err, errno, "connect to '%s'", path);
        if (fcntl(fd, F_SETFL, 0) < 0)
                return error_os(err, errno, "connect to '%s'", path);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int connect_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        const char *path, *name;
        json_error_t why;
        int fd;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:s}", "path", &path, "fd", &name) < 0)
                return error_set(err, ERROR_FAILED, "step connect: %s", why.text);
        if (connect_open_fd(path, &fd, err) < 0)
                return -1;
        effect_keep_fd(run, name, fd);
        return 0;
}
