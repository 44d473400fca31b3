#include <endian.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "launcher/storage/image_chain.h"
#include "tests/unit/scratch.h"

#define MIB (1024u * 1024u)

/* A qcow2 header to spoil; bytes is one cluster. */
struct header {
        uint8_t bytes[65536];
        size_t at; /* end of the extensions so far */
};

static void put32(struct header *h, size_t offset, uint32_t value)
{
        value = htobe32(value);
        memcpy(h->bytes + offset, &value, sizeof(value));
}

static void put64(struct header *h, size_t offset, uint64_t value)
{
        value = htobe64(value);
        memcpy(h->bytes + offset, &value, sizeof(value));
}

static void add_extension(struct header *h, uint32_t type, const char *data)
{
        size_t n = strlen(data);

        put32(h, h->at, type);
        put32(h, h->at + 4, (uint32_t)n);
        memcpy(h->bytes + h->at + 8, data, n);
        h->at += 8 + ((n + 7) & ~(size_t)7);
}

static struct header *good_header(const char *backing, const char *backing_format)
{
        struct header *h = xcalloc(1, sizeof(*h));

        put32(h, 0, 0x514649fb);
        put32(h, 4, 3);
        put32(h, 20, 16);
        put64(h, 24, 10 * MIB);
        put32(h, 100, 112);
        h->at = 112;
        if (backing_format)
                add_extension(h, 0xe2792aca, backing_format);
        add_extension(h, 0, "");
        if (backing) {
                put64(h, 8, h->at);
                put32(h, 16, (uint32_t)strlen(backing));
                memcpy(h->bytes + h->at, backing, strlen(backing));
        }
        return h;
}

static void assert_bad(const struct header *h, size_t n, const char *words)
{
        struct qcow2_header parsed = { 0 };
        struct error *err = NULL;

        assert_int_equal(qcow2_header_parse(h->bytes, n, &parsed, &err), -1);
        assert_int_equal(err->code, ERROR_INVALID);
        if (!strstr(err->message, words))
                fail_msg("'%s' does not say '%s'", err->message, words);
        error_free(err);
}

static void header_gives_size_and_backing_file(void **state)
{
        _cleanup_free_ struct header *h = good_header("base.raw", "raw");
        struct qcow2_header parsed = { 0 };
        struct error *err = NULL;

        (void)state;
        assert_int_equal(qcow2_header_parse(h->bytes, sizeof(h->bytes), &parsed, &err), 0);
        assert_int_equal(parsed.version, 3);
        assert_int_equal(parsed.virtual_size, 10 * MIB);
        assert_string_equal(parsed.backing_file, "base.raw");
        assert_int_equal(parsed.backing_format, DISK_FORMAT_RAW);
        free(parsed.backing_file);
}

static void old_header_of_version_2_is_read(void **state)
{
        _cleanup_free_ struct header *h = good_header(NULL, NULL);
        struct qcow2_header parsed = { 0 };
        struct error *err = NULL;

        (void)state;
        put32(h, 4, 2);
        memset(h->bytes + 72, 0, 64);
        assert_int_equal(qcow2_header_parse(h->bytes, sizeof(h->bytes), &parsed, &err), 0);
        assert_int_equal(parsed.version, 2);
        assert_null(parsed.backing_file);
}

static void damaged_headers_are_refused(void **state)
{
        static const struct {
                size_t offset;
                uint32_t value;
                const char *words;
        } cases[] = {
                { 0, 0x514649fc, "not a qcow2" },
                { 4, 1, "version 1" },
                { 4, 4, "version 4" },
                { 8, 1, "outside the first cluster" },
                { 12, 100, "overlaps" },
                { 12, 65536, "longer than 1023" },
                { 12, 65537, "outside the first cluster" },
                { 16, 1024, "longer than 1023" },
                { 16, 0xffffffff, "longer than 1023" },
                { 20, 8, "cluster size" },
                { 20, 22, "cluster size" },
                { 24, 0x80000000, "size is out of range" },
                { 32, 1, "encrypted" },
                { 32, 3, "encryption is unknown" },
                { 72, 1, "unknown features" },
                { 76, 2, "corrupt" },
                { 76, 4, "external" },
                { 76, 32, "unknown features (0x20)" },
                { 100, 96, "length" },
                { 100, 108, "length" },
                { 100, 0xfffffff8, "cut short" },
                { 112, 0x44415441, "external data" },
                { 116, 0xffffffff, "extension does not fit" },
                { 116, 0x7fffffff, "extension does not fit" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ struct header *h = good_header("base.raw", "raw");

                if (cases[i].offset == 12 && cases[i].value == 65536)
                        put32(h, 16, 2000);
                put32(h, cases[i].offset, cases[i].value);
                assert_bad(h, sizeof(h->bytes), cases[i].words);
        }
}

static void every_cut_of_a_header_is_an_error_or_a_header(void **state)
{
        _cleanup_free_ struct header *h = good_header("base.raw", "raw");

        (void)state;
        for (size_t n = 0; n < 200; n++) {
                /* An allocation of exactly n bytes: the sanitizer sees a read beyond it. */
                _cleanup_free_ uint8_t *bytes = xmalloc(n ? n : 1);
                struct qcow2_header parsed = { 0 };
                struct error *err = NULL;

                memcpy(bytes, h->bytes, n);
                if (qcow2_header_parse(bytes, n, &parsed, &err) == 0)
                        free(parsed.backing_file);
                else
                        error_free(err);
        }
}

static void dirty_and_unknown_compatible_features_do_not_matter(void **state)
{
        _cleanup_free_ struct header *h = good_header(NULL, NULL);
        struct qcow2_header parsed = { 0 };
        struct error *err = NULL;

        (void)state;
        put64(h, 72, 1 | 8 | 16);
        put64(h, 80, ~0ull);
        put64(h, 88, ~0ull);
        assert_int_equal(qcow2_header_parse(h->bytes, sizeof(h->bytes), &parsed, &err), 0);
}

static void extensions_without_end_are_bounded(void **state)
{
        _cleanup_free_ struct header *h = good_header(NULL, NULL);

        (void)state;
        for (size_t at = 112; at + 8 <= sizeof(h->bytes); at += 8)
                put32(h, at, 0x6803f857);
        assert_bad(h, sizeof(h->bytes), "too many header extensions");
}

static void backing_name_with_a_nul_is_refused(void **state)
{
        _cleanup_free_ struct header *h = good_header("base.raw", "raw");

        (void)state;
        h->bytes[h->at + 2] = 0;
        assert_bad(h, sizeof(h->bytes), "NUL byte");
}

static void write_bytes(struct fixture *f, const char *name, const void *bytes, size_t n)
{
        int fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, n), n);
        close(fd);
}

static void write_qcow2(struct fixture *f, const char *name, const char *backing, const char *format)
{
        _cleanup_free_ struct header *h = good_header(backing, format);

        write_bytes(f, name, h->bytes, sizeof(h->bytes));
}

static int read_chain_at(const char *path, enum disk_format format, bool guess, struct image_chain **ret,
                         struct error **err)
{
        struct image_request request = { .path = path, .format = format, .format_is_guess = guess };
        const struct image_reading reading = { .requests = &request, .n = 1 };
        size_t failed;

        return image_chains_read(&reading, ret, &failed, err);
}

static int read_chain(struct fixture *f, const char *name, enum disk_format format, bool guess,
                      struct image_chain **ret, struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", f->path, name);

        return read_chain_at(path, format, guess, ret, err);
}

/* words: what its error says. */
static void assert_no_chain(struct fixture *f, const char *name, enum disk_format format, bool guess,
                            const char *words)
{
        struct image_chain *chain = NULL;
        struct error *err = NULL;
        _cleanup_free_ char *text = NULL;

        assert_int_equal(read_chain(f, name, format, guess, &chain, &err), -1);
        text = error_text(err);
        assert_int_equal(err->code, ERROR_INVALID);
        if (!strstr(text, words))
                fail_msg("'%s' does not say '%s'", text, words);
        error_free(err);
}

static void chain_lists_all_layers(void **state)
{
        struct fixture *f = *state;
        _cleanup_(image_chain_freep) struct image_chain *chain = NULL;
        _cleanup_free_ char *base = xasprintf("%s/sub/base.img", f->path);
        struct error *err = NULL;

        assert_int_equal(mkdirat(f->fd, "sub", 0755), 0);
        write_bytes(f, "sub/base.img", "plain bytes", 11);
        write_qcow2(f, "sub/mid.qcow2", "base.img", "raw");
        write_qcow2(f, "top.qcow2", "sub/mid.qcow2", "qcow2");
        assert_int_equal(read_chain(f, "top.qcow2", DISK_FORMAT_QCOW2, false, &chain, &err), 0);
        assert_int_equal(chain->n_layers, 3);
        assert_int_equal(chain->layers[0].format, DISK_FORMAT_QCOW2);
        assert_int_equal(chain->layers[0].virtual_size, 10 * MIB);
        assert_int_equal(chain->layers[2].format, DISK_FORMAT_RAW);
        assert_int_equal(chain->layers[2].virtual_size, 11);
        assert_int_equal(chain->layers[2].file.mode & 0777, 0644);
        assert_string_equal(chain->layers[2].path, base);
}

static void guessed_format_that_looks_like_another_one_is_refused(void **state)
{
        struct fixture *f = *state;
        _cleanup_(image_chain_freep) struct image_chain *chain = NULL;
        struct error *err = NULL;

        write_qcow2(f, "disk.img", NULL, NULL);
        assert_no_chain(f, "disk.img", DISK_FORMAT_RAW, true, "starts like qcow2");
        assert_no_chain(f, "disk.img", DISK_FORMAT_NONE, false, "starts like qcow2");
        write_bytes(f, "disk.vmdk", "KDMV____", 8);
        assert_no_chain(f, "disk.vmdk", DISK_FORMAT_RAW, true, "starts like vmdk");
        write_bytes(f, "luks.img", "LUKS\xba\xbe__", 8);
        assert_no_chain(f, "luks.img", DISK_FORMAT_RAW, true, "starts like luks");
        write_bytes(f, "named.qcow2", "plain", 5);
        assert_no_chain(f, "named.qcow2", DISK_FORMAT_QCOW2, true, "named like qcow2");
        /* Said by somebody: then it is what was said. */
        assert_int_equal(read_chain(f, "disk.img", DISK_FORMAT_RAW, false, &chain, &err), 0);
        assert_int_equal(chain->n_layers, 1);
        assert_int_equal(chain->layers[0].virtual_size, 65536);
}

static void missing_backing_file_is_named_with_who_wants_it(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *words =
                xasprintf("image '%s/gone.img', the backing file of '%s/top.qcow2': it does not exist",
                          f->path, f->path);

        write_qcow2(f, "top.qcow2", "gone.img", "raw");
        assert_no_chain(f, "top.qcow2", DISK_FORMAT_QCOW2, false, words);
        assert_no_chain(f, "nothing.img", DISK_FORMAT_RAW, false, "nothing.img': it does not exist");
}

static void chain_that_loops_is_refused(void **state)
{
        struct fixture *f = *state;

        write_qcow2(f, "self.qcow2", "self.qcow2", "qcow2");
        assert_no_chain(f, "self.qcow2", DISK_FORMAT_QCOW2, false, "the chain loops");
        write_qcow2(f, "a.qcow2", "b.qcow2", "qcow2");
        write_qcow2(f, "b.qcow2", "link.qcow2", "qcow2");
        assert_int_equal(symlinkat("a.qcow2", f->fd, "link.qcow2"), 0);
        assert_no_chain(f, "a.qcow2", DISK_FORMAT_QCOW2, false, "the chain loops: it is layer 0 already");
}

static void a_file_is_the_same_under_every_name(void **state)
{
        struct fixture *f = *state;
        const char *const names[] = { "a.raw", "hard.raw", "soft.raw", "b.raw" };
        struct image_chain *chains[ARRAY_SIZE(names)] = { NULL };
        struct image_layer recorded = { 0 };
        struct error *err = NULL;

        write_bytes(f, "a.raw", "a", 1);
        write_bytes(f, "b.raw", "a", 1);
        assert_int_equal(linkat(f->fd, "a.raw", f->fd, "hard.raw", 0), 0);
        assert_int_equal(symlinkat("a.raw", f->fd, "soft.raw"), 0);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                assert_int_equal(read_chain(f, names[i], DISK_FORMAT_RAW, false, &chains[i], &err), 0);
                assert_int_equal(image_layer_is_same(&chains[0]->layers[0], &chains[i]->layers[0]), i < 3);
        }
        /* Of a golden plan's chain only the paths are known. */
        recorded.path = chains[0]->layers[0].path;
        assert_true(image_layer_is_same(&recorded, &chains[0]->layers[0]));
        assert_false(image_layer_is_same(&recorded, &chains[1]->layers[0]));
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                image_chain_free(chains[i]);
}

static void chain_has_a_longest_length(void **state)
{
        struct fixture *f = *state;
        _cleanup_(image_chain_freep) struct image_chain *chain = NULL;
        struct error *err = NULL;

        write_bytes(f, "0", "base", 4);
        for (int i = 1; i <= IMAGE_CHAIN_MAX; i++) {
                _cleanup_free_ char *name = xasprintf("%d", i), *under = xasprintf("%d", i - 1);

                write_qcow2(f, name, under, i == 1 ? "raw" : "qcow2");
        }
        assert_int_equal(read_chain(f, "63", DISK_FORMAT_QCOW2, false, &chain, &err), 0);
        assert_int_equal(chain->n_layers, IMAGE_CHAIN_MAX);
        assert_no_chain(f, "64", DISK_FORMAT_QCOW2, false, "more than 64 layers");
}

static void backing_file_must_be_a_plain_path_of_known_format(void **state)
{
        struct fixture *f = *state;
        struct image_chain *chain = NULL;
        struct error *err = NULL;

        write_qcow2(f, "a", "json:{\"driver\":\"nbd\"}", "raw");
        assert_no_chain(f, "a", DISK_FORMAT_QCOW2, false, "not a plain path");
        write_qcow2(f, "b", "nbd:localhost:1", "raw");
        assert_no_chain(f, "b", DISK_FORMAT_QCOW2, false, "not a plain path");
        write_qcow2(f, "c", "base.vmdk", "vmdk");
        assert_no_chain(f, "c", DISK_FORMAT_QCOW2, false, "format 'vmdk'");
        write_qcow2(f, "d", "base img", NULL);
        assert_int_equal(read_chain(f, "d", DISK_FORMAT_QCOW2, false, &chain, &err), -1);
        assert_non_null(strstr(err->hint, "qemu-img rebase -u -F FORMAT -b 'base img' "));
        error_free(err);
}

static void only_files_and_block_devices_are_images(void **state)
{
        struct fixture *f = *state;
        struct image_chain *chain = NULL;
        struct error *err = NULL;

        assert_int_equal(mkfifoat(f->fd, "fifo", 0600), 0);
        assert_no_chain(f, "fifo", DISK_FORMAT_RAW, false, "it is a fifo");
        assert_no_chain(f, ".", DISK_FORMAT_RAW, false, "it is a directory");
        assert_int_equal(read_chain_at("/dev/null", DISK_FORMAT_RAW, false, &chain, &err), -1);
        error_free(TAKE_PTR(err));
        assert_int_equal(read_chain_at("x.img", DISK_FORMAT_RAW, false, &chain, &err), -1);
        error_free(TAKE_PTR(err));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(header_gives_size_and_backing_file),
                cmocka_unit_test(old_header_of_version_2_is_read),
                cmocka_unit_test(damaged_headers_are_refused),
                cmocka_unit_test(every_cut_of_a_header_is_an_error_or_a_header),
                cmocka_unit_test(dirty_and_unknown_compatible_features_do_not_matter),
                cmocka_unit_test(extensions_without_end_are_bounded),
                cmocka_unit_test(backing_name_with_a_nul_is_refused),
                TEST(chain_lists_all_layers),
                TEST(guessed_format_that_looks_like_another_one_is_refused),
                TEST(missing_backing_file_is_named_with_who_wants_it),
                TEST(chain_that_loops_is_refused),
                TEST(a_file_is_the_same_under_every_name),
                TEST(chain_has_a_longest_length),
                TEST(backing_file_must_be_a_plain_path_of_known_format),
                TEST(only_files_and_block_devices_are_images),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
