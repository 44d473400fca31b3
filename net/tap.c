#include "net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "base/text.h"
#include "net/net_plan.h"
#include "net/netlink.h"

#define TUN_PATH   "/dev/net/tun"
#define OUR_PREFIX "vmlaunch:"

/* Says whose the interface is that has the name. Without netlink the plain message has to do. */
static int name_taken(const char *ifname, struct error **err)
{
        _cleanup_error_ struct error *ignored = NULL;
        _cleanup_netlink_ struct netlink *nl = netlink_open(&ignored);
        struct net_link link;
        _cleanup_free_ char *alias = NULL;
        char *end;

        if (!nl || netlink_link_get(nl, ifname, &link, &ignored) <= 0)
                return error_set(err, ERROR_BUSY, "interface '%s' exists already", ifname);
        alias = text_printable(link.alias);
        end = strrchr(alias, ':');
        if (text_starts_with(alias, OUR_PREFIX) && end >= alias + strlen(OUR_PREFIX))
                return error_set(err, ERROR_BUSY, "interface '%s' exists already, VM '%.*s' has it", ifname,
                                 (int)(end - alias) - (int)strlen(OUR_PREFIX), alias + strlen(OUR_PREFIX));
        if (*alias)
                return error_set(err, ERROR_BUSY, "interface '%s' exists already, its alias is '%s'", ifname,
                                 alias);
        return error_set(err, ERROR_BUSY, "interface '%s' exists already and is none of vmlaunch's", ifname);
}

static int open_queue(const char *ifname, short flags, int *ret_fd, struct error **err)
{
        struct ifreq ifr = { .ifr_flags = flags };
        _cleanup_close_ int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
                return error_set(err, ERROR_HOST, "no tap interfaces on this host: %s: %s", TUN_PATH,
                                 strerror(errno));
        if (fd < 0)
                return error_os(err, errno, "open %s", TUN_PATH);
        memcpy(ifr.ifr_name, ifname, strlen(ifname) + 1);
        if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
                int why = errno;

                /* EBUSY: a tap or tun has the name (IFF_TUN_EXCL). EINVAL: another kind of interface has it,
                 * or a flag is not known; which of them, the interface list says. */
                if (why == EBUSY || (why == EINVAL && if_nametoindex(ifname) != 0))
                        return name_taken(ifname, err);
                return error_os(err, why, "create tap '%s'", ifname);
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int tap_open(const char *ifname, unsigned queues, bool vnet_hdr, int *ret_fds, struct error **err)
{
        unsigned flags = IFF_TAP | IFF_NO_PI | (vnet_hdr ? IFF_VNET_HDR : 0);
        unsigned n = 0;

        if (net_ifname_check("interface", ifname, err) < 0)
                return -1;
        if (queues < 1 || queues > NET_QUEUES_MAX)
                return error_set(err, ERROR_INVALID, "tap '%s': %u queues, 1 to %d are possible", ifname,
                                 queues, NET_QUEUES_MAX);
        if (queues > 1)
                flags |= IFF_MULTI_QUEUE;
        for (; n < queues; n++)
                /* The first queue makes the interface, the others join it: it stays ours meanwhile. */
                if (open_queue(ifname, (short)(flags | (n == 0 ? IFF_TUN_EXCL : 0)), &ret_fds[n], err) < 0)
                        break;
        if (n == queues)
                return 0;
        if (n > 0)
                error_wrap(err, "queue %u of %u", n, queues);
        while (n--)
                fd_close(&ret_fds[n]);
        return -1;
}
