#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "launcher/storage/image_chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte is the format, the rest the file; its last bytes are the tail. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct image_bytes bytes;
        _cleanup_error_ struct error *err = NULL;
        enum disk_format format;
        uint64_t virtual_size;

        if (size == 0)
                return 0;
        format = (enum disk_format)(data[0] % (DISK_FORMAT_LUKS + 1));
        data++;
        size--;
        bytes = (struct image_bytes){ .head = data, .n = size, .file_size = size };
        bytes.n_tail = size < IMAGE_TAIL_BYTES ? size : IMAGE_TAIL_BYTES;
        bytes.tail = data + size - bytes.n_tail;
        if (image_foreign_check(format, &bytes, &virtual_size, &err) < 0) {
                if (!err)
                        abort();
        } else if (err || virtual_size > INT64_MAX) {
                abort();
        }
        return 0;
}
