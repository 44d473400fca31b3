#include "launcher/live/guest_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/json_member.h"

#define ADDRESSES_MAX 64
/* Each of them, so that one that drops what it gets does not stand before the others. */
#define CONNECT_MS 1000

static bool is_usable_v4(const struct in_addr *address)
{
        uint32_t host = ntohl(address->s_addr);

        return host >> 24 != 0 && host >> 24 != IN_LOOPBACKNET && host >> 16 != 0xA9FE && host >> 28 < 0xE;
}

static bool is_usable_v6(const struct in6_addr *address)
{
        return !IN6_IS_ADDR_UNSPECIFIED(address) && !IN6_IS_ADDR_LOOPBACK(address) &&
               !IN6_IS_ADDR_LINKLOCAL(address) && !IN6_IS_ADDR_MULTICAST(address) &&
               !IN6_IS_ADDR_V4MAPPED(address);
}

/* 0: what text is as an address is in *ret; -1: it is none that others could use. */
static int read_address(const char *text, struct sockaddr_storage *ret)
{
        struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

        memset(ret, 0, sizeof(*ret));
        if (text && inet_pton(AF_INET, text, &v4->sin_addr) == 1 && is_usable_v4(&v4->sin_addr)) {
                ret->ss_family = AF_INET;
                return 0;
        }
        memset(ret, 0, sizeof(*ret));
        if (text && inet_pton(AF_INET6, text, &v6->sin6_addr) == 1 && is_usable_v6(&v6->sin6_addr)) {
                ret->ss_family = AF_INET6;
                return 0;
        }
        return -1;
}

static void add_address(json_t *list, const char *text)
{
        struct sockaddr_storage address;
        char shown[INET6_ADDRSTRLEN];

        if (json_array_size(list) >= ADDRESSES_MAX || read_address(text, &address) < 0)
                return;
        inet_ntop(address.ss_family,
                  address.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&address)->sin_addr
                                               : (void *)&((struct sockaddr_in6 *)&address)->sin6_addr,
                  shown, sizeof(shown));
        json_array_append_new(list, json_string(shown));
}

json_t *guest_addresses_read(const json_t *interfaces)
{
        json_t *list = json_array(), *interface, *address;
        size_t i, k;

        json_array_foreach ((json_t *)interfaces, i, interface) {
                json_array_foreach (json_object_get(interface, "ip-addresses"), k, address) {
                        add_address(list, json_member_string(address, "ip-address"));
                }
        }
        return list;
}

json_t *guest_addresses_planned(const json_t *devices)
{
        static const char *const keys[] = { "IP", "IP6", "IP6_GLOBAL", NULL };
        json_t *list = json_array(), *device;
        size_t i;

        json_array_foreach ((json_t *)devices, i, device) {
                const json_t *metadata = json_object_get(device, "metadata");

                for (size_t k = 0; keys[k]; k++)
                        add_address(list, json_member_string(metadata, keys[k]));
        }
        return list;
}

static bool connects(const char *text, uint16_t port, long long deadline_ms)
{
        struct sockaddr_storage address;
        int error = 0;
        socklen_t size = sizeof(error);
        _cleanup_close_ int fd = -1;

        if (read_address(text, &address) < 0)
                return false;
        if (address.ss_family == AF_INET)
                ((struct sockaddr_in *)&address)->sin_port = htons(port);
        else
                ((struct sockaddr_in6 *)&address)->sin6_port = htons(port);
        fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return false;
        /* waits: not at all, EINPROGRESS */
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
                return true;
        return errno == EINPROGRESS && fd_wait(fd, POLLOUT, deadline_ms) > 0 &&
               getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

int guest_port_answers(const json_t *addresses, uint16_t port, long long deadline_ms,
                       const char **ret_address)
{
        for (size_t i = 0; i < json_array_size(addresses); i++) {
                const char *text = json_string_value(json_array_get(addresses, i));
                long long until = fd_now_ms() + CONNECT_MS;

                if (connects(text, port, until < deadline_ms ? until : deadline_ms)) {
                        *ret_address = text;
                        return 1;
                }
                if (fd_now_ms() >= deadline_ms)
                        return 0;
        }
        return 0;
}
