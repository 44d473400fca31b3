#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "launcher/storage/image_chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct qcow2_header header = { 0 };
        _cleanup_error_ struct error *err = NULL;

        if (size > QCOW2_HEADER_BYTES)
                size = QCOW2_HEADER_BYTES;
        if (qcow2_header_parse(data, size, &header, &err) == 0) {
                /* What the reader promises. */
                if (err || header.version < 2 || header.version > 3 || header.virtual_size > INT64_MAX)
                        abort();
                if (header.backing_file &&
                    (strlen(header.backing_file) < 1 || strlen(header.backing_file) > 1023))
                        abort();
                free(header.backing_file);
        } else if (!err || header.backing_file) {
                abort();
        }
        return 0;
}
