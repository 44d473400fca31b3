/*
 * One rtnetlink message as a link, in a buffer of exactly its size, so that asan sees a read beyond it. Every
 * string of a link that is taken has its end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/netlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ uint8_t *message = xmalloc(size);
        struct net_link link;

        if (size)
                memcpy(message, data, size);
        if (!netlink_parse_link(message, size, &link))
                return 0;
        if (link.index <= 0 || !*link.name || strnlen(link.name, sizeof(link.name)) == sizeof(link.name) ||
            strnlen(link.alias, sizeof(link.alias)) == sizeof(link.alias) ||
            strnlen(link.kind, sizeof(link.kind)) == sizeof(link.kind))
                abort();
        return 0;
}
