/* Images that are neither raw nor qcow2: what would have QEMU open other files, or lack a parent, is refused. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/storage/image_chain.h"

#define CORPUS   "tests/corpus/foreign_header"
#define FILE_MAX 65536

/* A file of the corpus: its first byte is the format. What is said of it: its size, or the error's words; new string. */
static char *verdict(const char *name)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", CORPUS, name), *text = NULL;
        _cleanup_error_ struct error *err = NULL;
        struct image_bytes bytes;
        uint64_t size;
        size_t length;

        assert_int_equal(fd_read_file_at(AT_FDCWD, path, FILE_MAX, &text, &length, &err), 0);
        bytes = (struct image_bytes){ .head = (const uint8_t *)text + 1,
                                      .n = length - 1,
                                      .file_size = length - 1 };
        bytes.n_tail = bytes.n < IMAGE_TAIL_BYTES ? bytes.n : IMAGE_TAIL_BYTES;
        bytes.tail = bytes.head + bytes.n - bytes.n_tail;
        if (image_foreign_check((enum disk_format)text[0], &bytes, &size, &err) == 0)
                return xasprintf("%llu bytes", (unsigned long long)size);
        return xstrdup(err->message);
}

static void headers_say_size_or_why_not(void **state)
{
        static const struct {
                const char *file, *words;
        } cases[] = {
                { "vmdk", "8388608 bytes" },
                { "vmdk-no-size", "names the files that hold its data" },
                { "vmdk-descriptor", "names the files that hold its data" },
                { "vmdk-cowd", "names the files that hold its data" },
                { "vmdk-huge", "size is out of range" },
                { "vmdk-parent", "needs a parent image" },
                { "vmdk-cut", "not a VMDK image" },
                { "vmdk-none", "not a VMDK image" },
                { "vdi", "8388608 bytes" },
                { "vdi-static", "1048576 bytes" },
                { "vdi-difference", "needs a parent image" },
                { "vdi-parent", "needs a parent image" },
                { "vdi-huge", "size is out of range" },
                { "vdi-cut", "not a VDI image" },
                { "vpc", " bytes" },
                { "vpc-difference", "needs a parent image" },
                { "vpc-huge", "size is out of range" },
                { "vpc-fixed", " bytes" },
                { "vpc-fixed-difference", "needs a parent image" },
                { "vpc-none", "not a VPC image" },
                { "vpc-short", "not a VPC image" },
                { "vhdx", "0 bytes" },
                { "vhdx-none", "not a VHDX image" },
                { "luks", "80 bytes" },
                { "luks2", "QEMU knows version 1 only" },
                { "luks-cut", "not a LUKS image" },
                { "luks-payload-outside", "0 bytes" },
                { "raw", "0 bytes" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *said = verdict(cases[i].file);

                if (!strstr(said, cases[i].words))
                        fail_msg("%s: '%s' does not say '%s'", cases[i].file, said, cases[i].words);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(headers_say_size_or_why_not),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
