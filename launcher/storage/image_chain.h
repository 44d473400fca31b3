/*
 * image_chain - an image file and what lies under it, read by our own bounded header reader.
 *
 * QEMU never probes a format and never opens a backing file by name: the chain found here becomes explicit
 * nodes on passed fds (DESIGN section 5.5). Headers are hostile input: the reader looks at no more than the
 * first cluster, never follows a chain deeper than IMAGE_CHAIN_MAX, refuses loops (same device and inode),
 * external data files, encryption it does not know, and backing "files" that are protocols (json:, nbd:...). Of other
 * formats than raw and qcow2 it knows what would have QEMU open further files, or go without a parent: that is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "conf/vm_spec.h"
#include "launcher/host/host_facts.h"

#define IMAGE_CHAIN_MAX 64

struct apart;

struct image_layer {
        char *path; /* absolute */
        enum disk_format format;
        struct file_facts file;
        bool encrypted;        /* LUKS, as a format of its own or inside of qcow2 */
        uint64_t virtual_size; /* bytes; for raw the file's size; 0: not known (vhdx) */
        /* Which file it is, whatever its path: 0 when not known (those of golden plans), ino 0 for a block device. */
        dev_t dev;
        ino_t ino;
};

/* layers[0] is the image itself, then its backing files downwards. */
struct image_chain {
        struct image_layer *layers;
        size_t n_layers;
};

/*
 * Reads the chains of several images, by a process of its own that has a deadline (apart.h). format NONE or guess: what
 * the header says decides nothing: a guessed raw whose first bytes are a qcow2 header is an error that asks for FORMAT.
 * The error names the layer. ret has n places. *ret_failed is the number of the one that the error is about, n when it is
 * about none or its storage did not answer.
 */
struct image_request {
        const char *path;
        enum disk_format format;
        bool format_is_guess;
        struct file_facts *ret_facts; /* not NULL: a file that is no image, of which only these are wanted */
};
struct image_reading {
        struct image_request *requests;
        size_t n;
};
int image_chains_read(const struct image_reading *reading, struct image_chain **ret, size_t *ret_failed,
                      struct error **err);
/* In two steps, as apart_begin() and apart_end(); of one request at least. */
struct apart *image_chains_begin(const struct image_reading *reading, struct error **err);
int image_chains_end(struct apart *apart_consume, const struct image_reading *reading,
                     struct image_chain **ret, size_t *ret_failed, struct error **err);
void image_chain_free(struct image_chain *chain);
DEFINE_FREEP(struct image_chain, image_chain_free)
/* One file or device, by whatever names? By their paths where nothing better is known. */
bool image_layer_is_same(const struct image_layer *a, const struct image_layer *b);

/* The part that reads outside bytes, for the fuzzer: header is the first bytes of the file. */
struct qcow2_header {
        uint32_t version;
        uint64_t virtual_size;
        bool encrypted;                  /* by LUKS */
        char *backing_file;              /* NULL: none; owned by the caller */
        enum disk_format backing_format; /* NONE: the header does not say */
};
#define QCOW2_HEADER_BYTES 65536
int qcow2_header_parse(const uint8_t *bytes, size_t n, struct qcow2_header *ret, struct error **err);

/* The other formats: what of the image has been read. */
struct image_bytes {
        const uint8_t *head; /* its first n bytes */
        size_t n;
        const uint8_t *tail; /* its last n_tail bytes */
        size_t n_tail;
        uint64_t file_size;
};
#define IMAGE_TAIL_BYTES 512
/* *ret_size is 0 where it is not known, and for raw and qcow2, of which nothing is looked at. */
int image_foreign_check(enum disk_format format, const struct image_bytes *bytes, uint64_t *ret_size,
                        struct error **err);
