#include "net/netlink.h"

#include <assert.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "base/fd.h"
#include "base/text.h"

/* What a dump is received in; the kernel fills at most 32 KiB (NLMSG_GOODSIZE and the reader's buffer). */
#define RECEIVE_SIZE 32768
/* Our requests have a header and at most five attributes, the longest an alias. */
#define REQUEST_SIZE 1024
/* A dump during which links came or went is inconsistent (NLM_F_DUMP_INTR) and asked again. */
#define DUMP_TRIES 8
#define LINKS_MAX  65536

#define FOR_EACH_ATTRIBUTE(attr, left) for (; RTA_OK(attr, left); (attr) = RTA_NEXT(attr, left))

/* A message with its fixed part and room for attributes. */
struct request {
        struct nlmsghdr header;
        struct ifinfomsg info;
        char attributes[REQUEST_SIZE];
};

struct netlink {
        int socket;
        uint32_t portid;
        uint32_t seq;
        _Alignas(struct nlmsghdr) char receive[RECEIVE_SIZE];
};

struct netlink *netlink_open(struct error **err)
{
        /* The kernel answers at once or not at all: nothing here may wait for ever. */
        const struct timeval patience = { .tv_sec = 10 };
        struct netlink *nl = xcalloc(1, sizeof(*nl));
        struct sockaddr_nl address = { .nl_family = AF_NETLINK };
        socklen_t length = sizeof(address);
        int one = 1;

        nl->socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        /* To the kernel, which gives the socket a number of its own and lets nobody else send to it.
         * waits: not at all */
        if (nl->socket < 0 || connect(nl->socket, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            getsockname(nl->socket, (struct sockaddr *)&address, &length) < 0 ||
            setsockopt(nl->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) {
                error_os(err, errno, "open rtnetlink socket");
                netlink_close(nl);
                return NULL;
        }
        nl->portid = address.nl_pid;
        /* The kernel's own words for an error, where it has some (since 4.12); older ones do without. */
        setsockopt(nl->socket, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
        nl->seq = (uint32_t)time(NULL);
        return nl;
}

void netlink_close(struct netlink *nl)
{
        if (!nl)
                return;
        fd_close(&nl->socket);
        free(nl);
}

static void copy_string(const struct rtattr *attr, char *out, size_t size)
{
        const char *s = RTA_DATA(attr);
        size_t n = strnlen(s, RTA_PAYLOAD(attr));

        if (n >= size)
                n = size - 1;
        memcpy(out, s, n);
        out[n] = '\0';
}

static uint32_t u32_or_0(const struct rtattr *attr)
{
        return RTA_PAYLOAD(attr) >= sizeof(uint32_t) ? *(uint32_t *)RTA_DATA(attr) : 0;
}

static int type_of(const struct rtattr *attr)
{
        return attr->rta_type & NLA_TYPE_MASK;
}

/* NLMSG_OK() compares as int in places: a length with the top bit set passes there. */
static bool message_ok(const struct nlmsghdr *header, size_t left)
{
        return left >= sizeof(*header) && header->nlmsg_len >= sizeof(*header) && header->nlmsg_len <= left;
}

bool netlink_parse_link(const void *message, size_t n, struct net_link *ret)
{
        const struct nlmsghdr *header = message;
        struct net_link link = { 0 };
        const struct ifinfomsg *info;
        const struct rtattr *attr, *inner;
        int left, inner_left;

        if (n > INT32_MAX || !message_ok(header, n) || header->nlmsg_type != RTM_NEWLINK ||
            header->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
                return false;
        info = NLMSG_DATA(header);
        link.index = info->ifi_index;
        link.flags = info->ifi_flags;
        attr = IFLA_RTA(info);
        left = (int)IFLA_PAYLOAD(header);
        FOR_EACH_ATTRIBUTE(attr, left)
        {
                size_t length = RTA_PAYLOAD(attr);

                switch (type_of(attr)) {
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
                                link.operstate = *(uint8_t *)RTA_DATA(attr);
                        break;
                case IFLA_ADDRESS:
                        link.has_mac = length == sizeof(link.mac);
                        if (link.has_mac)
                                memcpy(link.mac, RTA_DATA(attr), sizeof(link.mac));
                        break;
                case IFLA_LINKINFO:
                        inner = RTA_DATA(attr);
                        inner_left = (int)length;
                        FOR_EACH_ATTRIBUTE(inner, inner_left)
                        {
                                if (type_of(inner) == IFLA_INFO_KIND)
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

static struct request request_start(struct netlink *nl, uint16_t type, uint16_t flags, int index)
{
        return (struct request){
                .header = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
                            .nlmsg_type = type,
                            .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                            .nlmsg_seq = ++nl->seq },
                .info = { .ifi_family = AF_UNSPEC, .ifi_index = index },
        };
}

static void put(struct request *request, uint16_t type, const void *value, size_t n)
{
        struct rtattr *attr = (void *)((char *)request + request->header.nlmsg_len);

        attr->rta_type = type;
        attr->rta_len = (uint16_t)RTA_LENGTH(n);
        memcpy(RTA_DATA(attr), value, n);
        request->header.nlmsg_len += RTA_SPACE((uint32_t)n);
}

static void put_string(struct request *request, uint16_t type, const char *value)
{
        put(request, type, value, strlen(value) + 1);
}

static void put_u32(struct request *request, uint16_t type, uint32_t value)
{
        put(request, type, &value, sizeof(value));
}

/* Sends the request; what: for messages. */
static int request_send(struct netlink *nl, const struct request *request, const char *what,
                        struct error **err)
{
        /* waits: not at all, the kernel takes a request within the call */
        if (send(nl->socket, request, request->header.nlmsg_len, 0) < 0)
                return error_os(err, errno, "%s", what);
        return 0;
}

/* The next datagram of the kernel: its length, or -1. */
static ssize_t receive(struct netlink *nl, const char *what, struct error **err)
{
        ssize_t n;

        do
                /* waits: SO_RCVTIMEO */
                n = recv(nl->socket, nl->receive, RECEIVE_SIZE, MSG_TRUNC);
        while (n < 0 && errno == EINTR);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                return error_set(err, ERROR_DEADLINE, "%s: the kernel has not answered", what);
        if (n < 0 || n > RECEIVE_SIZE)
                return error_os(err, n < 0 ? errno : ENOSPC, "%s", what);
        return n;
}

/* The errno of an NLMSG_ERROR message, 0 for an acknowledgement. words: the kernel's own, else "". */
static int message_errno(const struct nlmsghdr *header, char *words, size_t size)
{
        const struct nlmsgerr *answer = NLMSG_DATA(header);
        const struct rtattr *attr;
        int left = (int)NLMSG_PAYLOAD(header, sizeof(*answer));

        words[0] = '\0';
        if (left < 0)
                return EBADMSG;
        attr = (const void *)(answer + 1);
        if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
                return -answer->error;
        /* The refused request comes before the attributes, unless NETLINK_CAP_ACK cut it (NLM_F_CAPPED). */
        if (!(header->nlmsg_flags & NLM_F_CAPPED)) {
                uint32_t skip = NLMSG_ALIGN(answer->msg.nlmsg_len) - (uint32_t)sizeof(answer->msg);

                if (answer->msg.nlmsg_len < sizeof(answer->msg) || skip > (uint32_t)left)
                        return -answer->error;
                attr = (const void *)((const char *)attr + skip);
                left -= (int)skip;
        }
        FOR_EACH_ATTRIBUTE(attr, left)
        {
                if (type_of(attr) == NLMSGERR_ATTR_MSG)
                        copy_string(attr, words, size);
        }
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
                        answer->next = NLMSG_NEXT(header, answer->left);
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
static int ask(struct netlink *nl, const struct request *request, const char *what, struct net_link *ret,
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
        struct request request = request_start(nl, RTM_GETLINK, 0, index);
        char words[256] = "";
        _cleanup_free_ char *what = name ? xasprintf("look up interface '%s'", name)
                                         : xasprintf("look up interface number %d", index);
        int why;

        if (name)
                put_string(&request, IFLA_IFNAME, name);
        put_u32(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        why = ask(nl, &request, what, ret, words, sizeof(words), err);
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
        struct request request = request_start(nl, RTM_NEWLINK, NLM_F_ACK, index);
        char words[256] = "";
        int why;

        /* Number 0 and a group attribute would change every link of that group. */
        assert(index > 0);
        if (change->set_up) {
                request.info.ifi_change = IFF_UP;
                request.info.ifi_flags = change->up ? IFF_UP : 0;
        }
        if (change->set_group)
                put_u32(&request, IFLA_GROUP, change->group);
        if (change->alias) {
                if (strlen(change->alias) >= NET_LINK_ALIAS_SIZE)
                        return error_set(err, ERROR_INVALID, "an alias has at most %d bytes",
                                         NET_LINK_ALIAS_SIZE - 1);
                put_string(&request, IFLA_IFALIAS, change->alias);
        }
        if (change->set_mac)
                put(&request, IFLA_ADDRESS, change->mac, sizeof(change->mac));
        if (change->mtu)
                put_u32(&request, IFLA_MTU, change->mtu);
        if (change->set_master)
                put_u32(&request, IFLA_MASTER, (uint32_t)change->master);
        why = ask(nl, &request, "change link", NULL, words, sizeof(words), err);
        if (why > 0)
                return kernel_refused(why, words, "change link", err);
        return why;
}

int netlink_link_delete(struct netlink *nl, int index, struct error **err)
{
        struct request request = request_start(nl, RTM_DELLINK, NLM_F_ACK, index);
        char words[256] = "";
        int why;

        assert(index > 0);
        why = ask(nl, &request, "delete link", NULL, words, sizeof(words), err);
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
        struct request request = request_start(nl, RTM_GETLINK, NLM_F_DUMP, 0);
        char words[256] = "";
        const struct nlmsghdr *header;
        struct answer answer = { 0 };
        bool disturbed = false;

        *n = 0;
        put_u32(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        if (request_send(nl, &request, what, err) < 0)
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
