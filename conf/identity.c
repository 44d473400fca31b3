#include "conf/identity.h"

#include <string.h>

#include "base/text.h"

static void put_u64(uint8_t *out, uint64_t value)
{
        for (unsigned i = 0; i < 8; i++)
                out[i] = (uint8_t)(value >> (56 - 8 * i));
}

void identity_uuid(const char *name, uint8_t ret[16])
{
        static const char salt[] = "vmlaunch uuid";
        _cleanup_free_ char *salted = xasprintf("%s%s", salt, name);

        put_u64(ret, text_hash(name, strlen(name)));
        put_u64(ret + 8, text_hash(salted, strlen(salted)));
        ret[6] = (ret[6] & 0x0f) | 0x80;
        ret[8] = (ret[8] & 0x3f) | 0x80;
}

void identity_mac(const uint8_t uuid[16], uint32_t nic, uint8_t ret[6])
{
        uint8_t bytes[20];
        uint64_t hash;

        memcpy(bytes, uuid, 16);
        for (unsigned i = 0; i < 4; i++)
                bytes[16 + i] = (uint8_t)(nic >> (24 - 8 * i));
        hash = text_hash(bytes, sizeof(bytes));
        ret[0] = 0x52;
        ret[1] = 0x54;
        ret[2] = 0x00;
        for (unsigned i = 0; i < 3; i++)
                ret[3 + i] = (uint8_t)(hash >> (40 - 8 * i));
}
