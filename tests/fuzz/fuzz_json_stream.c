/*
 * The JSON framer with what a hostile peer writes. The first byte says how: bit 0 lenient, bit 1 a skip to
 * 0xFF first, bits 2 to 7 the size of the pieces fed (0: all at once).
 *
 * Whatever the pieces are, the messages must be the same; so the bytes are fed a second time one by one and
 * the messages counted.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "qmp/json_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
        unsigned messages, errors;
};

static struct outcome run(const uint8_t *data, size_t size, unsigned how, size_t piece)
{
        const struct json_frame_limits limits = { .max_message = 4096, .max_depth = 16, .lenient = how & 1 };
        _cleanup_(json_frame_freep) struct json_frame *frame = json_frame_new(&limits);
        struct outcome outcome = { 0 };

        if ((how & 3) == 3)
                json_frame_skip_to_ff(frame);
        for (size_t at = 0; at < size;) {
                size_t n = size - at < piece ? size - at : piece;

                for (size_t used; n; at += used, n -= used) {
                        struct error *error = NULL;
                        json_t *message = NULL;
                        int result =
                                json_frame_feed(frame, (const char *)data + at, n, &used, &message, &error);

                        if (used > n || (result == 1) != json_is_object(message) || (result < 0) != !!error)
                                abort();
                        if (result == 0 && used != n)
                                abort();
                        outcome.messages += result == 1;
                        outcome.errors += result < 0;
                        json_decref(message);
                        error_free(error);
                        if (result < 0 && !limits.lenient)
                                return outcome;
                }
        }
        return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct outcome pieces, bytes;

        if (size == 0)
                return 0;
        pieces = run(data + 1, size - 1, data[0], data[0] >> 2 ? data[0] >> 2 : size);
        bytes = run(data + 1, size - 1, data[0], 1);
        if (pieces.messages != bytes.messages || pieces.errors != bytes.errors)
                abort();
        return 0;
}
