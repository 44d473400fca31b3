/*
 * What a bus says, message after message, in a buffer of exactly its size, so that asan sees a read beyond it. A text of
 * a reply has its end inside of that message.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bus_message.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, const char *message, size_t n)
{
        if (text && (text < message || text >= message + n ||
                     strnlen(text, (size_t)(message + n - text)) == (size_t)(message + n - text)))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *bytes = xmalloc(size);
        struct bus_reply reply;
        int length;

        if (size)
                memcpy(bytes, data, size);
        for (size_t at = 0; (length = bus_reply_parse(bytes + at, size - at, &reply)) > 0;
             at += (size_t)length) {
                if ((size_t)length > size - at)
                        abort();
                check_text(reply.error, bytes + at, (size_t)length);
                check_text(reply.text, bytes + at, (size_t)length);
        }
        return 0;
}
