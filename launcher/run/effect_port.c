/* TCP ports of VNC and SPICE: one VM each, and bound before QEMU is there. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "launcher/run/effects.h"
#include "launcher/state/lock_file.h"

#define LISTEN_BACKLOG 16

char *port_lock_name(unsigned port)
{
        return xasprintf("ports/%u", port);
}

static int read_address(const char *text, unsigned port, struct sockaddr_storage *ret, socklen_t *ret_length,
                        struct error **err)
{
        struct sockaddr_in *v4 = (void *)ret;
        struct sockaddr_in6 *v6 = (void *)ret;

        memset(ret, 0, sizeof(*ret));
        if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
                v4->sin_family = AF_INET;
                v4->sin_port = htons((uint16_t)port);
                *ret_length = sizeof(*v4);
                return 0;
        }
        if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
                v6->sin6_family = AF_INET6;
                v6->sin6_port = htons((uint16_t)port);
                *ret_length = sizeof(*v6);
                return 0;
        }
        return error_set(err, ERROR_FAILED, "step port: '%s' is no address", text);
}

/* Listens, so that a second server of the same address, which may share a port that is only bound, is noticed. */
static int open_listener(const char *address, unsigned port, int *ret_fd, struct error **err)
{
        struct sockaddr_storage at;
        _cleanup_close_ int fd = -1;
        socklen_t length = 0;
        int on = 1, off = 0;

        if (read_address(address, port, &at, &length, err) < 0)
                return -1;
        fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return error_os(err, errno, "make a socket for %s", address);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        /* :: is every address, those of IPv4 too. */
        if (at.ss_family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        if (bind(fd, (const struct sockaddr *)&at, length) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
                if (errno != EADDRINUSE)
                        return error_os(err, errno, "listen at port %u of %s", port, address);
                error_set(err, ERROR_BUSY, "port %u of %s is in use by another program", port, address);
                return error_hint(err, "give another GRAPHICS/PORT; 'ss -ltnp' shows who has this one");
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int port_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        _cleanup_free_ char *name = NULL, *what = NULL;
        const char *address, *fd_name = NULL;
        json_int_t port;
        json_error_t why;
        int fd;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:I, s:s, s?s}", "port", &port, "address", &address,
                           "fd", &fd_name) < 0)
                return error_set(err, ERROR_FAILED, "step port: %s", why.text);
        if (port < 1 || port > UINT16_MAX)
                return error_set(err, ERROR_FAILED, "step port: out of range");
        name = port_lock_name((unsigned)port);
        what = xasprintf("port %u", (unsigned)port);
        if (effect_take_lock(run, name, what, false, err) < 0 ||
            open_listener(address, (unsigned)port, &fd, err) < 0)
                return -1;
        /* Without a name QEMU listens itself, and only whether it can was asked. */
        if (fd_name)
                effect_keep_fd(run, fd_name, fd);
        else
                fd_close(&fd);
        return 0;
}

int port_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        _cleanup_free_ char *name = port_lock_name((unsigned)json_member_integer(args, "port"));

        (void)learned, (void)err;
        lock_file_sweep(undo->run_dirfd, name);
        return 1;
}
