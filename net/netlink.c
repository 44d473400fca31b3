#include "net/netlink.h"

#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "base/text.h"

/* What a dump is received in; the kernel fills at most 32 KiB (NLMSG_GOODSIZE and the reader's buffer). */
#define RECEIVE_SIZE 32768
/* Our requests have a header and at most five attributes, the longest an alias. */
#define REQUEST_SIZE 1024
/* A dump during which links came or went is inconsistent (NLM_F_DUMP_INTR) and asked again. */
#define DUMP_TRIES 8
#define LINKS_MAX  65536

struct netlink {
        struct mnl_socket *socket;
        unsigned portid;
        uint32_t seq;
        char receive[RECEIVE_SIZE + MNL_ALIGNTO];
};

struct netlink *netlink_open(struct error **err)
{
        /* The kernel answers at once or not at all: nothing here may wait for ever. */
        const struct timeval patience = { .tv_sec = 10 };
        struct netlink *nl = xcalloc(1, sizeof(*nl));
        int one = 1;

        nl->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
        if (!nl->socket || mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
            setsockopt(mnl_socket_get_fd(nl->socket), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) <
                    0) {
                error_os(err, errno, "open rtnetlink socket");
                netlink_close(nl);
                return NULL;
        }
        nl->portid = mnl_socket_get_portid(nl->socket);
        /* The kernel's own words for an error, where it has some (since 4.12); older ones do without. */
        mnl_socket_setsockopt(nl->socket, NETLINK_EXT_ACK, &one, sizeof(one));
        nl->seq = (uint32_t)time(NULL);
        return nl;
}

void netlink_close(struct netlink *nl)
{
        if (!nl)
                return;
        if (nl->socket)
                mnl_socket_close(nl->socket);
        free(nl);
}

static void copy_string(const struct nlattr *attr, char *out, size_t size)
{
        const char *s = mnl_attr_get_payload(attr);
        size_t n = strnlen(s, mnl_attr_get_payload_len(attr));

        if (n >= size)
                n = size - 1;
        memcpy(out, s, n);
        out[n] = '\0';
}

static uint32_t u32_or_0(const struct nlattr *attr)
{
        return mnl_attr_get_payload_len(attr) >= sizeof(uint32_t) ? mnl_attr_get_u32(attr) : 0;
}

/* mnl_nlmsg_ok() compares as int: a length with the top bit set passes there. */
static bool message_ok(const struct nlmsghdr *header, size_t left)
{
        return left >= sizeof(*header) && header->nlmsg_len >= sizeof(*header) && header->nlmsg_len <= left;
}

bool netlink_parse_link(const void *message, size_t n, struct net_link *ret)
{
        const struct nlmsghdr *header = message;
        struct net_link link = { 0 };
        const struct ifinfomsg *info;
        struct nlattr *attr, *inner;

        /* libmnl walks attributes to the aligned end of the message: that has to be inside too. */
        if (n > INT32_MAX || !message_ok(header, n) || MNL_ALIGN(header->nlmsg_len) > n ||
            header->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(header) < sizeof(*info))
                return false;
        info = mnl_nlmsg_get_payload(header);
        link.index = info->ifi_index;
        link.flags = info->ifi_flags;
        mnl_attr_for_each(attr, header, sizeof(*info))
        {
                size_t length = mnl_attr_get_payload_len(attr);

                switch (mnl_attr_get_type(attr)) {
                case IFLA_IFNAME:
                        copy_string(attr, link.name, sizeof(link.name));
                        break;
                case IFLA_IFALIAS:
                        copy_string(attr, link.alias, sizeof(link.alias));
                        break;
                case IFLA_GROUP:
                        link.group = u32_or_0(attr);
                        break;
                case IFLA_MASTER:
                        link.master = (int)u32_or_0(attr);
                        break;
                case IFLA_MTU:
                        link.mtu = u32_or_0(attr);
                        break;
                case IFLA_OPERSTATE:
                        if (length >= 1)
                                link.operstate = mnl_attr_get_u8(attr);
                        break;
                case IFLA_ADDRESS:
                        link.has_mac = length == sizeof(link.mac);
                        if (link.has_mac)
                                memcpy(link.mac, mnl_attr_get_payload(attr), sizeof(link.mac));
                        break;
                case IFLA_LINKINFO:
                        mnl_attr_for_each_nested(inner, attr)
                        {
                                if (mnl_attr_get_type(inner) == IFLA_INFO_KIND)
                                        copy_string(inner, link.kind, sizeof(link.kind));
                        }
                        break;
                default:
                        break;
                }
        }
        if (link.index <= 0 || !*link.name)
                return false;
        *ret = link;
        return true;
}

static struct nlmsghdr *request_start(struct netlink *nl, char buffer[REQUEST_SIZE], uint16_t type,
                                      uint16_t flags, int index)
{
        struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
        struct ifinfomsg *info;

        header->nlmsg_type = type;
        header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
        header->nlmsg_seq = ++nl->seq;
        info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
        info->ifi_family = AF_UNSPEC;
        info->ifi_index = index;
        return header;
}

/* Sends the request; what: for messages. */
static int request_send(struct netlink *nl, const struct nlmsghdr *header, const char *what,
                        struct error **err)
{
        /* waits: not at all, the kernel takes a request within the call */
        if (mnl_socket_sendto(nl->socket, header, header->nlmsg_len) < 0)
                return error_os(err, errno, "%s", what);
        return 0;
}

/* The next datagram for this request: its length, or -1. What is not from the kernel is passed over. */
static ssize_t receive(struct netlink *nl, const char *what, struct error **err)
{
        ssize_t n;

        do
                /* waits: SO_RCVTIMEO */
                n = mnl_socket_recvfrom(nl->socket, nl->receive, RECEIVE_SIZE);
        while (n < 0 && errno == EINTR);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                return error_set(err, ERROR_DEADLINE, "%s: the kernel has not answered", what);
        if (n < 0)
                return error_os(err, errno, "%s", what);
        return n;
}

/* The errno of an NLMSG_ERROR message, 0 for an acknowledgement. words: the kernel's own, else "". */
static int message_errno(const struct nlmsghdr *header, char *words, size_t size)
{
        const struct nlmsgerr *answer;
        const struct nlattr *attr;
        size_t offset;

        words[0] = '\0';
        if (mnl_nlmsg_get_payload_len(header) < sizeof(*answer))
                return EBADMSG;
        answer = mnl_nlmsg_get_payload(header);
        if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
                return -answer->error;
        /* The refused request comes before the attributes, unless NETLINK_CAP_ACK cut it (NLM_F_CAPPED). */
        offset = sizeof(*answer);
        if (!(header->nlmsg_flags & NLM_F_CAPPED)) {
                if (answer->msg.nlmsg_len < sizeof(answer->msg) ||
                    answer->msg.nlmsg_len > mnl_nlmsg_get_payload_len(header))
                        return -answer->error;
                offset += answer->msg.nlmsg_len - sizeof(answer->msg);
        }
        if (MNL_ALIGN(offset) > mnl_nlmsg_get_payload_len(header))
                return -answer->error;
        mnl_attr_for_each(attr, header, (unsigned)offset) if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
                copy_string(attr, words, size);
        return -answer->error;
}

static int kernel_refused(int why, const char *words, const char *what, struct error **err)
{
        _cleanup_free_ char *shown = text_printable(words);

        if (*words)
                return error_os(err, why, "%s: %s", what, shown);
        return error_os(err, why, "%s", what);
}

/* What has been received and not been looked at. */
struct answer {
        const struct nlmsghdr *next;
        int left;
};

/* The next message that answers the request sent last; NULL and *err when none comes. */
static const struct nlmsghdr *next_message(struct netlink *nl, struct answer *answer, const char *what,
                                           struct error **err)
{
        for (;;) {
                const struct nlmsghdr *header = answer->next;
                ssize_t got;

                if (answer->left > 0 && message_ok(header, (size_t)answer->left)) {
                        answer->next = mnl_nlmsg_next(header, &answer->left);
                        if (header->nlmsg_seq == nl->seq && header->nlmsg_pid == nl->portid)
                                return header;
                        continue;
                }
                got = receive(nl, what, err);
                if (got < 0)
                        return NULL;
                *answer = (struct answer){ .next = (void *)nl->receive, .left = (int)got };
        }
}

/*
 * Sends one request and reads until its answer: an error, an acknowledgement or, where ret is not NULL, a
 * link.
 * 0, or the positive errno the kernel answered with its words, or -1 and *err when there was no answer.
 */
static int ask(struct netlink *nl, const struct nlmsghdr *request, const char *what, struct net_link *ret,
               char *words, size_t words_size, struct error **err)
{
        const struct nlmsghdr *header;
        struct answer answer = { 0 };

        if (request_send(nl, request, what, err) < 0)
                return -1;
        while ((header = next_message(nl, &answer, what, err))) {
                if (header->nlmsg_type == NLMSG_ERROR)
                        return message_errno(header, words, words_size);
                if (ret && netlink_parse_link(header, header->nlmsg_len, ret))
                        return 0;
        }
        return -1;
}

static int get(struct netlink *nl, const char *name, int index, struct net_link *ret, struct error **err)
{
        char buffer[REQUEST_SIZE], words[256] = "";
        struct nlmsghdr *request = request_start(nl, buffer, RTM_GETLINK, 0, index);
        _cleanup_free_ char *what = name ? xasprintf("look up interface '%s'", name)
                                         : xasprintf("look up interface number %d", index);
        int why;

        if (name)
                mnl_attr_put_strz(request, IFLA_IFNAME, name);
        mnl_attr_put_u32(request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        why = ask(nl, request, what, ret, words, sizeof(words), err);
        if (why == ENODEV || why == ENXIO)
                return 0;
        if (why > 0)
                return kernel_refused(why, words, what, err);
        return why < 0 ? -1 : 1;
}

int netlink_link_get(struct netlink *nl, const char *name, struct net_link *ret, struct error **err)
{
        if (!*name || strlen(name) >= IFNAMSIZ)
                return 0;
        return get(nl, name, 0, ret, err);
}

int netlink_link_get_index(struct netlink *nl, int index, struct net_link *ret, struct error **err)
{
        assert(index > 0);
        return get(nl, NULL, index, ret, err);
}

int netlink_link_set(struct netlink *nl, int index, const struct net_link_change *change, struct error **err)
{
        char buffer[REQUEST_SIZE], words[256] = "";
        struct nlmsghdr *request = request_start(nl, buffer, RTM_NEWLINK, NLM_F_ACK, index);
        int why;

        /* Number 0 and a group attribute would change every link of that group. */
        assert(index > 0);
        if (change->set_up) {
                struct ifinfomsg *info = mnl_nlmsg_get_payload(request);

                info->ifi_change = IFF_UP;
                info->ifi_flags = change->up ? IFF_UP : 0;
        }
        if (change->set_group)
                mnl_attr_put_u32(request, IFLA_GROUP, change->group);
        if (change->alias) {
                if (strlen(change->alias) >= NET_LINK_ALIAS_SIZE)
                        return error_set(err, ERROR_INVALID, "an alias has at most %d bytes",
                                         NET_LINK_ALIAS_SIZE - 1);
                mnl_attr_put_strz(request, IFLA_IFALIAS, change->alias);
        }
        if (change->set_mac)
                mnl_attr_put(request, IFLA_ADDRESS, sizeof(change->mac), change->mac);
        if (change->mtu)
                mnl_attr_put_u32(request, IFLA_MTU, change->mtu);
        if (change->set_master)
                mnl_attr_put_u32(request, IFLA_MASTER, (uint32_t)change->master);
        why = ask(nl, request, "change link", NULL, words, sizeof(words), err);
        if (why > 0)
                return kernel_refused(why, words, "change link", err);
        return why;
}

int netlink_link_delete(struct netlink *nl, int index, struct error **err)
{
        char buffer[REQUEST_SIZE], words[256] = "";
        struct nlmsghdr *request = request_start(nl, buffer, RTM_DELLINK, NLM_F_ACK, index);
        int why;

        assert(index > 0);
        why = ask(nl, request, "delete link", NULL, words, sizeof(words), err);
        if (why == ENODEV || why == ENXIO)
                return 0;
        if (why > 0)
                return kernel_refused(why, words, "delete link", err);
        return why;
}

/* 1: the dump is whole; 0: it was disturbed, ask again. */
static int dump_once(struct netlink *nl, struct net_link **links, size_t *n, struct error **err)
{
        static const char what[] = "list interfaces";
        char buffer[REQUEST_SIZE], words[256] = "";
        struct nlmsghdr *request = request_start(nl, buffer, RTM_GETLINK, NLM_F_DUMP, 0);
        const struct nlmsghdr *header;
        struct answer answer = { 0 };
        bool disturbed = false;

        *n = 0;
        mnl_attr_put_u32(request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        if (request_send(nl, request, what, err) < 0)
                return -1;
        while ((header = next_message(nl, &answer, what, err))) {
                struct net_link link;

                if (header->nlmsg_flags & NLM_F_DUMP_INTR)
                        disturbed = true;
                if (header->nlmsg_type == NLMSG_ERROR)
                        return kernel_refused(message_errno(header, words, sizeof(words)), words, what, err);
                if (header->nlmsg_type == NLMSG_DONE)
                        return !disturbed;
                if (!netlink_parse_link(header, header->nlmsg_len, &link))
                        continue;
                if (*n >= LINKS_MAX)
                        return error_set(err, ERROR_FAILED, "%s: more than %d", what, LINKS_MAX);
                ARRAY_GROW(*links, *n);
                (*links)[(*n)++] = link;
        }
        return -1;
}

int netlink_link_dump(struct netlink *nl, struct net_link **ret_links, size_t *ret_n, struct error **err)
{
        _cleanup_free_ struct net_link *links = NULL;
        size_t n = 0;
        int whole = 0;

        for (int i = 0; i < DUMP_TRIES && whole == 0; i++) {
                free(links);
                links = NULL;
                whole = dump_once(nl, &links, &n, err);
        }
        if (whole < 0)
                return -1;
        if (whole == 0)
                return error_set(err, ERROR_FAILED,
                                 "list interfaces: they change faster than they can be read");
        *ret_links = TAKE_PTR(links);
        *ret_n = n;
        return 0;
}
